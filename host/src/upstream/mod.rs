//! Connections to members: dialled, kept, reused, spoken to.
//!
//! A thread's connections stay on that thread. This room knows addresses and time limits; which member a request goes to,
//! and whether it may be tried again, is decided above.

mod connection;
mod dial;
mod download;
mod endpoint;
mod kept;
mod names;
mod patient;
mod progress;
mod speak;
mod upload;

pub use self::connection::{Answered, Connection, Unanswered};
pub use self::download::Download;
pub use self::endpoint::Endpoint;
pub use self::kept::{Connections, Keeping};
pub use self::names::{Found, Resolver, Tell, Watch, Watched, addresses};
pub use self::progress::{Hints, Limits, Progress};
pub use self::upload::Upload;
