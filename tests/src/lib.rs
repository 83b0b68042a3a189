//! The harness: a gateway under test, origins that misbehave on purpose, and a client that sends any bytes.
//!
//! Everything is blocking sockets and threads, on port 0 and in directories of its own, and every wait is bounded.
//! It knows the gateway only as a program: its command line, its config, its sockets, its logs.

mod client;
mod config;
mod dns;
mod door;
mod eventually;
mod gateway;
mod h2;
mod h2_origin;
mod health_origin;
pub mod origin;
pub mod peers;
mod place;
mod program;
mod quic;
mod stream;
mod tls;
mod tree;
mod visitor;
mod websocket;
mod wire;

pub use client::{Client, Response, request_bytes};
pub use config::Config;
pub use dns::{Dns, DnsMood};
pub use door::{Ask, Door, Version};
pub use eventually::{Gate, PATIENCE, eventually, never_while, stays};
pub use gateway::{Gateway, Signal};
pub use h2_origin::H2Origin;
pub use health_origin::{GrpcHealth, Health, Serving};
pub use origin::{Origin, behaviour};
pub use place::Place;
pub use program::{Finished, curl, filter_file, weir, weir_within};
pub use quic::{Quic, QuicStream, Said};
pub use stream::{DeafPort, RefusedPort, Stream};
pub use tls::{Authority, Handshake, Identity};
pub use tree::{Tree, byte_at};
pub use visitor::{Shaken, Visitor};
pub use websocket::{WebSocket, base64};
pub use wire::{Fields, Framing, Head, Wire};
