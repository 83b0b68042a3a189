//! What is known of an exchange while it lives, and its end in the access log. Whatever happens to it, it is logged once.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::LazyLock;

use super::Client;
use super::accel::Led;
use super::passage::Which;
use super::tunnel::Switched;
use crate::chain::Spent;
use crate::clock::{self, Instant, Telling};
use crate::failure::{Blame, Failure, Kind};
use crate::generation::{Local, Outcome, RouteKey};
use crate::log::Record;
use crate::message::Facts;
use crate::wasm;

/// One exchange.
pub(super) struct Exchange {
    pub(super) local: Rc<Local>,
    pub(super) client: Rc<Client>,
    pub(super) facts: Facts,
    pub(super) record: Record,
    pub(super) began: Instant,
    pub(super) site: Option<usize>,
    /// Bytes of the request's body so far, when there is one.
    pub(super) uploaded: Option<Rc<Cell<u64>>>,
    /// It asks to change its protocol by extended CONNECT (RFC 8441, section 4), where 200 is what 101 is in HTTP/1.
    pub(super) is_connect: bool,
    /// It is a call of gRPC over HTTP/2 or HTTP/3.
    pub(super) is_grpc: bool,
    /// Where upstreams' answers have led it so far, if anywhere.
    pub(super) led: Option<Box<Led>>,
    /// Bytes of the answer's body that the client may have in a second, by an upstream's word; zero means any.
    pub(super) rate: Option<u64>,
    /// Time in filters.
    pub(super) spent: Spent,
    /// Chains with filters that want to know of the end, and how many of each the request passed.
    pub(super) done: Vec<(Which, usize)>,
    /// Instances that live for this exchange alone.
    pub(super) kept: Option<wasm::Exchange>,
    /// A member that granted another protocol, until the answer is on its way.
    pub(super) switched: Option<Box<Switched>>,
    /// The gateway has put a cookie of its own into the answer, which is this client's.
    pub(super) begins_session: bool,
    /// Nobody asked for it: it is in no log.
    pub(super) is_quiet: bool,
    /// The route whose cache was asked last.
    pub(super) asked: Option<RouteKey>,
    /// What that cache did for the answer, when it is its answer.
    pub(super) outcome: Option<Outcome>,
    /// It has waited for what another one asked the origin.
    pub(super) has_waited: bool,
    /// Set when the answer's head was handed on.
    pub(super) is_answered: bool,
}

/// What was told of descriptors that are not there: of the whole process, as their number is.
static SCARCE: LazyLock<Telling<()>> = LazyLock::new(Telling::default);

impl Exchange {
    /// Notes a failure, and tells the operator once.
    pub(super) fn fail(&mut self, failure: &Failure) {
        self.record.failure = Some(failure.kind);
        let (id, word, detail) = (&*self.facts.request_id, failure.kind.word(), &*failure.detail);
        let (pool, member) = (self.facts.pool.as_deref(), self.facts.member.as_deref());
        if failure.kind == Kind::OutOfDescriptors {
            // Every exchange fails by it while it lasts.
            if let Some(times) = SCARCE.more((), (), 1, clock::now()) {
                tracing::error!(id, failure = word, detail, times, "exchange failed");
            }
            return;
        }
        match failure.kind.blame() {
            Blame::Client => tracing::debug!(id, failure = word, detail, "exchange failed"),
            Blame::Upstream => tracing::warn!(id, failure = word, detail, pool, member, "exchange failed"),
            Blame::Filter => tracing::warn!(id, failure = word, detail, "exchange failed"),
            Blame::Gateway => tracing::error!(id, failure = word, detail, "exchange failed"),
        }
    }

    /// Filters that want to know of the end are told, after it: nobody waits for them.
    fn say_goodbye(&mut self) {
        let chains = std::mem::take(&mut self.done);
        if chains.is_empty() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (local, kept, mut facts) = (self.local.clone(), self.kept.take(), self.facts.leave());
        tokio::task::spawn_local(async move {
            for (which, passed) in chains {
                if let Some(chain) = which.chain(&local.generation) {
                    chain.done(&local.instances, &mut facts, passed, &mut Spent::default()).await;
                }
            }
            drop(kept);
        });
    }

    /// Whether anybody will read the record.
    pub(super) fn is_logged(&self) -> bool {
        self.local.generation.format.is_some()
    }

    /// Counts once for the cache that the answer came by, with what left of its content.
    fn count(&self) {
        let (Some(route), Some(outcome)) = (self.asked, self.outcome) else { return };
        if let Some((cache, _)) = self.local.generation.cache(route) {
            cache.store.tally.count(self.local.thread.number(), outcome, self.record.response_bytes);
        }
    }

    fn log(&mut self) {
        let local = self.local.clone();
        let Some(format) = &local.generation.format else { return };
        let (record, facts) = (&mut self.record, &self.facts);
        record.client = facts.client;
        record.client_port = self.client.port;
        record.secured.clone_from(&facts.secured);
        record.request_id.clone_from(&facts.request_id);
        (record.pool, record.member) = (facts.pool.clone(), facts.member.clone());
        record.note_variables(&facts.variables, format.needs());
        record.request_bytes = self.uploaded.as_ref().map_or(0, |seen| seen.get());
        record.filter = self.spent.time;
        record.total = clock::now().saturating_duration_since(self.began);
        local.thread.sink.write(format, record);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.is_answered {
            self.fail(&Failure::of(Kind::ClientGone, "the client left before its answer was ready"));
            self.record.status = Kind::ClientGone.status();
        }
        self.count();
        if !self.is_quiet {
            self.log();
        }
        self.say_goodbye();
    }
}

/// Logs a request that could not even be read: all there is, is a connection and a failure.
pub fn refused(local: &Rc<Local>, client: &Rc<Client>, failure: &Failure, request_id: &str, began: Instant) {
    let mut exchange = super::arrive::unread(local, client, began);
    exchange.facts.request_id = request_id.to_owned();
    exchange.fail(failure);
    exchange.record.status = failure.kind.status();
    exchange.is_answered = true;
}
