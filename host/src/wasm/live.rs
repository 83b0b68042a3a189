//! One instance: its store, what it exports, and how a call of it is bounded in time.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use wasmtime::Store;

use super::bindings::{both, request, response, types};
use super::budget::Budget;
use super::filter::{Filter, Pre};
use super::guest::{Guest, tick};
use super::pulse::Activity;
use super::trap::{CallFailure, explained};
use super::verdict;
use crate::clock::{self, Duration};
use crate::message::Facts;

/// Bytes that the host reads for a guest in one crossing of the border: the largest answer, its fields, and room for the
/// bookkeeping of many small parts.
const MAX_CROSSING: usize = verdict::MAX_BODY + (4 << 20);
/// Processor time of `configure` of later instances. It did its work before within the time that the operator saw; here
/// an exchange waits for it, and a filter with a small limit for its calls may still need more to set itself up.
pub(super) const FRESH_CONFIGURE: Duration = Duration::from_millis(250);

/// Wall time of a call that may wait (WASI has clocks to wait for), in times of its processor time...
const WAITING: u32 = 10;
/// ...and at least this.
const MIN_WAITING: Duration = Duration::from_secs(1);

/// An instance between two calls.
pub(super) struct Live {
    pub(super) store: Store<Guest>,
    pub(super) exports: Exports,
    pub(super) budget: Arc<Budget>,
    pub(super) calls: u32,
    /// Above this much memory it is not used again.
    pub(super) mark: usize,
    /// Takes the place of the facts while they are in the store.
    pub(super) spare: Option<Facts>,
    /// The client of the last call, and its address as text: with kept connections the next one is often the same.
    pub(super) client: (Option<IpAddr>, String),
}

pub(super) enum Exports {
    Both(both::Filter),
    Request(request::RequestFilter),
    Response(response::ResponseFilter),
}

impl Live {
    /// Makes an instance, for an exchange or to be looked at, and configures it; the outer error is a failure, the inner one
    /// what it says of its settings.
    pub(super) async fn make(
        filter: &Filter,
        limit: Duration,
        activity: &Activity,
        exchange: Option<&Facts>,
    ) -> Result<(Self, Result<types::Plan, String>), CallFailure> {
        let compiled = &filter.0.compiled;
        let guest = Guest::of(&filter.0);
        if let Some(facts) = exchange {
            guest.voice.speak_of(facts);
        }
        let budget = guest.budget.clone();
        let mut store = Store::new(compiled.exports.engine(), guest);
        store.limiter(|guest| guest);
        store.epoch_deadline_callback(|context| Ok(tick(context.data())));
        store.set_hostcall_fuel(MAX_CROSSING);
        store.set_epoch_deadline(1);
        let running = activity.begin();
        budget.begin(limit);
        let begun = begin(&compiled.exports, &mut store, &filter.0.settings);
        let made = within(begun, &budget, filter, limit).await;
        drop(running);
        let (exports, answer) =
            made.map_err(|error| explained(filter, "configure", &error, store.data().memory.refused))?;
        store.data_mut().rest();
        let (used, most) = (store.data().memory.used, store.data().memory.limit);
        let mark = used + most.saturating_sub(used) / 2;
        Ok((Self { store, exports, budget, calls: 0, mark, spare: None, client: (None, String::new()) }, answer))
    }
}

async fn begin(
    pre: &Pre,
    store: &mut Store<Guest>,
    settings: &str,
) -> wasmtime::Result<(Exports, Result<types::Plan, String>)> {
    Ok(match pre {
        Pre::Both(pre) => {
            let exports = pre.instantiate_async(&mut *store).await?;
            let answer = exports.call_configure(store, settings).await?;
            (Exports::Both(exports), answer)
        }
        Pre::Request(pre) => {
            let exports = pre.instantiate_async(&mut *store).await?;
            let answer = exports.call_configure(store, settings).await?;
            (Exports::Request(exports), answer)
        }
        Pre::Response(pre) => {
            let exports = pre.instantiate_async(&mut *store).await?;
            let answer = exports.call_configure(store, settings).await?;
            (Exports::Response(exports), answer)
        }
    })
}

/// Runs a call; tells its budget when it goes on after a pause, and does not let it wait for ever.
pub(super) async fn within<T>(
    call: impl Future<Output = wasmtime::Result<T>>,
    budget: &Budget,
    filter: &Filter,
    limit: Duration,
) -> wasmtime::Result<T> {
    let mut call = pin!(call);
    let mut begun = false;
    let counted = poll_fn(|context| {
        if begun {
            budget.resume(clock::thread_time());
        }
        begun = true;
        call.as_mut().poll(context)
    });
    if !filter.0.compiled.with_wasi {
        return counted.await;
    }
    let patience = limit.saturating_mul(WAITING).max(MIN_WAITING);
    match tokio::time::timeout(patience, counted).await {
        Ok(ended) => ended,
        Err(_) => Err(wasmtime::Trap::Interrupt.into()),
    }
}
