//! An object as a file, and what of a file is believed.
//!
//! A file is a fixed beginning, key, variant, kind and tags, head, and then the content to the byte. Lengths, key, head and the
//! content's own checksum are under one checksum; the content is as long as the beginning says, or the file is broken. What
//! the content's checksum is good for says `seal.rs`. Behind the content are two slots for later labels: the one with the
//! higher version counts, the other one is written next, so that a write that was cut off destroys nothing that counts.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use super::object::{LONGEST_HEAD, LONGEST_KEY, LONGEST_TAGS, Label};

/// What a file says.
#[derive(Debug)]
pub(super) struct Found {
    /// The label, the latest that there is.
    pub(super) label: Label,
    /// Where the content begins.
    pub(super) at: u64,
    /// How long it is.
    pub(super) length: u64,
    /// Its checksum.
    pub(super) sum: u32,
    /// Whether it was purged softly.
    pub(super) is_stale: bool,
    /// Whether it was on the disk itself before it got its name.
    pub(super) is_synced: bool,
    /// Bytes on the disk, about.
    pub(super) size: u64,
    /// The version of the label; zero is the first.
    pub(super) version: u64,
}

/// The last digit is the format's version.
const MAGIC: [u8; 8] = *b"weirobj2";
const SLOT_MAGIC: [u8; 8] = *b"weirlab2";

/// Magic, sequence, flags, four lengths, the content's length and checksum, stored, expires, checksum.
const FIXED: usize = 8 + 8 + 4 + 4 * 4 + 8 + 4 + 8 + 8 + CHECKSUM;
/// Magic, sequence, version, flags, two lengths, stored, expires, checksum.
const SLOT_FIXED: usize = 8 + 8 + 8 + 4 + 2 * 4 + 8 + 8 + CHECKSUM;
/// Half of SHA-256: against accidents, and whoever can write here needs no collision.
const CHECKSUM: usize = 16;

const SYNCED: u32 = 1;
const STALE: u32 = 2;

/// A label with more does not fit behind a content; heads are far shorter as a rule. Files have holes there.
const SLOT: u64 = 64 << 10;
/// Of file systems.
const BLOCK: u64 = 4096;

/// How much of a file is read at first: nearly all heads are within.
const FIRST: usize = 8 << 10;

/// Where the content of an object with this label begins.
pub(super) fn content_at(label: &Label) -> u64 {
    (FIXED + label.key.len() + label.variant.len() + words_length(label) + label.head.len()) as u64
}

/// Bytes on a disk.
pub(super) fn rounded(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK)
}

/// What stands before the content.
pub(super) fn beginning(label: &Label, sequence: u64, (length, sum): (u64, u32), is_synced: bool) -> Vec<u8> {
    let tags = words_bytes(label);
    let mut fixed = Vec::with_capacity(FIXED);
    fixed.extend(MAGIC);
    fixed.extend(sequence.to_le_bytes());
    fixed.extend((if is_synced { SYNCED } else { 0 }).to_le_bytes());
    for part in [&*label.key, &*label.variant, &*tags, &*label.head] {
        fixed.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
    }
    fixed.extend(length.to_le_bytes());
    fixed.extend(sum.to_le_bytes());
    fixed.extend(millis(label.stored).to_le_bytes());
    fixed.extend(millis(label.expires).to_le_bytes());
    let checksum = checksum(&[&fixed, &label.key, &label.variant, &tags, &label.head]);
    [&*fixed, &checksum, &*label.key, &*label.variant, &*tags, &*label.head].concat()
}

/// A file's content and label. `None` if it is not whole, or not what was asked for.
pub(super) fn read(file: &File, sequence: u64) -> io::Result<Option<Found>> {
    let file_length = file.metadata()?.len();
    let mut bytes = read_up_to(file, 0, FIRST.min(usize::try_from(file_length).unwrap_or(FIRST)))?;
    let Some(first) = First::of(&bytes).filter(|first| first.sequence == sequence) else { return Ok(None) };
    if bytes.len() < first.whole() {
        bytes.extend(read_up_to(file, bytes.len() as u64, first.whole() - bytes.len())?);
    }
    let Some(mut found) = first.found(&bytes) else { return Ok(None) };
    if found.at + found.length > file_length {
        return Ok(None);
    }
    let slots = slots_at(&found);
    if file_length > slots {
        let labels = [read_slot(file, slots, sequence)?, read_slot(file, slots + SLOT, sequence)?];
        found.size += labels.iter().flatten().map(|later| rounded(later.size())).sum::<u64>();
        if let Some(later) = labels.into_iter().flatten().max_by_key(|later| later.version) {
            found = later.onto(found);
        }
    }
    Ok(Some(found))
}

/// Writes a later label behind the content, and says how many bytes more that are. `false` if it has no room there.
pub(super) fn amend(file: &File, sequence: u64, label: &Label, is_stale: bool) -> io::Result<bool> {
    let Some(found) = read(file, sequence)? else { return Err(io::Error::other("the file is broken")) };
    let tags = words_bytes(label);
    let mut slot = Vec::with_capacity(SLOT_FIXED + tags.len() + label.head.len());
    slot.extend(SLOT_MAGIC);
    slot.extend(sequence.to_le_bytes());
    slot.extend((found.version + 1).to_le_bytes());
    slot.extend((if is_stale { STALE } else { 0 }).to_le_bytes());
    for part in [&*tags, &*label.head] {
        slot.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
    }
    slot.extend(millis(label.stored).to_le_bytes());
    slot.extend(millis(label.expires).to_le_bytes());
    let checksum = checksum(&[&slot, &tags, &label.head]);
    slot.extend(checksum);
    slot.extend(tags);
    slot.extend_from_slice(&label.head);
    if slot.len() as u64 > SLOT {
        return Ok(false);
    }
    // The slot of the label that counts is the other one.
    let at = slots_at(&found) + if found.version.is_multiple_of(2) { SLOT } else { 0 };
    file.write_all_at(&slot, at)?;
    Ok(true)
}

/// Bytes that later labels of an object may take.
pub(super) fn amended(label: &Label) -> u64 {
    2 * rounded((SLOT_FIXED + words_length(label) + label.head.len()) as u64)
}

/// The fixed beginning.
struct First {
    sequence: u64,
    flags: u32,
    lengths: [usize; 4],
    length: u64,
    sum: u32,
    stored: u64,
    expires: u64,
}

struct Later {
    version: u64,
    flags: u32,
    words: Words,
    head: Vec<u8>,
    stored: u64,
    expires: u64,
    size: u64,
}

/// What a label can be forgotten by, beside its key.
struct Words {
    kind: Box<str>,
    tags: Vec<Box<str>>,
}

struct Reader<'b>(&'b [u8]);

impl First {
    fn of(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.take(8)? != MAGIC {
            return None;
        }
        let (sequence, flags) = (reader.u64()?, reader.u32()?);
        let lengths = [reader.length()?, reader.length()?, reader.length()?, reader.length()?];
        let (length, sum) = (reader.u64()?, reader.u32()?);
        let (stored, expires) = (reader.u64()?, reader.u64()?);
        let most = [LONGEST_KEY, LONGEST_KEY, LONGEST_TAGS, LONGEST_HEAD];
        let is_sane = lengths.iter().zip(most).all(|(length, most)| *length <= most) && length <= u64::MAX / 2;
        is_sane.then_some(Self { sequence, flags, lengths, length, sum, stored, expires })
    }

    fn whole(&self) -> usize {
        FIXED + self.lengths.iter().sum::<usize>()
    }

    fn found(&self, bytes: &[u8]) -> Option<Found> {
        let (fixed, rest) = bytes.get(..self.whole())?.split_at_checked(FIXED)?;
        let (signed, checked) = fixed.split_at_checked(FIXED - CHECKSUM)?;
        let mut reader = Reader(rest);
        let [key, variant, tags, head] = self.lengths.map(|length| reader.take(length));
        let (key, variant, tags, head) = (key?, variant?, tags?, head?);
        if checksum(&[signed, key, variant, tags, head]) != checked {
            return None;
        }
        let label = Label::of(key, variant, head, time(self.stored), time(self.expires));
        let Words { kind, tags } = read_words(tags)?;
        let label = label.of_kind(kind).tagged(tags);
        let at = self.whole() as u64;
        Some(Found {
            label,
            at,
            length: self.length,
            sum: self.sum,
            is_stale: false,
            is_synced: self.flags & SYNCED != 0,
            size: rounded(at + self.length),
            version: 0,
        })
    }
}

impl Later {
    fn size(&self) -> u64 {
        self.size
    }

    fn onto(self, found: Found) -> Found {
        let Found { label, .. } = &found;
        let label = Label::of(&label.key, &label.variant, &self.head, time(self.stored), time(self.expires));
        let label = label.of_kind(self.words.kind).tagged(self.words.tags);
        Found { label, is_stale: self.flags & STALE != 0, version: self.version, ..found }
    }
}

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.u32()?).ok()
    }
}

fn slots_at(found: &Found) -> u64 {
    rounded(found.at + found.length)
}

/// A later label, if there is a whole one.
fn read_slot(file: &File, at: u64, sequence: u64) -> io::Result<Option<Later>> {
    let mut bytes = read_up_to(file, at, SLOT_FIXED)?;
    let parse = |bytes: &[u8]| {
        let mut reader = Reader(bytes);
        let is_ours = reader.take(8)? == SLOT_MAGIC && reader.u64()? == sequence;
        let (version, flags) = (reader.u64()?, reader.u32()?);
        let (tags, head) = (reader.length()?, reader.length()?);
        let (stored, expires) = (reader.u64()?, reader.u64()?);
        let is_sane = is_ours && tags <= LONGEST_TAGS && head <= LONGEST_HEAD;
        is_sane.then_some((version, flags, tags, head, stored, expires))
    };
    let Some((version, flags, tags, head, stored, expires)) = parse(&bytes) else { return Ok(None) };
    bytes.extend(read_up_to(file, at + SLOT_FIXED as u64, tags + head)?);
    let believe = || {
        let (signed, rest) = bytes.split_at_checked(SLOT_FIXED - CHECKSUM)?;
        let mut reader = Reader(rest);
        let (checked, tags, head) = (reader.take(CHECKSUM)?, reader.take(tags)?, reader.take(head)?);
        if checksum(&[signed, tags, head]) != checked {
            return None;
        }
        let size = bytes.len() as u64;
        Some(Later { version, flags, words: read_words(tags)?, head: head.to_vec(), stored, expires, size })
    };
    Ok(believe())
}

fn read_up_to(file: &File, at: u64, most: usize) -> io::Result<Vec<u8>> {
    let (mut bytes, mut filled) = (vec![0; most], 0);
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read_at(room, at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn words_length(label: &Label) -> usize {
    label.tags.iter().chain([&label.kind]).map(|word| word.len() + 2).sum()
}

/// The kind, and behind it the tags.
fn words_bytes(label: &Label) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(words_length(label));
    for word in std::iter::once(&label.kind).chain(&*label.tags) {
        bytes.extend(u16::try_from(word.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend(word.as_bytes());
    }
    bytes
}

fn read_words(mut bytes: &[u8]) -> Option<Words> {
    let mut words = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (word, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        words.push(str::from_utf8(word).ok()?.into());
        bytes = rest;
    }
    let tags = if words.is_empty() { Vec::new() } else { words.split_off(1) };
    let kind = words.pop()?;
    bytes.is_empty().then_some(Words { kind, tags })
}

fn checksum(parts: &[&[u8]]) -> [u8; CHECKSUM] {
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update(part));
    let mut checksum = [0; CHECKSUM];
    checksum.iter_mut().zip(digest.finalize()).for_each(|(byte, digested)| *byte = digested);
    checksum
}

/// Since 1970; what is before that is then.
fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn time(millis: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
}
