//! Which member is next: pure choices over weights, one file a method.
//!
//! A method knows positions and weights, never addresses, health or time.

mod round_robin;

pub use self::round_robin::RoundRobin;
