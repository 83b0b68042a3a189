//! How long a stored response is fresh, how old it is, and what may be done with it now (RFC 9111, section 4.2).
//!
//! `Policy` is worked out once, when a response is stored or freshened; deciding about a request then reads no field of
//! the response. Time is an argument; it is the wall clock's, because `Date` is and because entries outlive a process.

use std::time::{Duration, SystemTime};

use http::header::{self, AsHeaderName};

use super::directives::{Directives, FOREVER, Reach, RequestDirectives, seconds};
use super::{Knobs, date};
use crate::message::{Fields, ResponseHead, Status, Value};

/// When a response was asked for and when its head came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// `request_time` of RFC 9111, section 4.2.3.
    pub asked: SystemTime,
    /// `response_time`.
    pub answered: SystemTime,
}

/// What a response's fields say about its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How long it is fresh, from its making.
    pub lifetime: Duration,
    /// Where that was stated.
    pub source: Source,
    /// `Date`, or when it came.
    pub date: SystemTime,
    /// `corrected_initial_age`: how old it was when it came.
    pub age: Duration,
    /// The part of that for which nothing speaks but that it took so long to come.
    pub delay: Duration,
    /// When it came.
    pub answered: SystemTime,
    /// Never without asking the origin: `no-cache`, or invalidated.
    pub must_ask: bool,
    /// Never stale: `must-revalidate`, `proxy-revalidate`.
    pub never_stale: bool,
    /// `s-maxage`: stale only where the response itself says for how long (RFC 9111, section 5.2.2.10).
    pub is_shared: bool,
    /// `immutable`: a reload need not ask while it is fresh (RFC 8246, section 2).
    pub immutable: bool,
    /// May be stale so long while it is validated.
    pub stale_while_revalidate: Option<Duration>,
    /// May be stale so long when the origin fails.
    pub stale_if_error: Option<Duration>,
}

/// Where a lifetime comes from, the stronger first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A filter's word.
    Ruled,
    /// `s-maxage`
    SharedMaxAge,
    /// `max-age`
    MaxAge,
    /// `Expires`
    Expires,
    /// The operator's, for this status or for all.
    Default,
    /// A guess from `Last-Modified`.
    Heuristic,
    /// Nothing: never fresh.
    Nowhere,
}

/// What to do with a stored response that fits a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Use it.
    Fresh,
    /// Use it though it is stale: the client allows that.
    Stale,
    /// Use it though it is stale, and validate it behind the client's back (RFC 5861, section 3).
    Revalidate,
    /// Ask the origin first; it is fresh enough, but the request wants more.
    ValidateForRequest,
    /// Ask the origin first: it is too old, or says so itself.
    Validate,
    /// 504: the client wants it from the store only (RFC 9111, section 5.2.1.7).
    Unavailable,
}

impl Policy {
    /// Of a response whose `Date` is in order (`fields::ready` sees to it).
    #[must_use]
    pub fn of(head: &ResponseHead, directives: &Directives, times: Times, knobs: &Knobs) -> Self {
        let date = dated(&head.fields, times.answered).unwrap_or(times.answered);
        let age = initial_age(&head.fields, date, times);
        let delay = age - initial_age(&head.fields, date, Times { asked: times.answered, ..times });
        let (mut lifetime, source) = lifetime(head, directives, date, times.answered, knobs);
        if directives.ruled.is_some() {
            // It is meant from now on, however old the response was when it came.
            lifetime = (lifetime + age).min(FOREVER);
        }
        let swr = directives.stale_while_revalidate.or(above_zero(knobs.stale_while_revalidate));
        Self {
            lifetime,
            source,
            date,
            age,
            delay,
            answered: times.answered,
            must_ask: directives.no_cache == Reach::Whole,
            never_stale: directives.must_revalidate || directives.proxy_revalidate,
            is_shared: source == Source::SharedMaxAge,
            immutable: directives.immutable,
            // What the operator allows, `s-maxage` still forbids; only the response itself can say otherwise.
            stale_while_revalidate: if source == Source::SharedMaxAge {
                directives.stale_while_revalidate
            } else {
                swr
            },
            stale_if_error: directives.stale_if_error,
        }
    }

    /// `current_age` (section 4.2.3).
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Duration {
        // A clock that was set back far says nothing of how much time went by.
        match now.duration_since(self.answered) {
            Ok(passed) => (self.age + passed).min(FOREVER),
            Err(back) if back.duration() > CLOCK_ERROR => FOREVER,
            Err(_) => self.age.min(FOREVER),
        }
    }

    /// The same for who had asked before it came, and would have waited as long for an answer of its own: what it took is
    /// not held against it.
    #[must_use]
    pub fn as_it_came(mut self) -> Self {
        (self.age, self.delay) = (self.age.saturating_sub(self.delay), Duration::ZERO);
        self
    }

    /// Whether it was fresh when it came, as those saw it who waited.
    #[must_use]
    pub fn came_fresh(&self) -> bool {
        !self.must_ask && self.lifetime > self.age.saturating_sub(self.delay)
    }

    /// Whole seconds of freshness that are left; below zero, those that are over. What `Cache-Status` says as `ttl`.
    #[must_use]
    pub fn ttl(&self, now: SystemTime) -> i64 {
        let whole = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        whole(self.lifetime) - whole(self.age(now))
    }

    /// Whether it is fresh, whatever a request may wish (section 4.2).
    #[must_use]
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        !self.must_ask && self.lifetime > self.age(now)
    }

    /// What to do for this request.
    #[must_use]
    pub fn decide(&self, wishes: &RequestDirectives, now: SystemTime) -> Decision {
        let decision = self.wanted(wishes, now);
        let must_wait = matches!(decision, Decision::Validate | Decision::ValidateForRequest);
        if wishes.only_if_cached && must_wait { Decision::Unavailable } else { decision }
    }

    /// Whether it may be used in place of a failure: the origin could not be reached, or answered 500, 502, 503 or 504
    /// (RFC 5861, section 4).
    #[must_use]
    pub fn may_stand_in(&self, wishes: &RequestDirectives, now: SystemTime, knobs: &Knobs) -> bool {
        if self.must_ask || wishes.no_cache {
            return false;
        }
        let stale = self.age(now).saturating_sub(self.lifetime);
        if self.never_stale {
            return self.is_fresh(now);
        }
        let operator = if self.is_shared { Duration::ZERO } else { knobs.stale_if_error };
        let allowed = self.stale_if_error.or(wishes.stale_if_error.filter(|_| !self.is_shared)).unwrap_or(operator);
        stale < allowed || self.is_fresh(now)
    }

    fn wanted(&self, wishes: &RequestDirectives, now: SystemTime) -> Decision {
        let age = self.age(now);
        let is_fresh = !self.must_ask && self.lifetime > age;
        if self.must_ask {
            return Decision::Validate;
        }
        if wishes.no_cache {
            return if is_fresh { Decision::ValidateForRequest } else { Decision::Validate };
        }
        // Zero is never met: who reloads within the second wants an answer from the origin all the same.
        let too_old = wishes.max_age.is_some_and(|most| age > most || most.is_zero());
        if is_fresh {
            let left = self.lifetime.saturating_sub(age);
            let too_short = wishes.min_fresh.is_some_and(|least| left < least);
            let must_ask = too_old && !self.immutable || too_short;
            return if must_ask { Decision::ValidateForRequest } else { Decision::Fresh };
        }
        if self.never_stale || too_old || wishes.min_fresh.is_some() {
            return Decision::Validate;
        }
        let stale = age.saturating_sub(self.lifetime);
        if !self.is_shared && wishes.max_stale.is_some_and(|most| stale <= most) {
            return Decision::Stale;
        }
        if self.stale_while_revalidate.is_some_and(|most| stale < most) {
            Decision::Revalidate
        } else {
            Decision::Validate
        }
    }
}

/// So far a clock that is kept in order may be set back: what came later than now by more is from a wrong one, and would be
/// fresh until that time comes again.
const CLOCK_ERROR: Duration = Duration::from_secs(300);

/// What is waited for between two instants; nothing if the clock was set back.
#[must_use]
pub fn since(earlier: SystemTime, later: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}

/// A field that is one date. Two lines that are not the same are none.
#[must_use]
pub(super) fn dated_by(fields: &Fields, name: impl AsHeaderName, now: SystemTime) -> Option<SystemTime> {
    let mut lines = fields.lines(name);
    let first = lines.next()?;
    if lines.any(|line| line != first) { None } else { date::parse(first.as_bytes(), now) }
}

fn dated(fields: &Fields, now: SystemTime) -> Option<SystemTime> {
    dated_by(fields, header::DATE, now)
}

/// Section 4.2.1, with the operator's bounds.
fn lifetime(
    head: &ResponseHead,
    directives: &Directives,
    date: SystemTime,
    now: SystemTime,
    knobs: &Knobs,
) -> (Duration, Source) {
    let (long, source) = (directives.ruled.map(|long| (long, Source::Ruled)))
        .or_else(|| stated(&head.fields, directives, date, now))
        .or_else(|| operators(head.status, knobs))
        .or_else(|| guessed(head, directives, date, now, knobs))
        .or_else(|| knobs.default_ttl.filter(|_| may_guess(head.status, directives)).map(|ttl| (ttl, Source::Default)))
        .unwrap_or((Duration::ZERO, Source::Nowhere));
    let long = if source == Source::Nowhere { long } else { long.max(knobs.min_ttl) };
    (long.min(knobs.max_ttl.unwrap_or(FOREVER)).min(FOREVER), source)
}

/// Whether a lifetime is stated, and one that is longer than nothing.
pub(super) fn states_life(fields: &Fields, directives: &Directives, times: Times) -> bool {
    let date = dated(fields, times.answered).unwrap_or(times.answered);
    stated(fields, directives, date, times.answered).is_some_and(|(long, _)| !long.is_zero())
}

/// `s-maxage`, `max-age`, `Expires`, in this order; a broken `Expires` is in the past (section 5.3).
fn stated(fields: &Fields, directives: &Directives, date: SystemTime, now: SystemTime) -> Option<(Duration, Source)> {
    if let Some(long) = directives.s_maxage {
        return Some((long, Source::SharedMaxAge));
    }
    if let Some(long) = directives.max_age {
        return Some((long, Source::MaxAge));
    }
    if directives.is_targeted || !fields.contains(header::EXPIRES) {
        return None;
    }
    let expires = dated_by(fields, header::EXPIRES, now);
    Some((expires.map_or(Duration::ZERO, |expires| since(date, expires)), Source::Expires))
}

fn operators(status: Status, knobs: &Knobs) -> Option<(Duration, Source)> {
    knobs.status_ttl(status).map(|ttl| (ttl, Source::Default))
}

/// A part of the time since `Last-Modified` (section 4.2.2).
fn guessed(
    head: &ResponseHead,
    directives: &Directives,
    date: SystemTime,
    now: SystemTime,
    knobs: &Knobs,
) -> Option<(Duration, Source)> {
    if !may_guess(head.status, directives) {
        return None;
    }
    let modified = dated_by(&head.fields, header::LAST_MODIFIED, now)?;
    let long = knobs.heuristic.of(since(modified, date)).min(knobs.heuristic_cap);
    Some((long, Source::Heuristic))
}

/// Whether a lifetime may be guessed: the status allows it (RFC 9110, section 15.1), or `public` does.
#[must_use]
pub(super) fn may_guess(status: Status, directives: &Directives) -> bool {
    let by_status = matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501);
    by_status || directives.public
}

/// `corrected_initial_age` of section 4.2.3. `Date` has whole seconds, so the clock is read in whole seconds beside it.
fn initial_age(fields: &Fields, date: SystemTime, times: Times) -> Duration {
    let apparent = Duration::from_secs(since(date, times.answered).as_secs());
    let value = fields.get(header::AGE).and_then(stated_age).unwrap_or_default();
    apparent.max(value + since(times.asked, times.answered)).min(FOREVER)
}

/// The first member of the first line; what is not a number is ignored (section 5.1).
fn stated_age(line: &Value) -> Option<Duration> {
    let first = line.as_bytes().split(|&byte| byte == b',').next()?;
    seconds(first.trim_ascii())
}

fn above_zero(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

#[cfg(test)]
mod tests;
