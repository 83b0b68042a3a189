//! The heartbeat that interrupts long calls: one thread that moves the engines' epoch every millisecond while calls run,
//! and sleeps while none do.
//!
//! Every worker announces its calls in a cell of its own, so that no cache line is shared on the way of a short call.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};

use crate::clock::Duration;

/// How long a call may keep its thread before its neighbours get a turn, and so how finely time limits are kept. Finer
/// costs more interruptions than neighbours would notice.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// Beats without any call before the thread goes to sleep. Few enough to be nothing, enough that a busy gateway does not
/// wake the thread for every call.
const PATIENCE: u32 = 50;

/// The heartbeat; ends with its last owner.
pub(super) struct Pulse {
    state: Arc<State>,
    thread: Thread,
}

/// One worker's calls.
#[derive(Clone)]
pub(super) struct Activity {
    cell: Arc<Cell>,
    state: Arc<State>,
    thread: Thread,
}

/// A call that is running; gone when dropped.
pub(super) struct Running(Arc<Cell>);

/// How many calls run, and how many were begun: a short call is over before the heartbeat looks.
#[derive(Default)]
#[repr(align(128))]
struct Cell {
    running: AtomicU32,
    begun: AtomicU32,
}

#[derive(Default)]
struct State {
    over: AtomicBool,
    asleep: AtomicBool,
    cells: Mutex<Vec<Arc<Cell>>>,
}

impl Pulse {
    /// Starts the thread; `beat` is called every tick while calls run.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(super) fn start(beat: impl Fn() + Send + 'static) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let own = state.clone();
        let handle = thread::Builder::new().name("weir-pulse".to_owned()).spawn(move || own.run(beat))?;
        Ok(Self { state, thread: handle.thread().clone() })
    }

    /// A cell for one worker.
    pub(super) fn activity(&self) -> Activity {
        let cell = Arc::new(Cell::default());
        self.state.cells.lock().unwrap_or_else(PoisonError::into_inner).push(cell.clone());
        Activity { cell, state: self.state.clone(), thread: self.thread.clone() }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Activity {
    /// Announces a call.
    pub(super) fn begin(&self) -> Running {
        self.cell.running.fetch_add(1, Ordering::Relaxed);
        self.cell.begun.fetch_add(1, Ordering::Relaxed);
        // Either the heartbeat sees the cell, or this sees that it went to sleep.
        fence(Ordering::SeqCst);
        if self.state.asleep.load(Ordering::Relaxed) {
            self.state.asleep.store(false, Ordering::Relaxed);
            self.thread.unpark();
        }
        Running(self.cell.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl State {
    fn run(&self, beat: impl Fn()) {
        let (mut quiet, mut seen) = (0, 0);
        while !self.over.load(Ordering::SeqCst) {
            if quiet < PATIENCE {
                thread::sleep(TICK);
                beat();
            } else {
                self.sleep(seen);
            }
            let (running, begun) = self.look();
            quiet = if running == 0 && begun == seen { quiet + 1 } else { 0 };
            seen = begun;
        }
    }

    fn sleep(&self, seen: u32) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let (running, begun) = self.look();
        while running == 0 && begun == seen && self.asleep.load(Ordering::Relaxed) && !self.over.load(Ordering::SeqCst)
        {
            thread::park();
        }
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Calls running and calls begun, over all workers; forgets workers that are gone.
    fn look(&self) -> (u32, u32) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.retain(|cell| Arc::strong_count(cell) > 1);
        cells.iter().fold((0, 0), |(running, begun), cell| {
            let now = (cell.running.load(Ordering::Relaxed), cell.begun.load(Ordering::Relaxed));
            (now.0.wrapping_add(running), now.1.wrapping_add(begun))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn beats_while_a_call_runs_and_wakes_for_the_next() {
        let beats = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = mpsc::channel();
        let count = beats.clone();
        let pulse = Pulse::start(move || {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = sender.send(());
        })
        .unwrap();
        let activity = pulse.activity();
        while !pulse.state.asleep.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        while receiver.try_recv().is_ok() {}
        let running = activity.begin();
        for _ in 0..3 {
            receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        }
        drop(running);
        drop(pulse);
        while receiver.recv_timeout(Duration::from_secs(10)).is_ok() {}
    }
}
