//! Threads that may wait for a disk, so that workers never do: one set for the whole process.
//!
//! It knows nothing of files. Threads are made when there is work that nobody takes, up to a bound, and end when they had
//! nothing to do for a while.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// How long a thread waits for work before it ends.
const IDLE: Duration = Duration::from_secs(10);

type Work = Box<dyn FnOnce() + Send>;

struct Threads {
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    waiting: VecDeque<Work>,
    /// How many threads there may be.
    bound: usize,
    threads: usize,
    idle: usize,
}

static THREADS: Threads = Threads {
    state: Mutex::new(State { waiting: VecDeque::new(), bound: 1, threads: 0, idle: 0 }),
    wake: Condvar::new(),
};

/// Says how many threads there may be from now on.
pub fn bound(threads: usize) {
    THREADS.state().bound = threads.max(1);
}

/// Has something done, and waits for it without blocking; `None` if it panicked. Dropped before its turn came, it is not
/// done at all.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    begin(work).await.ok()
}

/// The same for who keeps what it waits for.
pub fn begin<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
    let (sender, result) = oneshot::channel();
    give(move || {
        if !sender.is_closed() {
            let _ = sender.send(work());
        }
    });
    result
}

/// Has something done that nobody waits for.
pub fn give(work: impl FnOnce() + Send + 'static) {
    let mut state = THREADS.state();
    state.waiting.push_back(Box::new(work));
    if state.idle >= state.waiting.len() || state.threads >= state.bound {
        drop(state);
        THREADS.wake.notify_one();
        return;
    }
    state.threads += 1;
    drop(state);
    let begun = thread::Builder::new().name("disk".to_owned()).spawn(|| THREADS.work());
    if begun.is_err() {
        // Whoever is there does it; without anybody, what was given is done here and now.
        let mut state = THREADS.state();
        state.threads -= 1;
        let left = if state.threads == 0 { std::mem::take(&mut state.waiting) } else { VecDeque::new() };
        drop(state);
        left.into_iter().for_each(|work| work());
    }
}

impl Threads {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.state();
        loop {
            if state.threads > state.bound {
                break;
            }
            let Some(work) = state.waiting.pop_front() else {
                state.idle += 1;
                let (back, waited) = self.wake.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
                state = back;
                state.idle -= 1;
                if waited.timed_out() && state.waiting.is_empty() {
                    break;
                }
                continue;
            };
            drop(state);
            // Whoever waits for it is told by the channel that it does not come.
            let _ = catch_unwind(AssertUnwindSafe(work));
            state = self.state();
        }
        state.threads -= 1;
        let is_work_left = !state.waiting.is_empty();
        drop(state);
        if is_work_left {
            self.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier};

    use super::*;

    #[tokio::test]
    async fn work_is_done_elsewhere_even_beside_work_that_panics() {
        bound(4);
        let here = thread::current().id();
        assert_ne!(run(|| thread::current().id()).await.unwrap(), here);
        assert_eq!(run(|| -> usize { Vec::<usize>::new()[0] }).await, None);
        let done = Arc::new(AtomicUsize::new(0));
        let all: Vec<_> = (0..100)
            .map(|_| {
                let done = done.clone();
                run(move || done.fetch_add(1, Ordering::Relaxed))
            })
            .collect();
        for one in all {
            one.await.unwrap();
        }
        assert_eq!(done.load(Ordering::Relaxed), 100);
    }

    #[tokio::test]
    async fn threads_work_side_by_side() {
        bound(4);
        let both = Arc::new(Barrier::new(2));
        let other = both.clone();
        let (one, two) = tokio::join!(run(move || both.wait().is_leader()), run(move || other.wait().is_leader()));
        assert_ne!(one.unwrap(), two.unwrap());
    }
}
