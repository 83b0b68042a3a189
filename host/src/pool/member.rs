//! A member as it lives: what it carries at the moment, and what is wrong with it.
//!
//! It outlives generations, as long as its pool has a member of its name at its address. What exchanges count is atomic;
//! what is wrong with it stands behind a lock that is taken only when something changes.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::state::Shared;
use crate::balance::{self, PeakEwma};
use crate::clock::{self, Duration, Instant};
use crate::config::{self, Outlier, Protocol, Transport};
use crate::fitness::{Condition, Counts, Streak, Turned, Watched};
use crate::message::{Fields, Name, Value};
use crate::upstream::Endpoint;

/// A member.
pub struct Member {
    /// Its name in logs.
    pub name: Arc<str>,
    /// Where it is, and how it is spoken to.
    pub endpoint: Arc<Endpoint>,
    /// The `Host` it is asked for, when the client's is not preserved.
    pub host: Value,
    /// A stable number made of its name.
    pub identity: u64,
    /// The endpoint of exchanges that may change their protocol, once there was one.
    simple: OnceLock<Arc<Endpoint>>,
    shared: Arc<Shared>,
    in_flight: AtomicUsize,
    served: AtomicU64,
    traffic: AtomicU64,
    failed: AtomicU64,
    in_a_row: AtomicU32,
    /// The share of its room that it reports as taken, as the bits of a number from 0 to 1.
    load: AtomicU64,
    latency: PeakEwma,
    trouble: Mutex<Trouble>,
}

/// What is wrong with a member.
#[derive(Default)]
struct Trouble {
    error_until: Option<Instant>,
    has_failed_check: bool,
    is_unproven: bool,
    checks: Streak,
    watched: Watched,
    ejected_until: Option<Instant>,
    back_since: Option<Instant>,
    /// What was counted when success rates were last looked at.
    looked_at: Counts,
}

/// How members report their load.
const LOAD: Name = Name::from_static("x-weir-load");

impl Member {
    /// A member that nobody used yet. `since`: when it joined a pool that was already serving.
    pub(super) fn of(plan: &config::Member, shared: &Arc<Shared>, gated: bool, since: Option<Instant>) -> Self {
        let now = since.unwrap_or_else(clock::now);
        Self {
            name: plan.name.clone(),
            endpoint: Endpoint::of(&plan.address, &plan.transport),
            host: plan.host.clone(),
            identity: balance::hash(plan.name.as_bytes()),
            simple: OnceLock::new(),
            shared: shared.clone(),
            in_flight: AtomicUsize::new(0),
            served: AtomicU64::new(0),
            traffic: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            in_a_row: AtomicU32::new(0),
            load: AtomicU64::new(0),
            latency: PeakEwma::since(now),
            trouble: Mutex::new(Trouble { is_unproven: gated, back_since: since, ..Trouble::default() }),
        }
    }

    /// Exchanges in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Exchanges so far.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Bytes of bodies so far, both ways, when its pool counts them.
    #[must_use]
    pub fn traffic(&self) -> u64 {
        self.traffic.load(Ordering::Relaxed)
    }

    /// Its latency, peak-sensitive, in seconds; when its pool measures it.
    #[must_use]
    pub fn latency(&self, now: Instant) -> f64 {
        self.latency.value(now)
    }

    /// The room it reports, from 0 to 1.
    #[must_use]
    pub fn spare(&self) -> f64 {
        1.0 - f64::from_bits(self.load.load(Ordering::Relaxed))
    }

    /// Counts bytes.
    pub(super) fn carry(&self, bytes: u64) {
        self.traffic.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The same address, spoken to in HTTP/1.1 where the member could have chosen HTTP/2.
    pub(super) fn simple_endpoint(&self) -> Arc<Endpoint> {
        if self.endpoint.transport.protocol != Protocol::Auto {
            return self.endpoint.clone();
        }
        let transport = || Transport { protocol: Protocol::Http1, ..Transport::clone(&self.endpoint.transport) };
        self.simple.get_or_init(|| Endpoint::of(&self.endpoint.address, &Arc::new(transport()))).clone()
    }

    /// Remembers how long it took to begin an answer.
    pub fn took(&self, time: Duration, now: Instant) {
        self.latency.observe(time, now);
    }

    /// Remembers the load that its answer reports in `X-Weir-Load`: how much of its room is taken, from 0 to 1. Clients
    /// of a pool that goes by it do not see the field.
    pub(super) fn reports_in(&self, fields: &mut Fields) {
        let Some(value) = fields.take(LOAD) else { return };
        let load = value.to_str().ok().and_then(|text| text.trim().parse::<f64>().ok());
        if let Some(load) = load.filter(|load| load.is_finite()) {
            self.load.store(load.clamp(0.0, 1.0).to_bits(), Ordering::Relaxed);
        }
    }

    /// Whether connections to an endpoint are connections to it.
    pub(super) fn is_at(&self, endpoint: &Endpoint) -> bool {
        let is = |known: &Arc<Endpoint>| std::ptr::eq(&raw const **known, endpoint);
        is(&self.endpoint) || self.simple.get().is_some_and(is)
    }

    /// Takes part in an exchange, unless it has its `most`.
    pub(super) fn enter(&self, most: usize) -> bool {
        // Never more than `most`, not even for a moment: somebody else would be turned away who has room.
        let one_more = |in_flight: usize| (in_flight < most).then(|| in_flight + 1);
        let has_entered = self.in_flight.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok();
        if has_entered {
            self.served.fetch_add(1, Ordering::Relaxed);
        }
        has_entered
    }

    /// Its part in an exchange is over.
    pub(super) fn leave(&self) {
        // In one order with the count of those who wait: either they are seen here, or they see the room there is now.
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.shared.queue.make_room();
    }

    /// What a pool sees of it, `plan` given. An error or ejection whose time is over is over.
    pub(super) fn condition(&self, plan: &config::Member, now: Instant) -> Condition {
        let mut trouble = self.trouble();
        let over =
            [trouble.error_until, trouble.ejected_until].into_iter().flatten().filter(|until| *until <= now).max();
        trouble.error_until = trouble.error_until.filter(|until| *until > now);
        trouble.ejected_until = trouble.ejected_until.filter(|until| *until > now);
        if let Some(over) = over.filter(|_| !trouble.is_out()) {
            trouble.back_since = Some(over);
            tracing::info!(pool = &*self.shared.name, member = &*self.name, "member is tried again");
        }
        Condition {
            role: plan.role,
            set: plan.set,
            state: plan.state,
            weight: plan.weight,
            error_until: trouble.error_until,
            has_failed_check: trouble.has_failed_check,
            is_unproven: trouble.is_unproven,
            ejected_until: trouble.ejected_until,
            back_since: trouble.back_since,
        }
    }

    /// It answered.
    pub(super) fn succeeded(&self) {
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// It failed; how many times in a row now.
    pub(super) fn stumbled(&self) -> u32 {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Is in error for a time.
    pub(super) fn fail_for(&self, retry: Duration, now: Instant) {
        if retry.is_zero() {
            return;
        }
        let mut trouble = self.trouble();
        let was_fine = trouble.error_until.is_none();
        trouble.error_until = Some(now + retry);
        drop(trouble);
        if was_fine {
            self.shared.changed();
            tracing::warn!(pool = &*self.shared.name, member = &*self.name, retry = ?retry, "member is in error");
        }
    }

    /// Errors are forgotten, because nobody else is there.
    pub(super) fn recover(&self, now: Instant) {
        let mut trouble = self.trouble();
        if trouble.error_until.take().is_some() | trouble.ejected_until.take().is_some() {
            trouble.back_since = Some(now);
            trouble.watched.restore();
        }
    }

    /// Whether it is in error.
    pub(super) fn is_in_error(&self, now: Instant) -> bool {
        self.trouble().error_until.is_some_and(|until| until > now)
    }

    /// Whether it is ejected.
    pub(super) fn is_ejected(&self, now: Instant) -> bool {
        self.trouble().ejected_until.is_some_and(|until| until > now)
    }

    /// Is out for a time that grows with every ejection.
    pub(super) fn eject(&self, rules: &Outlier, now: Instant, why: &str) {
        let mut trouble = self.trouble();
        let until = trouble.watched.eject(rules, now);
        trouble.ejected_until = Some(until);
        drop(trouble);
        self.in_a_row.store(0, Ordering::Relaxed);
        self.shared.changed();
        let time = until.saturating_duration_since(now);
        tracing::warn!(pool = &*self.shared.name, member = &*self.name, ?time, why, "member is ejected");
    }

    /// Exchanges since the last look that went well, and those that did not.
    pub(super) fn counts(&self) -> Counts {
        let (served, failed) = (self.served(), self.failed.load(Ordering::Relaxed));
        let seen = Counts { answered: served.saturating_sub(failed), failed };
        let mut trouble = self.trouble();
        let last = std::mem::replace(&mut trouble.looked_at, seen);
        Counts {
            answered: seen.answered.saturating_sub(last.answered),
            failed: seen.failed.saturating_sub(last.failed),
        }
    }

    /// An interval is over; one without an ejection pays one back.
    pub(super) fn pay_back(&self, rules: &Outlier, now: Instant) {
        self.trouble().watched.pay_back(rules, now);
    }

    /// What an active check found. A pass that counts ends errors and ejections too.
    pub(super) fn checked(&self, passed: bool, passes: u32, fails: u32, now: Instant) {
        let mut trouble = self.trouble();
        let was_out = trouble.is_out();
        // Errors and ejections are for a pass to end; they keep no failure from counting, or time alone would end them.
        let is_punished = passed && trouble.is_punished(now);
        let is_failed = trouble.has_failed_check || trouble.is_unproven || is_punished;
        match trouble.checks.note(passed, is_failed, passes, fails) {
            None => return,
            Some(Turned::Failed) => (trouble.has_failed_check, trouble.is_unproven) = (true, false),
            Some(Turned::Passed) => trouble.pass(now, was_out),
        }
        drop(trouble);
        self.in_a_row.store(0, Ordering::Relaxed);
        self.shared.changed();
    }

    /// It was dialled, and is there.
    pub(super) fn reached(&self, now: Instant) {
        let mut trouble = self.trouble();
        if trouble.error_until.take().is_none() {
            return;
        }
        trouble.back_since = Some(now);
        drop(trouble);
        self.shared.changed();
        tracing::info!(pool = &*self.shared.name, member = &*self.name, "member is back");
    }

    /// Checks are no longer made: what they found does not hold any more.
    pub(super) fn forget_checks(&self) {
        let mut trouble = self.trouble();
        trouble.checks = Streak::default();
        if std::mem::take(&mut trouble.has_failed_check) | std::mem::take(&mut trouble.is_unproven) {
            drop(trouble);
            self.shared.changed();
        }
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trouble {
    const fn is_out(&self) -> bool {
        self.has_failed_check || self.is_unproven || self.error_until.is_some() || self.ejected_until.is_some()
    }

    fn is_punished(&self, now: Instant) -> bool {
        self.error_until.is_some_and(|until| until > now) || self.ejected_until.is_some_and(|until| until > now)
    }

    fn pass(&mut self, now: Instant, was_out: bool) {
        // The first pass of a gated member is no come-back: it never served.
        if was_out && !self.is_unproven {
            self.back_since = Some(now);
        }
        (self.has_failed_check, self.is_unproven) = (false, false);
        (self.error_until, self.ejected_until) = (None, None);
        self.watched.restore();
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} in flight)", self.name, self.in_flight())
    }
}
