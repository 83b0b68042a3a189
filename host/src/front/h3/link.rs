//! What the requests of one connection share: its limits, how many are open, and how many the client gave up.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use h3::error::Code;

use super::quic::varint;
use crate::clock::Ticker;
use crate::config;
use crate::front::streams::Limits;

/// One connection, as its requests see it.
pub(super) struct Link {
    pub(super) ticker: Rc<Ticker>,
    pub(super) limits: Limits,
    connection: quinn::Connection,
    open: Cell<usize>,
    given_up: Cell<u32>,
    /// The connection's task, which wants to know when nothing is open.
    task: RefCell<Option<Waker>>,
}

/// An open request.
pub(super) struct Seat(Rc<Link>);

/// Requests that a client may give up before their answer, less those that it took, before it is shown the door: a page that
/// is left gives up as many as it had asked for.
const MOST_GIVEN_UP: u32 = 500;

impl Link {
    pub(super) fn of(listener: &config::Listener, ticker: &Rc<Ticker>, connection: quinn::Connection) -> Rc<Self> {
        let limits = Limits::of(listener);
        Rc::new(Self {
            ticker: ticker.clone(),
            limits,
            connection,
            open: Cell::default(),
            given_up: Cell::default(),
            task: RefCell::default(),
        })
    }

    /// Requests whose exchanges live.
    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    pub(super) fn enter(self: &Rc<Self>) -> Seat {
        self.open.set(self.open.get() + 1);
        Seat(self.clone())
    }

    /// An answer began to go out, or the client gave its request up before.
    pub(super) fn note(&self, is_answered: bool) {
        let given_up = self.given_up.get();
        self.given_up.set(if is_answered { given_up.saturating_sub(1) } else { given_up.saturating_add(1) });
        if self.given_up.get() > MOST_GIVEN_UP {
            self.close(Code::H3_EXCESSIVE_LOAD, "too many requests were given up");
        }
    }

    /// Ends the connection at once.
    pub(super) fn close(&self, code: Code, reason: &str) {
        self.connection.close(varint(code.value()), reason.as_bytes());
    }

    /// Remembers the connection's task.
    pub(super) fn watch(&self, context: &Context<'_>) {
        match &mut *self.task.borrow_mut() {
            Some(known) => known.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }

    fn wake(&self) {
        if let Some(task) = self.task.borrow_mut().take() {
            task.wake();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        if self.0.open.get() == 0 {
            self.0.wake();
        }
    }
}
