//! Parts of contents: 206 and ranges, stored, answered from and put together (RFC 9111, sections 3.3 and 3.4; RFC 9110,
//! sections 14 and 15.3.7).
//!
//! Whole numbers only: which bytes there are, which are wanted, which to ask for. The bytes themselves are a store's.

use http::header;

use super::Knobs;
use super::stored::Stored;
use crate::message::ranges::Range;
use crate::message::{Fields, Status, Value};

/// `Content-Range: bytes first-last/complete`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// Which bytes.
    pub range: Range,
    /// Of how many.
    pub complete: u64,
}

/// The bytes of a content that are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// In order, without touching each other.
    ranges: Vec<Range>,
    /// How many the whole content has.
    complete: u64,
    /// Whether each came with the number of bytes that its `Content-Range` announced.
    is_exact: bool,
}

/// What to ask the origin for, to have the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// `Range`
    pub range: Value,
    /// `If-Range`
    pub validator: Value,
}

/// Pieces that one content may be stored in; more are not worth their bookkeeping.
const MOST_PIECES: usize = 16;

impl ContentRange {
    /// Of a 206. `None` where a part cannot be stored: several parts (`multipart/byteranges`), an unknown complete length,
    /// another unit, numbers that contradict each other.
    #[must_use]
    pub fn of(fields: &Fields) -> Option<Self> {
        let mut lines = fields.lines(header::CONTENT_RANGE);
        let line = lines.next().filter(|_| lines.next().is_none())?;
        let text = line.to_str().ok()?.trim();
        let (unit, rest) = text.split_once(' ')?;
        let (range, complete) = rest.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last, complete) = (number(first)?, number(last)?, number(complete)?);
        let is_valid = unit.eq_ignore_ascii_case("bytes") && first <= last && last < complete;
        is_valid.then_some(Self { range: Range { first, last }, complete })
    }

    /// As a field value.
    #[must_use]
    pub fn value(self) -> Value {
        let text = format!("bytes {}-{}/{}", self.range.first, self.range.last, self.complete);
        Value::from_str(&text).expect("numbers are visible ASCII")
    }
}

impl Held {
    /// Not yet anything.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { ranges: Vec::new(), complete: u64::MAX, is_exact: true }
    }

    /// All of so many bytes.
    #[must_use]
    pub fn whole(length: u64) -> Self {
        let ranges = length.checked_sub(1).map(|last| Range { first: 0, last }).into_iter().collect();
        Self { ranges, complete: length, is_exact: true }
    }

    /// The part that a 206 with a content of this length brought.
    ///
    /// An origin that announces a range to the very end and completes its content with another length has miscounted: the
    /// bytes begin where it said and are the last ones. That is kept for answers, and never put together with another.
    /// Any other contradiction is refused.
    #[must_use]
    pub fn part(fields: &Fields, length: u64) -> Option<Self> {
        let ContentRange { range, complete } = ContentRange::of(fields)?;
        let last = range.first.checked_add(length.checked_sub(1)?)?;
        if last == range.last {
            return Some(Self { ranges: vec![range], complete, is_exact: true });
        }
        // From the first byte on it would pass for the whole, which it is not (section 3.3).
        let runs_to_end = range.first > 0 && range.last + 1 == complete;
        let range = Range { first: range.first, last };
        runs_to_end.then(|| Self { ranges: vec![range], complete: last.saturating_add(1), is_exact: false })
    }

    /// Pieces that came from a disk; `None` if they are not in order.
    #[must_use]
    pub fn read(ranges: Vec<Range>, complete: u64, is_exact: bool) -> Option<Self> {
        let in_order = ranges.windows(2).all(|two| matches!(two, [one, next] if one.last < next.first));
        let in_bounds = ranges.iter().all(|range| range.first <= range.last && range.last < complete);
        (in_order && in_bounds).then_some(Self { ranges, complete, is_exact })
    }

    /// The pieces.
    #[must_use]
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// How many bytes the whole content has.
    #[must_use]
    pub const fn complete(&self) -> u64 {
        self.complete
    }

    /// Whether the lengths that were announced were true.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// Whether everything is here.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.complete == 0 || self.ranges.first().is_some_and(|one| one.first == 0 && one.last + 1 == self.complete)
    }

    /// Whether all of a range is here.
    #[must_use]
    pub fn has(&self, range: Range) -> bool {
        self.ranges.iter().any(|held| held.first <= range.first && range.last <= held.last)
    }

    /// Both together; `None` if they are not of one content or there would be too many pieces.
    #[must_use]
    pub fn with(&self, other: &Self) -> Option<Self> {
        if self.complete != other.complete || !self.is_exact || !other.is_exact {
            return None;
        }
        let mut all: Vec<Range> = self.ranges.iter().chain(&other.ranges).copied().collect();
        all.sort_by_key(|range| range.first);
        let mut ranges: Vec<Range> = Vec::with_capacity(all.len());
        for range in all {
            match ranges.last_mut().filter(|known| range.first <= known.last.saturating_add(1)) {
                Some(known) => known.last = known.last.max(range.last),
                None => ranges.push(range),
            }
        }
        (ranges.len() <= MOST_PIECES).then_some(Self { ranges, complete: self.complete, is_exact: true })
    }

    /// The one range that is missing to the whole, if it is one.
    #[must_use]
    pub fn gap(&self) -> Option<Range> {
        let last = self.complete.checked_sub(1)?;
        match self.ranges.as_slice() {
            [one] if one.first == 0 && one.last < last => Some(Range { first: one.last + 1, last }),
            [one] if one.first > 0 && one.last == last => Some(Range { first: 0, last: one.first - 1 }),
            [one, two] if one.first == 0 && two.last == last => {
                Some(Range { first: one.last + 1, last: two.first - 1 })
            }
            _ => None,
        }
    }
}

/// What to ask for when a request wants more than is held. Without a strong validator nothing may be put together
/// (section 3.4), so that nothing but the whole is worth asking for.
#[must_use]
pub fn rest(stored: &Stored) -> Option<Rest> {
    let gap = stored.held.gap().filter(|_| stored.held.is_exact())?;
    let to_end = gap.last + 1 == stored.held.complete();
    let text = if to_end { format!("bytes={}-", gap.first) } else { format!("bytes={}-{}", gap.first, gap.last) };
    let range = Value::from_str(&text).ok()?;
    Some(Rest { range, validator: strong(stored)? })
}

/// A stored response and a part that has just come, as one; `None` if they are not known to be of one content. The new
/// part's fields count where both have them (section 3.4), and what is whole is a 200.
#[must_use]
pub fn combine(stored: &Stored, part: &Stored, knobs: &Knobs) -> Option<Stored> {
    let mine = strong(stored)?;
    let is_same = stored.selection == part.selection && strong(part).is_some_and(|other| other == mine);
    let is_partial = part.head.status == Status::PARTIAL_CONTENT;
    let held = if is_same && is_partial { stored.held.with(&part.held)? } else { return None };
    let mut head = part.head.clone();
    for name in stored.head.fields.names() {
        if !head.fields.contains(name) && *name != header::AGE {
            stored.head.fields.lines(name).for_each(|line| head.fields.append(name.clone(), line.clone()));
        }
    }
    head.fields.remove(header::CONTENT_RANGE);
    head.fields.remove(header::CONTENT_LENGTH);
    if held.is_whole() {
        head.status = Status::OK;
        head.fields.set(header::CONTENT_LENGTH, Value::from(held.complete()));
    }
    let mut both = Stored::of(head, part.times, part.selection.clone(), part.origin.clone(), knobs);
    both.version = part.version.or(stored.version);
    both.held = held;
    Some(both)
}

/// A validator that says "byte for byte": an `ETag` that is not weak, else a `Last-Modified` whose second was over when the
/// response was sent (RFC 9110, section 8.8.2.2).
#[must_use]
pub fn strong(stored: &Stored) -> Option<Value> {
    if let Some(etag) = &stored.validators.etag {
        return etag.as_bytes().starts_with(b"\"").then(|| etag.clone());
    }
    stored.validators.settled.then(|| stored.head.fields.get(header::LAST_MODIFIED).cloned()).flatten()
}

fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
