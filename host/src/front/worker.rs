//! One thread's front: accepts connections, serves each in a task of its own, and knows the thread's generation.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::watch;

use super::drain::Drain;
use super::enter::Entry;
use super::seats::ListenerShared;
use super::socket::{Listening, Socket, Stream};
use crate::clock::{self, Duration, Telling};
use crate::generation::{Current, Local, Thread};
use crate::log::{AccessLog, FLUSH_EVERY};
use crate::tls;

/// One thread's front.
pub struct Worker {
    current: Arc<Current>,
    local: RefCell<Rc<Local>>,
    thread: Rc<Thread>,
    open: Rc<Cell<usize>>,
    draining: Drain,
}

/// A connection that is open on this thread, refused or not.
pub(super) struct Open(Rc<Cell<usize>>);

/// After an `accept` that failed because there are no descriptors left: trying again at once would only heat the room.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often a thread looks after its idle upstream connections.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

impl Worker {
    /// A front for the calling thread, inside its runtime.
    #[must_use]
    pub fn start(current: Arc<Current>, access: &AccessLog) -> Rc<Self> {
        let thread = Thread::start(access);
        let local = Local::of(current.load(), thread.clone());
        tokio::task::spawn_local(thread.ticker.clone().run());
        if local.generation.secured().next().is_some() {
            tls::warm();
        }
        let (local, open, draining) = (RefCell::new(local), Rc::default(), Drain::default());
        let worker = Rc::new(Self { current, local, thread, open, draining });
        tokio::task::spawn_local(keep_house(Rc::downgrade(&worker)));
        worker
    }

    /// Accepts until told to stop, then once more until the kernel's queue is empty, then closes the socket.
    pub async fn serve(self: Rc<Self>, listener: Arc<ListenerShared>, socket: Socket, mut stop: watch::Receiver<bool>) {
        let socket = match Listening::of(socket) {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(listener = &*listener.name, %error, "cannot listen"),
        };
        let mut stopped = pin!(async move {
            let _ = stop.wait_for(|stop| *stop).await;
        });
        let (mut is_stopped, troubles) = (false, Telling::default());
        loop {
            let accepted = poll_fn(|context| {
                if let Poll::Ready(accepted) = socket.poll_accept(context) {
                    return Poll::Ready(Some(accepted));
                }
                is_stopped = is_stopped || stopped.as_mut().poll(context).is_ready();
                if is_stopped { Poll::Ready(None) } else { Poll::Pending }
            });
            match accepted.await {
                None => return,
                Some(Ok((stream, from))) => self.take(&listener, stream, from),
                Some(Err(error)) => {
                    if let Some(times) = troubles.more((), error.raw_os_error(), 1, clock::now()) {
                        tracing::warn!(listener = &*listener.name, %error, times, "cannot accept");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Closes idle connections now and busy ones after their exchange.
    pub fn drain(&self) {
        self.draining.tell();
    }

    /// Connections that are open.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.open.get()
    }

    /// The thread's part of the current generation.
    pub(super) fn local(&self) -> Rc<Local> {
        let mut local = self.local.borrow_mut();
        if local.generation.number != self.current.number() {
            *local = Local::of(self.current.load(), self.thread.clone());
        }
        local.clone()
    }

    pub(super) fn thread(&self) -> &Thread {
        &self.thread
    }

    pub(super) const fn draining(&self) -> &Drain {
        &self.draining
    }

    /// Counts one more connection, as long as what is returned lives.
    pub(super) fn open(&self) -> Open {
        Open::of(&self.open)
    }

    fn take(self: &Rc<Self>, listener: &Arc<ListenerShared>, stream: Stream, from: Option<SocketAddr>) {
        // The generation is held by the exchanges; a connection needs only its listener's limits.
        let Some(plan) = self.local().generation.listener(&listener.name).cloned() else { return };
        let (worker, open) = (self.clone(), self.open());
        let entry = Entry { listener: listener.clone(), plan, stream, from };
        tokio::task::spawn_local(async move {
            entry.serve(&worker).await;
            drop(open);
        });
    }
}

impl Open {
    fn of(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Hands over log lines and closes upstream connections that are cold or lead nowhere, as long as the front lives. It also
/// lets an old generation go on a thread that has nothing to do.
async fn keep_house(worker: Weak<Worker>) {
    let mut swept = clock::now();
    loop {
        tokio::time::sleep(FLUSH_EVERY).await;
        let Some(worker) = worker.upgrade() else { return };
        worker.thread.sink.flush();
        let now = clock::now();
        if now.saturating_duration_since(swept) >= SWEEP_EVERY {
            swept = now;
            let generation = &worker.local().generation;
            worker.thread.connections.sweep(|endpoint| generation.leads_to(endpoint));
        }
    }
}
