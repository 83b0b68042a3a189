//! Which member is next: pure choices over weights.
