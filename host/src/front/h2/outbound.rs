//! What goes to the client on one stream: pieces as its window and its turn allow, the end, trailers.
//!
//! It pulls: nothing is taken from a body before the piece before it is in the codec's hands. A client that opens no window,
//! or takes nothing, has the listener's `write-timeout`; waiting behind more urgent streams that move costs it nothing.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::Body;

use super::inbound::Inlet;
use super::link::Link;
use super::priority::Priority;
use super::turns::Piece;
use crate::clock::{Deadline, Duration};
use crate::failure::{Failure, Kind};
use crate::front::pace::Pace;
use crate::front::streams;

/// The way to the client.
pub(super) struct Outlet {
    stream: SendStream<Piece>,
    link: Rc<Link>,
    id: u32,
    priority: Priority,
    /// The window was shut when last tried.
    is_shut: bool,
    /// It opened while the patience lasted, and others of the connection had all of it.
    was_open: bool,
    patience: Option<Deadline>,
    /// How long the client may take nothing; zero is any time.
    limit: Duration,
    pace: Pace,
    /// What the connection had moved when the patience began.
    moved: u64,
    /// The other way, which is told that this one is in use.
    inlet: Option<Inlet>,
}

/// Why nothing more can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shut {
    /// The client reset the stream, or the connection is gone.
    Gone,
    /// The client took nothing for too long.
    Stalled,
}

/// How a body's way ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// With its end, as far as the client lets it.
    Whole,
    /// The body broke, or was not what its head had said; the stream is reset.
    Broken,
    /// The client did not take it.
    Shut(Shut),
}

/// One frame's worth at a time; then others are asked whether they are more urgent.
const QUANTUM: usize = 16 << 10;

impl Outlet {
    pub(super) fn of(stream: SendStream<Piece>, link: Rc<Link>, priority: Priority) -> Self {
        let id = stream.stream_id().as_u32();
        let (limit, pace) = (link.limits.write, link.pace_of_answer());
        let (is_shut, was_open, patience, moved, inlet) = (false, false, None, 0, None);
        Self { stream, link, id, priority, is_shut, was_open, patience, limit, pace, moved, inlet }
    }

    /// One that tells the other way of its stream that it is in use.
    pub(super) fn beside(mut self, inlet: &Inlet) -> Self {
        self.inlet = Some(inlet.clone());
        self
    }

    /// One that waits for its client as long as a tunnel does.
    pub(super) fn of_tunnel(mut self) -> Self {
        (self.limit, self.pace) = (Duration::ZERO, Pace::of(0, Duration::ZERO));
        self
    }

    /// What the log is told of an answer that was not taken.
    pub(super) fn stalled(&self) -> Failure {
        Failure::of(Kind::ClientStalled, self.pace.or_silent(self.limit))
    }

    /// Ready when the client wants nothing more of this stream.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_reset(context).map(|_| ())
    }

    /// How many bytes may be sent now, of so many.
    pub(super) fn poll_room(&mut self, wanted: usize, context: &mut Context<'_>) -> Poll<Result<usize, Shut>> {
        loop {
            if self.poll_gone(context).is_ready() {
                return Poll::Ready(Err(self.why()));
            }
            if self.is_shut {
                if self.poll_window(context)? {
                    // All that waited for the same window are to be heard before one of them gets it.
                    self.link.turns.enter(self.id, self.priority, context);
                    context.waker().wake_by_ref();
                }
                return self.poll_patience(context);
            }
            if self.link.turns.poll_turn(self.id, self.priority, context).is_pending() {
                return self.poll_patience(context);
            }
            let wanted = wanted.min(QUANTUM);
            self.stream.reserve_capacity(wanted);
            match self.stream.capacity().min(wanted) {
                // One byte is asked for, so that a stream does not hold room that others could use.
                0 => {
                    self.stream.reserve_capacity(1);
                    self.is_shut = true;
                }
                room => {
                    self.calm();
                    return Poll::Ready(Ok(room));
                }
            }
        }
    }

    /// Hands a piece to the codec, for which there was room.
    pub(super) fn send(&mut self, bytes: Bytes, is_last: bool) -> Result<(), Shut> {
        self.link.answered();
        self.pace.moved(bytes.len(), self.link.ticker.recent());
        if let Some(inlet) = &self.inlet {
            inlet.note_answered(bytes.len());
        }
        let piece = self.link.turns.piece(bytes);
        self.stream.send_data(piece, is_last).map_err(|_| self.why())?;
        if !is_last {
            self.stream.reserve_capacity(0);
        }
        Ok(())
    }

    pub(super) fn send_trailers(&mut self, mut trailers: HeaderMap) -> Result<(), Shut> {
        streams::strip(&mut trailers);
        self.stream.send_trailers(trailers).map_err(|_| self.why())
    }

    pub(super) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Sends a body to its end. `left` is the length that the head has said, if it has.
    pub(super) async fn carry(
        &mut self,
        body: &mut (impl Body<Data = Bytes, Error = Failure> + Unpin),
        left: Option<u64>,
    ) -> Sent {
        match self.pump(body, left).await {
            Ok(true) => Sent::Whole,
            Ok(false) => {
                self.reset(Reason::INTERNAL_ERROR);
                Sent::Broken
            }
            Err(shut) => {
                self.reset(Reason::CANCEL);
                Sent::Shut(shut)
            }
        }
    }

    async fn pump(
        &mut self,
        body: &mut (impl Body<Data = Bytes, Error = Failure> + Unpin),
        mut left: Option<u64>,
    ) -> Result<bool, Shut> {
        loop {
            let frame = poll_fn(|context| {
                if self.poll_gone(context).is_ready() {
                    return Poll::Ready(Err(self.why()));
                }
                Pin::new(&mut *body).poll_frame(context).map(Ok)
            });
            let data = match frame.await? {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(frame) if left.is_none_or(|left| left == 0) => {
                        self.send_trailers(frame.into_trailers().unwrap_or_default())?;
                        return Ok(true);
                    }
                    Err(_) => return Ok(false),
                },
                Some(Err(_)) => return Ok(false),
                None if left.is_some_and(|left| left > 0) => return Ok(false),
                None => {
                    self.send(Bytes::new(), true)?;
                    return Ok(true);
                }
            };
            if let Some(left) = &mut left {
                let Some(rest) = left.checked_sub(data.len() as u64) else { return Ok(false) };
                *left = rest;
            }
            let is_last = body.is_end_stream();
            if is_last && left.is_some_and(|left| left > 0) {
                return Ok(false);
            }
            self.send_all(data, is_last).await?;
            if is_last {
                return Ok(true);
            }
        }
    }

    async fn send_all(&mut self, mut data: Bytes, is_last: bool) -> Result<(), Shut> {
        if data.is_empty() && is_last {
            return self.send(data, true);
        }
        while !data.is_empty() {
            let room = poll_fn(|context| self.poll_room(data.len(), context)).await?;
            let piece = data.split_to(room);
            self.send(piece, is_last && data.is_empty())?;
        }
        Ok(())
    }

    /// Whether the window is open again.
    fn poll_window(&mut self, context: &mut Context<'_>) -> Result<bool, Shut> {
        while self.stream.capacity() == 0 {
            match self.stream.poll_capacity(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Err(self.why()),
                Poll::Pending => return Ok(false),
            }
        }
        self.stream.reserve_capacity(0);
        (self.is_shut, self.was_open) = (false, true);
        Ok(true)
    }

    /// Whether the client has had its time. Behind others its time does not count, as long as these move.
    fn poll_patience<T>(&mut self, context: &mut Context<'_>) -> Poll<Result<T, Shut>> {
        let patience = self.patience.get_or_insert_with(|| self.link.ticker.deadline());
        loop {
            let moved = self.link.turns.moved();
            if !patience.is_armed() {
                // Only a window that is shut uses up a slow client's time.
                match self.is_shut {
                    true => self.pace.arm(patience, self.limit),
                    false => patience.arm(self.limit),
                }
                self.moved = moved;
            }
            ready!(patience.poll_over(context));
            let is_behind = !self.is_shut || std::mem::take(&mut self.was_open);
            if !is_behind || moved == self.moved {
                return Poll::Ready(Err(Shut::Stalled));
            }
            patience.disarm();
            self.pace.begin();
        }
    }

    fn calm(&mut self) {
        self.was_open = false;
        if let Some(patience) = &self.patience {
            patience.disarm();
        }
    }

    fn why(&self) -> Shut {
        if self.link.is_stalled() { Shut::Stalled } else { Shut::Gone }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.link.turns.leave(self.id, self.priority);
    }
}
