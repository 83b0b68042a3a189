//! Conditional requests (RFC 9110, section 13): whether what a client has is what there is, and the heads that say so. Pure.
//!
//! What is malformed never matches and never counts as a date: of two mistakes, sending again is the one that hurts nobody.
//! Knows nothing of where the thing comes from: files and stored answers alike say what they are by their validators.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Fields, Method, Name, ResponseHead, Status, Value, name};

/// What tells one version of a thing from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`, weak ones with their `W/`.
    pub etag: Option<Value>,
    /// `Last-Modified`; whole seconds count.
    pub modified: Option<SystemTime>,
    /// The second of that date was over when the thing was looked at, so that no later version has the same: this makes the
    /// date a strong validator (RFC 9110, section 8.8.2.2).
    pub settled: bool,
}

/// What the preconditions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The method is performed.
    Perform,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Evaluates them in the order of RFC 9110, section 13.2.2, for something that exists and would be answered with success;
/// as its origin does.
#[must_use]
pub fn evaluate(method: &Method, fields: &Fields, validators: &Validators) -> Outcome {
    if selects_nothing(method) {
        return Outcome::Perform;
    }
    let holds = match if_match(fields, validators) {
        Some(matches) => matches,
        None => unmodified(fields, name::IF_UNMODIFIED_SINCE, validators).unwrap_or(true),
    };
    if holds { evaluate_stored(method, fields, validators) } else { Outcome::Failed }
}

/// Evaluates those that a cache may decide by what it has stored; `If-Match` and `If-Unmodified-Since` are the origin's
/// affair (RFC 9111, section 4.3.2).
#[must_use]
pub fn evaluate_stored(method: &Method, fields: &Fields, validators: &Validators) -> Outcome {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let known = match if_none_match(fields, validators) {
        Some(none) => !none,
        None => reads && unmodified(fields, name::IF_MODIFIED_SINCE, validators).unwrap_or(false),
    };
    match known && !selects_nothing(method) {
        false => Outcome::Perform,
        true if reads => Outcome::NotModified,
        true => Outcome::Failed,
    }
}

impl Validators {
    /// Those of something that was modified then and is looked at now. Nothing is modified in the future (RFC 9110,
    /// section 8.8.2.1).
    #[must_use]
    pub fn of(etag: Option<Value>, modified: Option<SystemTime>, now: SystemTime) -> Self {
        let modified = modified.map(|modified| modified.min(now));
        Self { etag, modified, settled: modified.is_some_and(|modified| settled(modified, now)) }
    }

    /// Those that an answer states.
    #[must_use]
    pub fn stated(fields: &Fields) -> Self {
        let modified = date(fields, name::LAST_MODIFIED);
        let settled = modified.zip(date(fields, name::DATE)).is_some_and(|(modified, sent)| settled(modified, sent));
        Self { etag: fields.get(name::ETAG).cloned(), modified, settled }
    }

    /// `Last-Modified`. A time that HTTP cannot write (before 1970, after 9999) is none.
    #[must_use]
    pub fn last_modified(&self) -> Option<Value> {
        let known = UNIX_EPOCH + Duration::from_secs(seconds(self.modified?)?);
        Value::from_maybe_shared(httpdate::fmt_http_date(known)).ok()
    }

    /// Whether an `If-Range` lets ranges be sent; `None` without one. Only what is byte for byte the same will do: a strong
    /// tag, or the very date (RFC 9110, section 13.1.5).
    pub(super) fn allow_ranges(&self, fields: &Fields) -> Option<bool> {
        let value = fields.get(name::IF_RANGE)?;
        if fields.lines(name::IF_RANGE).nth(1).is_some() {
            return Some(false);
        }
        let tag = Tag::of(value.as_bytes().trim_ascii());
        let same_tag = tag.zip(self.tag()).is_some_and(|(theirs, ours)| theirs.quoted && theirs.is(ours));
        let dates = date(fields, name::IF_RANGE).and_then(seconds).zip(self.modified.and_then(seconds));
        Some(same_tag || (self.settled && dates.is_some_and(|(theirs, ours)| theirs == ours)))
    }

    fn tag(&self) -> Option<Tag<'_>> {
        Tag::of(self.etag.as_ref()?.as_bytes())
    }
}

impl Outcome {
    /// The head that says so, made of that of the answer which the request would have got.
    #[must_use]
    pub fn head(self, whole: ResponseHead) -> ResponseHead {
        match self {
            Self::Perform => whole,
            Self::NotModified => not_modified(whole),
            Self::Failed => refused(whole, Status::PRECONDITION_FAILED),
        }
    }
}

/// An answer's head without what it says of a representation that does not come with it, nor how long it may be kept:
/// what remains is about the connection of two parties (cookies, policies).
pub(super) fn refused(mut whole: ResponseHead, status: Status) -> ResponseHead {
    remove(&mut whole.fields, |name| is_metadata(name) || is_kept_by_not_modified(name));
    whole.fields.set(name::CONTENT_LENGTH, Value::from_static("0"));
    ResponseHead { status, ..whole }
}

/// RFC 9110, section 15.4.5: what a cache needs to find and to keep what it has; `Last-Modified` where there is no `ETag`.
fn not_modified(mut whole: ResponseHead) -> ResponseHead {
    let tagged = whole.fields.contains(name::ETAG);
    remove(&mut whole.fields, |name| is_metadata(name) || (tagged && *name == name::LAST_MODIFIED));
    ResponseHead { status: Status::NOT_MODIFIED, ..whole }
}

fn remove(fields: &mut Fields, which: impl Fn(&Name) -> bool) {
    let gone: Vec<Name> = fields.names().filter(|name| which(name)).cloned().collect();
    for name in gone {
        fields.remove(name);
    }
}

/// What describes a content that a 304 does not have.
fn is_metadata(name: &Name) -> bool {
    matches!(
        name.as_str(),
        "accept-ranges"
            | "content-digest"
            | "content-disposition"
            | "content-encoding"
            | "content-language"
            | "content-length"
            | "content-md5"
            | "content-range"
            | "content-type"
            | "digest"
            | "repr-digest"
            | "trailer"
            | "transfer-encoding"
    )
}

/// What describes the version that a 304 speaks of; `Date` and `Vary` are true of every answer.
fn is_kept_by_not_modified(name: &Name) -> bool {
    matches!(name.as_str(), "age" | "cache-control" | "content-location" | "etag" | "expires" | "last-modified")
}

/// Methods that preconditions say nothing about (RFC 9110, section 13.2.1).
fn selects_nothing(method: &Method) -> bool {
    matches!(*method, Method::CONNECT | Method::OPTIONS | Method::TRACE)
}

/// Whether `If-Match` holds, if there is one (RFC 9110, section 13.1.1).
fn if_match(fields: &Fields, validators: &Validators) -> Option<bool> {
    let ours = validators.tag();
    any_tag(fields, name::IF_MATCH, |theirs| ours.is_some_and(|ours| theirs.is(ours)))
}

/// Whether `If-None-Match` holds, if there is one (RFC 9110, section 13.1.2).
fn if_none_match(fields: &Fields, validators: &Validators) -> Option<bool> {
    let ours = validators.tag();
    any_tag(fields, name::IF_NONE_MATCH, |theirs| ours.is_some_and(|ours| theirs.opaque == ours.opaque)).map(|any| !any)
}

/// Whether nothing was modified since the field's date; `None` where there is no date to compare, on either side
/// (RFC 9110, sections 13.1.3 and 13.1.4).
fn unmodified(fields: &Fields, name: Name, validators: &Validators) -> Option<bool> {
    let modified = seconds(validators.modified?)?;
    Some(modified <= seconds(date(fields, name)?)?)
}

/// Whether a field of tags has one that will do, or `*` alone, which means whatever there is; `None` without the field.
fn any_tag(fields: &Fields, name: Name, will_do: impl Fn(Tag<'_>) -> bool) -> Option<bool> {
    let mut lines = fields.lines(&name).map(Value::as_bytes).peekable();
    lines.peek()?;
    let any = |line: &[u8]| members(line).filter_map(Tag::of).any(&will_do);
    let everything = fields.lines(&name).nth(1).is_none() && fields.get(&name).is_some_and(is_everything);
    Some(everything || lines.any(any))
}

fn is_everything(value: &Value) -> bool {
    value.as_bytes().trim_ascii() == b"*"
}

/// The date of a field of one line, in any of the three forms (RFC 9110, section 5.6.7).
fn date(fields: &Fields, name: Name) -> Option<SystemTime> {
    let mut lines = fields.lines(name);
    let (line, more) = (lines.next()?, lines.next());
    if more.is_some() {
        return None;
    }
    httpdate::parse_http_date(line.to_str().ok()?).ok()
}

/// Whole seconds since 1970, as far as HTTP can write them.
fn seconds(time: SystemTime) -> Option<u64> {
    // The first second of the year 10000, for which the date has no room.
    const END: u64 = 253_402_300_800;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()).filter(|&seconds| seconds < END)
}

fn settled(modified: SystemTime, now: SystemTime) -> bool {
    seconds(modified).zip(seconds(now)).is_some_and(|(modified, now)| now > modified)
}

/// An entity tag (RFC 9110, section 8.8.3). Some origins write theirs without quotes; those are compared as they stand.
#[derive(Debug, Clone, Copy)]
struct Tag<'a> {
    weak: bool,
    quoted: bool,
    opaque: &'a [u8],
}

impl<'a> Tag<'a> {
    fn of(text: &'a [u8]) -> Option<Self> {
        let (weak, opaque) = text.strip_prefix(b"W/").map_or((false, text), |opaque| (true, opaque));
        let inner = opaque.strip_prefix(b"\"").map(|rest| rest.strip_suffix(b"\""));
        let (quoted, inner) = match inner {
            Some(inner) => (true, inner?),
            None => (false, opaque),
        };
        (!opaque.is_empty() && !inner.contains(&b'"')).then_some(Self { weak, quoted, opaque })
    }

    /// The strong comparison (RFC 9110, section 8.8.3.2).
    fn is(self, other: Tag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }
}

/// What stands between commas that are not in quotes. Tags know no escapes.
fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let between = line.split(move |&byte| {
        quoted ^= byte == b'"';
        byte == b',' && !quoted
    });
    between.map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests;
