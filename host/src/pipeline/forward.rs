//! To a pool and back: lease a member, attempt, and on another member when that may help and nobody is harmed by it.
//!
//! Once a byte of an answer went to the client nothing is tried again.

use std::rc::Rc;
use std::sync::Arc;

use http::header;

use super::attempt::{Attempt, Failed};
use super::route::Bound;
use super::{Answer, Exchange, accel, tunnel};
use crate::body::Body;
use crate::clock::{self, Instant};
use crate::config::{self, FailoverOn};
use crate::failure::{Failure, Kind};
use crate::message::{Name, ResponseHead, Value, grpc, hops, semantics};
use crate::pool::{Ask, Effect, Lease, Member, Pool, Refusal};
use crate::upstream::{Answered, Connection, Connections, Download, Limits, Preface};

/// Why a pool has not served a request.
pub(super) struct Unserved {
    pub(super) failure: Failure,
    /// Nobody has seen anything of the request: somebody else may serve it.
    pub(super) is_untouched: bool,
}

/// The attempts of one exchange on one pool.
struct Attempts<'a> {
    pool: &'a Arc<Pool>,
    bound: &'a Bound,
    shelf: Rc<Connections>,
    preface: Preface,
    limits: Limits,
    tried: Vec<Arc<Member>>,
    /// A member may have acted on a request that must not be acted on twice.
    is_touched: bool,
}

pub(super) async fn forward(exchange: &mut Exchange, bound: &Bound) -> Result<Answer, Unserved> {
    let local = exchange.local.clone();
    let Some(pool) = local.generation.pool(bound.pool) else {
        return Err(Failure::of(Kind::Internal, "the route's pool does not exist").into());
    };
    exchange.facts.pool = Some(pool.plan.name.clone());
    pool.count();
    let plan = &pool.plan;
    let until = until(exchange, plan);
    let limits = Limits { head: plan.try_timeout(), read: plan.read_timeout, write: plan.write_timeout, until };
    let (shelf, preface) = (shelf(exchange, plan), exchange.client.preface());
    Attempts { pool, bound, shelf, preface, limits, tried: Vec::new(), is_touched: false }.run(exchange).await
}

/// When the exchange must be over: by the pool's word, and by the client's own, if it is a call of gRPC.
fn until(exchange: &Exchange, plan: &config::Pool) -> Option<Instant> {
    let of_pool = (!plan.timeout.is_zero()).then_some(plan.timeout);
    let of_client = if exchange.is_grpc { grpc::timeout(&exchange.facts.request.fields) } else { None };
    let timeout = of_pool.into_iter().chain(of_client).min()?;
    exchange.began.checked_add(timeout)
}

/// Where the pool's connections rest: with the client's when they serve nobody else, or else with the thread's.
fn shelf(exchange: &Exchange, plan: &config::Pool) -> Rc<Connections> {
    let thread = &exchange.local.thread;
    let is_own = |member: &config::Member| member.transport.proxy_protocol.is_some();
    match plan.exclusive || plan.members.iter().any(is_own) {
        true => exchange.client.own.get_or_init(|| Connections::private(thread.ticker.clone())).clone(),
        false => thread.connections.clone(),
    }
}

impl Attempts<'_> {
    async fn run(mut self, exchange: &mut Exchange) -> Result<Answer, Unserved> {
        let mut lease = self.lease(exchange).await?;
        loop {
            exchange.facts.member = Some(lease.member().name.clone());
            let (pool, bound, limits) = (self.pool, self.bound, self.limits);
            let attempt =
                Attempt { pool, lease: &lease, bound, limits, shelf: &self.shelf, preface: Some(&self.preface) };
            let outcome = attempt.run(exchange).await;
            self.note(&lease, &outcome);
            match outcome {
                Ok((connection, answered)) => {
                    let is_bad = self.plan().failover.on.statuses.contains(answered.response.status().as_u16());
                    let may_go_on = is_bad && attempt.may_repeat(exchange, false);
                    let next = if may_go_on { self.next(exchange, lease.member()) } else { None };
                    let Some(next) = next else { return self.receive(exchange, connection, answered, lease).await };
                    drop(Download::of(answered.response.into_body(), answered.progress, connection, self.back(), ()));
                    lease = next;
                }
                Err(failed) => {
                    let helps = helps(&self.plan().failover.on, failed.failure.kind);
                    let may_go_on = helps && attempt.may_repeat(exchange, failed.is_unsent);
                    self.is_touched |= !failed.is_unsent && !semantics::is_idempotent(&exchange.facts.request.method);
                    let member = lease.member().clone();
                    drop(lease);
                    let next = if may_go_on { self.next_in_turn(exchange, &member).await } else { None };
                    let Some(next) = next else { return Err(self.unserved(failed)) };
                    let (id, failed) = (&*exchange.facts.request_id, &failed.failure);
                    tracing::info!(id, failure = %failed, pool = &*pool.plan.name, "trying another member");
                    lease = next;
                }
            }
        }
    }

    /// The first lease; waits for one when the pool lets exchanges wait.
    async fn lease(&self, exchange: &Exchange) -> Result<Lease, Unserved> {
        let ask = Ask { facts: &exchange.facts, tried: &[], now: exchange.local.thread.ticker.recent() };
        let mut leased = self.pool.lease(&ask);
        if matches!(leased, Err(Refusal::Full)) && self.plan().queue.length > 0 {
            leased = Box::pin(self.pool.wait(&ask, self.limits.left(clock::now()))).await;
        }
        leased.map_err(|refusal| {
            // To gRPC, that there was no time left is not the same as that there is no room.
            let is_overdue = exchange.is_grpc && self.limits.left(clock::now()).is_zero();
            let overdue = || Failure::of(Kind::ExchangeTimeout, "the exchange waited for its pool longer than it may");
            let failure = if is_overdue { overdue() } else { refused(refusal, self.plan()) };
            Unserved { failure, is_untouched: true }
        })
    }

    /// A lease on a member that was not tried yet, if the plan and the pool's budget allow one more attempt.
    fn next(&mut self, exchange: &Exchange, last: &Arc<Member>) -> Option<Lease> {
        self.tried.push(last.clone());
        let now = clock::now();
        if !self.has_attempts(now) {
            return None;
        }
        let lease = self.pool.lease(&Ask { facts: &exchange.facts, tried: &self.tried, now }).ok()?;
        if !self.pool.may_retry(now) {
            tracing::debug!(pool = &*self.plan().name, "the retry budget is spent");
            return None;
        }
        Some(lease)
    }

    /// The same, and waits for it when the pool lets exchanges wait.
    async fn next_in_turn(&mut self, exchange: &Exchange, last: &Arc<Member>) -> Option<Lease> {
        let lease = self.next(exchange, last);
        let now = clock::now();
        if lease.is_some() || self.plan().queue.length == 0 || !self.has_attempts(now) {
            return lease;
        }
        let ask = Ask { facts: &exchange.facts, tried: &self.tried, now };
        match self.pool.lease(&ask) {
            Err(Refusal::Full) if self.pool.may_retry(now) => {
                Box::pin(self.pool.wait(&ask, self.limits.left(now))).await.ok()
            }
            Ok(lease) if self.pool.may_retry(now) => Some(lease),
            Ok(_) | Err(_) => None,
        }
    }

    fn has_attempts(&self, now: Instant) -> bool {
        let attempts = usize::try_from(self.plan().failover.attempts).unwrap_or(usize::MAX);
        self.tried.len() < attempts && self.limits.until.is_none_or(|until| until > now)
    }

    /// Tells the member what its attempt means for its fitness.
    fn note(&self, lease: &Lease, outcome: &Result<(Connection, Answered), Failed>) {
        let plan = self.plan();
        let effect = match outcome {
            Ok((_, answered)) => {
                let status = answered.response.status().as_u16();
                match (plan.fail_on_status.contains(status), plan.outlier.statuses.contains(status)) {
                    (true, _) => Effect::Broken,
                    (false, true) => Effect::Failed,
                    (false, false) => Effect::Served,
                }
            }
            Err(failed) => match effect(failed.failure.kind, plan) {
                Some(effect) => effect,
                None => return,
            },
        };
        if effect == Effect::Served {
            return lease.served();
        }
        lease.note(effect, clock::now());
    }

    async fn receive(
        &self,
        exchange: &mut Exchange,
        connection: Connection,
        answered: Answered,
        lease: Lease,
    ) -> Result<Answer, Unserved> {
        if tunnel::is_switch(&answered, &self.bound.upgrade) {
            let idle = self.plan().tunnel_idle_timeout;
            let switched = tunnel::switch(exchange, connection, answered, self.bound, idle);
            let mut answer = Box::pin(switched).await?;
            lease.settle(&mut answer.head, true);
            return Ok(answer);
        }
        let Answered { response, progress } = answered;
        let (parts, incoming) = response.into_parts();
        let mut head = ResponseHead { status: parts.status, fields: parts.headers.into() };
        let accel = check(&mut head)?;
        let said = if accel.is_empty() { None } else { accel::read(exchange, self.bound, &accel)? };
        exchange.begins_session = lease.settle(&mut head, !exchange.is_quiet);
        lease.carried(exchange.uploaded.as_ref().map_or(0, |uploaded| uploaded.get()));
        let download = Download::of(incoming, progress, connection, self.back(), lease);
        let body = match semantics::has_body(&exchange.facts.request.method, head.status) {
            true => Body::source(download),
            false => {
                drop(download);
                Body::Empty
            }
        };
        Ok(Answer { head, body, upstream: Some(parts.version), said })
    }

    fn unserved(&self, failed: Failed) -> Unserved {
        let is_untouched = failed.is_unsent && !self.is_touched && self.bound.body.is_whole();
        Unserved { is_untouched, failure: failed.failure }
    }

    fn back(&self) -> (Rc<Connections>, crate::upstream::Keeping) {
        (self.shelf.clone(), self.pool.keeping())
    }

    fn plan(&self) -> &config::Pool {
        &self.pool.plan
    }
}

impl From<Failure> for Unserved {
    fn from(failure: Failure) -> Self {
        Self { failure, is_untouched: false }
    }
}

/// Whether another member may do better, as the plan sees it.
const fn helps(on: &FailoverOn, kind: Kind) -> bool {
    match kind {
        Kind::ConnectRefused | Kind::ConnectTimeout | Kind::PoolFull => on.connect,
        Kind::TlsFailed => on.tls,
        Kind::UpstreamReset => on.reset,
        Kind::ResponseTimeout | Kind::UpstreamStalled => on.timeout,
        Kind::BadResponse => on.bad_response,
        _ => false,
    }
}

/// What a failure means for its member's fitness: a connection that cannot be had puts it into error, as httpd does it.
const fn effect(kind: Kind, plan: &config::Pool) -> Option<Effect> {
    match kind {
        Kind::ConnectRefused | Kind::ConnectTimeout | Kind::TlsFailed => Some(Effect::Broken),
        Kind::ResponseTimeout if plan.fail_on_timeout => Some(Effect::Broken),
        Kind::ResponseTimeout | Kind::UpstreamReset | Kind::BadResponse | Kind::UpstreamStalled => Some(Effect::Failed),
        _ => None,
    }
}

fn refused(refusal: Refusal, plan: &config::Pool) -> Failure {
    let name = &plan.name;
    match refusal {
        Refusal::Nobody => Failure::of(Kind::NoMember, format!("pool \"{name}\" has no usable member")),
        Refusal::Full => Failure::of(Kind::PoolFull, format!("every usable member of pool \"{name}\" is full")),
        Refusal::SessionLost => {
            Failure::of(Kind::SessionLost, format!("the session's member of pool \"{name}\" is not usable"))
        }
    }
}

/// Whether a head is one that can be passed on; takes away what is the connection's, and what is for the gateway.
fn check(head: &mut ResponseHead) -> Result<Vec<(Name, Value)>, Failure> {
    if head.status.is_informational() {
        let detail = format!("an answer with status {} that nobody asked for", head.status.as_u16());
        return Err(Failure::of(Kind::BadResponse, detail));
    }
    if head.fields.contains(header::TRANSFER_ENCODING) && head.fields.contains(header::CONTENT_LENGTH) {
        // RFC 9112, section 6.3: it ought to be handled as an error.
        return Err(Failure::of(Kind::BadResponse, "the answer has both Transfer-Encoding and Content-Length"));
    }
    if let Some(coding) = head.fields.lines(header::TRANSFER_ENCODING).find(|coding| is_packed(coding)) {
        // It is the connection's, and nobody behind it could tell that the content is still in it.
        let detail = format!("an answer in a transfer coding that was not asked for: {coding:?}");
        return Err(Failure::of(Kind::BadResponse, detail));
    }
    let hops = hops::strip(&mut head.fields)
        .map_err(|_| Failure::of(Kind::BadResponse, "Connection is not a list of tokens"))?;
    if !semantics::may_state_length(head.status) {
        head.fields.remove(header::CONTENT_LENGTH);
    }
    Ok(hops.accel)
}

/// Whether one of the codings that change a content stands in it: those that are registered (RFC 9112, section 7.2), which
/// nobody here takes off. A word that nobody knows changes nothing.
fn is_packed(codings: &Value) -> bool {
    let known = |coding: &[u8]| {
        let packing: [&[u8]; 5] = [b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"];
        packing.iter().any(|name| coding.trim_ascii().eq_ignore_ascii_case(name))
    };
    codings.as_bytes().split(|byte| *byte == b',').any(known)
}
