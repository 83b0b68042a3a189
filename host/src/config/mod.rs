//! The config: TOML as written, checked into a `Plan`, with every problem found at once.

mod plan;
mod problem;

pub use self::plan::*;
pub use self::problem::{Place, Problem};
