//! An object: a label and a content. The label is all that is known of it but its bytes.
//!
//! What a head says is not read here. Whoever does may keep what it read beside the bytes (`Label::reading`), so that a
//! hit reads nothing twice. A content is never copied on its way out.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytes::Bytes;

use crate::body::{Body, Extent, Lent, Part, Parts};
use crate::kernel;

/// What an object is found by, and what is kept beside its content.
pub struct Label {
    /// The primary key. Objects of one key are found together.
    pub key: Bytes,
    /// Tells the objects of one key apart.
    pub variant: Bytes,
    /// Whatever its owner needs to use it.
    pub head: Bytes,
    /// Names that it can be forgotten by.
    pub tags: Arc<[Box<str>]>,
    /// What its owner sorts it under: one of few words, by which what is forgotten can be narrowed.
    pub kind: Box<str>,
    /// When it came, or was last confirmed.
    pub stored: SystemTime,
    /// When nobody will want it any more: it may leave before others do.
    pub expires: SystemTime,
    /// How many fields its head has, if that is known.
    fields: Option<usize>,
    read: OnceLock<Box<dyn Any + Send + Sync>>,
    /// The number of the next object when it was last of use, where its key has others.
    used: AtomicU64,
}

/// One object. Cloning shares everything.
#[derive(Debug, Clone)]
pub struct Object {
    number: u64,
    label: Arc<Label>,
    content: Content,
    is_stale: bool,
}

/// Where the bytes are.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// In one piece, in memory.
    Whole(Bytes),
    /// In one piece, in memory, from where the kernel can send it.
    Lent(Lent),
    /// In pieces, in memory.
    Pieces(Arc<[Bytes]>, u64),
    /// In a file.
    File(Extent),
}

/// The longest key, and the longest variant: request targets are shorter by default, and a broken file must not make
/// anybody reserve gigabytes.
pub(super) const LONGEST_KEY: usize = 64 << 10;
/// The longest head.
pub(super) const LONGEST_HEAD: usize = 256 << 10;
/// The bytes of all tags and of the kind, with two more for each: 128 tags of 1 KiB fit.
pub(super) const LONGEST_TAGS: usize = 132 << 10;

/// What an object in memory costs beside its bytes: the label, its place in a map and in the indexes, reference counts. This
/// and the next are measured, as what a process takes with fifty thousand of them that were used.
const OVERHEAD: usize = 768;

/// What a field takes when it was read, in tables with free places; and what all do where nobody says how many there are: as many
/// times their bytes, and no more than eight.
const FIELD: usize = 520;
const UNTOLD: usize = 8;
const MOST_UNTOLD: usize = 8 * FIELD;

/// Of one piece: its handle and what the allocator rounds up.
const PIECE: usize = 64;

/// What a tag takes beside its text: its handle, and its place among all that have it, a set of its own where nobody else does.
const TAG: usize = 256;

/// From so many bytes on, it costs less to have the kernel send what is in memory than to copy it into the socket, and a
/// descriptor for each object is worth that.
const LENT: usize = 64 << 10;

/// What is lent takes whole pages.
const PAGE: usize = 4096;

/// Bytes of a piece in memory: one write takes a few of them.
const BLOCK: usize = 256 << 10;

impl Label {
    /// A label without tags. The bytes are copied: what is given may be a slice of a buffer that is much larger.
    #[must_use]
    pub fn of(key: &[u8], variant: &[u8], head: &[u8], stored: SystemTime, expires: SystemTime) -> Self {
        let [key, variant, head] = [key, variant, head].map(Bytes::copy_from_slice);
        let (tags, kind, read, used) = (Arc::default(), Box::default(), OnceLock::new(), AtomicU64::new(0));
        Self { key, variant, head, tags, kind, stored, expires, fields: None, read, used }
    }

    /// With tags.
    #[must_use]
    pub fn tagged(self, tags: impl IntoIterator<Item = Box<str>>) -> Self {
        Self { tags: tags.into_iter().collect(), ..self }
    }

    /// Of this kind.
    #[must_use]
    pub fn of_kind(self, kind: impl Into<Box<str>>) -> Self {
        Self { kind: kind.into(), ..self }
    }

    /// With so many fields in its head, each of which takes room when it was read.
    #[must_use]
    pub fn with_fields(self, count: usize) -> Self {
        Self { fields: Some(count), ..self }
    }

    /// What was read from the head, read now if it was not before. `None` if something of another type was.
    pub fn reading<T: Send + Sync + 'static>(&self, read: impl FnOnce(&Self) -> T) -> Option<&T> {
        self.read.get_or_init(|| Box::new(read(self))).downcast_ref()
    }

    /// Notes that it was of use when that was the number of the next object; whether nobody has noted that. Between two
    /// objects that come nothing is written, so that hits do not take it from each other's processors.
    pub(super) fn is_first_use(&self, number: u64) -> bool {
        let is_first = self.used.load(Ordering::Relaxed) < number;
        if is_first {
            self.used.store(number, Ordering::Relaxed);
        }
        is_first
    }

    /// Whether it is of a size that can be stored.
    #[must_use]
    pub fn is_storable(&self) -> bool {
        let is_key = self.key.len() <= LONGEST_KEY && self.variant.len() <= LONGEST_KEY;
        let words = || self.tags.iter().chain([&self.kind]);
        let tags: usize = words().map(|word| word.len() + 2).sum();
        let are_tags = tags <= LONGEST_TAGS && words().all(|word| u16::try_from(word.len()).is_ok());
        is_key && are_tags && self.head.len() <= LONGEST_HEAD
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.key == other.key && self.variant == other.variant
    }

    /// Bytes in memory, with what is read from the head at the first hit. It never changes, since it is counted twice.
    fn weight(&self) -> usize {
        let tags: usize = self.tags.iter().map(|tag| tag.len() + TAG).sum();
        let untold = || (UNTOLD * self.head.len()).min(MOST_UNTOLD);
        let read = self.head.len() + self.fields.map_or_else(untold, |count| FIELD * count);
        OVERHEAD + self.key.len() + self.variant.len() + self.kind.len() + self.head.len() + read + tags
    }
}

impl Object {
    pub(super) fn of(number: u64, label: Arc<Label>, content: Content) -> Self {
        Self { number, label, content, is_stale: false }
    }

    /// Its own as long as it lives, on all shelves, whatever label it has; later objects have higher ones.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its label.
    #[must_use]
    pub fn label(&self) -> &Arc<Label> {
        &self.label
    }

    /// Whether it was purged softly: it may be used after it was confirmed, or where nothing better can be had.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Bytes of its content.
    #[must_use]
    pub fn length(&self) -> u64 {
        match &self.content {
            Content::Whole(bytes) => bytes.len() as u64,
            Content::Lent(lent) => lent.extent.length,
            Content::Pieces(_, length) => *length,
            Content::File(extent) => extent.length,
        }
    }

    /// Among the objects of its key, who has the highest was of use last: the number of the next object at that time.
    #[must_use]
    pub fn last_use(&self) -> u64 {
        self.label.used.load(Ordering::Relaxed).max(self.number)
    }

    /// Whether its content lies in a file.
    #[must_use]
    pub fn is_in_file(&self) -> bool {
        matches!(self.content, Content::File(_))
    }

    /// The whole content.
    #[must_use]
    pub fn body(&self) -> Body {
        match &self.content {
            Content::Whole(bytes) => Body::from(bytes.clone()),
            Content::Lent(_) | Content::Pieces(..) | Content::File(_) => {
                Body::Parts(Parts::of(self.part(0, self.length())))
            }
        }
    }

    /// So many bytes from there, as far as there are so many.
    #[must_use]
    pub fn part(&self, offset: u64, length: u64) -> Vec<Part> {
        let offset = offset.min(self.length());
        let length = length.min(self.length() - offset);
        match &self.content {
            Content::Whole(bytes) => cut(std::slice::from_ref(bytes), offset, length),
            Content::Lent(lent) => vec![Part::Lent(lent.part(offset, length))],
            Content::Pieces(pieces, _) => cut(pieces, offset, length),
            Content::File(extent) => {
                vec![Part::Extent(Extent { file: extent.file.clone(), offset: extent.offset + offset, length })]
            }
        }
    }

    /// What it has in memory.
    pub(super) fn blocks(&self) -> Vec<Bytes> {
        match &self.content {
            Content::Whole(bytes) => vec![bytes.clone()],
            Content::Lent(lent) => vec![lent.bytes.clone()],
            Content::Pieces(pieces, _) => pieces.to_vec(),
            Content::File(_) => Vec::new(),
        }
    }

    pub(super) fn relabelled(&self, label: Arc<Label>) -> Self {
        label.is_first_use(self.last_use());
        Self { label, is_stale: false, ..self.clone() }
    }

    #[must_use]
    pub(super) fn stale(self, is_stale: bool) -> Self {
        Self { is_stale, ..self }
    }

    /// Bytes in memory.
    pub(super) fn weight(&self) -> u64 {
        let content = match &self.content {
            Content::Whole(bytes) => bytes.len(),
            Content::Lent(lent) => lent.bytes.len() + PAGE,
            Content::Pieces(pieces, _) => pieces.iter().map(|piece| piece.len() + PIECE).sum(),
            Content::File(_) => 0,
        };
        (self.label.weight() + content) as u64
    }
}

impl Content {
    /// Bytes that came as they came, in places of their own: what came may be slices of buffers that are much larger, and
    /// would keep all of these. Whoever counts what is in memory does so by `keep`.
    pub(super) fn compact(pieces: &[Bytes], keep: impl Fn(Bytes) -> Bytes) -> Self {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        if length >= LENT
            && let Ok((file, bytes)) = kernel::hold(pieces)
        {
            let extent = Extent { file: Arc::new(file), offset: 0, length: length as u64 };
            return Self::Lent(Lent { bytes: keep(bytes), extent });
        }
        Self::in_blocks(pieces, keep)
    }

    fn in_blocks(pieces: &[Bytes], keep: impl Fn(Bytes) -> Bytes) -> Self {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let mut blocks = Vec::with_capacity(length.div_ceil(BLOCK));
        let mut block = Vec::with_capacity(length.min(BLOCK));
        let mut left = length;
        for mut rest in pieces.iter().map(|piece| &**piece) {
            while let Some((now, later)) = rest.split_at_checked(rest.len().min(BLOCK - block.len()))
                && !now.is_empty()
            {
                block.extend_from_slice(now);
                left -= now.len();
                rest = later;
                if block.len() == BLOCK || left == 0 {
                    let full = std::mem::replace(&mut block, Vec::with_capacity(left.min(BLOCK)));
                    blocks.push(keep(full.into()));
                }
            }
        }
        match <[Bytes; 1]>::try_from(blocks) {
            Ok([one]) => Self::Whole(one),
            Err(blocks) if blocks.is_empty() => Self::Whole(Bytes::new()),
            Err(blocks) => Self::Pieces(blocks.into(), length as u64),
        }
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, variant, tags, .. } = self;
        f.debug_struct("Label").field("key", key).field("variant", variant).field("tags", tags).finish_non_exhaustive()
    }
}

fn cut(pieces: &[Bytes], offset: u64, length: u64) -> Vec<Part> {
    let (mut skip, mut left, mut parts) = (offset, length, Vec::new());
    for piece in pieces {
        let size = piece.len() as u64;
        let (from, to) = (skip.min(size), (skip + left).min(size));
        skip -= from;
        left -= to - from;
        let place = |at: u64| usize::try_from(at).unwrap_or(piece.len());
        if from < to {
            parts.push(Part::Bytes(piece.slice(place(from)..place(to))));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(sizes: &[usize]) -> (Object, Vec<u8>, Vec<Bytes>) {
        let mut all = Vec::new();
        let pieces: Vec<_> = sizes
            .iter()
            .map(|&size| {
                let piece: Vec<u8> = (0..size).map(|at| u8::try_from((all.len() + at) % 251).unwrap()).collect();
                all.extend_from_slice(&piece);
                Bytes::from(piece)
            })
            .collect();
        let at = SystemTime::UNIX_EPOCH;
        let label = Label::of(b"k", b"", b"head", at, at);
        (Object::of(1, Arc::new(label), Content::compact(&pieces, |bytes| bytes)), all, pieces)
    }

    fn bytes(parts: &[Part]) -> Vec<u8> {
        let bytes = |part: &Part| match part {
            Part::Bytes(bytes) => bytes.to_vec(),
            Part::Lent(lent) => lent.bytes.to_vec(),
            Part::Extent(_) => unreachable!("it is in memory"),
        };
        parts.iter().flat_map(bytes).collect()
    }

    #[test]
    fn every_part_of_contents_can_be_had_however_they_lie() {
        for sizes in [&[][..], &[0], &[1, 2, 0, 3], &[BLOCK], &[BLOCK, 1], &[1, BLOCK * 2, 7], &[BLOCK - 1, 1, BLOCK]] {
            let (compact, all, pieces) = object(sizes);
            let in_blocks = Object { content: Content::in_blocks(&pieces, |bytes| bytes), ..compact.clone() };
            let length = all.len() as u64;
            for (object, offset, wanted) in [compact, in_blocks].iter().flat_map(|object| {
                let asked = [(0, length), (0, 1), (1, length), (length, 5), (length + 9, 1), (length / 2, 300)];
                asked.map(|(offset, wanted)| (object, offset, wanted))
            }) {
                assert!(object.length() == length && object.weight() >= length);
                let from = usize::try_from(offset.min(length)).unwrap();
                let to = usize::try_from((offset + wanted).min(length)).unwrap().max(from);
                assert_eq!(bytes(&object.part(offset, wanted)), all[from..to], "{sizes:?} {offset} {wanted}");
            }
        }
    }

    #[test]
    fn a_hit_copies_nothing() {
        let (object, ..) = object(&[100]);
        let Content::Whole(stored) = &object.content else { unreachable!("it is small") };
        let Body::Bytes(Some(sent)) = object.body() else { unreachable!("it is in memory") };
        assert_eq!(stored.as_ptr(), sent.as_ptr());
    }

    #[test]
    fn a_head_is_read_once() {
        let (object, ..) = object(&[]);
        assert_eq!(object.label().reading(|label| label.head.len()), Some(&4));
        assert_eq!(object.label().reading(|_| 0_usize), Some(&4));
        assert_eq!(object.label().reading(|_| "another type"), None);
    }
}
