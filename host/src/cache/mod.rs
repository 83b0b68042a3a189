//! The rules of a shared cache (RFC 9111), pure: what may be stored, for whom, how long, and what is done when it is stale.
//!
//! Owns no bytes, no clock and no socket: heads and times come as arguments, decisions go out. A store keeps a `Stored`
//! beside its bytes; the pipeline asks `lookup`, `storable`, `validate` and `invalidate` in the order of an exchange.

pub mod date;
mod directives;
pub mod fresh;
pub mod invalidate;
pub mod key;
mod knobs;
pub mod lookup;
pub mod order;
pub mod partial;
pub mod reply;
mod spelled;
pub mod status;
pub mod storable;
mod stored;
mod structured;
pub mod validate;
pub mod vary;
pub mod weights;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod testing;

pub use self::directives::{Directives, FOREVER, RULED, Reach, RequestDirectives, SURROGATE_CONTROL};
pub use self::knobs::{Cookies, Knobs, PerMille};
pub use self::stored::{READ, Stored};
