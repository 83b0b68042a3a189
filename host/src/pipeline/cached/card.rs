//! A stored response's head as bytes, as shelves keep it beside the content, and back.
//!
//! Lengths go before what they are of; numbers have their highest byte first. What was written by another version is not
//! read. Whatever comes from a disk may be anything: it is a response, or nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::cache::fresh::Times;
use crate::cache::partial::Held;
use crate::cache::vary::Selection;
use crate::cache::{Knobs, Stored};
use crate::message::ranges::Range;
use crate::message::{Fields, Name, ResponseHead, Status, Value, Version};

/// How it is written; another way gets another number.
const VERSION: u8 = 2;

/// Pieces and fields are few; a broken file must not make anybody reserve gigabytes.
const MOST: u32 = 10_000;

/// The head. What is held is written where it is not the whole content.
pub(super) fn write(stored: &Stored) -> Bytes {
    let mut out = vec![VERSION];
    out.extend_from_slice(&stored.head.status.as_u16().to_be_bytes());
    out.extend_from_slice(&nanos(stored.times.asked).to_be_bytes());
    out.extend_from_slice(&nanos(stored.times.answered).to_be_bytes());
    out.push(stored.version.map_or(0, number));
    text(&mut out, stored.origin.as_bytes());
    out.extend_from_slice(&selection(&stored.selection));
    let held = if stored.head.status == Status::PARTIAL_CONTENT { stored.held.ranges() } else { &[] };
    count(&mut out, held.len());
    if !held.is_empty() {
        out.extend_from_slice(&stored.held.complete().to_be_bytes());
        out.push(u8::from(stored.held.is_exact()));
    }
    for range in held {
        out.extend_from_slice(&range.first.to_be_bytes());
        out.extend_from_slice(&range.last.to_be_bytes());
    }
    count(&mut out, stored.head.fields.len());
    for (name, value) in stored.head.fields.iter() {
        text(&mut out, name.as_str().as_bytes());
        text(&mut out, value.as_bytes());
    }
    out.into()
}

/// What tells responses of one key apart.
pub(super) fn selection(selection: &Selection) -> Vec<u8> {
    let mut out = Vec::new();
    count(&mut out, selection.iter().count());
    for (name, value) in selection.iter() {
        text(&mut out, name.as_str().as_bytes());
        out.push(u8::from(value.is_some()));
        text(&mut out, value.unwrap_or_default());
    }
    out
}

/// A head that belongs to a content of this length; `None` for a content that is still to come.
pub(super) fn read(bytes: &Bytes, length: Option<u64>, knobs: &Knobs) -> Option<Stored> {
    let mut reader = Reader(bytes);
    if reader.byte()? != VERSION {
        return None;
    }
    let status = Status::from_u16(reader.short()?).ok()?;
    let times = Times { asked: time(reader.long()?)?, answered: time(reader.long()?)? };
    let version = version(reader.byte()?);
    let origin = str::from_utf8(reader.text()?).ok()?.into();
    let selection = reader.selection()?;
    let held = reader.held()?;
    let mut head = ResponseHead::of(status);
    head.fields = reader.fields(bytes)?;
    let mut stored = Stored { version, ..Stored::of(head, times, selection, origin, knobs) };
    match (held, length) {
        (Some(held), _) => stored.held = held,
        (None, Some(length)) => stored.finish(length).ok()?,
        (None, None) => {}
    }
    Some(stored)
}

/// Versions by their numbers; zero is none.
const VERSIONS: [(u8, Version); 4] =
    [(1, Version::HTTP_10), (2, Version::HTTP_11), (3, Version::HTTP_2), (4, Version::HTTP_3)];

fn number(version: Version) -> u8 {
    VERSIONS.iter().find(|(_, known)| *known == version).map_or(0, |(number, _)| *number)
}

fn version(number: u8) -> Option<Version> {
    VERSIONS.iter().find(|(known, _)| *known == number).map(|(_, version)| *version)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    fn count(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.count()?).ok()?;
        self.take(length)
    }

    fn name(&mut self) -> Option<Name> {
        Name::from_bytes(self.text()?).ok()
    }

    fn few(&mut self) -> Option<u32> {
        self.count().filter(|count| *count <= MOST)
    }

    fn selection(&mut self) -> Option<Selection> {
        let mut parts = Vec::new();
        for _ in 0..self.few()? {
            let (name, is_there, value) = (self.name()?, self.byte()? == 1, self.text()?);
            parts.push((name, is_there.then(|| value.into())));
        }
        Some(Selection::read(parts))
    }

    #[allow(clippy::option_option, reason = "nothing written and nothing readable are two things")]
    fn held(&mut self) -> Option<Option<Held>> {
        let count = self.few()?;
        if count == 0 {
            return Some(None);
        }
        let (complete, is_exact) = (self.long()?, self.byte()? == 1);
        let mut ranges = Vec::new();
        for _ in 0..count {
            ranges.push(Range { first: self.long()?, last: self.long()? });
        }
        Some(Some(Held::read(ranges, complete, is_exact)?))
    }

    /// Values are parts of the whole, and take no room of their own.
    fn fields(&mut self, whole: &Bytes) -> Option<Fields> {
        let mut fields = Fields::default();
        for _ in 0..self.few()? {
            let name = self.name()?;
            fields.append(name, Value::from_maybe_shared(whole.slice_ref(self.text()?)).ok()?);
        }
        Some(fields)
    }
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    count(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Heads are far below four gigabytes.
fn count(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn time(nanos: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::fields;

    fn stored(status: u16, lines: &[(&'static str, &'static str)]) -> Stored {
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let mut head = ResponseHead::of(Status::from_u16(status).unwrap());
        head.fields = fields(lines);
        let selection = Selection::of(&head.fields, &fields(&[("accept-encoding", "gzip")])).unwrap();
        let times = Times { asked: at, answered: at + Duration::from_secs(1) };
        Stored::of(head, times, selection, "http://a".into(), &Knobs::default())
    }

    #[test]
    fn what_is_written_is_read() {
        let knobs = Knobs::default();
        let lines = [
            ("cache-control", "max-age=60"),
            ("vary", "accept-encoding, x-none"),
            ("set-cookie", "a"),
            ("set-cookie", "b"),
        ];
        let mut whole = Stored { version: Some(Version::HTTP_2), ..stored(200, &lines) };
        whole.finish(5).unwrap();
        let read = read(&write(&whole), Some(5), &knobs).unwrap();
        assert_eq!((read.times, &read.selection, &read.held), (whole.times, &whole.selection, &whole.held));
        assert_eq!(read.version, whole.version);
        assert_eq!((&read.policy, &*read.origin, read.head.fields.len()), (&whole.policy, "http://a", 4));
    }

    #[test]
    fn parts_say_which_they_are() {
        let knobs = Knobs::default();
        let mut part = stored(206, &[("content-range", "bytes 2-4/10"), ("etag", "\"a\"")]);
        part.finish(3).unwrap();
        assert_eq!(read(&write(&part), Some(3), &knobs).unwrap().held, part.held);
        let two = Held::read(vec![Range { first: 0, last: 1 }, Range { first: 4, last: 5 }], 10, true).unwrap();
        part.held = two.clone();
        assert_eq!(read(&write(&part), Some(4), &knobs).unwrap().held, two);
    }

    #[test]
    fn what_is_broken_is_nothing() {
        let mut whole = stored(200, &[("content-length", "5"), ("etag", "\"a\"")]);
        whole.finish(5).unwrap();
        let bytes = write(&whole);
        for end in 0..bytes.len() {
            assert!(read(&bytes.slice(..end), Some(5), &Knobs::default()).is_none(), "{end}");
        }
        assert!(read(&bytes, Some(6), &Knobs::default()).is_none());
        assert!(read(&bytes, None, &Knobs::default()).is_some());
    }
}
