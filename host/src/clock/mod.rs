//! The only caller of the system's clocks.
//!
//! Rooms above take instants as arguments, so that time can be a value in their tests.

mod deadline;
mod telling;
mod thread_time;

use std::time::SystemTime;

pub use std::time::{Duration, Instant};

pub use self::deadline::{Deadline, Ticker};
pub use self::telling::Telling;
pub use self::thread_time::thread_time;

/// The monotonic clock.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock, for logs, `Date` and the like.
#[must_use]
pub fn wall() -> SystemTime {
    SystemTime::now()
}
