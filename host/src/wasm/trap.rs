//! Why a call failed, and saying so once: the same trap of the same code is told with its backtrace the first time, and
//! counted afterwards.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use wasmtime::{Trap, WasmBacktrace};

use super::filter::Filter;
use crate::failure::{Failure, Kind};

/// A call that failed: what for, and what the operator reads.
#[derive(Debug, Clone)]
pub struct CallFailure {
    /// One of the kinds whose blame is the filter's.
    pub kind: Kind,
    /// With the filter's name in front.
    pub detail: String,
}

/// Distinct traps seen.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<u64, u64>>);

/// Distinct traps that are remembered. A filter that traps in ever new ways is told about as one that never trapped.
const MAX_SEEN: usize = 1024;

impl From<CallFailure> for Failure {
    fn from(failure: CallFailure) -> Self {
        Failure::of(failure.kind, failure.detail)
    }
}

/// A call that the engine ended: told and translated. `refused` when the guest had been denied memory in this call.
pub(super) fn explained(filter: &Filter, hook: &str, error: &wasmtime::Error, refused: bool) -> CallFailure {
    let kind = kind(error, refused);
    told(filter, hook, kind, &cause(error, kind), Some(error))
}

/// Writes a failure into the log, and makes it the call's.
pub(super) fn told(
    filter: &Filter,
    hook: &str,
    kind: Kind,
    cause: &str,
    error: Option<&wasmtime::Error>,
) -> CallFailure {
    filter.0.engine.0.seen.tell(filter, hook, kind, cause, error);
    CallFailure { kind, detail: format!("filter {:?}: {hook}: {cause}", filter.name()) }
}

/// What an error of the engine means; `refused` when the guest had been denied memory in this call.
fn kind(error: &wasmtime::Error, refused: bool) -> Kind {
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return Kind::FilterUnavailable;
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Kind::FilterDeadline,
        Some(Trap::StackOverflow) => Kind::FilterMemory,
        _ if refused => Kind::FilterMemory,
        Some(_) => Kind::FilterTrap,
        None if error.is::<wasmtime_wasi::I32Exit>() => Kind::FilterTrap,
        // What the guest handed over could not be read: too large, outside of its memory, not UTF-8.
        None => Kind::FilterVerdict,
    }
}

/// The innermost cause in a few words.
fn cause(error: &wasmtime::Error, kind: Kind) -> String {
    let root = error.root_cause().to_string();
    let root = root.strip_prefix("wasm trap: ").unwrap_or(&root);
    match kind {
        Kind::FilterDeadline => "used more time than its limit".to_owned(),
        Kind::FilterMemory if !error.is::<Trap>() || !root.contains("stack") => {
            format!("wanted more memory than its limit ({root})")
        }
        _ => root.chars().take(400).collect(),
    }
}

impl Seen {
    /// Writes a failed call into the log: in full when it is new, as a count at every power of ten afterwards.
    fn tell(&self, filter: &Filter, hook: &str, kind: Kind, cause: &str, error: Option<&wasmtime::Error>) {
        let backtrace = error.and_then(|error| error.downcast_ref::<WasmBacktrace>());
        let times = self.count(fingerprint(filter, hook, kind, cause, backtrace));
        let (name, digest, word) = (filter.name(), filter.digest(), kind.word());
        if times == 1 {
            let backtrace = backtrace.map(ToString::to_string).unwrap_or_default();
            tracing::error!(filter = name, digest, hook, failure = word, backtrace, "{cause}");
        } else if times.checked_ilog10().is_some_and(|exponent| 10_u64.pow(exponent) == times) {
            tracing::error!(filter = name, digest, hook, failure = word, times, "again: {cause}");
        }
    }

    fn count(&self, fingerprint: u64) -> u64 {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_SEEN && !seen.contains_key(&fingerprint) {
            seen.clear();
        }
        let times = seen.entry(fingerprint).or_default();
        *times += 1;
        *times
    }
}

/// The same for the same failure at the same place. A loop that is interrupted somewhere counts as one.
fn fingerprint(filter: &Filter, hook: &str, kind: Kind, cause: &str, backtrace: Option<&WasmBacktrace>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (filter.name(), filter.digest(), hook, kind).hash(&mut hasher);
    if kind != Kind::FilterDeadline {
        cause.hash(&mut hasher);
    }
    if let (Kind::FilterTrap, Some(backtrace)) = (kind, backtrace) {
        for frame in backtrace.frames() {
            (frame.func_index(), frame.func_offset()).hash(&mut hasher);
        }
    }
    hasher.finish()
}
