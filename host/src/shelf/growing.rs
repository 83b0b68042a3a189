//! What writer, readers and the threads of the disk share of an object that is being written.
//!
//! Everything here is done under one lock, and nobody is woken under it. What is counted of the shelf's memory or of the way to
//! the disk is given back when it is let go of, at the latest with the object.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use bytes::Bytes;

use super::Shelf;
use super::bans::{Bans, Moment};
use super::disk::Disk;
use super::flights::Leader;
use super::growth::{BATCH, End, Feed, Next, State};
use super::memory::Memory;
use super::object::{Label, Object};
use super::write::{self, Spool};
use super::writing::Takes;

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

impl Drop for Growing {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let counted = state.pieces.iter().filter(|(at, _)| *at < state.counted).map(|(_, piece)| piece.len() as u64);
        let counted = counted.sum();
        self.memory.iter().for_each(|memory| memory.shrink(counted));
    }
}

impl Growing {
    /// What was purged since that moment means it.
    pub(super) fn begin(
        shelf: &Shelf,
        label: Label,
        expected: Option<u64>,
        takes: Takes,
        begun: Option<Moment>,
    ) -> Self {
        let feed = Feed { is_wanted: takes.disk, ..Feed::default() };
        Self {
            number: shelf.number(),
            label: Arc::new(label),
            expected,
            disk: shelf.disk.clone(),
            memory: shelf.memory.clone(),
            begun: begun.unwrap_or_else(|| shelf.bans.moment()),
            bans: shelf.bans.clone(),
            state: Mutex::new(State { is_in_memory: takes.memory, feed, ..State::default() }),
        }
    }

    /// A place to read from its beginning; `None` if that is gone, or the object was purged since it was begun.
    pub(super) fn join(&self) -> Option<u64> {
        let mut state = self.state();
        let is_there = state.first() == 0 || state.feed.place.is_some();
        if state.end == End::Broken || !is_there || self.bans.since(self.begun, &self.label).is_some() {
            return None;
        }
        Some(state.sit_down())
    }

    pub(super) fn come(&self) -> u64 {
        self.state().length
    }

    /// A reader begins somewhere else; `false` if that is gone.
    pub(super) fn seek(&self, number: u64, at: u64) -> bool {
        let mut state = self.state();
        if let Some(reader) = state.readers.get_mut(&number) {
            reader.at = at;
        }
        at >= state.first() || state.feed.place.is_some() && at < state.feed.written
    }

    /// A reader leaves.
    pub(super) fn leave(&self, number: u64) {
        let wake = {
            let mut state = self.state();
            state.readers.remove(&number);
            self.trim(&mut state);
            state.paced()
        };
        wake.all();
    }

    /// What a reader gets next, that has everything up to there.
    pub(super) fn next(&self, number: u64, at: u64, context: &mut Context<'_>) -> Next {
        let (next, wake) = {
            let mut state = self.state();
            let next = state.next(at);
            if let Some(reader) = state.readers.get_mut(&number) {
                reader.at = at;
                reader.waker = matches!(next, Next::Nothing).then(|| context.waker().clone());
            }
            self.trim(&mut state);
            (next, state.paced())
        };
        wake.all();
        next
    }

    pub(super) fn take(self: &Arc<Self>, state: &mut State, bytes: Bytes) {
        let more = bytes.len() as u64;
        let at = state.length;
        state.length += more;
        if state.is_in_memory {
            let memory = self.memory.as_ref().filter(|memory| state.length <= memory.most() && memory.grow(more));
            match memory {
                Some(_) => state.counted = state.length,
                None => state.is_in_memory = false,
            }
        }
        self.owe(state, more);
        let is_too_long = self.disk.as_ref().is_none_or(|disk| state.length > disk.most());
        if state.feed.is_wanted && is_too_long {
            self.stop_feed(state);
        }
        state.pieces.push_back((at, bytes));
    }

    /// So much more waits for the disk.
    fn owe(&self, state: &mut State, bytes: u64) {
        if let Some(disk) = self.disk.as_ref().filter(|_| state.feed.is_wanted) {
            state.feed.owed += bytes;
            disk.backlog.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// So much does not any more.
    fn pay(&self, state: &mut State, bytes: u64) {
        let paid = bytes.min(state.feed.owed);
        state.feed.owed -= paid;
        if let Some(disk) = &self.disk {
            disk.backlog.fetch_sub(paid, Ordering::Relaxed);
        }
    }

    /// Lets go of what nobody needs from memory.
    pub(super) fn trim(&self, state: &mut State) {
        let released = state.trim(self.behind());
        self.memory.iter().for_each(|memory| memory.shrink(released));
    }

    /// It does not become a file. What was written stays readable, without a name.
    pub(super) fn stop_feed(&self, state: &mut State) {
        state.feed.is_wanted = false;
        self.pay(state, u64::MAX);
        if let (Some(spool), Some(disk)) = (state.feed.spool.take(), &self.disk) {
            disk.threads.give(move || drop(spool));
        }
    }

    /// It is whole: onto the shelves with it.
    pub(super) fn shelve(self: &Arc<Self>, content: Option<Vec<Bytes>>, leader: Option<Leader>) {
        let mut blocks = None;
        if let (Some(pieces), Some(memory)) = (content, &self.memory) {
            let object = Object::of(self.number, self.label.clone(), memory.compact(&pieces));
            memory.put(&object, self.begun, &self.bans);
            blocks = Some(object.blocks());
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
        if let Some(blocks) = blocks.filter(|_| !is_for_disk) {
            // Who is slow reads what the shelf has, not pieces of its own.
            self.memory.iter().for_each(|memory| memory.shrink(state.counted));
            state.settle(blocks);
        }
        state.is_in_memory = false;
        self.trim(&mut state);
    }

    /// Earlier objects of this label are of no use any more. First on the disk: what comes from there into memory looks back.
    fn supersede(&self, is_not_on_disk: bool) {
        self.disk.iter().filter(|_| is_not_on_disk).for_each(|disk| disk.supersede(&self.label, self.number));
        self.memory.iter().for_each(|memory| memory.supersede(&self.label, self.number));
    }

    /// Has a thread work on the file, unless one does.
    pub(super) fn kick(self: &Arc<Self>, state: &mut State) {
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
            let written = batch.iter().map(|piece| piece.len() as u64).sum::<u64>();
            state.feed.written += written;
            self.pay(&mut state, written);
            self.trim(&mut state);
            let is_whole = state.feed.is_wanted && state.end == End::Whole && state.feed.written == state.length;
            // Whoever says that it is whole a moment later must not begin another file in the place of this one.
            state.feed.is_busy = is_whole;
            if state.feed.is_wanted && !is_whole {
                state.feed.spool = Some(spool);
                let unwritten = state.length - state.feed.written;
                if unwritten >= BATCH || state.end == End::Whole {
                    self.kick(&mut state);
                }
                (state.everybody(), None)
            } else {
                // Dropped without the lock if nobody wants it any more.
                (state.everybody(), Some((spool, is_whole)))
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
            self.trim(&mut state);
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
            self.pay(&mut state, u64::MAX);
            self.trim(&mut state);
            (state.everybody(), state.leader.take(), state.end)
        };
        wake.all();
        if end == End::Whole {
            self.supersede(true);
        }
        leader.into_iter().for_each(Leader::alone);
    }

    /// What readers may be behind when the object is on no shelf.
    fn behind(&self) -> u64 {
        self.memory.as_ref().map_or(BEHIND, |memory| memory.most().max(BEHIND))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
