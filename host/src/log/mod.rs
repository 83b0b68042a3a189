//! What is said of the gateway's work: the access log, one line an exchange, and the operator's log.
//!
//! A `Record` is filled while an exchange lives, a `Format` (of a generation) turns it into a line, a `Sink` (of a
//! thread) collects lines, and the `AccessLog` (of the process) writes them. Nothing in here ever makes a worker wait.

mod access;
mod escape;
mod format;
mod operator;
mod output;
mod record;
mod stamp;
mod variable;

pub use self::access::{AccessLog, FLUSH_EVERY, Sink};
pub use self::format::{Format, Needs};
pub use self::operator::OperatorLog;
pub use self::output::Output;
pub use self::record::{Record, RequestLine};
