//! A worker's instances: made, called, kept for the next call, and thrown away.
//!
//! Only an instance whose call ended properly is used again. One whose call failed, or was given up half-way because its
//! exchange was cancelled, is dropped where it stands.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::rc::Rc;

use wasmtime::Store;

use super::bindings::types;
use super::budget::Budget;
use super::engine::Engine;
use super::filter::Filter;
use super::guest::Guest;
use super::heads::{OwnedRequest, Wanted, placeholder};
use super::live::{Exports, FRESH_CONFIGURE, Live, within};
use super::pulse::Activity;
use super::trap::{CallFailure, explained, told};
use super::verdict::{self, Side, Verdict};
use crate::config;
use crate::failure::Kind;
use crate::message::Facts;

/// Calls of one instance: what a guest leaks or fragments is gone after so many.
const MAX_CALLS: u32 = 1_000;
/// Instances of one filter that wait for the next call on one thread. More than one is in use only while calls are
/// interrupted.
const MAX_IDLE: usize = 8;
/// The instances of one worker thread and one generation.
#[derive(Clone)]
pub struct Instances(Rc<Inner>);

struct Inner {
    activity: Activity,
    /// Few filters: searching beats hashing.
    idle: RefCell<Vec<(Filter, Vec<Live>)>>,
    /// Instances for one request, by exchange, between its hooks.
    kept: RefCell<HashMap<u64, Vec<(Filter, Live)>>>,
}

/// Keeps an exchange's own instances for as long as it lives; they are dropped with it.
pub struct Exchange {
    instances: Rc<Inner>,
    id: u64,
}

/// A call with everything it must give back, however it ends.
struct Call<'a> {
    live: Option<Live>,
    facts: &'a mut Facts,
}

impl Instances {
    /// Nothing yet; instances are made when they are needed.
    #[must_use]
    pub fn of(engine: &Engine) -> Self {
        Self(Rc::new(Inner { activity: engine.activity(), idle: RefCell::default(), kept: RefCell::default() }))
    }

    /// Announces an exchange by its number. What its filters keep between their hooks goes with the answer.
    #[must_use]
    pub fn exchange(&self, id: u64) -> Exchange {
        Exchange { instances: self.0.clone(), id }
    }

    /// Calls `on-request`. Cancellation safe: the facts are back in place, the instance is gone.
    ///
    /// # Errors
    /// Whatever the filter did wrong; the facts are as before.
    pub async fn request(&self, filter: &Filter, facts: &mut Facts) -> Result<Verdict, CallFailure> {
        let head = OwnedRequest::of(&facts.request);
        let wanted = Wanted::of_request(filter.request_headers(), &facts.request);
        let (id, client) = (facts.id, facts.client);
        let mut call = self.take(filter, facts).await?;
        let live = call.live.as_mut().expect("a call that was just taken has its instance");
        live.store.data_mut().sending.begin();
        let (known, mut text) = std::mem::take(&mut live.client);
        if known != client {
            text = client.map(|address| address.to_canonical().to_string()).unwrap_or_default();
        }
        let action = {
            let wanted = wanted.borrowed();
            let head = types::RequestHead {
                id,
                method: head.method.as_str(),
                scheme: head.scheme,
                authority: head.authority.as_str(),
                path: head.target.as_str(),
                client: &text,
                wanted: &wanted,
            };
            let Live { store, exports, budget, .. } = &mut *live;
            match exports {
                Exports::Both(exports) => {
                    self.run(filter, store, budget, |store| exports.call_on_request(store, head)).await
                }
                Exports::Request(exports) => {
                    self.run(filter, store, budget, |store| exports.call_on_request(store, head)).await
                }
                Exports::Response(_) => Err(no_such_export()),
            }
        };
        live.client = (client, text);
        let action = self.settle(filter, "on-request", &mut call, action)?;
        self.judge(filter, "on-request", call, action, Side::Request)
    }

    /// Calls `on-response`. Cancellation safe like `request`.
    ///
    /// # Errors
    /// Whatever the filter did wrong; the facts are as before.
    pub async fn response(&self, filter: &Filter, facts: &mut Facts) -> Result<Verdict, CallFailure> {
        let fields = facts.response.as_ref().map(|response| &response.fields);
        let wanted = Wanted::of_response(filter.response_headers(), fields);
        let status = facts.response.as_ref().map_or(0, |response| response.status.as_u16());
        let id = facts.id;
        let mut call = self.take(filter, facts).await?;
        let live = call.live.as_mut().expect("a call that was just taken has its instance");
        live.store.data_mut().sending.begin();
        let action = {
            let wanted = wanted.borrowed();
            let head = types::ResponseHead { id, status, wanted: &wanted };
            let Live { store, exports, budget, .. } = &mut *live;
            match exports {
                Exports::Both(exports) => {
                    self.run(filter, store, budget, |store| exports.call_on_response(store, head)).await
                }
                Exports::Response(exports) => {
                    self.run(filter, store, budget, |store| exports.call_on_response(store, head)).await
                }
                Exports::Request(_) => Err(no_such_export()),
            }
        };
        let action = self.settle(filter, "on-response", &mut call, action)?;
        self.judge(filter, "on-response", call, action, Side::Response)
    }

    /// Calls `on-done`.
    ///
    /// # Errors
    /// Whatever the filter did wrong. There is nothing left to fail for the exchange.
    pub async fn done(&self, filter: &Filter, facts: &mut Facts) -> Result<(), CallFailure> {
        let id = facts.id;
        let mut call = self.take(filter, facts).await?;
        let Live { store, exports, budget, .. } =
            call.live.as_mut().expect("a call that was just taken has its instance");
        let ended = match exports {
            Exports::Both(exports) => self.run(filter, store, budget, |store| exports.call_on_done(store, id)).await,
            Exports::Request(_) | Exports::Response(_) => Err(no_such_export()),
        };
        self.settle(filter, "on-done", &mut call, ended)?;
        if let (Some(live), config::Instances::Reuse) = (call.finish(), filter.0.instances) {
            self.keep_idle(filter, live);
        }
        Ok(())
    }

    /// An instance with the facts in its store.
    async fn take<'a>(&self, filter: &Filter, facts: &'a mut Facts) -> Result<Call<'a>, CallFailure> {
        let mut live = match self.waiting(filter, facts.id) {
            Some(live) => live,
            None => match Live::make(filter, filter.0.cpu.max(FRESH_CONFIGURE), &self.0.activity, Some(facts)).await? {
                (live, Ok(_)) => live,
                (_, Err(text)) => {
                    let cause = format!("refused its settings, which it took before: {text}");
                    return Err(told(filter, "configure", Kind::FilterUnavailable, &cause, None));
                }
            },
        };
        let spare = live.spare.take().unwrap_or_else(|| placeholder(facts));
        live.store.data_mut().begin(std::mem::replace(facts, spare));
        Ok(Call { live: Some(live), facts })
    }

    fn waiting(&self, filter: &Filter, id: u64) -> Option<Live> {
        match filter.0.instances {
            config::Instances::Reuse => {
                let mut idle = self.0.idle.borrow_mut();
                idle.iter_mut().find(|(known, _)| known.is(filter))?.1.pop()
            }
            config::Instances::PerRequest => {
                let mut kept = self.0.kept.borrow_mut();
                let own = kept.get_mut(&id)?;
                let at = own.iter().position(|(known, _)| known.is(filter))?;
                Some(own.swap_remove(at).1)
            }
        }
    }

    async fn run<'s, F, T>(
        &self,
        filter: &Filter,
        store: &'s mut Store<Guest>,
        budget: &Budget,
        call: impl FnOnce(&'s mut Store<Guest>) -> F,
    ) -> wasmtime::Result<T>
    where
        F: Future<Output = wasmtime::Result<T>>,
    {
        let running = self.0.activity.begin();
        let limit = filter.0.cpu;
        store.set_epoch_deadline(1);
        budget.begin(limit);
        let ended = within(call(store), budget, filter, limit).await;
        drop(running);
        ended
    }

    /// Takes a failed call apart; passes the result of a good one on.
    fn settle<T>(
        &self,
        filter: &Filter,
        hook: &str,
        call: &mut Call<'_>,
        ended: wasmtime::Result<T>,
    ) -> Result<T, CallFailure> {
        ended.map_err(|error| {
            let refused = call.live.as_ref().is_some_and(|live| live.store.data().memory.refused);
            explained(filter, hook, &error, refused)
        })
    }

    fn judge(
        &self,
        filter: &Filter,
        hook: &str,
        mut call: Call<'_>,
        action: types::Action,
        side: Side,
    ) -> Result<Verdict, CallFailure> {
        let mut live = call.finish();
        let facts = &*call.facts;
        let named = live.as_mut().and_then(|live| live.store.data_mut().sending.end());
        let verdict = verdict::check(action, named, side, facts)
            .map_err(|refused| told(filter, hook, Kind::FilterVerdict, &refused.to_string(), None));
        let hooks = filter.hooks();
        // What said something invalid once may be broken inside.
        let Some(live) = live.filter(|_| verdict.is_ok()) else { return verdict };
        match filter.0.instances {
            config::Instances::Reuse => self.keep_idle(filter, live),
            config::Instances::PerRequest if hooks.done || (hooks.response && side == Side::Request) => {
                self.0.kept.borrow_mut().entry(facts.id).or_default().push((filter.clone(), live));
            }
            config::Instances::PerRequest => {}
        }
        verdict
    }

    /// How many instances of a filter wait for a call.
    #[cfg(test)]
    pub(super) fn idle(&self, filter: &Filter) -> usize {
        self.0.idle.borrow().iter().find(|(known, _)| known.is(filter)).map_or(0, |(_, waiting)| waiting.len())
    }

    /// How many exchanges have instances of their own.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.0.kept.borrow().len()
    }

    fn keep_idle(&self, filter: &Filter, mut live: Live) {
        live.calls += 1;
        if live.calls >= MAX_CALLS || live.store.data().memory.used > live.mark {
            return;
        }
        let mut idle = self.0.idle.borrow_mut();
        match idle.iter_mut().find(|(known, _)| known.is(filter)) {
            Some((_, waiting)) if waiting.len() < MAX_IDLE => waiting.push(live),
            Some(_) => {}
            None => idle.push((filter.clone(), vec![live])),
        }
    }
}

impl Call<'_> {
    /// Ends a good call: the facts are back, the instance may be used again.
    fn finish(&mut self) -> Option<Live> {
        self.restore();
        self.live.take()
    }

    fn restore(&mut self) {
        let Some(live) = &mut self.live else { return };
        if let Some(facts) = live.store.data_mut().rest() {
            live.spare = Some(std::mem::replace(self.facts, facts));
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.restore();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut kept = self.instances.kept.borrow_mut();
        if !kept.is_empty() {
            kept.remove(&self.id);
        }
    }
}

fn no_such_export() -> wasmtime::Error {
    wasmtime::Error::msg("called at a hook that it does not export")
}
