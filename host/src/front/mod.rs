//! From sockets to exchanges: accepts, speaks the protocol, limits what a client may do to a connection.
//!
//! What a request means is the pipeline's business. One file a protocol; the gate stands before every HTTP/1 parser.

mod drain;
pub mod gate;
mod h1;
#[allow(dead_code, unused_imports, reason = "who enters chooses it")]
mod h2;
mod refusal;
mod socket;
mod wire;
mod worker;

pub use self::socket::Socket;
pub use self::worker::{ListenerShared, Worker};
