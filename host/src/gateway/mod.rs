//! Start, reload, drain, signals.
