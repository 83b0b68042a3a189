//! Who is in a pool, and who of them may be chosen at the moment.
//!
//! Both are immutable and replaced whole: the roster when members come or go, the standing when their fitness changes.

use std::sync::Arc;

use super::local::Program;
use super::member::Member;
use super::session::{SeatName, Sessions};
use super::state::Shared;
use crate::balance::{Loads, Method, Share};
use crate::clock::Instant;
use crate::config;
use crate::fitness::{self, Condition, Rules};

/// Who is in a pool.
pub(super) struct Roster {
    pub(super) members: Vec<Enlisted>,
    pub(super) sessions: Option<Sessions>,
}

/// A member, and what the plan says of it.
pub(super) struct Enlisted {
    pub(super) member: Arc<Member>,
    pub(super) plan: config::Member,
    /// Exchanges it takes at once.
    pub(super) most: usize,
    /// What serves there, when it is ours to start.
    pub(super) program: Option<Arc<Program>>,
}

/// Who may be chosen.
pub(super) struct Standing {
    pub(super) roster: Arc<Roster>,
    pub(super) method: Arc<Method>,
    /// Positions that the method chooses from.
    pub(super) candidates: Vec<usize>,
    /// By position: whether a member takes its own sessions.
    takes_sessions: Vec<bool>,
    epoch: u64,
    until: Option<Instant>,
}

/// Methods that were laid out before. A table of hashes takes milliseconds to lay out, and members that come and go in quick
/// succession (all of them in error, forced to recover, in error again) ask for the same few over and over.
#[derive(Default)]
pub(super) struct Layouts(Vec<(Vec<Share>, Arc<Method>)>);

/// More sets of members than a pool goes through while it fails; a table has some hundred kilobytes.
const MOST_LAYOUTS: usize = 8;

impl Layouts {
    /// The method for these shares. Only those that hash are kept: the others count from the moment they are made.
    fn method(&mut self, plan: &config::Balance, shares: Vec<Share>, view: &View<'_>) -> Arc<Method> {
        if !matches!(plan, config::Balance::Hash(_)) {
            return Arc::new(Method::of(plan, shares, view));
        }
        let known = self.0.iter().position(|(known, _)| *known == shares);
        let layout = match known {
            Some(place) => self.0.remove(place),
            None => (shares.clone(), Arc::new(Method::of(plan, shares, view))),
        };
        let method = layout.1.clone();
        self.0.insert(0, layout);
        self.0.truncate(MOST_LAYOUTS);
        method
    }
}

/// What the members of a roster carry, for one choice.
pub(super) struct View<'a> {
    pub(super) roster: &'a Roster,
    /// Members that were tried already.
    pub(super) tried: &'a [Arc<Member>],
    pub(super) now: Instant,
}

impl Roster {
    pub(super) fn of(plan: &config::Pool, members: Vec<Enlisted>, shared: &Shared) -> Self {
        let seat = |enlisted: &Enlisted| SeatName {
            name: enlisted.plan.name.clone(),
            route: enlisted.plan.route.clone(),
            redirect: enlisted.plan.redirect.clone(),
        };
        let seats: Vec<_> = members.iter().map(seat).collect();
        let of = |sticky| Sessions::of(sticky, &plan.name, &seats, shared.learned(sticky));
        let sessions = plan.sticky.as_ref().map(of);
        Self { members, sessions }
    }

    fn conditions(&self, now: Instant) -> Vec<Condition> {
        self.members.iter().map(|enlisted| enlisted.member.condition(&enlisted.plan, now)).collect()
    }
}

impl Standing {
    /// Looks at every member.
    pub(super) fn of(
        roster: &Arc<Roster>,
        plan: &config::Pool,
        shared: &Shared,
        layouts: &mut Layouts,
        now: Instant,
    ) -> Self {
        let rules = Rules {
            slow_start: plan.slow_start,
            forced_recovery: plan.forced_recovery,
            panic_threshold: plan.outlier.panic_threshold,
        };
        // Read first: what changes while we look makes us look again.
        let epoch = shared.epoch();
        let mut conditions = roster.conditions(now);
        let mut standing = fitness::stand(&conditions, &rules, now);
        if standing.recovers {
            roster.members.iter().for_each(|enlisted| enlisted.member.recover(now));
            conditions = roster.conditions(now);
            standing = fitness::stand(&conditions, &rules, now);
        }
        let share = |candidate: &fitness::Candidate| {
            let identity = roster.members.get(candidate.position).map_or(0, |enlisted| enlisted.member.identity);
            Share { position: candidate.position, weight: candidate.weight, identity }
        };
        let shares: Vec<_> = standing.candidates.iter().map(share).collect();
        let view = View { roster, tried: &[], now };
        Self {
            candidates: shares.iter().map(|share| share.position).collect(),
            method: layouts.method(&plan.balance, shares, &view),
            takes_sessions: conditions.iter().map(|condition| fitness::takes_session(condition, now)).collect(),
            roster: roster.clone(),
            epoch,
            until: standing.until,
        }
    }

    /// Whether nothing happened since that would change it.
    pub(super) fn holds(&self, shared: &Shared, now: Instant) -> bool {
        self.epoch == shared.epoch() && self.until.is_none_or(|until| now < until)
    }

    /// Whether a member takes its own sessions.
    pub(super) fn takes_session(&self, position: usize) -> bool {
        self.takes_sessions.get(position).copied().unwrap_or(false)
    }
}

impl Enlisted {
    pub(super) fn is_full(&self) -> bool {
        self.member.in_flight() >= self.most
    }
}

impl View<'_> {
    pub(super) fn is_tried(&self, member: &Arc<Member>) -> bool {
        self.tried.iter().any(|tried| Arc::ptr_eq(tried, member))
    }

    fn of<T>(&self, position: usize, otherwise: T, look: impl FnOnce(&Enlisted) -> T) -> T {
        self.roster.members.get(position).map_or(otherwise, look)
    }
}

impl Loads for View<'_> {
    fn in_flight(&self, position: usize) -> u64 {
        self.of(position, 0, |enlisted| enlisted.member.in_flight() as u64)
    }

    fn served(&self, position: usize) -> u64 {
        self.of(position, 0, |enlisted| enlisted.member.served())
    }

    fn traffic(&self, position: usize) -> u64 {
        self.of(position, 0, |enlisted| enlisted.member.traffic())
    }

    fn latency(&self, position: usize) -> f64 {
        self.of(position, 0.0, |enlisted| enlisted.member.latency(self.now))
    }

    fn spare(&self, position: usize) -> f64 {
        self.of(position, 1.0, |enlisted| enlisted.member.spare())
    }

    fn is_out(&self, position: usize) -> bool {
        self.of(position, true, |enlisted| enlisted.is_full() || self.is_tried(&enlisted.member))
    }
}
