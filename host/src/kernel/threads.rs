//! Threads that may wait for a disk, so that nobody else does.
//!
//! A set makes them when there is work that nobody takes, up to a bound; they end when they had nothing to do for a while,
//! and with whoever owns the set: what was given before that is still done. It knows nothing of files. What is given is
//! never done on the giver's thread, unless the system has no thread for it and there is none.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// A set of threads.
#[derive(Debug)]
pub struct Threads(Arc<Shared>);

struct Shared {
    name: &'static str,
    /// How many of them stay, with or without work.
    least: usize,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    /// How many there may be.
    bound: usize,
    threads: usize,
    idle: usize,
    is_over: bool,
}

type Work = Box<dyn FnOnce() + Send>;

/// How long a thread waits for work before it ends.
const IDLE: Duration = Duration::from_secs(10);

impl Threads {
    /// Up to so many threads of this name, none of them before there is work.
    #[must_use]
    pub fn up_to(name: &'static str, bound: usize) -> Self {
        let state = State { bound: bound.max(1), ..State::default() };
        Self(Arc::new(Shared { name, least: 0, state: Mutex::new(state), wake: Condvar::new() }))
    }

    /// The same with one that is there from now on, so that there is always one. Fails if the system has none.
    pub fn at_least_one(name: &'static str, bound: usize) -> io::Result<Self> {
        let state = State { bound: bound.max(1), threads: 1, ..State::default() };
        let shared = Arc::new(Shared { name, least: 1, state: Mutex::new(state), wake: Condvar::new() });
        shared.clone().begin()?;
        Ok(Self(shared))
    }

    /// Says how many there may be from now on.
    pub fn bound(&self, threads: usize) {
        self.0.state().bound = threads.max(1);
    }

    /// Has something done, and tells when it is; an error says that it panicked. If nobody waits for it any more when its
    /// turn comes, it is not done at all.
    pub fn begin<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (sender, result) = oneshot::channel();
        self.give(move || {
            if !sender.is_closed() {
                let _ = sender.send(work());
            }
        });
        result
    }

    /// Has something done, whether or not anybody waits for it.
    pub fn carry_out(&self, work: impl FnOnce() + Send + 'static) -> oneshot::Receiver<()> {
        let (sender, done) = oneshot::channel();
        self.give(move || {
            work();
            // Nobody has to listen.
            let _ = sender.send(());
        });
        done
    }

    /// Has something done that nobody waits for.
    pub fn give(&self, work: impl FnOnce() + Send + 'static) {
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
            // Whoever is there does it; without anybody, what was given is done here and now.
            let mut state = self.0.state();
            state.threads -= 1;
            let left = if state.threads == 0 { std::mem::take(&mut state.waiting) } else { VecDeque::new() };
            drop(state);
            left.into_iter().for_each(|work| work());
        }
    }

    /// How much has not begun yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
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
        thread::Builder::new().name(self.name.to_owned()).spawn(move || self.work()).map(drop)
    }

    fn work(&self) {
        let mut state = self.state();
        while state.threads <= state.bound {
            if let Some(work) = state.waiting.pop_front() {
                drop(state);
                // Whoever waits for it is told by the channel that it does not come.
                let _ = catch_unwind(AssertUnwindSafe(work));
                state = self.state();
                continue;
            }
            if state.is_over {
                break;
            }
            state.idle += 1;
            let (back, waited) = self.wake.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = back;
            state.idle -= 1;
            if waited.timed_out() && state.waiting.is_empty() && state.threads > self.least {
                break;
            }
        }
        state.threads -= 1;
        let is_work_left = !state.waiting.is_empty();
        drop(state);
        if is_work_left {
            self.wake.notify_one();
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn work_is_done_side_by_side_and_by_a_bounded_number() {
        for threads in [Threads::up_to("test", 2), Threads::at_least_one("test", 2).unwrap()] {
            let here = thread::current().id();
            assert_ne!(threads.begin(|| thread::current().id()).await.unwrap(), here);
            let both = Arc::new(Barrier::new(2));
            let other = both.clone();
            let (one, two) = tokio::join!(
                threads.begin(move || both.wait().is_leader()),
                threads.begin(move || other.wait().is_leader())
            );
            assert_ne!(one.unwrap(), two.unwrap());
            assert!(threads.begin(|| -> usize { Vec::<usize>::new()[0] }).await.is_err());
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

    #[tokio::test]
    async fn a_lower_bound_ends_threads_and_a_higher_one_allows_more() {
        let threads = Threads::up_to("test", 1);
        let count = async |expected: usize| {
            let barrier = Arc::new(Barrier::new(expected));
            let all: Vec<_> = (0..expected)
                .map(|_| {
                    let barrier = barrier.clone();
                    threads.begin(move || barrier.wait().is_leader())
                })
                .collect();
            for one in all {
                one.await.unwrap();
            }
        };
        count(1).await;
        threads.bound(4);
        count(4).await;
        threads.bound(1);
        // Those that are too many end when they have done something.
        while threads.0.state().threads > 1 {
            threads.begin(|| ()).await.unwrap();
        }
        count(1).await;
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_done_unless_it_has_to_be() {
        let threads = Threads::up_to("test", 1);
        let (gate, done) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
        let held = gate.clone();
        threads.give(move || {
            held.wait();
        });
        let count = |more: usize| {
            let done = done.clone();
            move || {
                done.fetch_add(more, Ordering::Relaxed);
            }
        };
        drop(threads.begin(count(1)));
        let carried = threads.carry_out(count(10));
        gate.wait();
        carried.await.unwrap();
        assert_eq!(done.load(Ordering::Relaxed), 10);
    }
}
