//! A request's answer from a stored response: whole, a part, or 304 (RFC 9111, sections 4 and 4.3.2).

use std::time::SystemTime;

use http::header;

use super::SURROGATE_CONTROL;
use super::partial::ContentRange;
use super::stored::Stored;
use crate::message::conditional::{self, Outcome, Validators};
use crate::message::ranges::{self, Range, Ranges};
use crate::message::{Fields, Method, Name, RequestHead, ResponseHead, Status, Value, semantics};

/// The answer. To `HEAD` only its head is sent.
#[derive(Debug, Clone)]
pub enum Reply {
    /// With all of the content.
    Whole(ResponseHead),
    /// 206 with one range of it.
    Part(ResponseHead, Range),
    /// 206 with several; `Content-Type` and the borders between are for who writes the multipart.
    Parts(ResponseHead, Vec<Range>),
    /// 304 or 416, without content.
    Empty(ResponseHead),
}

/// Said to this cache and to nobody behind it.
const WEIR_CACHE_CONTROL: Name = Name::from_static("weir-cache-control");

/// Fields of a 200 that describe content, and that a 304 does without (RFC 9110, section 15.4.5).
const OF_CONTENT: [Name; 5] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_RANGE,
];

/// The answer to a request that this response may be used for; `None` if it wants bytes that are not here.
#[must_use]
pub fn reply(stored: &Stored, request: &RequestHead, now: SystemTime) -> Option<Reply> {
    if is_unmodified(stored, request) {
        return Some(Reply::Empty(unmodified(stored, now)));
    }
    let is_sliced = matches!(stored.head.status, Status::OK | Status::PARTIAL_CONTENT);
    if is_sliced && request.method == Method::GET && request.fields.contains(header::RANGE) {
        return ranged(stored, request, now);
    }
    stored.held.is_whole().then(|| whole(stored, request, now))
}

/// Takes off what was said to this cache alone. For every response on its way to a client, stored or not.
pub fn hide(fields: &mut Fields) {
    fields.remove(WEIR_CACHE_CONTROL);
    fields.remove(SURROGATE_CONTROL);
}

/// `Age` in whole seconds (RFC 9111, section 5.1).
pub fn set_age(fields: &mut Fields, stored: &Stored, now: SystemTime) {
    fields.set(header::AGE, Value::from(stored.policy.age(now).as_secs()));
}

/// Whether the client has what is stored. Only what would be a success is conditional (RFC 9110, section 13.2.1).
fn is_unmodified(stored: &Stored, request: &RequestHead) -> bool {
    let asks = request.fields.contains(header::IF_NONE_MATCH) || request.fields.contains(header::IF_MODIFIED_SINCE);
    if !asks || !stored.head.status.is_success() {
        return false;
    }
    // Without `Last-Modified`, `Date` is compared (RFC 9111, section 4.3.2).
    let modified = stored.validators.modified.or(Some(stored.policy.date));
    let validators = Validators { etag: stored.validators.etag.clone(), modified };
    conditional::evaluate(&request.method, &request.fields, &validators) == Outcome::NotModified
}

fn unmodified(stored: &Stored, now: SystemTime) -> ResponseHead {
    let mut head = head(stored, Status::NOT_MODIFIED, now);
    OF_CONTENT.iter().for_each(|name| {
        head.fields.remove(name);
    });
    if stored.validators.etag.is_some() {
        head.fields.remove(header::LAST_MODIFIED);
    }
    head
}

fn whole(stored: &Stored, request: &RequestHead, now: SystemTime) -> Reply {
    let status = if stored.head.status == Status::PARTIAL_CONTENT { Status::OK } else { stored.head.status };
    let mut head = head(stored, status, now);
    head.fields.remove(header::CONTENT_RANGE);
    if request.method == Method::HEAD && semantics::has_body(&Method::GET, status) {
        head.fields.set(header::CONTENT_LENGTH, Value::from(stored.held.complete()));
    }
    Reply::Whole(head)
}

/// RFC 9110, section 14.2; of a part that is stored, what of it is here (RFC 9111, section 3.3).
fn ranged(stored: &Stored, request: &RequestHead, now: SystemTime) -> Option<Reply> {
    let complete = stored.held.complete();
    let ranges = match ranges::wanted(&request.method, &request.fields, &stored.validators, complete) {
        Ranges::Whole => return stored.held.is_whole().then(|| whole(stored, request, now)),
        Ranges::Unsatisfiable => return Some(Reply::Empty(unsatisfiable(stored, now))),
        Ranges::Some(ranges) => ranges,
    };
    if !ranges.iter().all(|range| stored.held.has(*range)) {
        return None;
    }
    let mut head = head(stored, Status::PARTIAL_CONTENT, now);
    head.fields.remove(header::CONTENT_RANGE);
    head.fields.remove(header::CONTENT_LENGTH);
    if let [range] = ranges.as_slice() {
        head.fields.set(header::CONTENT_RANGE, ContentRange { range: *range, complete }.value());
        head.fields.set(header::CONTENT_LENGTH, Value::from(range.last - range.first + 1));
        return Some(Reply::Part(head, *range));
    }
    Some(Reply::Parts(head, ranges))
}

fn unsatisfiable(stored: &Stored, now: SystemTime) -> ResponseHead {
    let mut head = head(stored, Status::RANGE_NOT_SATISFIABLE, now);
    OF_CONTENT.iter().for_each(|name| {
        head.fields.remove(name);
    });
    let range = Value::from_str(&format!("bytes */{}", stored.held.complete()));
    head.fields.set(header::CONTENT_RANGE, range.expect("numbers are visible ASCII"));
    head
}

fn head(stored: &Stored, status: Status, now: SystemTime) -> ResponseHead {
    let mut head = ResponseHead { status, fields: stored.head.fields.clone() };
    hide(&mut head.fields);
    set_age(&mut head.fields, stored, now);
    head
}

#[cfg(test)]
mod tests;
