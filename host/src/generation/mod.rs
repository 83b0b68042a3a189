//! Everything built from one plan, immutable, swapped whole.
