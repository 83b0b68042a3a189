//! Asking the origin whether what is stored still holds, and what its answer changes (RFC 9111, sections 3.2 and 4.3).

use std::borrow::Borrow;

use http::header;

use super::fresh::Times;
use super::storable::{Refusal, forbidden};
use super::stored::{Stored, ready};
use super::vary::Selection;
use super::{Directives, Knobs};
use crate::message::{Fields, Name, RequestHead, ResponseHead, Status, Value};

/// What an answer does to a stored response.
#[derive(Debug, Clone)]
pub struct Freshened {
    /// The response as it is now: to be sent, and stored again.
    pub stored: Stored,
    /// Why it must leave the store all the same once it is sent.
    pub refusal: Option<Refusal>,
}

/// What is in a `HEAD` answer for a stored response (section 4.3.5).
#[derive(Debug, Clone)]
pub enum Seen {
    /// The stored response is freshened. Boxed, for the other is nothing.
    Update(Box<Freshened>),
    /// It is of another version: from now on it must be validated (`Stored::invalidate`).
    Outdated,
}

/// Entity tags that one question lists; each is a stored variant.
const MOST_TAGS: usize = 16;

/// What describes the bytes that are stored, and is true of them whatever a later head says (section 3.2): filters may have
/// made another content of what the origin sent.
const OF_BYTES: [Name; 4] =
    [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_TYPE, header::CONTENT_RANGE];

/// Preconditions of a client, and its range: the cache asks for itself.
const OF_CLIENT: [Name; 6] = [
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_MATCH,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
];

/// Makes a request for the origin conditional on these stored responses (section 4.3.1): one, or all variants of a key when
/// none fits. Whether there was anything to ask with; if not, the request asks for the whole.
pub fn ask<T: Borrow<Stored>>(request: &mut Fields, candidates: &[T]) -> bool {
    OF_CLIENT.iter().for_each(|name| {
        request.remove(name);
    });
    let mut tags: Vec<&Value> = Vec::new();
    for tag in candidates.iter().filter_map(|stored| stored.borrow().validators.etag.as_ref()).filter(|tag| is_tag(tag))
    {
        if tags.len() < MOST_TAGS && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    let list = tags.iter().map(|tag| tag.as_bytes()).collect::<Vec<_>>().join(&b", "[..]);
    if let Some(list) = Value::from_bytes(&list).ok().filter(|list| !list.is_empty()) {
        request.set(header::IF_NONE_MATCH, list);
    }
    if let [stored] = candidates {
        let stored = stored.borrow();
        let modified = stored.head.fields.get(header::LAST_MODIFIED).filter(|_| stored.validators.modified.is_some());
        if let Some(modified) = modified {
            request.set(header::IF_MODIFIED_SINCE, modified.clone());
        }
    }
    request.contains(header::IF_NONE_MATCH) || request.contains(header::IF_MODIFIED_SINCE)
}

/// Which of the stored responses that were asked about a 304 is about (section 4.3.4). Empty: none of them, and the origin
/// is to be asked again without a condition.
#[must_use]
pub fn meant<T: Borrow<Stored>>(candidates: &[T], answer: &ResponseHead) -> Vec<usize> {
    let stored = || candidates.iter().map(Borrow::borrow).enumerate();
    let latest = |fits: &dyn Fn(&Stored) -> bool| {
        let found = stored().filter(|(_, stored)| fits(stored)).max_by_key(|(_, stored)| stored.policy.date);
        found.map(|(at, _)| at).into_iter().collect()
    };
    let tag = answer.fields.get(header::ETAG);
    let modified = answer.fields.get(header::LAST_MODIFIED);
    match (tag, modified) {
        (Some(tag), _) if !is_weak(tag) => {
            let same = stored().filter(|(_, stored)| stored.validators.etag.as_ref() == Some(tag));
            same.map(|(at, _)| at).collect()
        }
        (Some(tag), _) => {
            latest(&|stored| stored.validators.etag.as_ref().is_some_and(|etag| opaque(etag) == opaque(tag)))
        }
        (None, Some(modified)) => latest(&|stored| stored.head.fields.get(header::LAST_MODIFIED) == Some(modified)),
        // One was asked about, and the condition on it was false: then it is meant, though the origin forgot to say so.
        (None, None) if candidates.len() == 1 => vec![0],
        (None, None) => Vec::new(),
    }
}

/// The stored response with what a 304 says (sections 3.2 and 4.3.4). `request` is what the origin was asked.
#[must_use]
pub fn freshen(
    stored: &Stored,
    request: &RequestHead,
    answer: &ResponseHead,
    times: Times,
    knobs: &Knobs,
) -> Freshened {
    let said = Directives::of(&answer.fields, &knobs.targets, knobs.surrogate);
    let fields = ready(&answer.fields, &said, times, knobs);
    let mut head = stored.head.clone();
    // It was the old answer's; the new one has its own or none.
    head.fields.remove(header::AGE);
    for name in fields.names().filter(|name| !OF_BYTES.contains(name)) {
        head.fields.remove(name);
        fields.lines(name).for_each(|line| head.fields.append(name.clone(), line.clone()));
    }
    let directives = Directives::of(&head.fields, &knobs.targets, knobs.surrogate);
    let varies = answer.fields.contains(header::VARY);
    let selection = if varies { Selection::of(&head.fields, &request.fields) } else { Some(stored.selection.clone()) };
    let refusal = match &selection {
        None => Some(Refusal::Vary),
        Some(_) => forbidden(request, &head, &directives, knobs),
    };
    let selection = selection.unwrap_or_default();
    let mut fresh = Stored::of(head, times, selection, stored.origin.clone(), knobs);
    fresh.held = stored.held.clone();
    Freshened { stored: fresh, refusal }
}

/// What a 200 to a `HEAD` says about a stored response that could have answered it. `None` for any other status.
#[must_use]
pub fn see(stored: &Stored, request: &RequestHead, answer: &ResponseHead, times: Times, knobs: &Knobs) -> Option<Seen> {
    if answer.status != Status::OK || !matches!(stored.head.status, Status::OK | Status::PARTIAL_CONTENT) {
        return None;
    }
    let is_same = |name: &Name| {
        let said = answer.fields.get(name);
        said.is_none() || said == stored.head.fields.get(name)
    };
    let length = answer.fields.get(header::CONTENT_LENGTH);
    let is_as_long = length.is_none_or(|length| *length == Value::from(stored.held.complete()));
    if !is_as_long || !is_same(&header::ETAG) || !is_same(&header::LAST_MODIFIED) {
        return Some(Seen::Outdated);
    }
    Some(Seen::Update(Box::new(freshen(stored, request, answer, times, knobs))))
}

/// Whether a status is a failure that a stale response may stand in for (RFC 5861, section 4).
#[must_use]
pub fn is_failure(status: Status) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// Whether a stored tag can be asked about: one of RFC 9110, section 8.8.3, or the word that some origins write instead.
#[must_use]
pub(super) fn is_tag(value: &Value) -> bool {
    let text = opaque(value);
    let quoted = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let is_tagged = |byte: &u8| *byte == 0x21 || matches!(*byte, 0x23..=0x7e | 0x80..);
    match quoted {
        Some(inner) => inner.iter().all(is_tagged),
        None => !text.is_empty() && text.iter().all(|byte| is_tagged(byte) && *byte != b',' && *byte < 0x7f),
    }
}

fn is_weak(tag: &Value) -> bool {
    tag.as_bytes().starts_with(b"W/")
}

fn opaque(tag: &Value) -> &[u8] {
    tag.as_bytes().strip_prefix(b"W/").unwrap_or(tag.as_bytes())
}

#[cfg(test)]
mod tests;
