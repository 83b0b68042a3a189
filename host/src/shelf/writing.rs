//! An object that is being written: it goes onto the shelves as it comes, and others read it from its beginning meanwhile.
//!
//! Pieces stay in memory as long as somebody needs them from there: all of them while the object may go onto the shelf in
//! memory, those that are not in the file yet otherwise. Whoever is behind reads from the file. When neither shelf takes it
//! any more, its writer goes on and waits for nobody. Invariant: an object that did not come to its end leaves nothing
//! behind, and whoever reads it learns that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;

use super::Shelf;
use super::bans::{Bans, Moment};
use super::disk::Disk;
use super::flights::Leader;
use super::follow::Source;
use super::growth::{BACKLOG, BATCH, End, Feed, Next, Reader, State};
use super::memory::Memory;
use super::object::{Content, Label, Object};
use super::write::{self, Spool};
use crate::clock;

/// The writing end. Dropped before `finish`, the object was broken off.
#[derive(Debug)]
pub struct Writing {
    growing: Arc<Growing>,
    leader: Option<Leader>,
    is_over: bool,
}

/// Which shelves take an object, as far as is known at its beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Takes {
    pub(super) memory: bool,
    pub(super) disk: bool,
}

/// What writer, readers and the threads of the disk share.
#[derive(Debug)]
pub(super) struct Growing {
    number: u64,
    pub(super) label: Arc<Label>,
    /// How long it is to become.
    pub(super) expected: Option<u64>,
    pub(super) disk: Option<Arc<Disk>>,
    memory: Option<Arc<Memory>>,
    bans: Arc<Bans>,
    begun: Moment,
    state: Mutex<State>,
}

/// What readers may be behind when the object is on no shelf: who is further behind is cut off, since the rest is nowhere.
const BEHIND: u64 = 4 << 20;

impl Writing {
    pub(super) fn begin(
        shelf: &Shelf,
        label: Label,
        expected: Option<u64>,
        takes: Takes,
        leader: Option<Leader>,
    ) -> Self {
        let state = State {
            is_in_memory: takes.memory,
            feed: Feed { is_wanted: takes.disk, ..Feed::default() },
            ..State::default()
        };
        let growing = Arc::new(Growing {
            number: shelf.number(),
            label: Arc::new(label),
            expected,
            disk: shelf.disk.clone(),
            memory: shelf.memory.clone(),
            begun: leader.as_ref().map_or_else(|| shelf.bans.moment(), Leader::begun),
            bans: shelf.bans.clone(),
            state: Mutex::new(state),
        });
        let writing = Self { growing, leader, is_over: false };
        if let Some(leader) = &writing.leader {
            leader.follow(&writing.source());
        }
        writing
    }

    /// From where others read it.
    #[must_use]
    pub fn source(&self) -> Source {
        Source::of(self.growing.clone())
    }

    /// How many read it now.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.growing.state().readers.len()
    }

    /// Whether it will be on a shelf when it is finished, as far as can be said.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.growing.state().is_kept()
    }

    /// Ready when it is time for more: a disk that is slower than what comes makes its writer wait. A writer that does not
    /// want to wait longer says `hurry`.
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.growing.state();
        if state.feed.is_wanted && state.length - state.feed.written > BACKLOG {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// The disk is too slow: the object goes into memory, or nowhere.
    pub fn hurry(&mut self) {
        let wake = {
            let mut state = self.growing.state();
            self.growing.stop_feed(&mut state);
            state.trim(self.growing.behind());
            state.wake()
        };
        wake.all();
        self.lose();
    }

    /// More of it.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() || self.is_over {
            return;
        }
        let wake = {
            let mut state = self.growing.state();
            self.growing.take(&mut state, bytes);
            if state.feed.is_wanted && state.length - state.feed.written >= BATCH {
                self.growing.kick(&mut state);
            }
            state.trim(self.growing.behind());
            state.wake()
        };
        wake.all();
        self.lose();
    }

    /// It is whole. Whether it is; who promised another length gets it broken off.
    pub fn finish(mut self) -> bool {
        if self.growing.expected.is_some_and(|expected| expected != self.growing.state().length) {
            return false;
        }
        self.is_over = true;
        let (wake, content) = {
            let mut state = self.growing.state();
            state.end = End::Whole;
            let content = state.is_in_memory.then(|| state.pieces.iter().map(|(_, piece)| piece.clone()).collect());
            (state.wake(), content)
        };
        wake.all();
        self.growing.shelve(content, self.leader.take());
        true
    }

    #[cfg(test)]
    pub(super) fn in_memory(&self) -> usize {
        self.growing.state().pieces.iter().map(|(_, piece)| piece.len()).sum()
    }

    /// Nobody has to wait for what will be on no shelf.
    fn lose(&mut self) {
        if self.leader.is_some() && !self.is_kept() {
            self.leader.take().into_iter().for_each(|leader| leader.uncacheable(clock::now()));
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let wake = {
            let mut state = self.growing.state();
            state.end = End::Broken;
            state.pieces.clear();
            self.growing.leave_memory(&mut state);
            self.growing.stop_feed(&mut state);
            state.wake()
        };
        wake.all();
    }
}

impl Growing {
    /// A place to read from its beginning; `None` if that is gone, or the object was purged since it was begun.
    pub(super) fn join(&self) -> Option<u64> {
        let mut state = self.state();
        let is_there = state.first() == 0 || state.feed.place.is_some();
        if state.end == End::Broken || !is_there || self.bans.since(self.begun, &self.label).is_some() {
            return None;
        }
        state.last_reader += 1;
        let number = state.last_reader;
        state.readers.insert(number, Reader::default());
        Some(number)
    }

    /// A reader leaves.
    pub(super) fn leave(&self, number: u64) {
        let mut state = self.state();
        state.readers.remove(&number);
        state.trim(self.behind());
    }

    /// What a reader gets next, that has everything up to there.
    pub(super) fn next(&self, number: u64, at: u64, context: &mut Context<'_>) -> Next {
        let mut state = self.state();
        let next = state.next(at);
        if let Some(reader) = state.readers.get_mut(&number) {
            reader.at = at;
            reader.waker = matches!(next, Next::Nothing).then(|| context.waker().clone());
        }
        state.trim(self.behind());
        next
    }

    fn take(self: &Arc<Self>, state: &mut State, bytes: Bytes) {
        let more = bytes.len() as u64;
        let at = state.length;
        state.length += more;
        if state.is_in_memory {
            let memory = self.memory.as_ref().filter(|memory| state.length <= memory.most() && memory.grow(more));
            match memory {
                Some(_) => state.grown += more,
                None => self.leave_memory(state),
            }
        }
        let is_too_long = self.disk.as_ref().is_none_or(|disk| state.length > disk.sizes.most);
        if state.feed.is_wanted && is_too_long {
            self.stop_feed(state);
        }
        state.pieces.push_back((at, bytes));
    }

    fn leave_memory(&self, state: &mut State) {
        state.is_in_memory = false;
        let grown = std::mem::take(&mut state.grown);
        self.memory.iter().for_each(|memory| memory.shrink(grown));
    }

    /// It does not become a file. What was written stays readable, without a name.
    fn stop_feed(&self, state: &mut State) {
        state.feed.is_wanted = false;
        if let (Some(spool), Some(disk)) = (state.feed.spool.take(), &self.disk) {
            disk.threads.give(move || drop(spool));
        }
    }

    /// It is whole: onto the shelves with it.
    fn shelve(self: &Arc<Self>, content: Option<Vec<Bytes>>, leader: Option<Leader>) {
        if let (Some(pieces), Some(memory)) = (content, &self.memory) {
            let object = Object::of(self.number, self.label.clone(), Content::compact(&pieces));
            memory.put(&object, self.begun, &self.bans);
        }
        let mut state = self.state();
        let (is_in_memory, is_for_disk) = (state.is_in_memory, state.feed.is_wanted);
        // Who is told that it is on the shelf looks there; until then it can be read here.
        let told = if is_for_disk && !is_in_memory {
            state.leader = leader;
            None
        } else {
            leader
        };
        if is_for_disk {
            self.kick(&mut state);
        }
        drop(state);
        match told {
            Some(leader) if is_in_memory => leader.stored(),
            Some(leader) => leader.alone(),
            None => {}
        }
        self.supersede(!is_for_disk);
        let mut state = self.state();
        self.leave_memory(&mut state);
        state.trim(self.behind());
    }

    /// Earlier objects of this label are of no use any more. First on the disk: what comes from there into memory looks back.
    fn supersede(&self, is_not_on_disk: bool) {
        self.disk.iter().filter(|_| is_not_on_disk).for_each(|disk| disk.supersede(&self.label, self.number));
        self.memory.iter().for_each(|memory| memory.supersede(&self.label, self.number));
    }

    /// Has a thread work on the file, unless one does.
    fn kick(self: &Arc<Self>, state: &mut State) {
        let Some(disk) = self.disk.as_ref().filter(|_| !state.feed.is_busy) else { return };
        state.feed.is_busy = true;
        let (growing, spool) = (self.clone(), state.feed.spool.take());
        disk.threads.give(move || {
            let feed = AssertUnwindSafe(|| growing.clone().feed(spool));
            if catch_unwind(feed).is_err() {
                // Whoever waits for the file must not wait for ever.
                growing.failed();
            }
        });
    }

    /// One batch to the disk; then the next one gets in line, or the file is whole. On a thread that may wait.
    fn feed(self: Arc<Self>, spool: Option<Spool>) {
        let Some(disk) = &self.disk else { return };
        let spool = spool.map_or_else(|| Spool::begin(disk, self.number, &self.label), Ok);
        let Ok(mut spool) = spool else { return self.failed() };
        let batch = {
            let mut state = self.state();
            state.feed.place = Some(spool.place());
            state.batch()
        };
        if spool.write(&batch).is_err() {
            return self.failed();
        }
        let (wake, is_whole) = {
            let mut state = self.state();
            state.feed.written += batch.iter().map(|piece| piece.len() as u64).sum::<u64>();
            state.trim(self.behind());
            state.feed.is_busy = false;
            let is_whole = state.feed.is_wanted && state.end == End::Whole && state.feed.written == state.length;
            if state.feed.is_wanted && !is_whole {
                state.feed.spool = Some(spool);
                let unwritten = state.length - state.feed.written;
                if unwritten >= BATCH || state.end == End::Whole {
                    self.kick(&mut state);
                }
                (state.wake(), None)
            } else {
                // Dropped without the lock if nobody wants it any more.
                (state.wake(), Some((spool, is_whole)))
            }
        };
        wake.all();
        if let Some((spool, true)) = is_whole {
            self.publish(spool);
        }
    }

    fn publish(&self, spool: Spool) {
        let published = spool.publish(self.begun);
        if let (Err(_), Some(disk)) = (&published, &self.disk) {
            write::failed(disk);
        }
        self.supersede(published.is_err());
        let leader = {
            let mut state = self.state();
            state.feed.is_wanted = false;
            state.trim(self.behind());
            state.leader.take()
        };
        match (leader, published) {
            (Some(leader), Ok(true)) => leader.stored(),
            (Some(leader), Ok(false) | Err(_)) => leader.alone(),
            (None, _) => {}
        }
    }

    /// It cannot be written.
    fn failed(&self) {
        self.disk.iter().for_each(|disk| write::failed(disk));
        let (wake, leader, end) = {
            let mut state = self.state();
            (state.feed.is_wanted, state.feed.is_busy) = (false, false);
            state.trim(self.behind());
            (state.wake(), state.leader.take(), state.end)
        };
        wake.all();
        if end == End::Whole {
            self.supersede(true);
        }
        leader.into_iter().for_each(Leader::alone);
    }

    fn behind(&self) -> u64 {
        self.memory.as_ref().map_or(BEHIND, |memory| memory.most().max(BEHIND))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
