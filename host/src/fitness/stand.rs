//! The candidates of an instant, by roles and sets as httpd's `mod_proxy_balancer` has them.
//!
//! Set by set: members that are usable take part; each active one that is not lets one spare join the rotation; standbys
//! serve when that leaves nobody; the next set serves when this one has nobody at all.

use super::slow_start::share;
use super::{Condition, takes_session};
use crate::clock::{Duration, Instant};
use crate::config::{Role, State};

/// What a pool says about who may be chosen.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How long a member that comes back takes to get its whole share; zero means at once.
    pub slow_start: Duration,
    /// When errors and ejections leave nobody, they are forgotten.
    pub forced_recovery: bool,
    /// When fewer than this percentage of members are fit, checks, errors and ejections are ignored; 0 means never.
    pub panic_threshold: u32,
}

/// A member that may be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is among the conditions.
    pub position: usize,
    /// Its share, in thousandths of a unit of weight; at least 1.
    pub weight: u32,
}

/// Who may be chosen, and for how long that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// In the order of their positions.
    pub candidates: Vec<Candidate>,
    /// When to look again if nothing happens before: an error or ejection ends, or a slow start moves. Until then the
    /// same conditions give the same standing.
    pub until: Option<Instant>,
    /// Nobody can be chosen, errors or ejections are why, and forced recovery is on: the caller clears them and asks
    /// again. httpd recovers only when every member is in error, so that one that is disabled or failed a check keeps the
    /// others out for the whole of `retry`; that is not taken over.
    pub recovers: bool,
    /// Too few members are fit for that to be believed. Members whose first check is awaited say nothing either way:
    /// they are not counted, and still take nothing.
    pub is_panicking: bool,
}

/// Who may be chosen now.
#[must_use]
pub fn stand(conditions: &[Condition], rules: &Rules, now: Instant) -> Standing {
    let is_panicking = panics(conditions, rules.panic_threshold, now);
    let is_usable = |condition: &Condition| {
        let is_believed = if is_panicking { !condition.is_unproven } else { condition.is_fit(now) };
        condition.is_enabled() && is_believed
    };
    let mut until = conditions.iter().filter_map(|condition| returns_at(condition, now)).min();
    let mut candidates = Vec::new();
    for position in choose(conditions, is_usable) {
        let Some(condition) = conditions.get(position) else { continue };
        // Who serves in a panic only is not back yet: it has its whole share, and starts slowly when it is.
        let back = condition.last_back(now).filter(|_| condition.is_fit(now));
        let share = share(condition.weight, back, rules.slow_start, now);
        until = until.into_iter().chain(share.grows_at).min();
        candidates.push(Candidate { position, weight: share.weight });
    }
    let is_out = |condition: &Condition| condition.state == State::Ok && returns_at(condition, now).is_some();
    let recovers = candidates.is_empty() && rules.forced_recovery && !is_panicking && conditions.iter().any(is_out);
    Standing { candidates, until, recovers, is_panicking }
}

/// Whether fewer members are fit than the threshold asks for, in percent of those the operator lets serve.
fn panics(conditions: &[Condition], threshold: u32, now: Instant) -> bool {
    let (mut all, mut fit) = (0_u64, 0_u64);
    for condition in conditions.iter().filter(|condition| condition.is_enabled() && !condition.is_unproven) {
        all += 1;
        fit += u64::from(condition.is_fit(now));
    }
    fit * 100 < u64::from(threshold) * all
}

/// When time alone lets a member serve, its own sessions at least, that is kept out by errors and ejections and nothing
/// else.
fn returns_at(condition: &Condition, now: Instant) -> Option<Instant> {
    let back = condition.out_until(now)?;
    takes_session(condition, back).then_some(back)
}

/// The positions of those who serve, out of the first set that has any of them.
fn choose(conditions: &[Condition], is_usable: impl Fn(&Condition) -> bool) -> impl Iterator<Item = usize> {
    let mut set = conditions.iter().map(|condition| condition.set).min();
    let mut call = None;
    while let (Some(of), None) = (set, call) {
        call = Call::within(conditions, of, &is_usable);
        set = conditions.iter().map(|condition| condition.set).filter(|&set| set > of).min();
    }
    let mut call = call.unwrap_or(Call::NOBODY);
    let called = conditions.iter().enumerate();
    called.filter(move |(_, condition)| is_usable(condition) && call.takes(condition)).map(|(position, _)| position)
}

/// Which usable members of a set serve.
#[derive(Debug, Clone, Copy)]
struct Call {
    set: u8,
    actives: bool,
    /// The first so many.
    spares: usize,
    standbys: bool,
}

impl Call {
    const NOBODY: Self = Self { set: 0, actives: false, spares: 0, standbys: false };

    /// What a set has to offer, if anything.
    fn within(conditions: &[Condition], set: u8, is_usable: impl Fn(&Condition) -> bool) -> Option<Self> {
        let count = |role, usable| {
            let of_role = conditions.iter().filter(|condition| condition.set == set && condition.role == role);
            of_role.filter(|condition| is_usable(condition) == usable).count()
        };
        let spares = count(Role::Active, false).min(count(Role::Spare, true));
        if spares > 0 || count(Role::Active, true) > 0 {
            return Some(Self { set, actives: true, spares, standbys: false });
        }
        (count(Role::Standby, true) > 0).then_some(Self { set, standbys: true, ..Self::NOBODY })
    }

    /// Asked about usable members in their order.
    fn takes(&mut self, condition: &Condition) -> bool {
        if condition.set != self.set {
            return false;
        }
        match condition.role {
            Role::Active => self.actives,
            Role::Standby => self.standbys,
            Role::Spare => {
                let joins = self.spares > 0;
                self.spares -= usize::from(joins);
                joins
            }
        }
    }
}
