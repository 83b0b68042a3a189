//! Turns at the codec: streams of one connection hand it DATA one piece at a time, the most urgent first.
//!
//! The codec sends what it has in the order it got it, so order is made by giving it little: it never holds more than
//! `MOST_HANDED` bytes of bodies, which is also the bound on what a connection buffers for a client that does not read.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};

use super::priority::{Priority, Schedule};

/// One connection's turns.
#[derive(Default)]
pub(super) struct Turns {
    schedule: RefCell<Schedule>,
    wakers: RefCell<BTreeMap<u32, Waker>>,
    /// Bytes that the codec has and the transport has not.
    handed: Cell<usize>,
    /// Bytes that the transport took so far.
    moved: Cell<u64>,
}

/// DATA in the codec's hands, which are counted.
pub(super) struct Piece {
    bytes: Bytes,
    turns: Rc<Turns>,
}

/// As much as the transport gathers for one write.
pub(super) const MOST_HANDED: usize = 64 << 10;

impl Turns {
    /// Ready when this stream may hand over a piece. Who got its turn and has no use for it takes nothing away from others.
    pub(super) fn poll_turn(&self, id: u32, priority: Priority, context: &mut Context<'_>) -> Poll<()> {
        let mut schedule = self.schedule.borrow_mut();
        let is_full = self.handed.get() >= MOST_HANDED;
        if !is_full && schedule.is_empty() {
            return Poll::Ready(());
        }
        schedule.enter(id, priority);
        if is_full || schedule.next() != Some(id) {
            self.wakers.borrow_mut().insert(id, context.waker().clone());
            return Poll::Pending;
        }
        schedule.leave(id, priority, true);
        drop(schedule);
        self.wakers.borrow_mut().remove(&id);
        self.call();
        Poll::Ready(())
    }

    /// A stream is going to ask for its turn.
    pub(super) fn enter(&self, id: u32, priority: Priority, context: &Context<'_>) {
        self.schedule.borrow_mut().enter(id, priority);
        self.wakers.borrow_mut().insert(id, context.waker().clone());
    }

    /// A stream is over, or has nothing to send.
    pub(super) fn leave(&self, id: u32, priority: Priority) {
        let mut schedule = self.schedule.borrow_mut();
        if schedule.is_empty() {
            return;
        }
        schedule.leave(id, priority, false);
        drop(schedule);
        self.wakers.borrow_mut().remove(&id);
        self.call();
    }

    /// Counts that which grows while the client takes something.
    pub(super) fn moved(&self) -> u64 {
        self.moved.get()
    }

    /// A piece for the codec.
    pub(super) fn piece(self: &Rc<Self>, bytes: Bytes) -> Piece {
        self.handed.set(self.handed.get() + bytes.len());
        Piece { bytes, turns: self.clone() }
    }

    fn took(&self, length: usize) {
        let before = self.handed.get();
        self.handed.set(before.saturating_sub(length));
        self.moved.set(self.moved.get() + length as u64);
        if before >= MOST_HANDED && self.handed.get() < MOST_HANDED {
            self.call();
        }
    }

    /// Wakes whose turn it is, if it can have it. Whether it still is, it finds out itself.
    fn call(&self) {
        if self.handed.get() >= MOST_HANDED {
            return;
        }
        let next = self.schedule.borrow().next();
        if let Some(waker) = next.and_then(|id| self.wakers.borrow().get(&id).cloned()) {
            waker.wake();
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.turns.took(count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.turns.took(self.bytes.len());
        }
    }
}
