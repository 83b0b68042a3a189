//! A filter that is ready to be called: compiled, checked against the contract, configured once.

use std::fmt;
use std::sync::Arc;

use super::bindings::{both, request, response, types};
use super::engine::Engine;
use super::guest::Guest;
use super::sending::Granted;
use crate::clock::Duration;
use crate::config;
use crate::message::Name;

/// A filter. Cheap to clone; two clones are the same filter.
#[derive(Clone)]
pub struct Filter(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) name: Arc<str>,
    pub(super) digest: String,
    pub(super) compiled: Arc<Compiled>,
    pub(super) settings: String,
    pub(super) cpu: Duration,
    pub(super) memory: usize,
    pub(super) instances: config::Instances,
    pub(super) roots: Granted,
    pub(super) hooks: Hooks,
    pub(super) request_headers: Vec<Name>,
    pub(super) response_headers: Vec<Name>,
    pub(super) engine: Engine,
}

/// Code that can be instantiated.
pub(super) struct Compiled {
    pub(super) exports: Pre,
    pub(super) with_wasi: bool,
}

/// By world.
pub(super) enum Pre {
    Both(both::FilterPre<Guest>),
    Request(request::RequestFilterPre<Guest>),
    Response(response::ResponseFilterPre<Guest>),
}

/// The moments a filter wants to be called at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hooks {
    /// Before the request goes on.
    pub request: bool,
    /// Before the response goes on.
    pub response: bool,
    /// After the exchange.
    pub done: bool,
}

/// Fields that one hook may have passed along with every call: what needs more reads all of them.
const MAX_WANTED: usize = 64;

impl Filter {
    /// Its name in the config.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The SHA-256 of its code, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// When it is called.
    #[must_use]
    pub fn hooks(&self) -> Hooks {
        self.0.hooks
    }

    /// The request fields that are passed along with every call.
    #[must_use]
    pub fn request_headers(&self) -> &[Name] {
        &self.0.request_headers
    }

    /// The response fields that are passed along with every call.
    #[must_use]
    pub fn response_headers(&self) -> &[Name] {
        &self.0.response_headers
    }

    /// Whether two are the same.
    pub(super) fn is(&self, other: &Filter) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Pre {
    pub(super) fn engine(&self) -> &wasmtime::Engine {
        match self {
            Pre::Both(pre) => pre.engine(),
            Pre::Request(pre) => pre.engine(),
            Pre::Response(pre) => pre.engine(),
        }
    }
}

/// A plan as a filter answered it, checked. The error is for the operator.
pub(super) fn check_plan(plan: types::Plan, worlds: Hooks) -> Result<(Hooks, Vec<Name>, Vec<Name>), String> {
    let mut hooks = Hooks::default();
    for hook in plan.hooks {
        let (wanted, offered, word) = match hook {
            types::Hook::Request => (&mut hooks.request, worlds.request, "on-request"),
            types::Hook::Response => (&mut hooks.response, worlds.response, "on-response"),
            types::Hook::Done => (&mut hooks.done, worlds.done, "on-done"),
        };
        if !offered {
            return Err(format!("its plan names a hook that it does not export: `{word}`"));
        }
        *wanted = true;
    }
    Ok((hooks, names(plan.request_headers)?, names(plan.response_headers)?))
}

fn names(wanted: Vec<String>) -> Result<Vec<Name>, String> {
    if wanted.len() > MAX_WANTED {
        return Err(format!("its plan names {} fields; {MAX_WANTED} is the most", wanted.len()));
    }
    let checked = |name: String| {
        Name::from_bytes(name.as_bytes())
            .map_err(|_| format!("its plan names `{}`, which is not a field name", name.escape_debug()))
    };
    wanted.into_iter().map(checked).collect()
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("name", &self.0.name).field("digest", &self.0.digest).finish_non_exhaustive()
    }
}
