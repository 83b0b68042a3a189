//! HTTP/2 (RFC 9113): one connection from its preface to its GOAWAY, an exchange for each of its streams.
//!
//! The `h2` crate is the codec. Here is what it leaves to its user: what a request must be to be taken, bodies with flow
//! control from end to end, whose DATA goes first (RFC 9218), one write for many frames, tunnels (RFC 8441), and limits in
//! time. `PRIORITY_UPDATE` does not come through the crate, nor can its server say `SETTINGS_NO_RFC7540_PRIORITIES`; the
//! `Priority` fields of requests and answers are what counts.

mod connection;
mod duplex;
mod exchange;
mod gather;
mod inbound;
mod link;
mod outbound;
mod priority;
#[cfg(test)]
mod tests;
mod turns;
mod wall;

pub(super) use self::connection::serve;
pub(super) use self::priority::Priority;
