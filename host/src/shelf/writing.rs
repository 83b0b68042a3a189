//! An object that is being written: it goes onto the shelves as it comes, and others read it from its beginning meanwhile.
//!
//! Pieces stay in memory as long as somebody needs them from there: all of them while the object may go onto the shelf in
//! memory, those that are not in the file yet otherwise. Whoever is behind reads from the file. When neither shelf takes it
//! any more, its writer goes on as fast as somebody reads, and never so far that the one that it is fetched for would miss
//! anything. Invariant: an object that did not come to its end leaves nothing behind, and whoever reads it learns that.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::Shelf;
use super::flights::Leader;
use super::follow::{Follow, Source};
use super::growing::Growing;
use super::growth::{BATCH, End};
use super::object::Label;
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

impl Writing {
    pub(super) fn begin(
        shelf: &Shelf,
        label: Label,
        expected: Option<u64>,
        takes: Takes,
        leader: Option<Leader>,
    ) -> Self {
        let growing = Arc::new(Growing::begin(shelf, label, expected, takes, leader.as_ref().map(Leader::begun)));
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

    /// A reader for the client that it is fetched for: it gets every byte, however slow it is.
    #[must_use]
    pub fn own(&self) -> Follow {
        let number = {
            let mut state = self.growing.state();
            let number = state.sit_down();
            state.own = Some(number);
            number
        };
        Follow::of(self.growing.clone(), number)
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
        let all = self.growing.disk.as_ref().map_or(0, |disk| disk.backlog.load(Ordering::Relaxed));
        if state.is_behind(all) {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Whether to go on, as soon as that is known: what will be on a shelf comes as fast as it can, anything else when somebody
    /// waits for it, and what nobody reads not at all.
    pub fn poll_wanted(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.growing.state();
        if state.is_kept() {
            return Poll::Ready(true);
        }
        // Whoever leaves or comes to the end tells.
        state.writer = Some(context.waker().clone());
        if state.readers.is_empty() {
            return Poll::Ready(false);
        }
        if state.is_due() { Poll::Ready(true) } else { Poll::Pending }
    }

    /// The disk is too slow: the object goes into memory, or nowhere.
    pub fn hurry(&mut self) {
        let wake = {
            let mut state = self.growing.state();
            self.growing.stop_feed(&mut state);
            self.growing.trim(&mut state);
            state.readers()
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
            self.growing.trim(&mut state);
            state.readers()
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
            (state.readers(), content)
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
            state.is_in_memory = false;
            self.growing.stop_feed(&mut state);
            // What came is for those who read it.
            self.growing.trim(&mut state);
            state.readers()
        };
        wake.all();
    }
}
