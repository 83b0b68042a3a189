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

/// Bytes of all tags that one question lists, and of one that can be asked about: many servers take 4 or 8 KiB of fields, of
/// which most are the client's.
const LONGEST_TAGS: usize = 2 << 10;

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

/// Makes a request for the origin conditional on a stored response (section 4.3.1), in place of the client's own conditions
/// and range. Without anything to ask with, `false`, and the request stays as the client made it.
pub fn ask(request: &mut Fields, stored: &Stored) -> bool {
    let tag = stored.validators.etag.clone().filter(is_tag);
    let modified =
        stored.head.fields.get(header::LAST_MODIFIED).filter(|_| stored.validators.modified.is_some()).cloned();
    if tag.is_none() && modified.is_none() {
        return false;
    }
    OF_CLIENT.iter().for_each(|name| {
        request.remove(name);
    });
    for (name, value) in [(header::IF_NONE_MATCH, tag), (header::IF_MODIFIED_SINCE, modified)] {
        if let Some(value) = value {
            request.set(name, value);
        }
    }
    true
}

/// The same on all variants of a key, those first that matter most, as far as there is room, when a request fits none: the
/// answer may be one of them all the same (section 4.1). Only tags tell variants apart. A client with a condition or a range of its own asks for itself.
pub fn ask_variants<T: Borrow<Stored>>(request: &mut Fields, variants: &[T]) -> bool {
    let (mut tags, mut room): (Vec<&[u8]>, usize) = (Vec::new(), LONGEST_TAGS);
    for tag in variants.iter().filter_map(|stored| stored.borrow().validators.etag.as_ref()).filter(|tag| is_tag(tag)) {
        // With what stands between two.
        let takes = tag.as_bytes().len() + 2;
        if tags.len() < MOST_TAGS && takes <= room && !tags.contains(&tag.as_bytes()) {
            tags.push(tag.as_bytes());
            room -= takes;
        }
    }
    if tags.is_empty() || OF_CLIENT.iter().any(|name| request.contains(name)) {
        return false;
    }
    let list = Value::from_bytes(&tags.join(&b", "[..])).expect("field values and commas make a field value");
    request.set(header::IF_NONE_MATCH, list);
    true
}

/// Whether a 304 to `ask` is about the response that was asked about (section 4.3.4). If not, the origin is to be asked
/// again without a condition.
#[must_use]
pub fn is_meant(stored: &Stored, answer: &ResponseHead) -> bool {
    match (answer.fields.get(header::ETAG), answer.fields.get(header::LAST_MODIFIED)) {
        (Some(tag), _) => is_same(stored, tag),
        (None, Some(modified)) => stored.head.fields.get(header::LAST_MODIFIED) == Some(modified),
        // One was asked about, and the condition on it was false: then it is meant, though the origin forgot to say so.
        (None, None) => true,
    }
}

/// Which variants a 304 to `ask_variants` is about (section 4.3.4): all with its tag if that is strong, the latest if it is
/// weak. Empty: none of them.
#[must_use]
pub fn meant<T: Borrow<Stored>>(variants: &[T], answer: &ResponseHead) -> Vec<usize> {
    let Some(tag) = answer.fields.get(header::ETAG) else { return Vec::new() };
    let same = variants.iter().map(Borrow::borrow).enumerate().filter(|(_, stored)| is_same(stored, tag));
    if is_weak(tag) {
        return same.max_by_key(|(_, stored)| stored.policy.date).map(|(at, _)| at).into_iter().collect();
    }
    same.map(|(at, _)| at).collect()
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
    // A variant that was found by its tag is still for those that it was for.
    let is_known = stored.selection.is_of(&head.fields);
    let selection =
        if is_known { Some(stored.selection.clone()) } else { Selection::of(&head.fields, &request.fields) };
    let refusal = match &selection {
        None => Some(Refusal::Vary),
        Some(_) => forbidden(request, &head, &directives, times, knobs),
    };
    let selection = selection.unwrap_or_default();
    let mut fresh = Stored::of(head, times, selection, stored.origin.clone(), knobs);
    (fresh.held, fresh.version) = (stored.held.clone(), stored.version);
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
    if text.len() > LONGEST_TAGS {
        return false;
    }
    let quoted = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let is_tagged = |byte: &u8| *byte == 0x21 || matches!(*byte, 0x23..=0x7e | 0x80..);
    match quoted {
        Some(inner) => inner.iter().all(is_tagged),
        None => !text.is_empty() && text.iter().all(|byte| is_tagged(byte) && *byte != b',' && *byte < 0x7f),
    }
}

/// A strong tag names what has the very same; a weak one all that is equivalent.
fn is_same(stored: &Stored, tag: &Value) -> bool {
    let known = stored.validators.etag.as_ref();
    known.is_some_and(|known| if is_weak(tag) { opaque(known) == opaque(tag) } else { known == tag })
}

fn is_weak(tag: &Value) -> bool {
    tag.as_bytes().starts_with(b"W/")
}

fn opaque(tag: &Value) -> &[u8] {
    tag.as_bytes().strip_prefix(b"W/").unwrap_or(tag.as_bytes())
}

#[cfg(test)]
mod tests;
