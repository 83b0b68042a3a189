//! A purge on its way through the shelves, piece by piece: a million objects are not gone through in one go, since whoever
//! wants to store or to find something waits for each piece.
//!
//! First what the indexes have: when that is done the purge holds for everybody. Then the files. A few pieces are done by
//! whoever asks for the purge, so that small ones are done at once; the others by threads, each piece behind what waits there
//! already. Invariant: what was on a shelf when the walk began and is meant is gone or stale when it ends; for what comes
//! later, `Bans` is asked by whoever brings it. So a walk never has to look back: nothing changes its place while it is on a
//! shelf.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Purged;
use super::disk::Disk;
use super::memory::Memory;
use super::target::{Meant, Purge};
use crate::kernel::Threads;

/// A purge on its way.
#[derive(Debug)]
pub(super) struct Walk {
    meant: Arc<Meant>,
    purge: Purge,
    /// What was begun later is none of its business: neither is it meant, nor may a walk go on for ever because of it.
    before: u64,
    disk: Option<Arc<Disk>>,
    memory: Option<Arc<Memory>>,
    stage: Stage,
    count: u64,
    /// Files that are meant.
    files: Vec<u64>,
    /// Files were being written when it began, or had not been read yet.
    settles: bool,
    told: Option<oneshot::Sender<u64>>,
    written: Option<oneshot::Sender<()>>,
}

/// What comes next: a target by its place among all, behind what was seen of it.
#[derive(Debug)]
enum Stage {
    /// First: what comes from there into memory is looked for there afterwards.
    Disk(usize, Option<After>),
    Memory(usize, Option<Bytes>),
    Files,
    /// For what was getting its name when the walk began.
    CatchUp,
    Over,
}

/// What was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum After {
    Key(Bytes),
    Slot(u32),
}

/// How much is gone through in one piece: some hundred microseconds, also where keys are long and patterns slow.
#[derive(Debug)]
pub(super) struct Budget {
    keys: usize,
    bytes: usize,
}

/// Pieces that are done at once.
const AT_ONCE: usize = 4;

/// Files of one piece: each takes some ten microseconds to remove, and more to mark.
const FILES: usize = 32;

impl Walk {
    /// A purge of what has a lower number than this.
    pub(super) fn of(
        meant: Arc<Meant>,
        purge: Purge,
        before: u64,
        disk: Option<Arc<Disk>>,
        memory: Option<Arc<Memory>>,
    ) -> Self {
        let settles = disk.as_ref().is_some_and(|disk| disk.has_unknown());
        let (stage, files) = (Stage::Over, Vec::new());
        let mut walk =
            Self { meant, purge, before, disk, memory, stage, count: 0, files, settles, told: None, written: None };
        walk.stage = walk.with_work(Stage::Disk(0, None));
        walk
    }

    /// Sets out. Nothing here waits.
    pub(super) fn begin(mut self, threads: &Arc<Threads>) -> Purged {
        for _ in 0..AT_ONCE {
            if self.is_in_indexes() {
                self.go();
            }
        }
        if matches!(self.stage, Stage::Over) {
            return Purged { count: self.count, counting: None, written: None };
        }
        let counting = self.is_in_indexes().then(|| {
            let (sender, counting) = oneshot::channel();
            self.told = Some(sender);
            counting
        });
        let (sender, written) = oneshot::channel();
        self.written = Some(sender);
        let purged = Purged { count: self.count, counting, written: Some(written) };
        self.go_on(threads.clone());
        purged
    }

    /// The next piece gets in line.
    fn go_on(mut self, threads: Arc<Threads>) {
        let again = threads.clone();
        threads.give(move || {
            self.go();
            if !self.is_in_indexes() {
                // Nobody has to listen, here and below.
                self.told.take().map(|told| told.send(self.count));
            }
            match self.stage {
                Stage::Over => drop(self.written.take().map(|written| written.send(()))),
                _ => self.go_on(again),
            }
        });
    }

    /// One piece.
    fn go(&mut self) {
        let (meant, purge, before) = (self.meant.clone(), self.purge, self.before);
        let next = match (std::mem::replace(&mut self.stage, Stage::Over), &self.disk, &self.memory) {
            (Stage::Disk(at, after), Some(disk), _) => {
                let (numbers, next) = disk.purge_some((&meant, before), at, after, purge);
                self.count += numbers.len() as u64;
                self.files.extend(numbers);
                next.map_or(Stage::Disk(at + 1, None), |next| Stage::Disk(at, Some(next)))
            }
            (Stage::Memory(at, after), _, Some(memory)) => {
                let (count, next) = memory.purge_some((&meant, before), at, after, purge);
                self.count += count;
                next.map_or(Stage::Memory(at + 1, None), |next| Stage::Memory(at, Some(next)))
            }
            (Stage::Files, Some(disk), _) => {
                let left = self.files.len().saturating_sub(FILES);
                disk.purge_files(&self.files.split_off(left), purge);
                Stage::Files
            }
            (Stage::CatchUp, Some(disk), _) => {
                disk.catch_up();
                self.settles = false;
                Stage::CatchUp
            }
            (stage, ..) => stage,
        };
        self.stage = self.with_work(next);
    }

    /// Past what there is nothing to do in.
    fn with_work(&self, stage: Stage) -> Stage {
        let is_through = |at| at >= self.meant.targets.len();
        match stage {
            Stage::Disk(at, _) if self.disk.is_none() || is_through(at) => self.with_work(Stage::Memory(0, None)),
            Stage::Memory(at, _) if self.memory.is_none() || is_through(at) => self.with_work(Stage::Files),
            Stage::Files if self.files.is_empty() => self.with_work(Stage::CatchUp),
            Stage::CatchUp if !self.settles => Stage::Over,
            stage => stage,
        }
    }

    fn is_in_indexes(&self) -> bool {
        matches!(self.stage, Stage::Disk(..) | Stage::Memory(..))
    }
}

impl Budget {
    pub(super) fn of_a_piece() -> Self {
        Self { keys: 128, bytes: 32 << 10 }
    }

    /// One more key; whether there may be another one.
    pub(super) fn spend(&mut self, key: &[u8]) -> bool {
        self.keys = self.keys.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(key.len());
        self.keys > 0 && self.bytes > 0
    }
}
