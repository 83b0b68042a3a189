//! How far an attempt has come, shared between whoever sends the request's body and whoever waits for the answer, so
//! that one deadline serves the whole attempt and a failure is put down to the right side.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use http::HeaderMap;

use crate::clock::{Deadline, Duration, Instant, now};
use crate::failure::{Failure, Kind};
use crate::message::{Fields, Status};

/// A pool's time limits for one attempt; zero means none.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the answer to begin.
    pub head: Duration,
    /// Between two reads of the answer's body.
    pub read: Duration,
    /// How long the member may take no byte.
    pub write: Duration,
    /// When the whole exchange must be over.
    pub until: Option<Instant>,
}

impl Limits {
    /// What is left of the exchange's time; a year where it has no limit.
    #[must_use]
    pub fn left(&self, now: Instant) -> Duration {
        self.until.map_or(FAR, |until| until.saturating_duration_since(now))
    }
}

/// Longer than anything that is waited for.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// One attempt's progress.
pub struct Progress {
    deadline: Rc<Deadline>,
    limits: Limits,
    stage: Cell<Stage>,
    is_sent: Cell<bool>,
    /// Some of the request's body went on since the answer's next byte is waited for.
    has_moved: Cell<bool>,
    failure: RefCell<Option<Failure>>,
    uploader: RefCell<Option<Waker>>,
}

/// What is being waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// For the member to say `100 Continue`, before the client is asked for its body (RFC 9110, section 10.1.1).
    Permission,
    /// For the client to send more of its body; the front limits that time.
    Client,
    /// For the member to take what there is.
    Member,
    /// For the answer's head: the request is sent.
    Answer,
    /// For more of the answer's body.
    Body,
}

/// Interim answers of a member, as they come.
#[derive(Default, Clone)]
pub struct Hints(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    heads: Vec<(Status, HeaderMap)>,
    waker: Option<Waker>,
}

/// How long a member may think about `Expect: 100-continue` before the body is sent anyway: servers that do not know the
/// expectation say nothing, and clients (curl among them) wait a second too.
const PERMISSION: Duration = Duration::from_secs(1);

/// Interim heads that are held at once; more than that, between two looks, is a flood.
const MOST_HINTS: usize = 16;

impl Progress {
    /// The progress of an attempt that is about to begin.
    pub(super) fn begin(deadline: Rc<Deadline>, limits: Limits, stage: Stage) -> Rc<Self> {
        let progress = Self {
            deadline,
            limits,
            stage: Cell::new(stage),
            is_sent: Cell::new(stage == Stage::Answer),
            has_moved: Cell::default(),
            failure: RefCell::default(),
            uploader: RefCell::default(),
        };
        progress.reach(stage);
        Rc::new(progress)
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Goes on to a stage and gives it its time. Once the answer began, what the request's body does changes nothing.
    pub(super) fn reach(&self, stage: Stage) {
        if self.stage.get() == Stage::Body && stage != Stage::Body {
            return;
        }
        self.stage.set(stage);
        let after = match stage {
            Stage::Permission => PERMISSION,
            Stage::Client => Duration::ZERO,
            Stage::Member => self.limits.write,
            Stage::Answer => self.limits.head,
            Stage::Body => self.limits.read,
        };
        match (after.is_zero(), self.limits.until) {
            (true, None) => self.deadline.disarm(),
            (true, Some(until)) => self.deadline.arm_at(until),
            (false, None) => self.deadline.arm(after),
            (false, Some(until)) => self.deadline.arm_at(until.min(now() + after)),
        }
    }

    /// The whole request was handed over.
    pub(super) fn sent(&self) {
        self.is_sent.set(true);
        self.reach(Stage::Answer);
    }

    /// Whether the whole request was handed over.
    pub(super) fn is_sent(&self) -> bool {
        self.is_sent.get()
    }

    /// Whether the time of the current stage is over; remembers the task otherwise.
    pub(super) fn is_over(&self, context: &mut Context<'_>) -> bool {
        self.deadline.poll_over(context).is_ready()
    }

    /// Some of the request's body went on.
    pub(super) fn moved(&self) {
        self.has_moved.set(true);
    }

    /// Whether the answer's next byte was waited for too long; remembers the task otherwise. While the request's body moves
    /// the exchange lives, though the member has nothing to say: so are calls of gRPC that stream to it.
    pub(super) fn is_silent(&self, context: &mut Context<'_>) -> bool {
        while self.is_over(context) {
            let is_overdue = self.limits.until.is_some_and(|until| until <= now());
            if is_overdue || !self.has_moved.take() {
                return true;
            }
            self.reach(Stage::Body);
        }
        false
    }

    /// No limit holds for now.
    pub(super) fn rest(&self) {
        match self.limits.until {
            Some(until) => self.deadline.arm_at(until),
            None => self.deadline.disarm(),
        }
    }

    /// The failure that the deadline means.
    pub(super) fn overdue(&self) -> Failure {
        if self.limits.until.is_some_and(|until| until <= now()) {
            return Failure::of(Kind::ExchangeTimeout, "the exchange took longer than it may");
        }
        let Limits { head, read, write, .. } = self.limits;
        match self.stage.get() {
            Stage::Permission | Stage::Client | Stage::Member => {
                Failure::of(Kind::UpstreamStalled, format!("it took no byte of the request's body within {write:?}"))
            }
            Stage::Answer => Failure::of(Kind::ResponseTimeout, format!("no answer within {head:?}")),
            Stage::Body => Failure::of(Kind::ResponseCut, format!("no further byte within {read:?}")),
        }
    }

    /// Remembers why the request's body could not be sent on.
    pub(super) fn fail(&self, failure: Failure) {
        self.failure.borrow_mut().get_or_insert(failure);
    }

    /// Why the request's body could not be sent on, if so.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.borrow().clone()
    }

    /// Lets the body go.
    pub(super) fn permit(&self) {
        if self.stage.get() == Stage::Permission {
            self.reach(Stage::Member);
            if let Some(waker) = self.uploader.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    pub(super) fn await_permission(&self, context: &Context<'_>) {
        *self.uploader.borrow_mut() = Some(context.waker().clone());
    }
}

impl Stage {
    /// Where an attempt begins.
    pub(super) const fn first(has_no_body: bool, expects: bool) -> Self {
        match (has_no_body, expects) {
            (true, _) => Stage::Answer,
            (false, true) => Stage::Permission,
            (false, false) => Stage::Member,
        }
    }
}

impl Hints {
    /// Listens to the interim answers to a request.
    pub(super) fn listen<B>(&self, request: &mut http::Request<B>) {
        let heard = self.0.clone();
        hyper::ext::on_informational(request, move |head| {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.heads.len() < MOST_HINTS {
                heard.heads.push((head.status(), head.headers().clone()));
            }
            if let Some(waker) = heard.waker.take() {
                waker.wake();
            }
        });
    }

    /// What was heard since; remembers the task.
    pub(super) fn take(&self, context: &Context<'_>) -> Vec<(Status, Fields)> {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut heard.waker {
            Some(known) => known.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        heard.heads.drain(..).map(|(status, fields)| (status, fields.into())).collect()
    }
}
