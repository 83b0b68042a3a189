//! The wall before the codec: frames of one stream (RFC 9114, section 7), looked at before it holds a byte.
//!
//! The codec keeps whatever a frame claims to be until it is whole, reads ahead of what it is asked for, takes an empty DATA
//! frame for the end of a body, and a body that breaks off for a whole one. So what reaches it is cut at the frames' borders;
//! lengths have limits; frames that mean nothing do not reach it; and heads are taken out, a small one standing in for each.
//!
//! Pure: bytes in, bytes out, however they are cut.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::{Buf as _, Bytes, BytesMut};
use h3::error::Code;

use super::qpack::Lines;

/// Frames of one stream.
#[derive(Debug)]
pub(super) struct Frames {
    way: Way,
    state: State,
    /// An unfinished frame's type and length.
    header: BytesMut,
}

/// A request's head as it came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// To be decoded.
    Whole(Bytes),
    /// More than anybody may send; nobody has read it.
    TooLarge(u64),
}

/// Where a stream's head is left.
pub(super) type Slot = Rc<RefCell<Option<Section>>>;

/// What comes is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The request is none.
    Malformed(&'static str),
    /// The connection cannot go on.
    Broken(Code, &'static str),
}

#[derive(Debug)]
enum Way {
    /// Of a client that asks.
    Request { stage: Stage, most: u64, slot: Slot },
    /// One that goes one way.
    OneWay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Body,
    Over,
}

#[derive(Debug)]
enum State {
    /// The type of a stream that goes one way.
    Type,
    /// A frame's type and length.
    Header,
    /// So many bytes of a frame that passes as it comes.
    Passing(u64),
    /// So many bytes of a frame that nobody reads.
    Skipping(u64),
    /// A frame that passes when it is whole.
    Collecting(u64, BytesMut),
    /// Not frames at all.
    Plain,
}

/// A request that means nothing, for the codec: `GET https://x/` from the static table (RFC 9204, appendix A).
const STAND_IN: &[u8] = &[0x01, 8, 0, 0, 0xd1, 0xd7, 0xc1, 0x50, 1, b'x'];

/// As HTTP/1 allows.
const MOST_TRAILERS: u64 = 8192;

/// Any frame of a control stream; SETTINGS has a few numbers.
const MOST_CONTROL: u64 = 4096;

/// Types of frames (RFC 9114, section 7.2).
const DATA: u64 = 0x0;
const HEADERS: u64 = 0x1;
const CANCEL_PUSH: u64 = 0x3;
const SETTINGS: u64 = 0x4;
const GOAWAY: u64 = 0x7;
const MAX_PUSH_ID: u64 = 0xd;
/// PUSH_PROMISE, which clients do not send, and what HTTP/2 had (section 7.2.8).
const NEVER: [u64; 5] = [0x5, 0x2, 0x6, 0x8, 0x9];

/// The type of a control stream (section 6.2.1).
const CONTROL: u64 = 0x0;

impl Frames {
    /// Those of a request; its head may have so many bytes, and is left in the slot.
    pub(super) fn of_request(most: usize, slot: Slot) -> Self {
        let way = Way::Request { stage: Stage::Head, most: most as u64, slot };
        Self { way, state: State::Header, header: BytesMut::new() }
    }

    /// Those of a stream that goes one way.
    pub(super) fn of_one_way() -> Self {
        Self { way: Way::OneWay, state: State::Type, header: BytesMut::new() }
    }

    /// Takes from the front of what came; what the codec is to see of it, if there is anything yet.
    pub(super) fn pass(&mut self, bytes: &mut Bytes) -> Result<Option<Bytes>, Refused> {
        while !bytes.is_empty() {
            let passed = match &mut self.state {
                State::Type => self.stream_type(bytes),
                State::Header => self.header(bytes)?,
                State::Passing(left) => {
                    let piece = take(left, bytes);
                    self.rest();
                    Some(piece)
                }
                State::Skipping(left) => {
                    take(left, bytes);
                    self.rest();
                    None
                }
                State::Collecting(left, collected) => {
                    collected.extend_from_slice(&take(left, bytes));
                    match left {
                        0 => Some(self.whole()?),
                        _ => None,
                    }
                }
                State::Plain => Some(bytes.split_to(bytes.len())),
            };
            if passed.is_some() {
                return Ok(passed);
            }
        }
        Ok(None)
    }

    /// The stream ends here.
    pub(super) fn end(&self) -> Result<(), Refused> {
        let is_whole = matches!(self.state, State::Header | State::Plain | State::Type) && self.header.is_empty();
        if is_whole || matches!(self.way, Way::OneWay) {
            return Ok(());
        }
        // RFC 9114, section 7.1.
        Err(Refused::Broken(Code::H3_FRAME_ERROR, "the stream ends within a frame"))
    }

    /// Back to the next frame behind one that is over.
    fn rest(&mut self) {
        if matches!(self.state, State::Passing(0) | State::Skipping(0)) {
            self.state = State::Header;
        }
    }

    fn stream_type(&mut self, bytes: &mut Bytes) -> Option<Bytes> {
        let kind = loop {
            if let Some((kind, _)) = integer(&self.header) {
                break kind;
            }
            if bytes.is_empty() {
                return None;
            }
            self.header.extend_from_slice(&[bytes.get_u8()]);
        };
        self.state = if kind == CONTROL { State::Header } else { State::Plain };
        Some(self.header.split().freeze())
    }

    fn header(&mut self, bytes: &mut Bytes) -> Result<Option<Bytes>, Refused> {
        loop {
            if let Some((kind, length)) = kind_and_length(&self.header) {
                let header = self.header.split().freeze();
                return match &self.way {
                    Way::Request { stage, .. } => self.of_a_request(*stage, kind, length, header),
                    Way::OneWay => self.of_control(kind, length, header),
                };
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            self.header.extend_from_slice(&[bytes.get_u8()]);
        }
    }

    fn of_a_request(&mut self, stage: Stage, kind: u64, length: u64, header: Bytes) -> Result<Option<Bytes>, Refused> {
        let Way::Request { most, slot, stage: current } = &mut self.way else { return Ok(None) };
        match (kind, stage) {
            (DATA, Stage::Body) if length == 0 => Ok(None),
            (DATA, Stage::Body) => {
                self.state = State::Passing(length);
                Ok(Some(header))
            }
            (HEADERS, Stage::Head) if length > *most => {
                *slot.borrow_mut() = Some(Section::TooLarge(length));
                *current = Stage::Body;
                self.state = State::Skipping(length);
                Ok(Some(Bytes::from_static(STAND_IN)))
            }
            (HEADERS, Stage::Body) if length > MOST_TRAILERS => Err(Refused::Malformed("the trailers are too long")),
            (HEADERS, Stage::Head | Stage::Body) => {
                self.state = State::Collecting(length, header.into());
                if length == 0 { self.whole().map(Some) } else { Ok(None) }
            }
            (DATA | HEADERS | CANCEL_PUSH | SETTINGS | GOAWAY | MAX_PUSH_ID, _) => Err(UNEXPECTED),
            (kind, _) if NEVER.contains(&kind) => Err(UNEXPECTED),
            _ => {
                self.skip(length);
                Ok(None)
            }
        }
    }

    fn of_control(&mut self, kind: u64, length: u64, header: Bytes) -> Result<Option<Bytes>, Refused> {
        match kind {
            SETTINGS | GOAWAY | MAX_PUSH_ID | CANCEL_PUSH if length > MOST_CONTROL => {
                Err(Refused::Broken(Code::H3_EXCESSIVE_LOAD, "a frame of the control stream is too long"))
            }
            SETTINGS | GOAWAY | MAX_PUSH_ID | CANCEL_PUSH => {
                self.state = State::Passing(length);
                self.rest();
                Ok(Some(header))
            }
            DATA | HEADERS => Err(UNEXPECTED),
            kind if NEVER.contains(&kind) => Err(UNEXPECTED),
            _ => {
                self.skip(length);
                Ok(None)
            }
        }
    }

    fn skip(&mut self, length: u64) {
        self.state = State::Skipping(length);
        self.rest();
    }

    /// A head or trailers are there.
    fn whole(&mut self) -> Result<Bytes, Refused> {
        let State::Collecting(_, collected) = std::mem::replace(&mut self.state, State::Header) else {
            return Ok(Bytes::new());
        };
        let Way::Request { stage, slot, .. } = &mut self.way else { return Ok(collected.freeze()) };
        let frame = collected.freeze();
        if *stage == Stage::Head {
            *stage = Stage::Body;
            *slot.borrow_mut() = Some(Section::Whole(section(&frame)));
            return Ok(Bytes::from_static(STAND_IN));
        }
        *stage = Stage::Over;
        check_trailers(&section(&frame))?;
        Ok(frame)
    }
}

const UNEXPECTED: Refused = Refused::Broken(Code::H3_FRAME_UNEXPECTED, "a frame that has no place here");

/// Trailers have fields and nothing else (RFC 9114, section 4.3). What is in the fields is the codec's to see.
fn check_trailers(section: &[u8]) -> Result<(), Refused> {
    let undecodable = |_| Refused::Broken(Code::QPACK_DECOMPRESSION_FAILED, "trailers that cannot be decoded");
    let mut lines = Lines::of(section, section.len().saturating_mul(2)).map_err(undecodable)?;
    while let Some(line) = lines.next().map_err(undecodable)? {
        if line.name.starts_with(b":") {
            return Err(Refused::Malformed("a pseudo-field in trailers"));
        }
    }
    Ok(())
}

/// What a frame holds behind its type and length.
fn section(frame: &Bytes) -> Bytes {
    let kind = integer(frame).map_or(0, |(_, length)| length);
    let length = frame.get(kind..).and_then(integer).map_or(0, |(_, length)| length);
    frame.slice((kind + length).min(frame.len())..)
}

fn take(left: &mut u64, bytes: &mut Bytes) -> Bytes {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= length as u64;
    bytes.split_to(length)
}

fn kind_and_length(header: &[u8]) -> Option<(u64, u64)> {
    let (kind, used) = integer(header)?;
    let (length, _) = integer(header.get(used..)?)?;
    Some((kind, length))
}

/// An integer as QUIC writes it (RFC 9000, section 16), and its length.
fn integer(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = 1_usize << (first >> 6);
    let rest = bytes.get(1..length)?;
    let value = rest.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes of a stream that is cut into pieces of so many bytes, what was left in the slot, and how it ended.
    fn passed(bytes: &[u8], cut: usize) -> (Vec<u8>, Option<Section>, Result<(), Refused>) {
        let slot = Slot::default();
        let (out, end) = through(Frames::of_request(16, slot.clone()), bytes, cut);
        (out, slot.take(), end)
    }

    fn through(mut frames: Frames, bytes: &[u8], cut: usize) -> (Vec<u8>, Result<(), Refused>) {
        let mut out = Vec::new();
        for piece in bytes.chunks(cut) {
            let mut piece = Bytes::copy_from_slice(piece);
            loop {
                match frames.pass(&mut piece) {
                    Ok(Some(passed)) => out.extend_from_slice(&passed),
                    Ok(None) => break,
                    Err(refused) => return (out, Err(refused)),
                }
            }
        }
        (out, frames.end())
    }

    fn joined(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    const HEAD: &[u8] = &[0x01, 3, 0, 0, 0xd1];
    const INSIDE: &[u8] = &[0, 0, 0xd1];

    #[test]
    fn what_passes_is_the_same_however_it_is_cut() {
        let trailers: &[u8] = b"\x01\x07\x00\x00\x23abc\x00";
        for (stream, expected) in [
            (joined(&[HEAD]), joined(&[STAND_IN])),
            (joined(&[HEAD, b"\x00\x02ab", b"\x00\x01c"]), joined(&[STAND_IN, b"\x00\x02ab", b"\x00\x01c"])),
            (joined(&[HEAD, b"\x00\x00", b"\x00\x01c", b"\x00\x00"]), joined(&[STAND_IN, b"\x00\x01c"])),
            (joined(&[b"\x21\x03xyz", HEAD, b"\x40\x41\x02xy", b"\x00\x01c"]), joined(&[STAND_IN, b"\x00\x01c"])),
            (joined(&[HEAD, b"\x00\x40\x01c", trailers]), joined(&[STAND_IN, b"\x00\x40\x01c", trailers])),
            (joined(&[HEAD, trailers, b"\x21\x00"]), joined(&[STAND_IN, trailers])),
            (joined(&[HEAD, b"\x80\x0f\x07\x00\x04uuuu"]), joined(&[STAND_IN])),
        ] {
            for cut in [1, 2, 3, 5, 100] {
                let (out, head, end) = passed(&stream, cut);
                assert_eq!(out, expected, "{stream:02x?} by {cut}");
                assert_eq!(head, Some(Section::Whole(Bytes::from_static(INSIDE))));
                assert_eq!(end, Ok(()));
            }
        }
    }

    #[test]
    fn a_head_that_is_too_large_is_not_read() {
        for cut in [1, 7, 100] {
            let stream = joined(&[b"\x01\x11", &[7; 17], b"\x00\x01c"]);
            let (out, head, end) = passed(&stream, cut);
            assert_eq!(out, joined(&[STAND_IN, b"\x00\x01c"]));
            assert_eq!((head, end), (Some(Section::TooLarge(17)), Ok(())));
        }
    }

    #[test]
    fn what_has_no_place_ends_the_connection_and_what_is_no_request_the_stream() {
        let broken = |code| Err(Refused::Broken(code, ""));
        let malformed = Err(Refused::Malformed(""));
        let long = joined(&[HEAD, b"\x01\x60\x01"]);
        let bare = |refused: Result<(), Refused>| match refused {
            Err(Refused::Broken(code, _)) => Err(Refused::Broken(code, "")),
            Err(Refused::Malformed(_)) => Err(Refused::Malformed("")),
            Ok(()) => Ok(()),
        };
        for (stream, expected, why) in [
            (&b"\x00\x01x"[..], broken(Code::H3_FRAME_UNEXPECTED), "DATA before a head"),
            (b"\x04\x00", broken(Code::H3_FRAME_UNEXPECTED), "SETTINGS"),
            (b"\x02\x00", broken(Code::H3_FRAME_UNEXPECTED), "PRIORITY of HTTP/2"),
            (b"\x05\x01x", broken(Code::H3_FRAME_UNEXPECTED), "PUSH_PROMISE"),
            (
                &joined(&[HEAD, b"\x01\x02\x00\x00", b"\x00\x01x"]),
                broken(Code::H3_FRAME_UNEXPECTED),
                "DATA behind trailers",
            ),
            (&joined(&[HEAD, b"\x01\x02\x00\x00", HEAD]), broken(Code::H3_FRAME_UNEXPECTED), "a third head"),
            (&joined(&[HEAD, b"\x00\x05ab"]), broken(Code::H3_FRAME_ERROR), "an end within DATA"),
            (&HEAD[..4], broken(Code::H3_FRAME_ERROR), "an end within a head"),
            (&joined(&[HEAD, b"\x21\x05ab"]), broken(Code::H3_FRAME_ERROR), "an end within a frame that means nothing"),
            (&joined(&[HEAD, b"\x40"]), broken(Code::H3_FRAME_ERROR), "an end within a type"),
            (
                &joined(&[HEAD, b"\x01\x03\x00\x00\x80"]),
                broken(Code::QPACK_DECOMPRESSION_FAILED),
                "trailers of a table",
            ),
            (&joined(&[HEAD, b"\x01\x03\x00\x00\xc1"]), malformed, "a path in trailers"),
            (&long, malformed, "trailers that are too long"),
        ] {
            for cut in [1, 3, 100] {
                assert_eq!(bare(passed(stream, cut).2), expected, "{why}, by {cut}");
            }
        }
    }

    #[test]
    fn streams_that_go_one_way() {
        for (stream, expected, end) in [
            // Control: SETTINGS, what means nothing, GOAWAY.
            (&b"\x00\x04\x02\x06\x10\x21\x02zz\x07\x01\x00"[..], &b"\x00\x04\x02\x06\x10\x07\x01\x00"[..], Ok(())),
            (b"\x00\x04\x00\x80\x0f\x07\x00\x01u", b"\x00\x04\x00", Ok(())),
            // QPACK's, and one that nobody knows.
            (b"\x02\x3f\xe1\x1f", b"\x02\x3f\xe1\x1f", Ok(())),
            (b"\x40\x21abc", b"\x40\x21abc", Ok(())),
            (b"\x00\x00\x01x", b"\x00", Err(UNEXPECTED)),
            (
                b"\x00\x04\x50\x01",
                b"\x00",
                Err(Refused::Broken(Code::H3_EXCESSIVE_LOAD, "a frame of the control stream is too long")),
            ),
        ] {
            for cut in [1, 2, 100] {
                assert_eq!(
                    through(Frames::of_one_way(), stream, cut),
                    (expected.to_vec(), end),
                    "{stream:02x?} by {cut}"
                );
            }
        }
    }
}
