//! Objects in memory: weighed by real bytes, bounded by them.
//!
//! All objects of one key are one entry, so that a hit is one look into one table. Which entry is useful is moka's
//! judgement. Beside it stands an ordered index of keys and tags, which is touched when something comes or goes, never by
//! hits. Invariant: an entry that can be found can be purged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::bans::{Bans, Moment};
use super::counters::Count;
use super::known::{Known, weigh};
use super::object::{Content, Label, Object};
use super::tables::Tables;
use super::target::{Meant, Purge, Target};
use crate::kernel::Threads;

/// The shelf in memory.
#[derive(Debug)]
pub(super) struct Memory {
    tables: Tables,
    known: Arc<Known>,
    /// Zero means that nothing is kept.
    capacity: AtomicU64,
    most: AtomicU64,
    /// Bytes of objects that are still being written.
    growing: AtomicU64,
    /// Bytes of contents, on the shelf or with slow clients that read them after they left it.
    held: Arc<AtomicU64>,
}

/// Bytes of a content, counted for as long as anybody has them.
struct Block {
    bytes: Bytes,
    held: Arc<AtomicU64>,
}

/// Objects of one key: more are other values of a field that nobody should vary by. The one used longest ago leaves.
const MOST_VARIANTS: usize = 64;

/// Contents that left the table are let go by it a while later: this much of them, and as much again as the shelf has, is
/// not held against anybody.
const SLACK: u64 = 64 << 20;

/// An entry of this weight is worth putting the table in order at once, so that its bound holds.
const HEAVY: u32 = 64 << 10;

impl Memory {
    /// A shelf of so many bytes, for objects of so many bytes each at most.
    pub(super) fn of(capacity: u64, most: u64) -> Self {
        let known = Arc::new(Known::default());
        let memory = Self {
            tables: Tables::of(capacity, known.clone()),
            known,
            capacity: AtomicU64::new(0),
            most: AtomicU64::new(0),
            growing: AtomicU64::new(0),
            held: Arc::default(),
        };
        memory.settle(capacity, most);
        memory
    }

    /// Another capacity and another longest content from now on. What is there stays as far as it fits, and is carried over by
    /// these threads; what both tables have meanwhile is no more than the larger one may.
    pub(super) fn resize(self: &Arc<Self>, capacity: u64, most: u64, threads: &Arc<Threads>) {
        self.settle(capacity, most);
        if self.tables.begin(capacity) {
            self.clone().carry_over(None, threads.clone());
        }
    }

    fn settle(&self, capacity: u64, most: u64) {
        self.capacity.store(capacity, Ordering::Relaxed);
        // One entry has to fit into the table's way of weighing.
        self.most.store(most.min(capacity).min(u64::from(u32::MAX / 2)), Ordering::Relaxed);
    }

    /// Piece by piece, each behind what waits there already.
    fn carry_over(self: Arc<Self>, after: Option<Bytes>, threads: Arc<Threads>) {
        let again = threads.clone();
        threads.give(move || {
            let (keys, next) = self.known.keys().select(&Meant::from(Target::All), 0, after);
            keys.iter().for_each(|key| self.tables.compute(key, |_| None));
            self.tables.tidy();
            if next.is_some() || self.tables.end(self.capacity()) {
                self.carry_over(next, again);
            }
        });
    }

    #[cfg(test)]
    pub(super) fn is_settled(&self) -> bool {
        self.tables.are_settled()
    }

    fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Relaxed)
    }

    /// The objects of a key, the one that came last in front.
    pub(super) fn get(&self, key: &[u8]) -> Option<Arc<[Object]>> {
        if self.capacity() == 0 {
            return None;
        }
        self.tables.get(key).map(|entry| entry.objects)
    }

    /// Whether a content of this length may be kept.
    pub(super) fn takes(&self, length: u64) -> bool {
        self.capacity() > 0 && length <= self.most()
    }

    /// The longest content.
    pub(super) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// Room for more of an object that is being written; a quarter of the shelf is for all of these. There is none
    /// while slow clients keep too much that left the shelf: what is in memory is bounded, however slowly anybody reads.
    pub(super) fn grow(&self, bytes: u64) -> bool {
        let capacity = self.capacity();
        let most = (capacity / 4).max(self.most());
        let grown = self.growing.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let has_room = || self.held.load(Ordering::Relaxed) <= capacity.saturating_mul(2).saturating_add(SLACK);
        let fits = grown <= most
            && (has_room() || {
                // What is to leave may be here still.
                self.tables.tidy();
                has_room()
            });
        if !fits {
            self.shrink(bytes);
        }
        fits
    }

    /// A content of pieces that came.
    pub(super) fn compact(&self, pieces: &[Bytes]) -> Content {
        Content::compact(pieces, |bytes| self.hold(bytes))
    }

    /// Bytes of a content, counted as long as anybody has them.
    fn hold(&self, bytes: Bytes) -> Bytes {
        self.held.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Bytes::from_owner(Block { bytes, held: self.held.clone() })
    }

    /// They are not being written any more.
    pub(super) fn shrink(&self, bytes: u64) {
        self.growing.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Puts an object in the place of the one with the same label. It was begun at that moment; what was purged since does
    /// not come.
    pub(super) fn put(&self, object: &Object, begun: Moment, bans: &Bans) {
        let (most, capacity) = (self.most(), self.capacity());
        let fits = object.weight() <= most.saturating_mul(2).min(capacity);
        if !fits || !self.tables.have_room(object.weight()) {
            return self.supersede(object.label(), object.number());
        }
        let mut weight = 0;
        self.tables.compute(&object.label().key, |held| {
            let is_late = |held: &Object| held.label().is_same(object.label()) && held.number() > object.number();
            if held.iter().any(is_late) {
                return None;
            }
            // What is purged from now on waits for this lock, and finds it.
            let purge = bans.since(begun, object.label());
            self.known.happened.stores.add(u64::from(purge != Some(Purge::Hard)));
            let object = object.clone().stale(object.is_stale() || purge == Some(Purge::Soft));
            let others = held.iter().filter(|held| !held.label().is_same(object.label()));
            let mut others: Vec<_> = others.collect();
            while others.len() >= MOST_VARIANTS
                && let Some((at, _)) = others.iter().enumerate().min_by_key(|(_, held)| held.last_use())
            {
                others.remove(at);
            }
            let all = Some(&object).filter(|_| purge != Some(Purge::Hard)).into_iter().chain(others);
            let fits = all.scan(0, |sum, object| {
                *sum += object.weight();
                (*sum <= u64::from(u32::MAX).min(capacity)).then(|| object.clone())
            });
            let objects: Vec<_> = fits.collect();
            weight = weigh(&objects);
            Some(objects)
        });
        if weight >= HEAVY {
            self.tables.tidy();
        }
    }

    /// Gives an object another label of the same key and variant; its content stays. It is not stale any more, unless it became so
    /// after it was found.
    pub(super) fn relabel(&self, found: &Object, label: &Arc<Label>) {
        self.tables.compute(&label.key, |held| {
            let at = held.iter().position(|held| held.number() == found.number() && held.label().is_same(label))?;
            let mut objects = held.to_vec();
            let object = objects.remove(at);
            let is_stale = object.is_stale() && !found.is_stale();
            objects.insert(0, object.relabelled(label.clone()).stale(is_stale));
            Some(objects)
        });
    }

    /// An object that came from the disk is not to be here after all.
    pub(super) fn withdraw(&self, label: &Label, number: u64) {
        self.forget(&label.key, Purge::Hard, |held| held.number() == number);
    }

    /// Forgets what is meant: of one target, a piece of what comes after a key. Of how many objects, and where to go on, unless
    /// that was the last piece.
    pub(super) fn purge_some(
        &self,
        (meant, before): (&Meant, u64),
        at: usize,
        after: Option<Bytes>,
        purge: Purge,
    ) -> (u64, Option<Bytes>) {
        let (keys, next) = self.known.keys().select(meant, at, after);
        let is_own = |object: &Object| object.number() < before && meant.target_of(&**object.label()) == Some(at);
        let count = keys.iter().map(|key| self.forget(key, purge, is_own)).sum();
        self.known.happened.purged.add(count);
        (count, next)
    }

    pub(super) fn count(&self) -> Count {
        let (objects, bytes) = self.tables.count();
        self.known.happened.count(objects, bytes)
    }

    /// An object with this label exists that is not here: earlier ones are of no use any more.
    pub(super) fn supersede(&self, label: &Label, number: u64) {
        self.forget(&label.key, Purge::Hard, |held| held.number() < number && held.label().is_same(label));
    }

    /// One object goes, or is stale from now on.
    pub(super) fn set_aside(&self, object: &Object, purge: Purge) {
        self.forget(&object.label().key, purge, |held| held.number() == object.number());
    }

    fn forget(&self, key: &Bytes, purge: Purge, is_meant: impl Fn(&Object) -> bool) -> u64 {
        let mut count = 0;
        self.tables.compute(key, |held| {
            let meant = held.iter().filter(|object| is_meant(object)).count();
            count = meant as u64;
            (meant > 0).then(|| match purge {
                Purge::Hard => held.iter().filter(|object| !is_meant(object)).cloned().collect(),
                Purge::Soft => {
                    let changed = |object: &Object| object.is_stale() || is_meant(object);
                    held.iter().map(|object| object.clone().stale(changed(object))).collect()
                }
            })
        });
        count
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes.len() as u64, Ordering::Relaxed);
    }
}
