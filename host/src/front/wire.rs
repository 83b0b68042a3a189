//! The transport beneath the HTTP/1 codec: every byte passes the gate, every wait has a limit, and interim answers find
//! their place between what the codec writes.
//!
//! The codec and the connection's task share one wire on one thread. Invariant: after a refusal no further byte of the
//! client reaches the codec.

mod moving;
mod patience;
mod streams;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::moving::Slot;
use self::patience::{Awaited, Patience};
pub(super) use self::streams::{Bare, Transport};
use super::gate::{Gate, Limits, Phase};
use super::socket::Stream;
use crate::clock::{Instant, Ticker, now};
use crate::config;
use crate::failure::{Failure, Kind};
use crate::message::{Fields, Status};
use crate::pipeline::{Interim, Tunnel};

/// A connection's wire.
pub(super) struct Wire {
    stream: RefCell<Stream>,
    gate: RefCell<Gate>,
    patience: Patience,
    state: Cell<State>,
    /// Bytes of an interim answer that the socket did not take yet.
    owed: RefCell<Vec<u8>>,
    refusal: RefCell<Option<Failure>>,
    /// The codec's task, when it must wait for an exchange to end before it may learn of a refusal.
    parked: RefCell<Option<Waker>>,
    head_began: Cell<Option<Instant>>,
    /// What the client sent behind a request for another protocol, before it is known whose bytes these are.
    held: RefCell<Vec<u8>>,
    /// What the connection becomes when the codec is done.
    tunnel: RefCell<Option<Box<Tunnel>>>,
    /// What the kernel moves.
    slot: Slot,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// An exchange runs: its answer's last byte has not left the pipeline.
    exchanging: bool,
    /// The codec has written, or tried to, since it last flushed.
    dirty: bool,
    /// The client has sent something since the last exchange ended, and no exchange has come of it yet.
    heard: bool,
    /// Exchanges so far.
    served: u64,
    /// The codec answered by itself; what it wrote was dropped.
    muted: bool,
    /// The client's time was over between requests: no answer.
    silent: bool,
    /// The refusal ended a body whose exchange answers for it.
    in_body: bool,
    /// The thread drains.
    draining: bool,
    /// The client took no byte for too long.
    stalled: bool,
}

impl Wire {
    pub(super) fn of(stream: Stream, listener: &config::Listener, ticker: &Ticker) -> Rc<Self> {
        let limits =
            Limits { max_head: listener.max_head, max_target: listener.max_target, max_fields: listener.max_fields };
        Rc::new(Self {
            slot: Slot::of(&stream),
            stream: RefCell::new(stream),
            gate: RefCell::new(Gate::of(limits)),
            patience: Patience::of(listener, ticker),
            state: Cell::default(),
            owed: RefCell::default(),
            refusal: RefCell::default(),
            parked: RefCell::default(),
            head_began: Cell::default(),
            held: RefCell::default(),
            tunnel: RefCell::default(),
        })
    }

    /// An exchange begins.
    pub(super) fn begin(&self) {
        self.update(|state| {
            (state.exchanging, state.heard) = (true, false);
            state.served += 1;
        });
        self.patience.begin();
        self.expect(Awaited::Nothing);
    }

    /// An exchange's answer has left the pipeline.
    pub(super) fn end(&self) {
        self.update(|state| state.exchanging = false);
        if self.tunnel.borrow().is_some() {
            return;
        }
        self.go_on();
        self.rest();
        if let Some(codec) = self.parked.borrow_mut().take() {
            codec.wake();
        }
    }

    /// The answer at hand is a 101: behind it the connection is a tunnel's.
    pub(super) fn switch(&self, tunnel: Box<Tunnel>) {
        *self.tunnel.borrow_mut() = Some(tunnel);
    }

    /// The tunnel that the connection is to be.
    pub(super) fn take_tunnel(&self) -> Option<Box<Tunnel>> {
        self.tunnel.borrow_mut().take()
    }

    /// What the client sent that the codec never saw.
    pub(super) fn take_held(&self) -> Bytes {
        self.held.take().into()
    }

    /// When the head of the request at hand began to arrive.
    pub(super) fn began(&self) -> Instant {
        self.head_began.take().unwrap_or_else(now)
    }

    /// Whether the request at hand asks about the server as a whole by a URI, in which the codec shows the path `/`.
    pub(super) fn is_of_server(&self) -> bool {
        self.gate.borrow_mut().is_of_server(self.state.get().served)
    }

    /// There will be no further exchange: a connection that never had one gets a moment to begin it.
    pub(super) fn drain(&self) {
        self.update(|state| state.draining = true);
        self.expect(Awaited::Nothing);
    }

    /// Whether an exchange has begun, or was there before.
    pub(super) fn has_served(&self) -> bool {
        self.state.get().served > 0
    }

    /// Whether the exchange at hand is the connection's last: the thread drains, or its answer is there before its body,
    /// the rest of which nobody will read (RFC 9112, section 9.6).
    pub(super) fn is_last(&self) -> bool {
        self.state.get().draining || self.gate.borrow().phase() == Phase::Body
    }

    /// Why an answer was not sent to its end, if the wire knows.
    pub(super) fn broken(&self) -> Option<Failure> {
        let stalled = || Failure::of(Kind::ClientStalled, self.patience.of_answer());
        self.slot.failure().or_else(|| self.state.get().stalled.then(stalled))
    }

    /// Why the client's body came to its end, when the wire ended it.
    pub(super) fn body_failure(&self) -> Failure {
        match &*self.refusal.borrow() {
            Some(failure) => failure.clone(),
            None => Failure::of(Kind::ClientGone, "the client closed the connection within its body"),
        }
    }

    /// The refusal that nobody has answered yet, once the codec is done.
    pub(super) fn unanswered(&self, codec: Option<&hyper::Error>) -> Option<Failure> {
        let state = self.state.get();
        if state.silent || state.in_body {
            return None;
        }
        if let Some(failure) = self.refusal.borrow().clone() {
            return Some(failure);
        }
        let error = codec.filter(|_| state.muted)?;
        let kind = if error.is_parse_too_large() { Kind::HeadTooLarge } else { Kind::MalformedRequest };
        Some(Failure::of(kind, error.to_string()))
    }

    /// Whether the client may still be sending, so that closing at once would destroy the answer on its way.
    pub(super) fn is_mid_message(&self) -> bool {
        self.refusal.borrow().is_some() || self.gate.borrow().phase() != Phase::Idle
    }

    /// Whether the client has sent more than was read; what is found is thrown away, for use when nothing more is read.
    pub(super) fn has_unread(&self) -> bool {
        if !self.held.borrow().is_empty() {
            return true;
        }
        let mut scratch = [0_u8; 512];
        let mut buffer = ReadBuf::new(&mut scratch);
        let mut context = Context::from_waker(Waker::noop());
        let polled = Pin::new(&mut *self.stream.borrow_mut()).poll_read(&mut context, &mut buffer);
        polled.is_ready() && !buffer.filled().is_empty()
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.get();
        change(&mut state);
        self.state.set(state);
    }

    fn poll_read(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.refusal.borrow().is_some() {
            return self.refuse(context);
        }
        if self.gate.borrow().waits() {
            return self.hold(context);
        }
        let before = buffer.filled().len();
        if self.poll_source(context, buffer)?.is_pending() {
            return self.wait(context);
        }
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        if fresh.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let mut gate = self.gate.borrow_mut();
        let (begins, in_body) = (gate.phase() == Phase::Idle, gate.phase() == Phase::Body);
        let fed = gate.feed(fresh);
        let phase = gate.phase();
        drop(gate);
        if in_body {
            self.patience.body_came(fresh.len());
        }
        match fed {
            Ok(passed) => {
                if let Some(rest @ [_, ..]) = fresh.get(passed..) {
                    self.held.borrow_mut().splice(..0, rest.iter().copied());
                    buffer.set_filled(before + passed);
                }
                self.note(begins, phase);
                Poll::Ready(Ok(()))
            }
            Err(refusal) => {
                buffer.set_filled(before + refusal.good);
                *self.refusal.borrow_mut() = Some(Failure::of(refusal.kind, refusal.detail));
                self.update(|state| state.in_body = refusal.running);
                self.expect(Awaited::Nothing);
                if refusal.good > 0 { Poll::Ready(Ok(())) } else { self.refuse(context) }
            }
        }
    }

    /// What was held back, then what comes.
    fn poll_source(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut held = self.held.borrow_mut();
        if held.is_empty() {
            return Pin::new(&mut *self.stream.borrow_mut()).poll_read(context, buffer);
        }
        let length = held.len().min(buffer.remaining());
        buffer.put_slice(held.get(..length).unwrap_or_default());
        held.drain(..length);
        Poll::Ready(Ok(()))
    }

    /// Until it is known whether the connection changes hands, nothing goes to the codec but its end. A little is read, so
    /// that a client that leaves is noticed.
    fn hold(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = self.held.borrow_mut();
        if held.is_empty() {
            let mut scratch = [0_u8; 512];
            let mut buffer = ReadBuf::new(&mut scratch);
            if Pin::new(&mut *self.stream.borrow_mut()).poll_read(context, &mut buffer)?.is_ready() {
                if buffer.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
                held.extend_from_slice(buffer.filled());
            }
        }
        *self.parked.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    /// An exchange ended without a change of protocol: if it was the one the gate waits for, HTTP goes on.
    fn go_on(&self) {
        let mut gate = self.gate.borrow_mut();
        if gate.heads() == self.state.get().served {
            gate.go_on();
        }
    }

    /// Between two exchanges the next request is waited for.
    fn rest(&self) {
        if !self.is_busy() && self.gate.borrow().phase() == Phase::Idle {
            self.expect(Awaited::Request);
        }
    }

    /// Whether an exchange runs, or its answer is not all written.
    fn is_busy(&self) -> bool {
        let State { exchanging, dirty, .. } = self.state.get();
        exchanging || dirty
    }

    /// Bytes came: the limits of what comes next.
    fn note(&self, begins: bool, phase: Phase) {
        self.update(|state| state.heard = !state.exchanging);
        if begins && self.head_began.get().is_none() {
            self.head_began.set(Some(now()));
        }
        match phase {
            Phase::Head => self.expect(Awaited::Head),
            Phase::Body | Phase::Idle => self.expect(Awaited::Nothing),
        }
    }

    fn expect(&self, awaited: Awaited) {
        let State { served, draining, .. } = self.state.get();
        self.patience.expect(awaited, served, draining);
    }

    /// Nothing to read: a client that is expected to send gets its time.
    fn wait(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let phase = self.gate.borrow().phase();
        self.expect(match phase {
            Phase::Head => Awaited::Head,
            Phase::Body => Awaited::Body,
            Phase::Idle if self.is_busy() => Awaited::Nothing,
            Phase::Idle => Awaited::Request,
        });
        ready!(self.patience.poll_reading(context));
        let failure = match phase {
            Phase::Head => Failure::of(Kind::HeadTimeout, self.patience.of_head()),
            Phase::Body => Failure::of(Kind::BodyTimeout, self.patience.of_body()),
            Phase::Idle => Kind::HeadTimeout.into(),
        };
        *self.refusal.borrow_mut() = Some(failure);
        self.update(|state| {
            state.silent = phase == Phase::Idle;
            state.in_body = phase == Phase::Body;
        });
        self.refuse(context)
    }

    /// The codec learns that the connection ended: at once within a body, otherwise after the exchange that runs.
    fn refuse(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        if !self.state.get().in_body && self.is_busy() {
            *self.parked.borrow_mut() = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Err(ErrorKind::InvalidData.into()))
    }

    /// Writes through `write` within the client's time. Interim answers that are owed go first; what the codec writes of
    /// itself, after bytes that became no exchange, is its own opinion of them, and dropped.
    fn poll_written(
        &self,
        context: &mut Context<'_>,
        length: usize,
        write: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let State { exchanging, dirty, heard, .. } = self.state.get();
        if !exchanging && heard && !dirty {
            self.update(|state| state.muted = true);
            return Poll::Ready(Ok(length));
        }
        self.update(|state| state.dirty = true);
        let polled = match self.pay(context) {
            Poll::Ready(Ok(())) => write(Pin::new(&mut *self.stream.borrow_mut()), context),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        if let Poll::Ready(written) = &polled {
            self.patience.answer_went(written.as_ref().copied().unwrap_or(0));
            return polled;
        }
        ready!(self.patience.poll_writing(context));
        self.update(|state| state.stalled = true);
        if let Some(failure) = self.broken() {
            self.slot.give_up(&failure);
        }
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    fn pay(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut owed = self.owed.borrow_mut();
        while !owed.is_empty() {
            let written = ready!(Pin::new(&mut *self.stream.borrow_mut()).poll_write(context, &owed))?;
            owed.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.pay(context))?;
        ready!(Pin::new(&mut *self.stream.borrow_mut()).poll_flush(context))?;
        self.update(|state| state.dirty = false);
        self.rest();
        if self.refusal.borrow().is_some()
            && let Some(codec) = self.parked.borrow_mut().take()
        {
            codec.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl Interim for Wire {
    /// Interim answers are hints: where the codec is in the middle of writing, they are left out.
    fn send(&self, status: Status, fields: Fields) {
        let State { exchanging, dirty, .. } = self.state.get();
        if !exchanging || dirty {
            return;
        }
        let mut text =
            format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default()).into_bytes();
        fields.write(&mut text);
        text.extend_from_slice(b"\r\n");
        let mut owed = self.owed.borrow_mut();
        let written = if owed.is_empty() { self.stream.borrow_mut().try_write(&text).unwrap_or(0) } else { 0 };
        owed.extend_from_slice(text.get(written..).unwrap_or_default());
    }
}
