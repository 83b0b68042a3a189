//! Connections to members: dialled, kept, reused, spoken to.
//!
//! A thread's connections stay on that thread. This room knows addresses and time limits; which member a request goes to,
//! and whether it may be tried again, is decided above.

mod carry;
mod connection;
mod dial;
mod download;
mod endpoint;
mod incoming;
mod kept;
mod names;
mod opening;
mod patient;
mod permit;
mod preface;
mod progress;
mod race;
mod reach;
mod rest;
mod shared;
mod socket;
mod speak;
mod stream;
#[cfg(test)]
mod tests;
mod tunnel;
mod upload;
mod waiting;
mod wire;

pub use self::carry::{Ended, Moved, carry};
pub use self::connection::{Answered, Connection, Unanswered};
pub use self::download::{Download, Guard};
pub use self::endpoint::Endpoint;
pub use self::incoming::Incoming;
pub use self::kept::{Connections, Keeping};
pub use self::names::{Found, Resolver, Tell, Watch, Watched, addresses};
pub use self::preface::Preface;
pub use self::progress::{Hints, Limits, Progress};
pub use self::tunnel::Far;
pub use self::upload::Upload;
