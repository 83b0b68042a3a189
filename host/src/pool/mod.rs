//! Pools: named sets of members, who of them serves next, and what keeps them fit.
//!
//! A pool belongs to its generation; what its members carry, what is wrong with them and who waits belongs to its name and
//! outlives generations. It decides who is next and nothing else: attempts and retries are the pipeline's.

mod care;
mod enlist;
mod key;
mod lease;
mod local;
mod member;
mod probe;
mod queue;
mod roster;
mod session;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use arc_swap::{ArcSwap, Guard};

pub use self::care::Caretaker;
pub use self::lease::{Effect, Lease};
pub use self::member::Member;
use self::roster::{Enlisted, Layouts, Roster, Standing, View};
pub use self::state::Registry;
use self::state::Shared;
use crate::balance::Wish;
use crate::clock::{self, Duration, Instant};
use crate::config::{self, State, StickyFallback};
use crate::fitness;
use crate::message::Facts;
use crate::upstream::{Endpoint, Found, Keeping};

/// A pool.
pub struct Pool {
    /// As configured.
    pub plan: config::Pool,
    shared: Arc<Shared>,
    standing: ArcSwap<Standing>,
    /// Held by whoever puts the next standing in its place.
    renewing: Mutex<Renewing>,
}

/// What the next roster and standing are made from.
struct Renewing {
    /// By position in the plan: what a name was found to be.
    found: Vec<Option<Vec<Found>>>,
    looked_at: Instant,
    layouts: Layouts,
}

/// What an exchange wants of a pool.
pub struct Ask<'a> {
    /// The request.
    pub facts: &'a Facts,
    /// Members that were tried already.
    pub tried: &'a [Arc<Member>],
    /// The time.
    pub now: Instant,
}

/// Why there is no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody is usable, or everybody was tried.
    Nobody,
    /// Those who are usable are full.
    Full,
    /// The session's member is not usable, and no other may take it.
    SessionLost,
}

impl Pool {
    /// The pool of a plan, with what the registry knows of it.
    #[must_use]
    pub fn of(plan: &config::Pool, registry: &Registry) -> Arc<Self> {
        let now = clock::now();
        let (shared, is_known) = registry.pool(&plan.name);
        let found: Vec<_> = plan.members.iter().map(|member| shared.found(&member.address)).collect();
        let members = enlist::members(plan, &found, &shared, is_known.then_some(now));
        shared.queue.mix(plan.sticky.is_some());
        let roster = Arc::new(Roster::of(plan, members, &shared));
        let mut layouts = Layouts::default();
        let standing = ArcSwap::from_pointee(Standing::of(&roster, plan, &shared, &mut layouts, now));
        let renewing = Mutex::new(Renewing { found, looked_at: now, layouts });
        Arc::new(Self { plan: plan.clone(), shared, standing, renewing })
    }

    /// The next member's lease for a fresh exchange, or for another attempt of one.
    ///
    /// # Errors
    /// When nobody can be had.
    pub fn lease(self: &Arc<Self>, ask: &Ask<'_>) -> Result<Lease, Refusal> {
        // Those who wait were here first; but one who waits for the member of its session keeps nobody from the others.
        if self.plan.queue.length > 0 && self.plan.sticky.is_none() && self.shared.queue.is_busy() {
            return Err(Refusal::Full);
        }
        self.choose(ask)
    }

    /// Waits for a member that has room, in the pool's queue. Cancellation safe.
    ///
    /// # Errors
    /// When the queue is full, or it took too long.
    pub async fn wait(self: &Arc<Self>, ask: &Ask<'_>, longest: Duration) -> Result<Lease, Refusal> {
        let place = self.shared.queue.stand(self.plan.queue.length).ok_or(Refusal::Full)?;
        tracing::debug!(pool = &*self.plan.name, id = &*ask.facts.request_id, "waiting for a member");
        let leased = async {
            loop {
                let called = place.called();
                match self.choose(&Ask { now: clock::now(), ..*ask }) {
                    Err(Refusal::Full) => called.await,
                    Ok(lease) => return Ok(lease),
                    Err(refusal) => {
                        // What it was called for is there for the next one.
                        self.shared.queue.make_room();
                        return Err(refusal);
                    }
                }
            }
        };
        tokio::time::timeout(longest.min(self.plan.queue.timeout), leased).await.unwrap_or(Err(Refusal::Full))
    }

    /// Counts an exchange that comes to the pool.
    pub fn count(&self) {
        self.shared.count();
    }

    /// Takes a retry out of the pool's budget, if there is one left.
    #[must_use]
    pub fn may_retry(&self, now: Instant) -> bool {
        self.shared.may_retry(&self.plan.failover, now)
    }

    /// Bytes of a request's body that are kept to be sent again: none when nobody would send them.
    #[must_use]
    pub fn replays(&self) -> usize {
        let failover = &self.plan.failover;
        if failover.attempts > 1 || self.plan.keepalive { failover.replay_body } else { 0 }
    }

    /// Whether it matters to the pool how long answers take to begin.
    #[must_use]
    pub fn wants_latency(&self) -> bool {
        self.plan.balance == config::Balance::PeakEwma
    }

    /// Whether an address is one of its members'.
    #[must_use]
    pub fn leads_to(&self, endpoint: &Endpoint) -> bool {
        let standing = self.standing.load();
        standing.roster.members.iter().any(|enlisted| enlisted.member.is_at(endpoint))
    }

    /// How connections to the members are kept.
    #[must_use]
    pub fn keeping(&self) -> Keeping {
        let most = if self.plan.keepalive { self.plan.max_idle_connections } else { 0 };
        Keeping { most, idle_timeout: self.plan.idle_timeout }
    }

    fn choose(self: &Arc<Self>, ask: &Ask<'_>) -> Result<Lease, Refusal> {
        let standing = self.standing(ask);
        let roster = &standing.roster;
        let session = roster.sessions.as_ref().and_then(|sessions| sessions.read(&ask.facts.request));
        let view = View { roster, tried: ask.tried, now: ask.now };
        if let Some(session) = &session {
            let mut is_known = false;
            for &position in session.positions() {
                is_known = true;
                let Some(enlisted) = roster.members.get(position) else { continue };
                if !standing.takes_session(position) || view.is_tried(&enlisted.member) {
                    continue;
                }
                if let Some(lease) = Lease::take(self, roster, position, Some(session)) {
                    return Ok(lease);
                }
                if self.plan.queue.length > 0 {
                    return Err(Refusal::Full);
                }
            }
            if is_known && self.plan.sticky.as_ref().is_some_and(|sticky| sticky.fallback == StickyFallback::Fail) {
                return Err(Refusal::SessionLost);
            }
        }
        let hash = match &self.plan.balance {
            config::Balance::Hash(hash) => key::key(&hash.key, &ask.facts.request, ask.facts.client),
            _ => None,
        };
        // Between choosing a member and entering it another thread may fill it: then it is out at the next look.
        for _ in 0..=roster.members.len() {
            let wish = Wish { hash, chance: fastrand::u64(..) };
            let Some(position) = standing.method.choose(&wish, &view, &self.shared.turn) else { break };
            if let Some(lease) = Lease::take(self, roster, position, session.as_ref()) {
                return Ok(lease);
            }
        }
        // Whoever was not tried was full a moment ago, whether or not that is still so.
        let is_left =
            |position: &usize| roster.members.get(*position).is_some_and(|enlisted| !view.is_tried(&enlisted.member));
        Err(if standing.candidates.iter().any(is_left) { Refusal::Full } else { Refusal::Nobody })
    }

    /// Who may be chosen now. One thread looks when something changed, the others go by what they know meanwhile; but who
    /// has tried somebody already may need the very member that the look is about to find.
    fn standing(&self, ask: &Ask<'_>) -> Guard<Arc<Standing>> {
        let (standing, now) = (self.standing.load(), ask.now);
        if standing.holds(&self.shared, now) {
            return standing;
        }
        let mut renewing = match self.renewing.try_lock() {
            Ok(renewing) => renewing,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) if ask.tried.is_empty() => return standing,
            Err(TryLockError::WouldBlock) => self.renewing.lock().unwrap_or_else(PoisonError::into_inner),
        };
        // Whoever held it before may have looked just now.
        let standing = self.standing.load();
        if !standing.holds(&self.shared, now) {
            let (plan, shared, layouts) = (&self.plan, &self.shared, &mut renewing.layouts);
            self.standing.store(Arc::new(Standing::of(&standing.roster, plan, shared, layouts, now)));
            // Who was called while this was made has gone by the one before.
            shared.queue.look_again();
        }
        drop(renewing);
        self.standing.load()
    }

    /// A name of the plan was found to be these addresses.
    fn found(&self, position: usize, found: &[Found], now: Instant) {
        let mut renewing = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(known), Some(member)) = (renewing.found.get_mut(position), self.plan.members.get(position)) {
            *known = Some(found.to_vec());
            self.shared.find(&member.address, found);
        }
        let members = enlist::members(&self.plan, &renewing.found, &self.shared, Some(now));
        let roster = Arc::new(Roster::of(&self.plan, members, &self.shared));
        self.standing.store(Arc::new(Standing::of(&roster, &self.plan, &self.shared, &mut renewing.layouts, now)));
        drop(renewing);
        self.shared.changed();
    }

    fn note(&self, enlisted: &Enlisted, effect: Effect, now: Instant) {
        let member = &enlisted.member;
        if effect == Effect::Served {
            return member.succeeded();
        }
        let in_a_row = member.stumbled();
        let rules = &self.plan.outlier;
        if enlisted.plan.state == State::IgnoreErrors {
            return;
        }
        if effect == Effect::Broken {
            member.fail_for(self.plan.retry, now);
        } else if rules.consecutive > 0 && in_a_row >= rules.consecutive {
            self.eject(member, now, "failures in a row");
        }
    }

    fn eject(&self, member: &Member, now: Instant, why: &str) {
        // One at a time, or two threads would each find room for one more.
        let _ejecting = self.shared.ejecting();
        let standing = self.standing.load();
        let members = &standing.roster.members;
        let ejected = members.iter().filter(|enlisted| enlisted.member.is_ejected(now)).count();
        if !member.is_ejected(now) && fitness::may_eject(ejected, members.len(), &self.plan.outlier) {
            member.eject(&self.plan.outlier, now, why);
        }
    }

    /// Looks after what no exchange looks after; to be called a few times a second.
    fn tend(&self, now: Instant) {
        let rules = &self.plan.outlier;
        self.shared.look(&self.plan.failover, now);
        // Time lets members return without a word to anybody, and who waits looks only when called.
        if !self.standing.load().holds(&self.shared, now) {
            self.shared.queue.look_again();
        }
        let is_due = {
            let mut renewing = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = now.saturating_duration_since(renewing.looked_at) >= rules.interval;
            if is_due {
                renewing.looked_at = now;
            }
            is_due
        };
        if !is_due {
            return;
        }
        let roster = self.standing.load().roster.clone();
        let counts: Vec<_> = roster.members.iter().map(|enlisted| enlisted.member.counts()).collect();
        roster.members.iter().for_each(|enlisted| enlisted.member.pay_back(rules, now));
        for position in fitness::below(&counts, rules) {
            let Some(enlisted) = roster.members.get(position) else { continue };
            if enlisted.plan.state != State::IgnoreErrors {
                self.eject(&enlisted.member, now, "success rate");
            }
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pool {}", self.plan.name)
    }
}
