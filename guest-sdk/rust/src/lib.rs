//! Filters for the Weir gateway, in Rust.
//!
//! A filter is a type with settings that implements [`Filter`], and one line, [`export!`], that makes the crate a Wasm
//! module which speaks the contract `weir:filter`. Compiled for anything but wasm32 the same crate is plain Rust:
//! [`test`] plays the gateway, so that `cargo test` tests a filter without Wasm.
//!
//! ```
//! use weir_filter::{Action, Edits, Filter, Plan, Request};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Hello {
//!     greeting: String,
//! }
//!
//! impl Filter for Hello {
//!     type Settings = Hello;
//!     fn configure(settings: Hello) -> Result<Self, String> {
//!         Ok(settings)
//!     }
//!     fn plan(&self) -> Plan {
//!         Plan::new().on_request()
//!     }
//!     fn on_request(&mut self, _: &Request) -> Action {
//!         Edits::new().set_header("x-greeting", self.greeting.as_str()).into()
//!     }
//! }
//!
//! weir_filter::export!(Hello);
//! # fn main() {}
//! ```

mod action;
mod allocator;
pub mod cache;
mod file;
mod plan;
mod request;
mod response;
mod settings;
#[cfg(not(target_arch = "wasm32"))]
pub mod test;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod wasm;

use serde::de::DeserializeOwned;

pub use action::{Action, Answer, Edit, Edits};
pub use file::Refusal;
pub use plan::{Hook, Plan};
pub use request::Request;
pub use response::Response;

#[cfg(not(target_arch = "wasm32"))]
use test::host;
#[cfg(target_arch = "wasm32")]
use wasm::host;

/// A filter with its settings: one instance of it lives in every instance of the module.
///
/// State that a filter keeps between calls is its own to bound: an instance sees many exchanges, one call at a time,
/// and the gateway replaces it at its own discretion.
pub trait Filter: Sized {
    /// The `settings` of the config. Give it `#[serde(deny_unknown_fields)]`, so that a slip of the pen is refused.
    /// Settings that do not fit are refused with the name of the field at fault. `()` stands for "no settings".
    type Settings: DeserializeOwned;

    /// Checks the settings and prepares all that need not be done again for every call. The text of a refusal is
    /// shown to the operator, who sees the config and not this code.
    fn configure(settings: Self::Settings) -> Result<Self, String>;

    /// What to be called for. Asked once, after `configure`.
    fn plan(&self) -> Plan;

    /// Before the request goes on.
    fn on_request(&mut self, request: &Request) -> Action {
        let _ = request;
        Action::Next
    }

    /// Before the response goes on.
    fn on_response(&mut self, response: &Response) -> Action {
        let _ = response;
        Action::Next
    }

    /// After the last byte of the response, or when the exchange was given up. `id` is [`Request::id`].
    fn on_done(&mut self, id: u64) {
        let _ = id;
    }
}

/// How much a line in the gateway's log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Writes a line into the gateway's log, marked with the filter's name and the request's id.
pub fn log(level: Level, message: &str) {
    host::log(level, message);
}

/// Makes the crate a filter: `weir_filter::export!(MyFilter);`, once. On anything but wasm32 it only checks the type.
#[macro_export]
macro_rules! export {
    ($filter:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use ::std::cell::RefCell;
            ::std::thread_local! {
                static FILTER: RefCell<Option<$filter>> = const { RefCell::new(None) };
            }
            struct Exported;
            impl $crate::wasm::Exported for Exported {
                type Filter = $filter;
                fn slot() -> &'static ::std::thread::LocalKey<RefCell<Option<$filter>>> {
                    &FILTER
                }
            }
    $crate::wasm::bindings::export_filter!(Exported with_types_in $crate::wasm::bindings);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = {
            fn is_a_filter<F: $crate::Filter>() {}
            is_a_filter::<$filter>
        };
    };
}
