//! Range requests (RFC 9110, section 14): which bytes are wanted, and what an answer with them looks like. Pure.
//!
//! The answer comes as pieces in order, text and ranges, so that whoever has the bytes need not know how parts are framed.
//! A range that is not understood is no range: the whole is a right answer to every request.

use bytes::Bytes;

use super::conditional::{Validators, refused};
use super::{Fields, Method, ResponseHead, Status, Value, name};

/// Bytes of a representation: both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// All of it: no range was asked for, or none that counts.
    Whole,
    /// These, as asked; one is no multipart. Never empty, and together never more than all of it.
    Some(Vec<Range>),
    /// 416: nothing that was asked for is there.
    Unsatisfiable,
}

/// A piece of an answer's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// What frames parts.
    Text(Bytes),
    /// Bytes of the representation.
    Range(Range),
}

/// Ranges of one request, as many as Apache httpd lets there be. Each may cost a seek and a system call; what they overlap
/// is bounded by their sum (CVE-2011-3192).
const MOST: usize = 200;

/// Which ranges of something with so many bytes are to be sent, `If-Range` considered. Preconditions come before
/// (RFC 9110, section 13.2.2), and only what would be answered by 200 has ranges.
#[must_use]
pub fn wanted(method: &Method, fields: &Fields, validators: &Validators, length: u64) -> Ranges {
    // No other method has ranges (RFC 9110, section 14.2).
    if *method != Method::GET || !fields.contains(name::RANGE) || validators.allow_ranges(fields) == Some(false) {
        return Ranges::Whole;
    }
    let mut lines = fields.lines(name::RANGE);
    match (lines.next(), lines.next()) {
        (Some(line), None) => asked(line.as_bytes(), length).unwrap_or(Ranges::Whole),
        _ => Ranges::Whole,
    }
}

/// Where the range begins that is asked for, if that is one alone and not counted from the end.
#[must_use]
pub fn beginning(fields: &Fields) -> Option<u64> {
    let mut lines = fields.lines(name::RANGE);
    let line = lines.next().filter(|_| lines.next().is_none())?.as_bytes().trim_ascii();
    let (unit, spec) = line.split_at_checked(b"bytes=".len())?;
    match Spec::of(spec.trim_ascii()).filter(|_| unit.eq_ignore_ascii_case(b"bytes="))? {
        Spec::From(first, _) => Some(first),
        Spec::Suffix(_) => None,
    }
}

/// The answer with these ranges, made of the head of the whole: its head and its body. The boundary tells parts apart; any
/// number will do that is not known before and is no secret. To `HEAD`, the head goes alone.
#[must_use]
pub fn answer(ranges: &Ranges, whole: ResponseHead, length: u64, boundary: u64) -> (ResponseHead, Vec<Piece>) {
    match ranges {
        Ranges::Whole => {
            let all = length.checked_sub(1).map(|last| Piece::Range(Range { first: 0, last }));
            (sized(whole, length), all.into_iter().collect())
        }
        Ranges::Some(ranges) => partial(ranges, whole, length, boundary),
        Ranges::Unsatisfiable => {
            let mut head = refused(whole, Status::RANGE_NOT_SATISFIABLE);
            head.fields.set(name::CONTENT_RANGE, text(format!("bytes */{length}")));
            (head, Vec::new())
        }
    }
}

impl Range {
    /// How many bytes.
    #[must_use]
    pub const fn length(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// As `Content-Range` says it, of something with so many bytes (RFC 9110, section 14.4).
    fn of(self, length: u64) -> String {
        format!("bytes {}-{}/{length}", self.first, self.last)
    }
}

impl Piece {
    /// How many bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Range(range) => range.length(),
        }
    }
}

/// 206 (RFC 9110, section 15.3.7). A digest of the content was that of the whole, and is not this one's.
fn partial(ranges: &[Range], whole: ResponseHead, length: u64, boundary: u64) -> (ResponseHead, Vec<Piece>) {
    let mut head = ResponseHead { status: Status::PARTIAL_CONTENT, ..whole };
    head.fields.remove("content-digest");
    head.fields.remove("content-md5");
    let pieces = if let [range] = ranges {
        head.fields.set(name::CONTENT_RANGE, text(range.of(length)));
        vec![Piece::Range(*range)]
    } else {
        let kind = head.fields.take(name::CONTENT_TYPE);
        head.fields.remove(name::CONTENT_RANGE);
        head.fields.set(name::CONTENT_TYPE, text(format!("multipart/byteranges; boundary={boundary:020}")));
        parts(ranges, kind.as_ref(), length, boundary)
    };
    let length = pieces.iter().map(Piece::length).fold(0, u64::saturating_add);
    (sized(head, length), pieces)
}

/// The parts of a `multipart/byteranges` (RFC 9110, section 14.6).
fn parts(ranges: &[Range], kind: Option<&Value>, length: u64, boundary: u64) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(ranges.len() * 2 + 1);
    for (number, range) in ranges.iter().enumerate() {
        let mut head = Vec::with_capacity(160);
        head.extend_from_slice(if number == 0 { b"" } else { b"\r\n" });
        head.extend_from_slice(format!("--{boundary:020}\r\n").as_bytes());
        if let Some(kind) = kind {
            head.extend_from_slice(b"Content-Type: ");
            head.extend_from_slice(kind.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(format!("Content-Range: {}\r\n\r\n", range.of(length)).as_bytes());
        pieces.extend([Piece::Text(head.into()), Piece::Range(*range)]);
    }
    pieces.push(Piece::Text(format!("\r\n--{boundary:020}--\r\n").into()));
    pieces
}

fn sized(mut head: ResponseHead, length: u64) -> ResponseHead {
    head.fields.set(name::CONTENT_LENGTH, Value::from(length));
    head
}

/// What this gateway wrote itself, of digits and ASCII words.
fn text(text: String) -> Value {
    Value::from_maybe_shared(Bytes::from(text)).unwrap_or(Value::from_static(""))
}

/// `bytes=` and a set of ranges; `None` for what is no such thing, and for what is too much of it.
fn asked(line: &[u8], length: u64) -> Option<Ranges> {
    let (unit, set) = line.trim_ascii().split_at_checked(b"bytes=".len())?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    // Lists may have members that are empty, and white space around each (RFC 9110, section 5.6.1).
    let members = set.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty());
    let specs: Vec<Spec> = members.take(MOST + 1).map(Spec::of).collect::<Option<_>>()?;
    let ranges: Vec<Range> = specs.iter().filter_map(|spec| spec.within(length)).collect();
    let sum = ranges.iter().try_fold(0, |sum: u64, range| sum.checked_add(range.length()))?;
    if specs.is_empty() || specs.len() > MOST || sum > length {
        return None;
    }
    match ranges.is_empty() {
        false => Some(Ranges::Some(ranges)),
        // The beginning and the end of nothing are nothing: they are there, but `Content-Range` has no words for them. Some
        // clients ask for the beginning of everything, and get all of it here as from nginx.
        true if specs.iter().any(|spec| spec.is_of_nothing()) && length == 0 => None,
        true => Some(Ranges::Unsatisfiable),
    }
}

/// One range as it is written (RFC 9110, section 14.1.2).
#[derive(Debug, Clone, Copy)]
enum Spec {
    /// From a byte on, to another or to the end.
    From(u64, Option<u64>),
    /// The last so many bytes.
    Suffix(u64),
}

impl Spec {
    /// Whether it is there even where there is nothing.
    const fn is_of_nothing(self) -> bool {
        matches!(self, Self::From(0, _) | Self::Suffix(1..))
    }

    fn of(text: &[u8]) -> Option<Self> {
        let hyphen = text.iter().position(|&byte| byte == b'-')?;
        let (first, last) = text.split_at_checked(hyphen)?;
        let last = last.strip_prefix(b"-")?;
        match (first.is_empty(), last.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Self::Suffix(number(last)?)),
            (false, true) => Some(Self::From(number(first)?, None)),
            (false, false) => {
                let spec = Self::From(number(first)?, Some(number(last)?));
                (size(first) <= size(last)).then_some(spec)
            }
        }
    }

    /// What there is of it.
    fn within(self, length: u64) -> Option<Range> {
        let end = length.checked_sub(1)?;
        match self {
            Self::From(first, last) => (first <= end).then_some(Range { first, last: last.unwrap_or(end).min(end) }),
            Self::Suffix(0) => None,
            Self::Suffix(suffix) => Some(Range { first: length.saturating_sub(suffix), last: end }),
        }
    }
}

/// What orders numbers of any length.
fn size(digits: &[u8]) -> (usize, &[u8]) {
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    let digits = digits.get(zeros..).unwrap_or_default();
    (digits.len(), digits)
}

/// A number of any length; those that are too large for a file are all the same.
fn number(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    };
    digits.iter().try_fold(0, add)
}

#[cfg(test)]
mod tests;
