//! Sessions learned from what members set: a table from session values to members.
//!
//! The table holds digests, not values: entries are of one size whatever members set, and a dump of memory gives no
//! session away.

use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::chains::Chains;
use super::route::parameters;
use super::{SeatName, Session, cookies};
use crate::clock::Duration;
use crate::config::{Sticky, StickyBy, StickyLearn};
use crate::message::{Fields, RequestHead};

/// Of a session value; 128 bits, so that nobody finds two values of one digest.
pub(super) type Digest = [u8; 16];

/// Values that are looked at in one request or answer.
const VALUES: usize = 16;

/// The longest time that is kept; the table's clock knows a thousand years at most.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Session values and the names of the members that they belong to. Outlives a reload: one pool, one table.
#[derive(Debug)]
pub(crate) struct Learned {
    sessions: Cache<Digest, Arc<str>>,
    plan: Option<(Duration, u64)>,
}

/// Sessions by what was learned.
#[derive(Debug)]
pub(super) struct Learn {
    plan: StickyLearn,
    names: Box<[Arc<str>]>,
    chains: Chains,
    learned: Arc<Learned>,
}

impl Learned {
    /// An empty table; one that never holds anything when sessions are not learned.
    #[must_use]
    pub(crate) fn of(plan: &Sticky) -> Self {
        let plan = settings(plan);
        let (timeout, capacity) = plan.unwrap_or_default();
        // The session that rested longest goes first; by how often sessions are used (the cache's own way), a full table
        // would hardly take new ones.
        let sessions = Cache::builder()
            .max_capacity(capacity)
            .time_to_idle(timeout.min(LONGEST))
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { sessions, plan }
    }

    /// Whether it has the size and time that a plan asks for, and so can serve on after a reload.
    #[must_use]
    pub(crate) fn suits(&self, plan: &Sticky) -> bool {
        self.plan == settings(plan)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.sessions.run_pending_tasks();
        self.sessions.entry_count()
    }
}

fn settings(plan: &Sticky) -> Option<(Duration, u64)> {
    match &plan.by {
        StickyBy::Learn(plan) => Some((plan.timeout, plan.capacity)),
        StickyBy::Route(_) | StickyBy::Insert(_) => None,
    }
}

impl Learn {
    pub(super) fn of(plan: &StickyLearn, seats: &[SeatName], chains: Chains, learned: Arc<Learned>) -> Self {
        let names = seats.iter().map(|seat| seat.name.clone()).collect();
        Self { plan: plan.clone(), names, chains, learned }
    }

    pub(super) fn read(&self, request: &RequestHead) -> Option<Session> {
        let parameter = self.plan.parameter.as_deref().into_iter().flat_map(|name| parameters(request, name));
        let parameter = parameter.filter_map(|value| digest(value.as_bytes()));
        let cookies = cookies::values(&request.fields, &self.plan.cookie).filter_map(digest);
        let mut session = None;
        for digest in parameter.chain(cookies).take(VALUES) {
            let name = self.learned.sessions.get(&digest);
            let positions = name.map_or(&[][..], |name| self.chains.by_name(&name));
            if !positions.is_empty() {
                let (positions, named) = (positions.to_vec(), positions.first().copied());
                return Some(Session { positions, named, learned: Some(digest) });
            }
            session = Some(Session::default());
        }
        session
    }

    /// What the member set is its own. A session that another member has served without setting anything is that one's
    /// from now on, or its requests would go from member to member. Values that we never saw set are not remembered: a
    /// client could fill the table with them.
    pub(super) fn settle(&self, session: Option<&Session>, position: usize, fields: &Fields) {
        let Some(name) = self.names.get(position) else { return };
        let mut is_set = false;
        for digest in cookies::set(fields, &self.plan.cookie).filter_map(digest).take(VALUES) {
            is_set = true;
            self.learned.sessions.insert(digest, name.clone());
        }
        if let Some(Session { learned: Some(digest), named: Some(named), .. }) = session
            && !is_set
            && self.names.get(*named) != Some(name)
        {
            self.learned.sessions.insert(*digest, name.clone());
        }
    }
}

/// Of a value; nothing of an empty one, which is how a cookie is deleted.
fn digest(value: &[u8]) -> Option<Digest> {
    if value.is_empty() {
        return None;
    }
    let whole: [u8; 32] = Sha256::digest(value).into();
    whole.first_chunk().copied()
}
