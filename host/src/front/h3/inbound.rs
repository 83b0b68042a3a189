//! What comes from the client on one stream: its body, which is as long as the head says, and its trailers.
//!
//! A body's window opens only as far as the pipeline took it, so memory is bounded by the window.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h3::error::{Code, StreamError};
use h3::server::RequestStream;
use http::request::Parts;
use http::{HeaderMap, header};
use http_body::{Frame, SizeHint};

use super::exchange::Reply;
use super::link::Link;
use super::quic;
use crate::clock::{self, Deadline, Duration};
use crate::failure::{Failure, Kind};
use crate::front::pace::Pace;

/// The way from the client.
pub(super) struct Inlet {
    stream: RequestStream<quic::Receive, Bytes>,
    /// What was read when somebody looked.
    first: Option<Result<Bytes, StreamError>>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Data,
    Trailers,
    Over,
}

/// A client's body.
pub(super) struct Inbound {
    inlet: Inlet,
    /// Bytes to come, when the head has said so.
    left: Option<u64>,
    reply: Rc<Reply>,
    reading: Deadline,
    limit: Duration,
    pace: Pace,
}

impl Inlet {
    pub(super) fn of(stream: RequestStream<quic::Receive, Bytes>) -> Self {
        Self { stream, first: None, stage: Stage::Data }
    }

    /// Whether there is certainly nothing to come.
    pub(super) fn look(&mut self, context: &mut Context<'_>) -> bool {
        match self.poll_data(context) {
            Poll::Ready(Some(first)) => self.first = Some(first),
            Poll::Ready(None) => match self.poll_trailers(context) {
                Poll::Ready(Ok(None)) => return true,
                Poll::Ready(Ok(Some(_))) | Poll::Pending => {}
                Poll::Ready(Err(error)) => self.first = Some(Err(error)),
            },
            Poll::Pending => {}
        }
        false
    }

    /// The next piece; `None` behind the last one.
    pub(super) fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        if self.stage != Stage::Data {
            return Poll::Ready(None);
        }
        match ready!(self.stream.poll_recv_data(context)) {
            Ok(Some(mut data)) => Poll::Ready(Some(Ok(data.copy_to_bytes(data.remaining())))),
            Ok(None) => {
                self.stage = Stage::Trailers;
                Poll::Ready(None)
            }
            Err(error) => {
                self.stage = Stage::Over;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    /// What follows the last piece.
    fn poll_trailers(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, StreamError>> {
        if self.stage != Stage::Trailers {
            return Poll::Ready(Ok(None));
        }
        let trailers = ready!(self.stream.poll_recv_trailers(context));
        self.stage = Stage::Over;
        Poll::Ready(trailers)
    }

    /// Reads no further.
    pub(super) fn stop(&mut self, code: Code) {
        self.stage = Stage::Over;
        self.stream.stop_sending(code);
    }
}

impl Inbound {
    pub(super) fn of(inlet: Inlet, head: &Parts, link: &Link, reply: &Rc<Reply>) -> Self {
        let left = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let (reading, limit) = (link.ticker.deadline(), link.limits.body);
        let pace = Pace::of(link.limits.rate.request, link.limits.rate.grace);
        Self { inlet, left, reply: reply.clone(), reading, limit, pace }
    }

    /// RFC 9114, section 4.1.2: such a request is malformed, whatever was made of it so far.
    fn malformed(&mut self, detail: &'static str) -> Failure {
        self.reply.note_malformed();
        self.inlet.stop(Code::H3_MESSAGE_ERROR);
        Failure::of(Kind::MalformedBody, detail)
    }

    fn take(&mut self, data: Result<Bytes, StreamError>) -> Result<Bytes, Failure> {
        self.reading.disarm();
        let data = data.map_err(|error| self.cut(&error))?;
        self.pace.moved(data.len(), clock::now());
        match self.left.map(|left| left.checked_sub(data.len() as u64)) {
            Some(None) => Err(self.malformed("the body is longer than Content-Length says")),
            left => {
                self.left = left.flatten();
                Ok(data)
            }
        }
    }

    /// Why a body is not whole.
    fn cut(&mut self, error: &StreamError) -> Failure {
        match error {
            StreamError::StreamError { .. } | StreamError::HeaderTooBig { .. } | StreamError::Undefined { .. } => {
                self.malformed("the trailers are malformed or too long")
            }
            error => Failure::of(Kind::ClientGone, error.to_string()),
        }
    }

    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<Result<T, Failure>> {
        if !self.reading.is_armed() {
            let most = self.pace.wait(clock::now()).unwrap_or(Duration::MAX);
            let limit = if self.limit.is_zero() { Duration::MAX } else { self.limit };
            match limit.min(most) {
                Duration::MAX => {}
                // Zero would be no limit.
                limit => self.reading.arm(limit.max(Duration::from_millis(1))),
            }
        }
        ready!(self.reading.poll_over(context));
        Poll::Ready(Err(Failure::of(Kind::BodyTimeout, self.pace.or_silent(self.limit))))
    }
}

impl http_body::Body for Inbound {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match self.inlet.poll_data(context) {
            Poll::Ready(Some(data)) => return Poll::Ready(Some(self.take(data).map(Frame::data))),
            Poll::Ready(None) => {}
            Poll::Pending => return self.wait(context).map(Some),
        }
        let trailers = match self.inlet.poll_trailers(context) {
            Poll::Ready(trailers) => trailers,
            Poll::Pending => return self.wait(context).map(Some),
        };
        self.reading.disarm();
        if self.left.is_some_and(|left| left > 0) {
            return Poll::Ready(Some(Err(self.malformed("the body is shorter than Content-Length says"))));
        }
        Poll::Ready(match trailers {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(self.cut(&error))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inlet.stage == Stage::Over && self.inlet.first.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
