//! Waiting without luck: a condition is polled until it holds, and the wait has a bound after which the test fails.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long a thing that must happen may take: far more than it needs, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The same for a program of somebody else's from its start to its end: interpreters and browsers take their time.
pub(crate) const PROGRAM: Duration = Duration::from_secs(120);

const STEP: Duration = Duration::from_millis(5);

/// Waits until `look` finds something, and gives it back; fails with `what` when it does not.
#[track_caller]
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, look)
}

/// The same with a bound of its own.
#[track_caller]
pub(crate) fn eventually_within<T>(bound: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < bound, "not within {bound:?}: {what}");
        thread::sleep(STEP);
    }
}

/// Checks that a condition holds all through `span`.
#[track_caller]
pub fn stays(what: &str, span: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < span {
        assert!(holds(), "no longer after {:?}: {what}", start.elapsed());
        thread::sleep(STEP);
    }
}

/// Checks that `bad` does not come true before `done` does.
#[track_caller]
pub fn never_while(what: &str, mut bad: impl FnMut() -> bool, mut done: impl FnMut() -> bool) {
    eventually(what, || {
        assert!(!bad(), "{what}");
        done().then_some(())
    });
}

/// Holds threads back until it is opened.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn closed() -> Gate {
        Gate::default()
    }

    pub fn open(&self) {
        *self.0.0.lock().expect("no thread panics with the gate locked") = true;
        self.0.1.notify_all();
    }

    /// Waits until the gate is open, or for as long as anything may take.
    pub fn pass(&self) {
        let open = self.0.0.lock().expect("no thread panics with the gate locked");
        drop(self.0.1.wait_timeout_while(open, PATIENCE, |open| !*open));
    }
}
