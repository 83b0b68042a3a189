//! What goes to the client on one stream: heads, data as its windows allow, trailers, the end.
//!
//! It pulls: nothing is taken from a body before the piece before it is in QUIC's hands. A client that takes nothing has the
//! listener's `write-timeout`, one that takes little its `min-rate`.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h3::error::{Code, StreamError};
use h3::server::RequestStream;
use http::HeaderMap;
use http_body::Body;

use super::exchange::Reply;
use super::link::Link;
use super::quic::{self, Accepted, Stopped};
use crate::clock::{self, Deadline, Duration};
use crate::failure::{Failure, Kind};
use crate::front::h2::Priority;
use crate::front::pace::Pace;
use crate::front::streams;
use crate::message::Status;

/// The way to the client.
pub(super) struct Outlet {
    stream: RequestStream<quic::Send, Bytes>,
    stopped: Stopped,
    is_gone: bool,
    rank: Rc<Cell<Option<i32>>>,
    patience: Patience,
}

/// How long a client is waited for.
struct Patience {
    deadline: Deadline,
    limit: Duration,
    pace: Pace,
    /// Bytes that the stream has taken, and how many of them were seen here.
    written: Rc<Cell<u64>>,
    seen: u64,
}

/// Why nothing more can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shut {
    /// The client wants nothing more, or the connection is gone.
    Gone,
    /// The client took nothing, or too little, for too long.
    Stalled,
    /// It would not be a message of HTTP/3, or the client has said that it is too large for it.
    Unsendable,
}

/// How a body's way ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// With its end.
    Whole,
    /// The body broke, or was not what its head had said.
    Broken,
    /// The client did not take it.
    Shut(Shut),
}

impl Outlet {
    pub(super) fn of(stream: RequestStream<quic::Send, Bytes>, link: &Link, accepted: Accepted) -> Self {
        let Accepted { stopped, written, rank, .. } = accepted;
        let (deadline, limit) = (link.ticker.deadline(), link.limits.write);
        let pace = Pace::of(link.limits.min_rate.response, link.limits.min_rate.grace);
        Self { stream, stopped, is_gone: false, rank, patience: Patience { deadline, limit, pace, written, seen: 0 } }
    }

    /// What is more urgent goes first (RFC 9218); equals take turns.
    pub(super) fn rank(&self, priority: Priority) {
        self.rank.set(Some(-i32::from(priority.urgency)));
    }

    /// One that waits for its client as long as a tunnel does.
    pub(super) fn of_tunnel(mut self) -> Self {
        (self.patience.limit, self.patience.pace) = (Duration::ZERO, Pace::of(0, Duration::ZERO));
        self
    }

    /// Ready when the client wants nothing more of this stream, or has everything.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_gone {
            let _ = ready!(self.stopped.as_mut().poll(context));
            self.is_gone = true;
        }
        Poll::Ready(())
    }

    pub(super) async fn send_interim(&mut self, status: Status, mut fields: HeaderMap) -> Result<(), Shut> {
        streams::strip(&mut fields);
        self.send_head(status, fields).await
    }

    pub(super) async fn send_head(&mut self, status: Status, fields: HeaderMap) -> Result<(), Shut> {
        let mut head = http::Response::new(());
        (*head.status_mut(), *head.headers_mut()) = (status, fields);
        let Self { stream, patience, .. } = self;
        patience.wait(stream.send_response(head)).await
    }

    pub(super) async fn send_data(&mut self, data: Bytes) -> Result<(), Shut> {
        if data.is_empty() {
            return Ok(());
        }
        let Self { stream, patience, .. } = self;
        patience.wait(stream.send_data(data)).await
    }

    async fn send_trailers(&mut self, mut trailers: HeaderMap) -> Result<(), Shut> {
        streams::strip(&mut trailers);
        let Self { stream, patience, .. } = self;
        patience.wait(stream.send_trailers(trailers)).await
    }

    pub(super) async fn finish(&mut self) -> Result<(), Shut> {
        let Self { stream, patience, .. } = self;
        patience.wait(stream.finish()).await
    }

    /// Waits until the client has everything, but no longer than for a byte of it: so nothing is cut off when the connection
    /// is closed behind its last answer.
    pub(super) async fn settle(&mut self) {
        let limit = self.patience.limit;
        self.patience.deadline.arm(limit);
        poll_fn(|context| {
            if self.poll_gone(context).is_ready() {
                return Poll::Ready(());
            }
            self.patience.deadline.poll_over(context)
        })
        .await;
    }

    pub(super) fn reset(&mut self, code: Code) {
        self.stream.stop_stream(code);
    }

    /// Sends a body to its end. `left` is the length that the head has said, if it has.
    pub(super) async fn carry<B>(&mut self, body: &mut B, left: Option<u64>, reply: &Reply) -> Sent
    where
        B: Body<Data = Bytes, Error = Failure> + Unpin,
    {
        match self.pump(body, left, reply).await {
            Ok(true) => Sent::Whole,
            Ok(false) => Sent::Broken,
            Err(shut) => Sent::Shut(shut),
        }
    }

    async fn pump<B>(&mut self, body: &mut B, mut left: Option<u64>, reply: &Reply) -> Result<bool, Shut>
    where
        B: Body<Data = Bytes, Error = Failure> + Unpin,
    {
        loop {
            let frame = poll_fn(|context| {
                if self.poll_gone(context).is_ready() {
                    return Poll::Ready(Err(Shut::Gone));
                }
                Pin::new(&mut *body).poll_frame(context).map(Ok)
            });
            let data = match frame.await? {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(frame) if left.is_none_or(|left| left == 0) => {
                        self.send_trailers(frame.into_trailers().unwrap_or_default()).await?;
                        return self.finish().await.map(|()| true);
                    }
                    Err(_) => return Ok(false),
                },
                Some(Err(_)) => return Ok(false),
                None if left.is_some_and(|left| left > 0) => return Ok(false),
                None => return self.finish().await.map(|()| true),
            };
            if reply.is_malformed() {
                return Ok(false);
            }
            if let Some(left) = &mut left {
                let Some(rest) = left.checked_sub(data.len() as u64) else { return Ok(false) };
                *left = rest;
            }
            self.send_data(data).await?;
        }
    }
}

impl Patience {
    /// Writes to the end, as long as the client takes something.
    async fn wait<T>(&mut self, writing: impl Future<Output = Result<T, StreamError>>) -> Result<T, Shut> {
        let mut writing = pin!(writing);
        let written = poll_fn(|context| {
            if let Poll::Ready(written) = writing.as_mut().poll(context) {
                return Poll::Ready(Some(written));
            }
            self.poll_over(context).map(|()| None)
        });
        let written = written.await;
        self.note();
        self.deadline.disarm();
        match written {
            Some(Ok(done)) => Ok(done),
            Some(Err(StreamError::HeaderTooBig { .. })) => Err(Shut::Unsendable),
            Some(Err(error)) => {
                tracing::trace!(%error, "an answer was not taken");
                Err(Shut::Gone)
            }
            None => Err(Shut::Stalled),
        }
    }

    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.note() || !self.deadline.is_armed() {
            let most = self.pace.wait(clock::now()).unwrap_or(Duration::MAX);
            if most.is_zero() {
                return Poll::Ready(());
            }
            // Zero is no limit.
            let limit = if self.limit.is_zero() { Duration::MAX } else { self.limit };
            match limit.min(most) {
                Duration::MAX => self.deadline.disarm(),
                limit => self.deadline.arm(limit),
            }
        }
        self.deadline.poll_over(context)
    }

    /// Whether the client has taken something since this was asked last.
    fn note(&mut self) -> bool {
        let moved = self.written.get() - self.seen;
        self.seen += moved;
        if moved > 0 {
            self.pace.moved(usize::try_from(moved).unwrap_or(usize::MAX), clock::now());
        }
        moved > 0
    }
}

/// What the log is told of an answer that was not taken.
pub(super) fn stalled(link: &Link) -> Failure {
    Failure::of(Kind::ClientStalled, format!("it took no byte, or too few, within {:?}", link.limits.write))
}
