//! From sockets to exchanges: accepts, speaks the protocol, limits what a client may do to a connection.
//!
//! What a request means is the pipeline's business. One file a protocol; the gate stands before every HTTP/1 parser.

mod drain;
mod enter;
pub mod gate;
mod h1;
mod h2;
mod h3;
mod pace;
mod proxy;
mod refusal;
mod seats;
mod socket;
mod streams;
mod wire;
mod worker;

pub use self::h3::{Datagrams, Holder, group, serve as serve_datagrams};
pub use self::seats::ListenerShared;
pub use self::socket::Socket;
pub use self::worker::Worker;
