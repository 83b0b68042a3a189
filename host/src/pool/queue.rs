//! Exchanges that wait because every usable member is full: first come, first served, on all threads together.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Who waits.
#[derive(Default)]
pub(super) struct Queue {
    waiting: AtomicUsize,
    /// Those who wait want different members, so each of them must look.
    is_mixed: AtomicBool,
    bell: Notify,
}

/// A place in the queue; left by dropping it.
pub(super) struct Place<'q>(&'q Queue);

impl Queue {
    /// Whether those who wait may want different members.
    pub(super) fn mix(&self, is_mixed: bool) {
        self.is_mixed.store(is_mixed, Ordering::Relaxed);
    }

    /// A place, unless `length` wait already.
    pub(super) fn stand(&self, length: usize) -> Option<Place<'_>> {
        if self.waiting.fetch_add(1, Ordering::SeqCst) < length {
            return Some(Place(self));
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        None
    }

    /// Whether somebody waits, and would be overtaken.
    pub(super) fn is_busy(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// A member has room for one more.
    pub(super) fn make_room(&self) {
        if !self.is_busy() {
            return;
        }
        match self.is_mixed.load(Ordering::Relaxed) {
            true => self.bell.notify_waiters(),
            false => self.bell.notify_one(),
        }
    }

    /// Who may be chosen has changed.
    pub(super) fn look_again(&self) {
        if self.is_busy() {
            self.bell.notify_waiters();
        }
    }
}

impl Place<'_> {
    /// Ends when it is worth looking again. What happens after the call and before the first poll counts.
    pub(super) fn called(&self) -> impl Future<Output = ()> + '_ {
        self.0.bell.notified()
    }
}

/// Nobody is called in its place: a call that was not heard goes to the next one by itself, and calling for nothing would
/// send whoever is called back to the end.
impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
