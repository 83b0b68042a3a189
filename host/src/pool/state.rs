//! What a pool has over all its generations: whose turn it is, who waits, how many came, and what changed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::member::Member;
use super::queue::Queue;
use super::session::Learned;
use crate::balance::Turn;
use crate::clock::Instant;
use crate::config::{self, MemberAddress};
use crate::fitness::Budget;
use crate::upstream::{Endpoint, Found};

/// What a pool has over all its generations.
pub(super) struct Shared {
    /// Its name.
    pub(super) name: Arc<str>,
    /// Whose turn it is.
    pub(super) turn: Turn,
    /// Who waits for a member that has room.
    pub(super) queue: Queue,
    /// Counts what happens to the fitness of members, so that nobody need look at each of them.
    epoch: AtomicU64,
    requests: AtomicU64,
    budget: Mutex<Option<(Rate, Budget)>>,
    members: Mutex<HashMap<Arc<str>, Weak<Member>>>,
    /// What the names that members stand for were last found to be.
    found: Mutex<HashMap<MemberAddress, Vec<Found>>>,
    learned: Mutex<Option<Arc<Learned>>>,
    ejecting: Mutex<()>,
}

/// What a budget was made for.
type Rate = (u32, u32);

/// Every pool that some generation has, by name: the next one finds what the one before it has.
#[derive(Default)]
pub struct Registry(Mutex<HashMap<Arc<str>, Weak<Shared>>>);

impl Registry {
    /// What a pool has, and whether it was there before.
    pub(super) fn pool(&self, name: &Arc<str>) -> (Arc<Shared>, bool) {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = pools.get(name).and_then(Weak::upgrade) {
            return (known, true);
        }
        let shared = Arc::new(Shared::of(name));
        pools.retain(|_, shared| shared.strong_count() > 0);
        pools.insert(name.clone(), Arc::downgrade(&shared));
        (shared, false)
    }
}

impl Shared {
    fn of(name: &Arc<str>) -> Self {
        Self {
            name: name.clone(),
            turn: Turn::default(),
            queue: Queue::default(),
            epoch: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            budget: Mutex::default(),
            members: Mutex::default(),
            found: Mutex::default(),
            learned: Mutex::default(),
            ejecting: Mutex::default(),
        }
    }

    /// A member: the one that is known by its name at its address, or a fresh one.
    pub(super) fn member(self: &Arc<Self>, plan: &config::Member, gated: bool, since: Option<Instant>) -> Arc<Member> {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let endpoint = Endpoint::of(&plan.address, &plan.transport);
        let known = members.get(&plan.name).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| Arc::ptr_eq(&known.endpoint, &endpoint) && known.host == plan.host) {
            return known;
        }
        let member = Arc::new(Member::of(plan, self, gated, since));
        members.retain(|_, member| member.strong_count() > 0);
        members.insert(plan.name.clone(), Arc::downgrade(&member));
        member
    }

    /// What a name was last found to be. A member of the same name that is elsewhere now has nothing of it.
    pub(super) fn found(&self, name: &MemberAddress) -> Option<Vec<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// A name was found to be these addresses; the next generation begins with them.
    pub(super) fn find(&self, name: &MemberAddress, found: &[Found]) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), found.to_vec());
    }

    /// The table of sessions: the one there is, as long as it suits the plan.
    pub(super) fn learned(&self, plan: &config::Sticky) -> Arc<Learned> {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        match learned.as_ref().filter(|learned| learned.suits(plan)) {
            Some(known) => known.clone(),
            None => learned.insert(Arc::new(Learned::of(plan))).clone(),
        }
    }

    /// The right to count who is ejected and to eject one more.
    pub(super) fn ejecting(&self) -> MutexGuard<'_, ()> {
        self.ejecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened to a member's fitness.
    pub(super) fn changed(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
        self.queue.look_again();
    }

    /// Differs from an earlier value when something happened since.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// One more exchange came.
    pub(super) fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a retry out of the pool's budget, if there is one left.
    pub(super) fn may_retry(&self, plan: &config::Failover, now: Instant) -> bool {
        self.with_budget(plan, |budget, requests| budget.allows(requests, now))
    }

    /// Lets the budget know how many came by now; without it a burst after a quiet time would count as old.
    pub(super) fn look(&self, plan: &config::Failover, now: Instant) {
        self.with_budget(plan, |budget, requests| budget.look(requests, now));
    }

    fn with_budget<T>(&self, plan: &config::Failover, act: impl FnOnce(&mut Budget, u64) -> T) -> T {
        let rate = (plan.budget, plan.budget_floor);
        let mut kept = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, budget) = match kept.take().filter(|(known, _)| *known == rate) {
            Some(known) => kept.insert(known),
            None => kept.insert((rate, Budget::of(rate.0, rate.1))),
        };
        act(budget, self.requests.load(Ordering::Relaxed))
    }
}
