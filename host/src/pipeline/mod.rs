//! One exchange, phase by phase.
