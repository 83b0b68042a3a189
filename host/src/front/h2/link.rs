//! What the streams of one connection share: its turns, its limits, and how many of them are open.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use super::turns::Turns;
use super::wall::Wall;
use crate::clock::Ticker;
use crate::config;
use crate::front::pace::Pace;
use crate::front::streams::Limits;

/// One connection, as its streams see it.
pub(super) struct Link {
    pub(super) turns: Rc<Turns>,
    pub(super) ticker: Rc<Ticker>,
    pub(super) limits: Limits,
    pub(super) wall: Rc<RefCell<Wall>>,
    open: Cell<usize>,
    is_stalled: Cell<bool>,
    /// The connection's task, which wants to know when nothing is open.
    task: RefCell<Option<Waker>>,
}

/// An open stream.
pub(super) struct Seat(Rc<Link>);

impl Link {
    pub(super) fn of(listener: &config::Listener, ticker: &Rc<Ticker>) -> Rc<Self> {
        Self::with(Limits::of(listener), ticker)
    }

    pub(super) fn with(limits: Limits, ticker: &Rc<Ticker>) -> Rc<Self> {
        Rc::new(Self {
            turns: Rc::default(),
            ticker: ticker.clone(),
            wall: Rc::new(RefCell::new(Wall::of(limits.max_head, ticker.recent()))),
            limits,
            open: Cell::default(),
            is_stalled: Cell::default(),
            task: RefCell::default(),
        })
    }

    /// How slow the client may send a body.
    pub(super) const fn pace_of_body(&self) -> Pace {
        Pace::of(self.limits.min_rate.request, self.limits.min_rate.grace)
    }

    /// How slow the client may take an answer.
    pub(super) const fn pace_of_answer(&self) -> Pace {
        Pace::of(self.limits.min_rate.response, self.limits.min_rate.grace)
    }

    /// Streams whose exchanges live.
    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    pub(super) fn enter(self: &Rc<Self>) -> Seat {
        self.open.set(self.open.get() + 1);
        Seat(self.clone())
    }

    /// Remembers the connection's task.
    pub(super) fn watch(&self, context: &Context<'_>) {
        match &mut *self.task.borrow_mut() {
            Some(known) => known.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }

    /// A head or a part of a body is given to the client.
    pub(super) fn answered(&self) {
        self.wall.borrow_mut().answered();
    }

    /// The client's request was none: too many of them end the connection.
    pub(super) fn provoked(&self) {
        self.wall.borrow_mut().provoked(self.ticker.recent());
        if let Some(task) = self.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }

    /// The connection ended because its client took nothing for too long.
    pub(super) fn stall(&self) {
        self.is_stalled.set(true);
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.is_stalled.get()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        if self.0.open.get() == 0
            && let Some(task) = self.0.task.borrow_mut().take()
        {
            task.wake();
        }
    }
}
