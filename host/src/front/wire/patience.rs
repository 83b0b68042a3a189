//! How long a client is waited for, and for what.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll};

use crate::clock::{Deadline, Duration, Ticker};
use crate::config;
use crate::front::pace::Pace;

/// One connection's limits in time.
pub(super) struct Patience {
    head: Duration,
    body: Duration,
    idle: Duration,
    write: Duration,
    reading: Deadline,
    writing: Deadline,
    awaited: Cell<Awaited>,
    paces: RefCell<Paces>,
}

/// How slow the client may be.
struct Paces {
    body: Pace,
    answer: Pace,
}

/// What the read deadline is armed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    Nothing,
    Request,
    Head,
    Body,
}

/// For a first request that may be on its way when the gateway drains.
const DRAIN_GRACE: Duration = Duration::from_millis(500);

impl Patience {
    pub(super) fn of(listener: &config::Listener, ticker: &Ticker) -> Self {
        let rate = listener.min_rate;
        Self {
            head: listener.head_timeout,
            body: listener.body_timeout,
            idle: listener.idle_timeout,
            write: listener.write_timeout,
            reading: ticker.deadline(),
            writing: ticker.deadline(),
            awaited: Cell::new(Awaited::Nothing),
            paces: RefCell::new(Paces {
                body: Pace::of(rate.request, rate.grace),
                answer: Pace::of(rate.response, rate.grace),
            }),
        }
    }

    /// Another exchange begins.
    pub(super) fn begin(&self) {
        let Paces { body, answer } = &mut *self.paces.borrow_mut();
        body.begin();
        answer.begin();
    }

    /// Arms what this needs, if something else was waited for before.
    pub(super) fn expect(&self, awaited: Awaited, served: u64, draining: bool) {
        if self.awaited.replace(awaited) == awaited {
            return;
        }
        match awaited {
            Awaited::Nothing => self.reading.disarm(),
            Awaited::Head => self.reading.arm(self.head),
            Awaited::Body => self.paces.borrow_mut().body.arm(&self.reading, self.body),
            Awaited::Request => self.reading.arm(match (draining, served) {
                (true, _) => DRAIN_GRACE,
                (false, 0) => self.head.min(self.idle),
                (false, _) => self.idle,
            }),
        }
    }

    /// Ready when what is waited for did not come in time.
    pub(super) fn poll_reading(&self, context: &mut Context<'_>) -> Poll<()> {
        self.reading.poll_over(context)
    }

    /// Ready when the client has taken nothing, or too little, for too long.
    pub(super) fn poll_writing(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.writing.is_armed() {
            self.paces.borrow_mut().answer.arm(&self.writing, self.write);
        }
        self.writing.poll_over(context)
    }

    pub(super) fn body_came(&self, bytes: usize) {
        self.paces.borrow_mut().body.moved(bytes, self.reading.recent());
    }

    pub(super) fn answer_went(&self, bytes: usize) {
        self.paces.borrow_mut().answer.moved(bytes, self.writing.recent());
        if self.writing.is_armed() {
            self.writing.disarm();
        }
    }

    pub(super) fn of_head(&self) -> String {
        format!("no whole head within {:?}", self.head)
    }

    pub(super) fn of_body(&self) -> String {
        self.paces.borrow().body.or_silent(self.body)
    }

    pub(super) fn of_answer(&self) -> String {
        self.paces.borrow().answer.or_silent(self.write)
    }
}
