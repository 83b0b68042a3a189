//! One thread's part of a generation.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Generation;
use crate::clock::Ticker;
use crate::files::Files;
use crate::log::{AccessLog, Sink};
use crate::upstream::Connections;
use crate::wasm::Instances;

/// What a thread keeps over all generations.
pub struct Thread {
    /// Its deadlines.
    pub ticker: Rc<Ticker>,
    /// Its upstream connections.
    pub connections: Rc<Connections>,
    /// Its end of the access log.
    pub sink: Sink,
    number: usize,
    ids: Cell<u64>,
}

/// What a thread has of one generation.
pub struct Local {
    /// The generation.
    pub generation: Arc<Generation>,
    /// Its filters' instances on this thread.
    pub instances: Instances,
    /// Files of its roots that are open on this thread.
    pub files: Files,
    /// The thread's own.
    pub thread: Rc<Thread>,
}

impl Thread {
    /// A thread's belongings.
    #[must_use]
    pub fn start(access: &AccessLog) -> Rc<Self> {
        /// Every thread numbers its exchanges from its own trillion on, so numbers are unique without being shared.
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        let ticker = Ticker::start();
        let connections = Connections::start(ticker.clone());
        let number = THREADS.fetch_add(1, Ordering::Relaxed);
        let ids = Cell::new((number as u64) << 40);
        Rc::new(Self { ticker, connections, sink: access.sink(), number, ids })
    }

    /// Which of the process's threads it is, counted from zero.
    #[must_use]
    pub const fn number(&self) -> usize {
        self.number
    }

    /// The next exchange's number.
    pub fn next_id(&self) -> u64 {
        self.ids.replace(self.ids.get().wrapping_add(1))
    }
}

impl Local {
    /// A thread's part of a generation.
    #[must_use]
    pub fn of(generation: Arc<Generation>, thread: Rc<Thread>) -> Rc<Self> {
        let instances = Instances::of(&generation.engine);
        let files = Files::start(&generation.plan.files, generation.plan.threads);
        Rc::new(Self { generation, instances, files, thread })
    }
}
