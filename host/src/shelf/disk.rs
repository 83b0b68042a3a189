//! Objects on a disk: a directory of bounded size, whose files leave by `sendfile`.
//!
//! The index in memory says what there is; files say it again at the next start. Nothing here waits for the disk on the
//! caller's thread. Invariants: a file that can be found is whole; what is counted never exceeds the capacity.
//!
//! Without `sync` a file may have its name before its bytes are on the disk itself. A killed process does no harm then, the
//! kernel has everything; after a new start of the machine such files are read before they are believed (`seal.rs`).

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use moka::sync::Cache;
use tokio::sync::oneshot;

use super::bans::{Bans, Moment};
use super::counters::{Count, Happened};
use super::directory::Directory;
use super::format;
use super::index::{Card, Index};
use super::object::{Label, Object};
use super::opened::{OPEN_WEIGHT, Open};
use super::sweep;
use super::synced::Synced;
use super::target::{Meant, Purge};
use super::trouble::{Doing, Troubles};
use super::walk::After;
use crate::kernel::Threads;

/// What a shelf on a disk is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSizes {
    /// Its directory; made if there is none.
    pub directory: PathBuf,
    /// Bytes that its files take at most, in whole blocks.
    pub capacity: u64,
    /// The longest content that it takes.
    pub most: u64,
    /// Bytes that its index takes in memory at most, about.
    pub index: u64,
    /// Files that are kept open.
    pub open: u64,
    /// Threads that may wait for the disk.
    pub threads: usize,
    /// Whether a file is on the disk itself before it gets its name.
    pub sync: bool,
}

/// The shelf on a disk.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) directory: Directory,
    /// What of the sizes may change while it is used.
    capacity: AtomicU64,
    most: AtomicU64,
    in_index: AtomicU64,
    pub(super) synced: Synced,
    pub(super) threads: Arc<Threads>,
    pub(super) bans: Arc<Bans>,
    pub(super) happened: Happened,
    /// Files that are being written.
    pub(super) spools: AtomicU64,
    /// Bytes in memory that wait to be written.
    pub(super) backlog: AtomicU64,
    index: Mutex<Index>,
    pub(super) open: Cache<u64, Arc<Open>>,
    /// Later labels are written one after the other: a slot has one writer.
    pub(super) amending: Mutex<()>,
    /// Held for reading while a file gets its name: who purges waits for those who do not know of it.
    publishing: RwLock<()>,
    troubles: Troubles,
    is_swept: AtomicBool,
    /// The latest time that anybody told, in seconds.
    pub(super) seconds: AtomicU32,
}

/// A whole file that is about to be taken in.
pub(super) struct Shelved<'l> {
    pub(super) label: &'l Label,
    pub(super) sequence: u64,
    pub(super) size: u64,
    /// When it was last of use, if that is not now.
    pub(super) used: Option<SystemTime>,
    /// Room that was held for it.
    pub(super) reserved: u64,
}

/// Work that waits for a thread: with more, nothing more is written, and what is asked for has to be fetched.
pub(super) const BUSY: usize = 512;

/// So much leaves at least when the disk is full: the next objects fit, and few have to leave.
const LEAST_YIELD: u64 = 1 << 20;

impl Disk {
    /// Takes a directory. What is in it can be found bit by bit, as a thread reads it.
    pub(super) fn open(
        sizes: DiskSizes,
        bans: Arc<Bans>,
        threads: Arc<Threads>,
        now: SystemTime,
    ) -> io::Result<Arc<Self>> {
        let directory = Directory::take(&sizes.directory, sizes.sync, seconds(now))?;
        let open = Cache::builder()
            .max_capacity(sizes.open * u64::from(OPEN_WEIGHT))
            .weigher(|_: &u64, open: &Arc<Open>| open.weight())
            .build();
        let disk = Arc::new(Self {
            index: Mutex::new(Index::seeded(directory.first())),
            threads,
            directory,
            capacity: AtomicU64::new(sizes.capacity),
            most: AtomicU64::new(sizes.most),
            in_index: AtomicU64::new(sizes.index),
            synced: Synced::of(sizes.sync),
            bans,
            open,
            happened: Happened::default(),
            spools: AtomicU64::new(0),
            backlog: AtomicU64::new(0),
            amending: Mutex::new(()),
            publishing: RwLock::new(()),
            troubles: Troubles::default(),
            is_swept: AtomicBool::new(false),
            seconds: AtomicU32::new(seconds(now)),
        });
        sweep::begin(&disk)?;
        Ok(disk)
    }

    /// The longest content that it takes.
    pub(super) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// Other sizes from now on. What has to leave for them leaves on a thread that may wait.
    pub(super) fn resize(self: &Arc<Self>, sizes: &DiskSizes) {
        self.capacity.store(sizes.capacity, Ordering::Relaxed);
        self.most.store(sizes.most, Ordering::Relaxed);
        self.in_index.store(sizes.index, Ordering::Relaxed);
        self.synced.want(sizes.sync);
        let disk = self.clone();
        self.threads.give(move || {
            let settled = disk.synced.settle(&disk.directory);
            let _ = settled.inspect_err(|error| disk.troubled(Doing::Write, error));
            disk.reserve(0);
        });
    }

    /// Whether so much more can be written now, and ever.
    pub(super) fn takes(&self, label: &Label, length: u64) -> bool {
        let whole = format::rounded(format::content_at(label).saturating_add(length));
        length <= self.most() && whole <= self.capacity.load(Ordering::Relaxed) && self.threads.waiting() < BUSY
    }

    /// Gives an object another label of the same key and variant; its content stays. The result comes when it is written.
    pub(super) fn relabel(self: &Arc<Self>, found: &Object, label: &Arc<Label>) -> Option<oneshot::Receiver<()>> {
        let (sequence, more) = (found.number(), format::amended(label));
        let held = (sequence, found.is_stale());
        let is_stale = self.index().relabel(held, label, more, seconds(label.expires))?;
        if let Some(open) = self.open.get(&sequence) {
            let open = open.relabelled(label.clone());
            self.open.insert(sequence, Arc::new(open));
        }
        let (disk, label) = (self.clone(), label.clone());
        Some(self.threads.carry_out(move || disk.amend(sequence, &label, is_stale)))
    }

    /// An object with this label exists that is not here: earlier ones are of no use any more.
    pub(super) fn supersede(self: &Arc<Self>, label: &Label, number: u64) {
        let earlier = {
            let mut index = self.index();
            let earlier = index.sequence(label).filter(|earlier| *earlier < number);
            earlier.and_then(|earlier| index.remove(earlier))
        };
        if let Some(card) = earlier {
            let disk = self.clone();
            self.threads.give(move || disk.discard(card.sequence));
        }
    }

    /// One object goes, or is stale from now on.
    pub(super) fn set_aside(self: &Arc<Self>, object: &Object, purge: Purge) {
        let number = object.number();
        if self.index().set_aside(number, purge) {
            let disk = self.clone();
            self.threads.give(move || disk.purge_files(&[number], purge));
        }
    }

    /// Forgets what is meant, as far as the index goes: of one target, a piece of what comes after what was seen. Whose files
    /// are to follow, and where to go on, unless that was the last piece.
    pub(super) fn purge_some(
        &self,
        meant: (&Meant, u64),
        at: usize,
        after: Option<After>,
        purge: Purge,
    ) -> (Vec<u64>, Option<After>) {
        let mut index = self.index();
        let (numbers, next) = index.select(meant, at, after.as_ref());
        self.happened.purged.add(numbers.len() as u64);
        for number in &numbers {
            index.set_aside(*number, purge);
        }
        (numbers, next)
    }

    /// The same for files. Waits for the disk.
    pub(super) fn purge_files(&self, numbers: &[u64], purge: Purge) {
        for number in numbers {
            match purge {
                Purge::Soft => self.amend_stale(*number),
                Purge::Hard => self.discard(*number),
            }
        }
        if self.synced.get() && purge == Purge::Hard {
            let synced = self.directory.sync(numbers.iter().copied());
            let _ = synced.inspect_err(|error| self.troubled(Doing::Remove, error));
        }
    }

    /// Whether there may be files that are meant and that the index does not know yet.
    pub(super) fn has_unknown(&self) -> bool {
        self.spools.load(Ordering::Acquire) > 0 || !self.is_swept()
    }

    /// Ends when what got its name without knowing of a purge is gone, or marked, and when a next run would doubt what this
    /// one has not read. Waits for the disk.
    pub(super) fn catch_up(&self) {
        let _one = self.publishing.write().unwrap_or_else(PoisonError::into_inner);
        if !self.is_swept() {
            let _ = self.directory.doubt().inspect_err(|error| self.troubled(Doing::Remove, error));
        }
    }

    pub(super) fn count(&self) -> Count {
        let index = self.index();
        self.happened.count(index.count() as u64, index.bytes + index.reserved)
    }

    /// Whether all that earlier runs left was read.
    pub(super) fn is_swept(&self) -> bool {
        self.is_swept.load(Ordering::Acquire)
    }

    pub(super) fn swept(&self) {
        let _one = self.publishing.write().unwrap_or_else(PoisonError::into_inner);
        self.directory.trust();
        self.is_swept.store(true, Ordering::Release);
    }

    #[cfg(test)]
    pub(super) fn unread(&self) {
        self.is_swept.store(false, Ordering::Release);
    }

    /// Makes room, and holds it. Others leave for it. `false` if there is not enough. May wait for the disk.
    pub(super) fn reserve(&self, bytes: u64) -> bool {
        loop {
            let mut index = self.index();
            if index.bytes + index.reserved + bytes <= self.capacity.load(Ordering::Relaxed)
                && index.memory <= self.in_index.load(Ordering::Relaxed)
            {
                index.reserved += bytes;
                return true;
            }
            let Some(card) = index.victim(self.seconds.load(Ordering::Relaxed)) else { return false };
            drop(index);
            self.happened.evictions.add(1);
            self.discard(card.sequence);
        }
    }

    /// Gives room back.
    pub(super) fn release(&self, bytes: u64) {
        self.index().reserved -= bytes;
    }

    /// Takes a whole file into the index, unless it was purged since it was begun. What has to leave for it leaves. May wait
    /// for the disk.
    pub(super) fn shelve(&self, file: &Shelved<'_>, was_stale: bool, begun: Moment) -> bool {
        let now = self.seconds.load(Ordering::Relaxed);
        let used = file.used.map_or(now, seconds).min(now);
        let mut card = Card::of(file.label, file.sequence, file.size, used, seconds(file.label.expires));
        let (left, purge) = {
            // What is purged from now on waits, and finds it.
            let mut index = self.index();
            index.reserved -= file.reserved;
            let purge = self.bans.since(begun, file.label);
            card.is_stale = was_stale || purge == Some(Purge::Soft);
            let left = if purge == Some(Purge::Hard) { vec![card] } else { index.insert(card, file.label) };
            (left, purge)
        };
        left.iter().for_each(|card| self.discard(card.sequence));
        let is_here = left.iter().all(|card| card.sequence != file.sequence);
        // What an earlier run left was there before.
        self.happened.stores.add(u64::from(is_here && file.used.is_none()));
        if is_here && purge == Some(Purge::Soft) && !was_stale {
            self.amend_stale(file.sequence);
        }
        is_here
    }

    /// Removes a file that is not in the index any more.
    pub(super) fn discard(&self, sequence: u64) {
        self.open.invalidate(&sequence);
        if let Err(error) = self.directory.remove(sequence) {
            self.troubled(Doing::Remove, &error);
        }
    }

    /// Tells that the disk failed.
    pub(super) fn troubled(&self, doing: Doing, error: &io::Error) {
        self.troubles.tell(self.directory.root(), doing, error);
    }

    /// Something could not be written. If the disk is full with what others have there, this shelf gives way: so much leaves
    /// that there is room for the next one.
    pub(super) fn unwritten(&self, error: &io::Error, wanted: u64) {
        self.troubled(Doing::Write, error);
        if !matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return;
        }
        let mut left = wanted.max(LEAST_YIELD);
        while left > 0 {
            let Some(card) = self.index().victim(self.seconds.load(Ordering::Relaxed)) else { return };
            left = left.saturating_sub(card.size);
            self.happened.evictions.add(1);
            self.discard(card.sequence);
        }
    }

    /// As long as this is held, whoever purges waits.
    pub(super) fn publishing(&self) -> RwLockReadGuard<'_, ()> {
        self.publishing.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn amend_stale(&self, sequence: u64) {
        if let Some(open) = self.open.get(&sequence).or_else(|| self.load(sequence)) {
            self.amend(sequence, &open.label, true);
        }
    }

    /// An object whose label cannot be written leaves.
    fn amend(&self, sequence: u64, label: &Label, is_stale: bool) {
        let one = self.amending.lock().unwrap_or_else(PoisonError::into_inner);
        let amended = self.directory.open_to_amend(sequence).and_then(|file| {
            // With its seal, if it bears one.
            let changed = file.metadata()?.modified()?;
            let is_written = format::amend(&file, sequence, label, is_stale)?;
            file.set_modified(changed)?;
            if self.synced.get() {
                file.sync_data()?;
            }
            Ok(is_written)
        });
        drop(one);
        // A later label takes room as well.
        self.index().grow(sequence, format::amended(label));
        self.reserve(0);
        if !matches!(amended, Ok(true)) {
            // What was forgotten meanwhile has no label to be written.
            if let Some(error) = amended.err().filter(|error| error.kind() != io::ErrorKind::NotFound) {
                self.happened.failures.add(1);
                self.troubled(Doing::Amend, &error);
            }
            self.index().remove(sequence);
            self.discard(sequence);
        }
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of the wall clock, since 1970; enough until 2106.
pub(super) fn seconds(time: SystemTime) -> u32 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}
