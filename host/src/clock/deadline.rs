//! Coarse deadlines for many connections at the price of one timer a thread.
//!
//! A `Deadline` is armed and disarmed with a store into a cell; one task a thread wakes those that are over. They ring
//! up to two ticks late, which is what time limits of seconds need and what per-request timers cannot do
//! for two cells.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use super::{Duration, Instant, now};

/// How often deadlines are looked at. Fine enough for limits written in tenths of a second, and at ten thousand
/// connections still under a thousandth of a core.
const TICK: Duration = Duration::from_millis(50);

/// One thread's deadlines.
pub struct Ticker {
    slots: RefCell<Vec<Weak<Slot>>>,
    recent: Rc<Cell<Instant>>,
}

/// Something that may not last longer than until an instant that can be moved.
pub struct Deadline {
    slot: Rc<Slot>,
}

struct Slot {
    recent: Rc<Cell<Instant>>,
    at: Cell<Option<Instant>>,
    rung: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Ticker {
    /// A thread's ticker; `run` must be polled on the same thread for its deadlines to ring.
    #[must_use]
    pub fn start() -> Rc<Self> {
        Rc::new(Self { slots: RefCell::default(), recent: Rc::new(Cell::new(now())) })
    }

    /// A deadline that is not armed yet.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        let slot = Rc::new(Slot {
            recent: self.recent.clone(),
            at: Cell::default(),
            rung: Cell::default(),
            waker: RefCell::default(),
        });
        self.slots.borrow_mut().push(Rc::downgrade(&slot));
        Deadline { slot }
    }

    /// The time at the last tick: free, and exact enough for what is measured in seconds.
    #[must_use]
    pub fn recent(&self) -> Instant {
        self.recent.get()
    }

    /// Rings for ever; ends only by being dropped.
    pub async fn run(self: Rc<Self>) {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.ring(now());
        }
    }

    fn ring(&self, now: Instant) {
        self.recent.set(now);
        let mut over = Vec::new();
        self.slots.borrow_mut().retain(|slot| {
            let Some(slot) = slot.upgrade() else { return false };
            if !slot.rung.get() && slot.at.get().is_some_and(|at| at <= now) {
                slot.rung.set(true);
                over.extend(slot.waker.borrow_mut().take());
            }
            true
        });
        over.into_iter().for_each(Waker::wake);
    }
}

impl Deadline {
    /// Arms it for `after` from now; zero means never.
    pub fn arm(&self, after: Duration) {
        if after.is_zero() {
            return self.disarm();
        }
        // The last tick was up to one tick ago.
        self.arm_at(self.slot.recent.get() + TICK + after);
    }

    /// Arms it for an instant.
    pub fn arm_at(&self, at: Instant) {
        self.slot.at.set(Some(at));
        self.slot.rung.set(false);
    }

    /// The time at its thread's last tick.
    #[must_use]
    pub fn recent(&self) -> Instant {
        self.slot.recent.get()
    }

    /// It is over already: whoever asks next learns of it.
    pub fn ring(&self) {
        self.slot.at.set(Some(self.slot.recent.get()));
        self.slot.rung.set(true);
    }

    /// Takes it back.
    pub fn disarm(&self) {
        self.slot.at.set(None);
        self.slot.rung.set(false);
    }

    /// Whether it is armed at all.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.slot.at.get().is_some()
    }

    /// Ready when the deadline is over; remembers the task otherwise. Only the last task that asked is woken.
    pub fn poll_over(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.slot.rung.get() {
            return Poll::Ready(());
        }
        let mut waker = self.slot.waker.borrow_mut();
        match &mut *waker {
            Some(known) => known.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Runs a future, but no longer than this deadline allows. Cancellation safe: dropping it drops the future.
    ///
    /// # Errors
    /// `Over` when the deadline rang first.
    pub async fn limit<F: Future>(&self, future: F) -> Result<F::Output, Over> {
        let mut future = std::pin::pin!(future);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            self.poll_over(context).map(|()| Err(Over))
        })
        .await
    }
}

/// The deadline was over first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn rings_once_after_its_instant_and_not_before() {
        let ticker = Ticker::start();
        let deadline = ticker.deadline();
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut context = Context::from_waker(&waker);
        let at = now();
        deadline.arm_at(at + Duration::from_secs(1));
        assert!(deadline.poll_over(&mut context).is_pending());
        ticker.ring(at + Duration::from_millis(999));
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        ticker.ring(at + Duration::from_secs(1));
        ticker.ring(at + Duration::from_secs(2));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(deadline.poll_over(&mut context).is_ready());
        deadline.disarm();
        assert!(deadline.poll_over(&mut context).is_pending());
    }

    #[test]
    fn forgets_deadlines_that_are_gone() {
        let ticker = Ticker::start();
        drop(ticker.deadline());
        ticker.ring(now());
        assert!(ticker.slots.borrow().is_empty());
    }
}
