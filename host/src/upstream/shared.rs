//! One HTTP/2 connection, shared by exchanges of its thread.
//!
//! It knows how many streams it carries and may carry, whether it takes more, and how it rests when it carries none; what
//! is said on a stream is said in `stream`.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use super::endpoint::Seat;
use super::opening::Opening;
use super::permit::{Bell, Place, Wish};
use super::wire::{Counted, Heard};
use super::{Endpoint, Keeping};
use crate::clock::{Duration, Instant, Ticker, now};
use crate::config::UpstreamHttp2;

/// A connection that many exchanges share.
pub(super) struct Shared {
    endpoint: Arc<Endpoint>,
    place: Place,
    /// Gone when nothing more may be sent.
    sender: RefCell<Option<SendRequest<Bytes>>>,
    /// Dropped to end the connection.
    end: RefCell<Option<oneshot::Sender<()>>>,
    open: Cell<usize>,
    /// It takes no more exchanges and ends with the last one.
    is_retired: Cell<bool>,
    keeping: Cell<Option<Keeping>>,
    rest: RefCell<Option<Rest>>,
    home: OnceCell<Home>,
    /// Whether the member said what it allows. As long as it did not, those who wait for this connection go on waiting.
    is_settled: Cell<bool>,
    opening: RefCell<Option<Opening>>,
}

/// The shelf a shared connection is on.
#[derive(Clone)]
pub(super) struct Home {
    /// Tells the shelf apart.
    pub(super) bell: Bell,
    /// Whether it is one client connection's own.
    pub(super) is_private: bool,
    pub(super) ticker: Rc<Ticker>,
}

struct Rest {
    _seat: Option<Seat>,
    until: Instant,
}

/// What one exchange may have waiting to be sent.
const SEND_BUFFER: usize = 256 * 1024;

/// Fields of an answer, by the measure of RFC 9113, section 6.5.2.
const HEADER_LIST: u32 = 64 * 1024;

/// Streams that are remembered for a second after their client left, so that what the member still sends on them is no
/// error; small entries, and more than a connection is likely to lose in a second.
const REMEMBERED_RESETS: usize = 1000;

/// A connection in use on which nothing was heard for so long is asked for a sign of life, and has as long again: longer
/// than any pause of a network that still works, shorter than the time limits of long polls.
pub(super) const PULSE: Duration = Duration::from_secs(15);

/// For the last frames, after which a member that does not read is left alone.
const FAREWELL: Duration = Duration::from_secs(1);

/// Room for every stream's window at once: a client that stops reading holds up its own stream and no other. This is also
/// the most that one connection can make the gateway hold.
fn connection_window(limits: &UpstreamHttp2) -> u32 {
    /// RFC 9113, section 6.9.1.
    const MOST: u32 = (1 << 31) - 1;
    limits.stream_window.saturating_mul(limits.max_streams).min(MOST)
}

impl Shared {
    /// Speaks HTTP/2 on a stream. The member's SETTINGS are not waited for: until they come, there is room for one
    /// exchange, whose request goes with the preface (RFC 9113, section 3.4).
    pub(super) async fn open<S>(
        stream: S,
        endpoint: &Arc<Endpoint>,
        place: Place,
        pulse: Duration,
    ) -> io::Result<Rc<Self>>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let heard = Rc::new(Cell::new(false));
        let stream = Counted::of(Heard::of(stream, heard.clone()), place.clone());
        let limits = &endpoint.transport.h2;
        let (sender, mut codec) = client::Builder::new()
            .initial_max_send_streams(1)
            .initial_window_size(limits.stream_window)
            .initial_connection_window_size(connection_window(limits))
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(HEADER_LIST)
            .max_concurrent_reset_streams(REMEMBERED_RESETS)
            // Counted over a connection's life, and clients that leave add to it: it would end their neighbours' exchanges.
            .max_local_error_reset_streams(None)
            .enable_push(false)
            .handshake(stream)
            .await
            .map_err(io::Error::other)?;
        let pulse = Pulse { pings: codec.ping_pong(), every: pulse, is_waiting: false, was_heard: false };
        let (end, ended) = oneshot::channel();
        let shared = Rc::new(Self {
            endpoint: endpoint.clone(),
            place,
            sender: RefCell::new(Some(sender)),
            end: RefCell::new(Some(end)),
            open: Cell::new(0),
            is_retired: Cell::new(false),
            keeping: Cell::default(),
            rest: RefCell::default(),
            home: OnceCell::new(),
            is_settled: Cell::new(false),
            opening: RefCell::default(),
        });
        let drive = drive(codec, heard, pulse, Rc::downgrade(&shared));
        tokio::task::spawn_local(async move {
            let mut drive = pin!(drive);
            tokio::select! {
                () = &mut drive => {}
                _ = ended => { let _ = tokio::time::timeout(FAREWELL, drive).await; }
            }
        });
        Ok(shared)
    }

    pub(super) const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Says where it is kept, and who waits until its room is known.
    pub(super) fn settle_in(&self, home: Home, opening: Opening) {
        let _ = self.home.set(home);
        if !self.is_settled.get() {
            *self.opening.borrow_mut() = Some(opening);
        }
    }

    /// What a request is sent with, unless the connection ended, or its member said GOAWAY.
    pub(super) fn sender(&self) -> Option<SendRequest<Bytes>> {
        let mut sender = self.sender.borrow().clone()?;
        // Never pending: only a clone that has sent already waits for its stream to open.
        match sender.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Some(sender),
            Poll::Ready(Err(_)) | Poll::Pending => None,
        }
    }

    /// Whether another exchange may begin.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_retired.get() && self.sender().is_some()
    }

    /// Whether another stream would open at once.
    pub(super) fn has_room(&self) -> bool {
        self.open.get() < self.room()
    }

    /// Whether it rested too long.
    pub(super) fn is_cold(&self, recent: Instant) -> bool {
        self.rest.borrow().as_ref().is_some_and(|rest| rest.until < recent)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open.get() == 0
    }

    /// An exchange begins.
    pub(super) fn enter(&self) {
        self.open.set(self.open.get() + 1);
        self.rest.take();
    }

    /// An exchange is over, well or not: the connection may carry the next one.
    pub(super) fn leave(&self) {
        self.open.set(self.open.get() - 1);
        if !self.is_idle() {
            return self.call();
        }
        if !self.may_rest() {
            self.retire();
        }
    }

    /// How it is to rest.
    pub(super) fn keep(&self, keeping: Keeping) {
        self.keeping.set(Some(keeping));
    }

    /// Takes no more exchanges; ends when it carries none.
    pub(super) fn retire(&self) {
        self.is_retired.set(true);
        if self.is_idle() {
            self.sender.take();
            self.end.take();
            self.rest.take();
        }
    }

    fn room(&self) -> usize {
        self.sender
            .borrow()
            .as_ref()
            .map_or(0, |sender| sender.current_max_send_streams().min(self.endpoint.transport.h2.max_streams as usize))
    }

    /// Takes a seat, if somebody said how it is kept, it is good for more, and nobody waits for its permit elsewhere.
    fn may_rest(&self) -> bool {
        let (Some(keeping), Some(home)) = (self.keeping.get(), self.home.get()) else { return false };
        if keeping.most == 0 || !self.is_usable() {
            return false;
        }
        if self.endpoint.gate.wish(&home.bell, &self.place) == Wish::Close {
            return false;
        }
        let seat = if home.is_private { None } else { self.endpoint.seat(keeping.most) };
        if seat.is_none() && !home.is_private {
            return false;
        }
        *self.rest.borrow_mut() = Some(Rest { _seat: seat, until: home.ticker.recent() + keeping.idle_timeout });
        true
    }

    fn call(&self) {
        if let Some(home) = self.home.get() {
            self.endpoint.gate.call(&home.bell);
        }
    }

    /// Something was heard: the first frame says what the member allows (RFC 9113, section 3.4).
    fn settle(&self) {
        if !self.is_settled.replace(true) {
            self.endpoint.learn_room(Some(self.room()));
            self.opening.take();
            self.call();
        }
    }
}

/// Asks for signs of life.
struct Pulse {
    pings: Option<PingPong>,
    every: Duration,
    is_waiting: bool,
    was_heard: bool,
}

impl Pulse {
    /// Whether the member gave none.
    fn is_gone(&mut self, is_used: bool) -> bool {
        if std::mem::take(&mut self.was_heard) || !is_used {
            return false;
        }
        if self.is_waiting {
            return true;
        }
        self.is_waiting = self.pings.as_mut().is_some_and(|pings| pings.send_ping(Ping::opaque()).is_ok());
        false
    }

    fn listen(&mut self, context: &mut Context<'_>) {
        if self.is_waiting
            && let Some(pings) = &mut self.pings
            && pings.poll_pong(context).is_ready()
        {
            self.is_waiting = false;
        }
    }
}

/// Runs the codec until the connection is over.
async fn drive<F>(codec: F, heard: Rc<Cell<bool>>, mut pulse: Pulse, shared: Weak<Shared>)
where
    F: Future<Output = Result<(), h2::Error>>,
{
    let mut codec = pin!(codec);
    let mut beat = tokio::time::interval_at((now() + pulse.every).into(), pulse.every);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    poll_fn(|context| {
        while beat.poll_tick(context).is_ready() {
            let is_used = shared.upgrade().is_some_and(|shared| !shared.is_idle());
            if pulse.is_gone(is_used) {
                tracing::debug!("an HTTP/2 member gave no sign of life");
                return Poll::Ready(());
            }
        }
        pulse.listen(context);
        let polled = Pin::new(&mut codec).poll(context);
        if heard.take() {
            pulse.was_heard = true;
            if let Some(shared) = shared.upgrade() {
                shared.settle();
            }
        }
        polled.map(|ended| {
            if let Err(error) = ended {
                tracing::trace!(%error, "upstream connection ended");
            }
        })
    })
    .await;
    if let Some(shared) = shared.upgrade() {
        shared.is_settled.set(true);
        shared.opening.take();
        shared.retire();
    }
}
