//! A request's answer from a stored response: whole, parts of it, or 304 (RFC 9111, sections 4 and 4.3.2).

use std::time::SystemTime;

use http::header;

use super::stored::Stored;
use super::{RULED, SURROGATE_CONTROL, spelled};
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
    reply_with(&ready(stored), stored, request, now, boundary)
}

/// The same with the head that `ready` made of it, to which more may have been added.
#[must_use]
pub fn reply_with(
    ready: &ResponseHead,
    stored: &Stored,
    request: &RequestHead,
    now: SystemTime,
    boundary: u64,
) -> Option<Reply> {
    let mut head = ready.clone();
    // Whole seconds (RFC 9111, section 5.1).
    head.fields.set(header::AGE, spelled::age(stored.policy.age(now).as_secs()));
    let is_plain = is_plain(&request.fields);
    if !is_plain && is_unmodified(stored, request) {
        return Some(Reply { head: Outcome::NotModified.head(head), pieces: Vec::new() });
    }
    let ranges = if is_plain { Ranges::Whole } else { wanted(stored, request) };
    if !is_here(stored, &ranges) {
        return None;
    }
    let complete = stored.held.complete();
    let (head, pieces) = match ranges {
        Ranges::Whole => (head, whole(complete)),
        Ranges::Some(_) | Ranges::Unsatisfiable => ranges::answer(&ranges, head, complete, boundary),
    };
    let pieces = if request.method == Method::HEAD { Vec::new() } else { pieces };
    Some(Reply { head, pieces })
}

/// The head of the whole but for its age: what is the same for everybody who gets it. What is stored of a part is a 200 until
/// it is cut again.
#[must_use]
pub fn ready(stored: &Stored) -> ResponseHead {
    let mut head = stored.head.clone();
    if head.status == Status::PARTIAL_CONTENT {
        head.status = Status::OK;
        head.fields.remove(header::CONTENT_RANGE);
    }
    hide(&mut head.fields);
    // Of a status without content nothing is said about its length (RFC 9110, section 8.6).
    if semantics::has_body(&Method::GET, head.status) {
        head.fields.set(header::CONTENT_LENGTH, Value::from(stored.held.complete()));
    }
    head.fields.set(header::AGE, Value::from_static("0"));
    head
}

/// Whether a request says nothing that a cache heeds: no directives, no conditions, no ranges. One look over its names.
#[must_use]
pub fn is_plain(fields: &Fields) -> bool {
    fields.names().all(|name| {
        let length = name.as_str().len();
        length >= u32::BITS as usize || HEEDED_LENGTHS & (1 << length) == 0 || !HEEDED.contains(name)
    })
}

/// What `is_plain` looks for.
const HEEDED: [Name; 8] = [
    header::CACHE_CONTROL,
    header::PRAGMA,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::RANGE,
    header::IF_RANGE,
];

/// Lengths of those names, as bits: most names are told apart by this alone.
const HEEDED_LENGTHS: u32 = 1 << 13 | 1 << 6 | 1 << 8 | 1 << 17 | 1 << 19 | 1 << 5;

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
#[must_use]
pub fn is_unmodified(stored: &Stored, request: &RequestHead) -> bool {
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

fn whole(length: u64) -> Vec<Piece> {
    length.checked_sub(1).map(|last| Piece::Range(Range { first: 0, last })).into_iter().collect()
}

#[cfg(test)]
mod tests;
