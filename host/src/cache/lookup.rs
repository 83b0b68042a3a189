//! From what is stored under a request's key to what is done now (RFC 9111, section 4).

use std::borrow::Borrow;
use std::time::SystemTime;

use http::header;

use super::fresh::Decision;
use super::reply;
use super::status::Forward;
use super::storable::is_looked_up;
use super::stored::Stored;
use super::{Knobs, RequestDirectives};
use crate::message::{Method, RequestHead, Status};

/// What is done. Places are those of the candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Ask the origin as the client asks. After `VaryMiss`, `validate::ask_variants` may still save the content.
    Nothing(Forward),
    /// Answer with this one (`reply::reply`).
    Use {
        /// Which.
        at: usize,
        /// It is stale and the client takes it.
        is_stale: bool,
        /// It is stale: validate it after answering (RFC 5861, section 3).
        revalidate: bool,
    },
    /// Ask the origin whether this one still holds (`validate::ask`).
    Validate {
        /// Which.
        at: usize,
        /// What `Cache-Status` says.
        why: Forward,
    },
    /// Fresh, but not all that is wanted is here: `partial::rest` says what to ask for, or ask as the client asks.
    Complete {
        /// Which.
        at: usize,
    },
    /// 504: the client wants nothing from the origin (RFC 9111, section 5.2.1.7).
    Unavailable,
}

/// What a request wishes, as far as the operator lets it.
#[must_use]
pub fn wishes(request: &RequestHead, knobs: &Knobs) -> RequestDirectives {
    let is_heard = !knobs.ignore_request && !reply::is_plain(&request.fields);
    if is_heard { RequestDirectives::of(&request.fields) } else { RequestDirectives::default() }
}

/// What is done with a request for whose key these are stored.
#[must_use]
pub fn look<T: Borrow<Stored>>(candidates: &[T], request: &RequestHead, now: SystemTime, knobs: &Knobs) -> Found {
    let wishes = wishes(request, knobs);
    let mut found = choose(candidates, request, &wishes, now, knobs);
    if goes_through(request, &wishes) {
        found = Found::Nothing(passed_by(found));
    }
    let asks = !matches!(found, Found::Use { .. });
    if wishes.only_if_cached && asks { Found::Unavailable } else { found }
}

/// Whether a request is one between its client and the origin: nobody else's answer is for it, nor its answer for others.
#[must_use]
pub fn is_for_itself(request: &RequestHead, knobs: &Knobs) -> bool {
    goes_through(request, &wishes(request, knobs))
}

/// Preconditions that are meant for the origin go there (section 4.3.2).
fn goes_through(request: &RequestHead, wishes: &RequestDirectives) -> bool {
    let has = |name| request.fields.contains(name);
    wishes.no_store || !reply::is_plain(&request.fields) && (has(header::IF_MATCH) || has(header::IF_UNMODIFIED_SINCE))
}

/// Why the origin is asked though this was found. Which variants there are is no question of such a request's.
fn passed_by(found: Found) -> Forward {
    match found {
        Found::Nothing(Forward::VaryMiss) => Forward::Miss,
        Found::Nothing(why) | Found::Validate { why, .. } => why,
        Found::Use { is_stale: false, .. } | Found::Unavailable => Forward::Request,
        Found::Use { is_stale: true, .. } => Forward::Stale,
        Found::Complete { .. } => Forward::Partial,
    }
}

fn choose<T: Borrow<Stored>>(
    candidates: &[T],
    request: &RequestHead,
    wishes: &RequestDirectives,
    now: SystemTime,
    knobs: &Knobs,
) -> Found {
    if !is_looked_up(&request.method, knobs) {
        return Found::Nothing(Forward::Method);
    }
    if candidates.is_empty() {
        return Found::Nothing(Forward::UriMiss);
    }
    let Some(at) = select(candidates, request, knobs) else { return Found::Nothing(Forward::VaryMiss) };
    let Some(stored) = candidates.get(at).map(Borrow::borrow) else { return Found::Nothing(Forward::Miss) };
    if request.method == Method::HEAD && stored.head.status == Status::PARTIAL_CONTENT {
        return Found::Nothing(Forward::Partial);
    }
    let is_here = reply::is_answered(stored, request);
    let (is_stale, revalidate) = match stored.policy.decide(wishes, now) {
        // That it still holds would not bring what is missing.
        Decision::Validate | Decision::ValidateForRequest if !is_here => return Found::Nothing(Forward::Partial),
        Decision::Fresh => (false, false),
        Decision::Stale => (true, false),
        Decision::Revalidate => (true, true),
        Decision::ValidateForRequest => return Found::Validate { at, why: Forward::Request },
        Decision::Validate => return Found::Validate { at, why: Forward::Stale },
        Decision::Unavailable => return Found::Unavailable,
    };
    if is_here { Found::Use { at, is_stale, revalidate } } else { Found::Complete { at } }
}

/// The latest of those that the request's fields choose (section 4.1); among those in the language that it likes best only
/// if none is chosen outright.
#[must_use]
pub fn select<T: Borrow<Stored>>(candidates: &[T], request: &RequestHead, knobs: &Knobs) -> Option<usize> {
    let latest = |fits: &dyn Fn(&Stored) -> bool| {
        let fitting = candidates.iter().map(Borrow::borrow).enumerate().filter(|(_, stored)| fits(stored));
        fitting.max_by_key(|(_, stored)| (stored.policy.date, stored.times.answered)).map(|(at, _)| at)
    };
    let speaks = |stored: &Stored| stored.selection.speaks(&stored.head.fields, &request.fields);
    latest(&|stored| stored.selection.matches(&request.fields))
        .or_else(|| if knobs.languages { latest(&speaks) } else { None })
}

#[cfg(test)]
mod tests;
