//! HTTP/3 (RFC 9114): QUIC connections from their first packet to their CLOSE, an exchange for each of their requests.
//!
//! quinn speaks QUIC, the `h3` crate is the codec. Here is what they leave to their user: whose thread a packet is for, who
//! is let in and when, what a request must be to be taken, bodies with flow control from end to end, tunnels (RFC 9220), and
//! limits in time. Everything of one connection happens on one thread.

mod arrival;
mod connection;
mod duplex;
mod endpoint;
mod exchange;
mod frames;
mod head;
mod inbound;
mod link;
mod outbound;
mod qpack;
mod quic;
mod settings;
mod socket;
mod steer;

pub use self::endpoint::{Holder, serve};
pub use self::socket::{Datagrams, group};
