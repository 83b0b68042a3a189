//! A request's answer from a stored response: whole, parts of it, or 304 (RFC 9111, sections 4 and 4.3.2).

use std::time::SystemTime;

use http::header;

use super::stored::Stored;
use super::{RULED, SURROGATE_CONTROL};
use crate::message::conditional::{self, Outcome, Validators};
use crate::message::ranges::{self, Piece, Range, Ranges};
use crate::message::{Fields, Method, Name, RequestHead, ResponseHead, Status, Value, semantics};

/// The answer: its head, and its body in pieces, of which the ranges are the stored content's.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status and fields; `Age` is set.
    pub head: ResponseHead,
    /// In order; none to `HEAD`.
    pub pieces: Vec<Piece>,
}

/// Said to this cache and to nobody behind it.
const WEIR_CACHE_CONTROL: Name = Name::from_static("weir-cache-control");

/// The answer to a request that this response may be used for; `None` if it wants bytes that are not here. The boundary is
/// for several ranges (`ranges::answer`).
#[must_use]
pub fn reply(stored: &Stored, request: &RequestHead, now: SystemTime, boundary: u64) -> Option<Reply> {
    if is_unmodified(stored, request) {
        return Some(Reply { head: Outcome::NotModified.head(head(stored, now)), pieces: Vec::new() });
    }
    let ranges = wanted(stored, request);
    if !is_here(stored, &ranges) {
        return None;
    }
    let complete = stored.held.complete();
    let (head, pieces) = match ranges {
        Ranges::Whole => whole(head(stored, now), complete),
        Ranges::Some(_) | Ranges::Unsatisfiable => ranges::answer(&ranges, head(stored, now), complete, boundary),
    };
    let pieces = if request.method == Method::HEAD { Vec::new() } else { pieces };
    Some(Reply { head, pieces })
}

/// Whether `reply` has an answer.
#[must_use]
pub fn is_answered(stored: &Stored, request: &RequestHead) -> bool {
    stored.held.is_whole() || is_unmodified(stored, request) || is_here(stored, &wanted(stored, request))
}

/// Takes off what was said to this cache alone. For every response on its way to a client, stored or not.
pub fn hide(fields: &mut Fields) {
    fields.remove(WEIR_CACHE_CONTROL);
    fields.remove(SURROGATE_CONTROL);
    fields.remove(RULED);
}

/// Whether the client has what is stored. Only what would be a success is conditional (RFC 9110, section 13.2.1).
fn is_unmodified(stored: &Stored, request: &RequestHead) -> bool {
    let asks = request.fields.contains(header::IF_NONE_MATCH) || request.fields.contains(header::IF_MODIFIED_SINCE);
    if !asks || !stored.head.status.is_success() {
        return false;
    }
    // Without `Last-Modified`, `Date` is compared (RFC 9111, section 4.3.2).
    let modified = stored.validators.modified.or(Some(stored.policy.date));
    let validators = Validators { modified, ..stored.validators.clone() };
    conditional::evaluate_stored(&request.method, &request.fields, &validators) == Outcome::NotModified
}

/// Only what would be a 200 has ranges (RFC 9110, section 14.2).
fn wanted(stored: &Stored, request: &RequestHead) -> Ranges {
    match stored.head.status {
        Status::OK | Status::PARTIAL_CONTENT => {
            ranges::wanted(&request.method, &request.fields, &stored.validators, stored.held.complete())
        }
        _ => Ranges::Whole,
    }
}

fn is_here(stored: &Stored, ranges: &Ranges) -> bool {
    match ranges {
        Ranges::Whole => stored.held.is_whole(),
        Ranges::Some(ranges) => ranges.iter().all(|range| stored.held.has(*range)),
        Ranges::Unsatisfiable => true,
    }
}

/// Of a status without content nothing is said about its length (RFC 9110, section 8.6).
fn whole(mut head: ResponseHead, length: u64) -> (ResponseHead, Vec<Piece>) {
    if semantics::has_body(&Method::GET, head.status) {
        head.fields.set(header::CONTENT_LENGTH, Value::from(length));
    }
    let all = length.checked_sub(1).map(|last| Piece::Range(Range { first: 0, last }));
    (head, all.into_iter().collect())
}

/// The head of the whole: what is stored of a part is a 200 until it is cut again.
fn head(stored: &Stored, now: SystemTime) -> ResponseHead {
    let mut head = stored.head.clone();
    if head.status == Status::PARTIAL_CONTENT {
        head.status = Status::OK;
        head.fields.remove(header::CONTENT_RANGE);
    }
    hide(&mut head.fields);
    // Whole seconds (RFC 9111, section 5.1).
    head.fields.set(header::AGE, Value::from(stored.policy.age(now).as_secs()));
    head
}

#[cfg(test)]
mod tests;
