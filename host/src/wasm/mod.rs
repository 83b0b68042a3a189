//! Filters: components and how they are called. The only room that knows Wasm.
//!
//! Whatever a guest does costs at most the call it was made for: its memory, its time, its output and its lines in the
//! log are bounded, what it says is checked before it changes anything, and after a trap its instance is gone.

mod bindings;
mod budget;
mod cache;
mod engine;
mod filter;
mod guest;
mod heads;
mod inspect;
mod instances;
mod live;
mod load;
mod pulse;
mod sending;
pub mod standard;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
pub(crate) mod tests;
mod trap;
mod verdict;
mod voice;
mod wasi;

pub use self::engine::{Engine, EngineError, EngineOptions};
pub use self::filter::{Filter, Hooks};
pub use self::inspect::{Import, Inspection, Kind, World};
pub use self::instances::{Exchange, Instances};
pub use self::load::LoadError;
pub use self::trap::CallFailure;
pub use self::verdict::{Content, Edit, Side, Verdict};

/// A module's file beyond this is not read: the largest guests (an embedded Python) have 40 MB.
pub const LARGEST_MODULE: u64 = 256 << 20;
