//! A few threads that may wait for a disk, so that nobody else does.
//!
//! One is there from the beginning; more are made when there is work that nobody takes, up to a bound. They end with whoever
//! owns the set; what was given before that is still done. What is given is never done on the giver's thread.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

/// A set of threads.
#[derive(Debug)]
pub(super) struct Threads(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    bound: usize,
    threads: usize,
    idle: usize,
    is_over: bool,
}

type Work = Box<dyn FnOnce() + Send>;

impl Threads {
    /// Up to so many threads.
    pub(super) fn up_to(bound: usize) -> io::Result<Self> {
        let state = State { bound: bound.max(1), threads: 1, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
        shared.clone().begin()?;
        Ok(Self(shared))
    }

    /// Has something done, and waits for it; `None` if it panicked. Dropped before its turn came, it is not done at all.
    pub(super) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (sender, result) = oneshot::channel();
        self.give(move || {
            if !sender.is_closed() {
                let _ = sender.send(work());
            }
        });
        result
    }

    /// Has something done, whether or not anybody waits for it.
    pub(super) fn carry_out(&self, work: impl FnOnce() + Send + 'static) -> oneshot::Receiver<()> {
        let (sender, done) = oneshot::channel();
        self.give(move || {
            work();
            // Nobody has to listen.
            let _ = sender.send(());
        });
        done
    }

    /// Has something done that nobody waits for.
    pub(super) fn give(&self, work: impl FnOnce() + Send + 'static) {
        let mut state = self.0.state();
        state.waiting.push_back(Box::new(work));
        if state.idle >= state.waiting.len() || state.threads >= state.bound {
            drop(state);
            self.0.wake.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        if self.0.clone().begin().is_err() {
            // Whoever is there does it.
            self.0.state().threads -= 1;
        }
    }

    /// How much has not begun yet.
    pub(super) fn waiting(&self) -> usize {
        self.0.state().waiting.len()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.0.state().is_over = true;
        self.0.wake.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(self: Arc<Self>) -> io::Result<()> {
        thread::Builder::new().name("shelf".to_owned()).spawn(move || self.work()).map(drop)
    }

    fn work(&self) {
        let mut state = self.state();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                drop(state);
                // Whoever waits for it is told by the channel that it does not come.
                let _ = catch_unwind(AssertUnwindSafe(work));
                state = self.state();
            } else if state.is_over {
                break;
            } else {
                state.idle += 1;
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
        state.threads -= 1;
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn work_is_done_side_by_side_and_by_a_bounded_number() {
        let threads = Threads::up_to(2).unwrap();
        let both = Arc::new(Barrier::new(2));
        let other = both.clone();
        let (one, two) =
            tokio::join!(threads.run(move || both.wait().is_leader()), threads.run(move || other.wait().is_leader()));
        assert_ne!(one.unwrap(), two.unwrap());
        assert!(threads.run(|| -> usize { Vec::<usize>::new()[0] }).await.is_err());
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let done = done.clone();
            threads.give(move || {
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        let shared = threads.0.clone();
        assert!(shared.state().threads <= 2);
        drop(threads);
        // What was given is done, and then the threads are gone.
        while Arc::strong_count(&shared) > 1 {
            thread::yield_now();
        }
        assert_eq!(done.load(Ordering::Relaxed), 100);
    }
}
