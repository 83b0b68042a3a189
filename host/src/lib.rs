//! Weir, a WebAssembly-extensible edge gateway, as a library; the binary is `main.rs`.
//!
//! Rooms stand on floors and use only rooms below them; `ARCHITECTURE.md` has the plan and `tests/floors.rs` enforces it.

pub mod admin;
pub mod balance;
pub mod body;
pub mod cache;
pub mod chain;
pub mod cli;
pub mod clock;
pub mod config;
pub mod failure;
pub mod files;
pub mod fitness;
pub mod front;
pub mod gateway;
pub mod generation;
pub mod kernel;
pub mod log;
pub mod message;
pub mod pipeline;
pub mod pool;
pub mod routes;
pub mod shelf;
pub mod tls;
pub mod upstream;
pub mod wasm;
