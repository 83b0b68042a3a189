//! The wall: HTTP/2 frames counted as they come, before the codec beneath sees a byte (RFC 9113, section 10.5).
//!
//! It reads frame headers alone and keeps no payload. What a frame means is the codec's business; how many that cost more
//! than they bring a client may send is decided here, with one purse a connection: frames without use take out of it, time
//! and useful traffic in either direction put back. Pure: time is an argument.

use crate::clock::{Duration, Instant};

/// Why the connection goes no further: `ENHANCE_YOUR_CALM` with these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) &'static str);

/// What stands on one connection between the client's bytes and the codec.
#[derive(Debug)]
pub(super) struct Wall {
    /// Bytes of the preface to come.
    preface: usize,
    /// The header of the frame at hand, as far as it is there.
    header: [u8; HEADER],
    read: usize,
    /// Bytes of a payload to come.
    payload: usize,
    block: Option<Block>,
    /// Field sections so far.
    heads: u64,
    max_block: usize,
    purse: Purse,
    refused: Option<Refusal>,
}

/// A field section that is not whole yet.
#[derive(Debug, Clone, Copy)]
struct Block {
    bytes: usize,
    continuations: usize,
}

#[derive(Debug)]
struct Purse {
    left: u32,
    /// Up to when time has been paid for.
    paid: Instant,
}

const PREFACE: usize = 24;
const HEADER: usize = 9;

/// What a purse holds. A browser that leaves a page may reset two hundred streams at once.
const FULL: u32 = 2_000;
/// What a second puts back: keep-alive pings and settings changes need one or two.
const A_SECOND: u32 = 20;
/// What a request, or a part of its body, puts back.
const FROM_CLIENT: u32 = 4;
/// What an answer's head or a part of its body puts back: clients send two window updates for each, and some ping to learn
/// the path's capacity.
const TO_CLIENT: u32 = 8;

const RESET: u32 = 10;
const SETTINGS: u32 = 10;
const EMPTY_DATA: u32 = 10;
const EMPTY_CONTINUATION: u32 = 100;
const OTHER: u32 = 1;

/// No encoder needs more: a field section of 256 KiB fits in 16 frames of the smallest allowed size.
const MAX_CONTINUATIONS: usize = 64;
/// Compressed fields are never much larger than what they stand for (RFC 7541, section 6): this is for the names' lengths.
const BLOCK_SLACK: usize = 8 << 10;

impl Wall {
    /// For a client that may send heads of so many bytes.
    pub(super) const fn of(max_head: usize, now: Instant) -> Self {
        Self {
            preface: PREFACE,
            header: [0; HEADER],
            read: 0,
            payload: 0,
            block: None,
            heads: 0,
            max_block: max_head.saturating_mul(2).saturating_add(BLOCK_SLACK),
            purse: Purse { left: FULL, paid: now },
            refused: None,
        }
    }

    /// Why nothing more is looked at, if it is so.
    pub(super) const fn refusal(&self) -> Option<Refusal> {
        self.refused
    }

    /// Which field section the client is in the middle of, if it is.
    pub(super) fn open_head(&self) -> Option<u64> {
        let [.., kind, _, _, _, _, _] = self.header;
        let is_within = self.payload > 0 && matches!(kind, 0x1 | 0x9);
        (is_within || self.block.is_some()).then_some(self.heads)
    }

    /// Looks at the next bytes of the connection. After a refusal every later call refuses too.
    pub(super) fn feed(&mut self, bytes: &[u8], now: Instant) -> Result<(), Refusal> {
        if let Some(refusal) = self.refused {
            return Err(refusal);
        }
        let looked = self.look(bytes, now);
        self.refused = looked.err();
        looked
    }

    /// An answer's head, or a part of its body, was given to the client.
    pub(super) fn answered(&mut self) {
        self.purse.put(TO_CLIENT);
    }

    /// A stream was reset by us because of what the client sent.
    pub(super) fn provoked(&mut self, now: Instant) {
        let taken = self.purse.take(RESET, now, "too many malformed requests");
        self.refused = self.refused.or(taken.err());
    }

    fn look(&mut self, bytes: &[u8], now: Instant) -> Result<(), Refusal> {
        let mut rest = bytes;
        loop {
            for open in [&mut self.preface, &mut self.payload] {
                let skipped = (*open).min(rest.len());
                *open -= skipped;
                rest = rest.get(skipped..).unwrap_or_default();
            }
            if rest.is_empty() {
                return Ok(());
            }
            let Some(room) = self.header.get_mut(self.read..) else { return Ok(()) };
            let length = room.len().min(rest.len());
            let (head, behind) = rest.split_at(length);
            room.iter_mut().zip(head).for_each(|(place, byte)| *place = *byte);
            self.read += length;
            rest = behind;
            if self.read == HEADER {
                self.read = 0;
                self.frame(now)?;
            }
        }
    }

    fn frame(&mut self, now: Instant) -> Result<(), Refusal> {
        let [high, middle, low, kind, flags, ..] = self.header;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.payload = length;
        let (is_ack, ends_block) = (flags & 0x1 != 0, flags & 0x4 != 0);
        match kind {
            0x0 if length == 0 && !is_ack => self.purse.take(EMPTY_DATA, now, "too many empty DATA frames"),
            0x0 => {
                self.purse.put(FROM_CLIENT);
                Ok(())
            }
            0x1 => {
                self.purse.put(FROM_CLIENT);
                self.heads += 1;
                self.block = (!ends_block).then_some(Block { bytes: length, continuations: 0 });
                Ok(())
            }
            0x9 => self.continuation(length, ends_block, now),
            0x2 => self.purse.take(OTHER, now, "too many PRIORITY frames"),
            0x3 => self.purse.take(RESET, now, "too many RST_STREAM frames"),
            0x4 if is_ack => self.purse.take(OTHER, now, "too many SETTINGS frames"),
            0x4 => self.purse.take(SETTINGS, now, "too many SETTINGS frames"),
            0x6 => self.purse.take(OTHER, now, "too many PING frames"),
            0x8 => self.purse.take(OTHER, now, "too many WINDOW_UPDATE frames"),
            _ => self.purse.take(OTHER, now, "too many frames of other types"),
        }
    }

    fn continuation(&mut self, length: usize, ends_block: bool, now: Instant) -> Result<(), Refusal> {
        if length == 0 {
            self.purse.take(EMPTY_CONTINUATION, now, "too many empty CONTINUATION frames")?;
        }
        let Some(block) = &mut self.block else { return Ok(()) };
        block.bytes = block.bytes.saturating_add(length);
        block.continuations += 1;
        if block.continuations > MAX_CONTINUATIONS {
            return Err(Refusal("too many CONTINUATION frames"));
        }
        if block.bytes > self.max_block {
            return Err(Refusal("a field section that is far beyond max-head"));
        }
        if ends_block {
            self.block = None;
        }
        Ok(())
    }
}

impl Purse {
    fn take(&mut self, cost: u32, now: Instant, why: &'static str) -> Result<(), Refusal> {
        if self.left < cost {
            self.pay(now);
        }
        self.left = self.left.checked_sub(cost).ok_or(Refusal(why))?;
        Ok(())
    }

    fn put(&mut self, some: u32) {
        self.left = self.left.saturating_add(some).min(FULL);
    }

    /// Time is looked at only when the purse is nearly empty: a second counts the same whenever it is paid for.
    fn pay(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.paid);
        let earned = passed.as_millis() * u128::from(A_SECOND) / 1000;
        let earned = u32::try_from(earned).unwrap_or(FULL).min(FULL);
        self.put(earned);
        // What is less than one whole unit stays to be paid for.
        self.paid += match earned {
            FULL => passed,
            _ => Duration::from_millis(u64::from(earned) * 1000 / u64::from(A_SECOND)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    const PRI: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        [&size[1..], &[kind, flags, 0, 0, 0, 1], &vec![0; length]].concat()
    }

    fn wall() -> (Wall, Instant) {
        let at = now();
        let mut wall = Wall::of(32 << 10, at);
        wall.feed(PRI, at).unwrap();
        (wall, at)
    }

    /// How many of these pass at one instant.
    fn pass(frames: &[&[u8]], most: usize) -> (usize, &'static str) {
        let (mut wall, at) = wall();
        for count in 0..most {
            for frame in frames {
                if let Err(Refusal(why)) = wall.feed(frame, at) {
                    assert_eq!(wall.feed(b"", at), Err(Refusal(why)), "it stays refused");
                    return (count, why);
                }
            }
        }
        (most, "")
    }

    #[test]
    fn floods_end() {
        let (open, reset) = (frame(1, 5, 10), frame(3, 0, 4));
        for (frames, most, why) in [
            (&[&frame(6, 0, 8)[..]][..], 2_000, "too many PING frames"),
            (&[&frame(4, 0, 6)], 200, "too many SETTINGS frames"),
            (&[&frame(4, 1, 0)], 2_000, "too many SETTINGS frames"),
            (&[&frame(2, 0, 5)], 2_000, "too many PRIORITY frames"),
            (&[&frame(8, 0, 4)], 2_000, "too many WINDOW_UPDATE frames"),
            (&[&frame(0, 0, 0)], 200, "too many empty DATA frames"),
            (&[&frame(0x42, 0, 3)], 2_000, "too many frames of other types"),
            (&[&frame(9, 0, 0)], 20, "too many empty CONTINUATION frames"),
            (&[&open, &reset], 332, "too many RST_STREAM frames"),
        ] {
            assert_eq!(pass(frames, 100_000), (most, why), "{why}");
        }
    }

    #[test]
    fn honest_traffic_passes_for_ever() {
        let (request, last) = (frame(1, 4, 100), frame(0, 1, 0));
        let (window, part) = (frame(8, 0, 4), frame(0, 0, 1000));
        assert_eq!(pass(&[&request, &part, &window, &window, &last], 10_000).0, 10_000);
        let (mut wall, at) = wall();
        for _ in 0..100_000 {
            wall.answered();
            for _ in 0..4 {
                wall.feed(&window, at).unwrap();
            }
            wall.feed(&frame(6, 0, 8), at).unwrap();
        }
    }

    #[test]
    fn time_puts_back_what_was_taken() {
        let (mut wall, mut at) = wall();
        let ping = frame(6, 0, 8);
        for _ in 0..2_000 {
            wall.feed(&ping, at).unwrap();
        }
        for _ in 0..200 {
            at += Duration::from_millis(50);
            wall.feed(&ping, at).unwrap();
        }
        assert!(wall.feed(&ping, at).is_err());
    }

    #[test]
    fn a_field_section_ends_within_bounds() {
        let (mut wall, at) = wall();
        wall.feed(&frame(1, 0, 10), at).unwrap();
        for _ in 0..MAX_CONTINUATIONS {
            wall.feed(&frame(9, 0, 10), at).unwrap();
        }
        assert_eq!(wall.feed(&frame(9, 4, 10), at), Err(Refusal("too many CONTINUATION frames")));
        let mut wall = Wall::of(1024, at);
        wall.feed(PRI, at).unwrap();
        wall.feed(&frame(1, 0, 10_000), at).unwrap();
        assert_eq!(wall.feed(&frame(9, 4, 500), at), Err(Refusal("a field section that is far beyond max-head")));
    }

    #[test]
    fn it_counts_the_same_however_bytes_are_cut() {
        let at = now();
        let bytes =
            [PRI, &frame(4, 0, 6), &frame(1, 0, 7), &frame(9, 4, 3), &frame(0, 1, 300), &frame(6, 0, 8)].concat();
        for size in [1, 2, 3, 5, 8, 9, 10, 24, 25, 1000] {
            let mut wall = Wall::of(1024, at);
            for piece in bytes.chunks(size) {
                wall.feed(piece, at).unwrap();
            }
            assert_eq!(wall.purse.left, FULL - 3, "{size}");
        }
    }

    #[test]
    fn provoking_resets_ends_too() {
        let (mut wall, at) = wall();
        let provoked = (0..1_000).take_while(|_| {
            wall.provoked(at);
            wall.refusal().is_none()
        });
        assert_eq!(provoked.count(), 200);
        assert!(wall.feed(b"", at).is_err());
    }
}
