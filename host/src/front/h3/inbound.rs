//! What comes from the client on one stream: its body, which is as long as the head says, and its trailers.
//!
//! A body's window opens only as far as the pipeline took it, so memory is bounded by the window.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
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
use crate::failure::{Failure, Kind};
use crate::front::pace::{Pace, Wait};

/// The way from the client, held by its exchange: when that is over, so is the body, whoever still has it.
#[derive(Clone)]
pub(super) struct Inlet(Rc<RefCell<Way>>);

struct Way {
    stream: RequestStream<quic::Receive, Bytes>,
    /// What was read when somebody looked.
    first: Option<Result<Bytes, Cut>>,
    trailers: Option<HeaderMap>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Data,
    Trailers,
    /// Everything was read.
    Over,
    /// Nothing more is read.
    Stopped,
}

/// Why nothing more comes, though there was more.
#[derive(Debug)]
pub(super) enum Cut {
    /// By the client, or by what it sent.
    Broken(StreamError),
    /// By this side.
    Stopped,
}

/// A client's body.
pub(super) struct Inbound {
    inlet: Inlet,
    /// Bytes to come, when the head has said so.
    left: Option<u64>,
    reply: Rc<Reply>,
    wait: Wait,
    /// Bytes of the answer that went the other way so far.
    answered: Rc<Cell<u64>>,
}

impl Inlet {
    pub(super) fn of(stream: RequestStream<quic::Receive, Bytes>) -> Self {
        Self(Rc::new(RefCell::new(Way { stream, first: None, trailers: None, stage: Stage::Data })))
    }

    /// Whether there is certainly nothing to come.
    pub(super) fn look(&self, context: &mut Context<'_>) -> bool {
        self.0.borrow_mut().look(context)
    }

    /// The next piece; `None` behind the last one.
    pub(super) fn poll_data(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        self.0.borrow_mut().poll_data(context)
    }

    /// What follows the last piece.
    fn poll_trailers(&self, context: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, Cut>> {
        self.0.borrow_mut().poll_trailers(context)
    }

    /// Reads no further, if there is something to read.
    pub(super) fn stop(&self, code: Code) {
        let mut way = self.0.borrow_mut();
        if matches!(way.stage, Stage::Data | Stage::Trailers) {
            way.stage = Stage::Stopped;
            way.stream.stop_sending(code);
        }
    }

    fn is_over(&self) -> bool {
        let way = self.0.borrow();
        way.stage == Stage::Over && way.first.is_none() && way.trailers.is_none()
    }
}

impl Way {
    fn look(&mut self, context: &mut Context<'_>) -> bool {
        match self.poll_data(context) {
            Poll::Ready(Some(first)) => self.first = Some(first),
            Poll::Ready(None) => match self.poll_trailers(context) {
                Poll::Ready(Ok(None)) => return true,
                Poll::Ready(Ok(trailers)) => self.trailers = trailers,
                Poll::Ready(Err(error)) => self.first = Some(Err(error)),
                Poll::Pending => {}
            },
            Poll::Pending => {}
        }
        false
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        match self.stage {
            Stage::Data => {}
            Stage::Trailers | Stage::Over => return Poll::Ready(None),
            Stage::Stopped => return Poll::Ready(Some(Err(Cut::Stopped))),
        }
        Poll::Ready(match ready!(self.stream.poll_recv_data(context)) {
            Ok(Some(mut data)) => Some(Ok(data.copy_to_bytes(data.remaining()))),
            Ok(None) => {
                self.stage = Stage::Trailers;
                None
            }
            Err(error) => {
                self.stage = Stage::Stopped;
                Some(Err(Cut::Broken(error)))
            }
        })
    }

    fn poll_trailers(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, Cut>> {
        match self.stage {
            Stage::Trailers => {}
            Stage::Data | Stage::Over => return Poll::Ready(Ok(self.trailers.take())),
            Stage::Stopped => return Poll::Ready(Err(Cut::Stopped)),
        }
        let trailers = ready!(self.stream.poll_recv_trailers(context));
        self.stage = if trailers.is_ok() { Stage::Over } else { Stage::Stopped };
        Poll::Ready(trailers.map_err(Cut::Broken))
    }
}

impl Inbound {
    pub(super) fn of(inlet: Inlet, head: &Parts, link: &Link, reply: &Rc<Reply>, answered: Rc<Cell<u64>>) -> Self {
        let left = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let pace = Pace::of(link.limits.min_rate.request, link.limits.min_rate.grace);
        let wait = Wait::of(link.ticker.deadline(), link.limits.body, pace);
        Self { inlet, left, reply: reply.clone(), wait, answered }
    }

    /// RFC 9114, section 4.1.2: such a request is malformed, whatever was made of it so far.
    fn malformed(&self, detail: impl Into<Cow<'static, str>>) -> Failure {
        self.reply.note_malformed();
        self.inlet.stop(Code::H3_MESSAGE_ERROR);
        Failure::of(Kind::MalformedBody, detail)
    }

    fn take(&mut self, data: Result<Bytes, Cut>) -> Result<Bytes, Failure> {
        self.wait.calm();
        let data = data.map_err(|cut| self.failure(&cut))?;
        self.wait.moved(data.len());
        match self.left.map(|left| left.checked_sub(data.len() as u64)) {
            Some(None) => Err(self.malformed("the body is longer than Content-Length says")),
            left => {
                self.left = left.flatten();
                Ok(data)
            }
        }
    }

    /// Why a body is not whole.
    fn failure(&self, cut: &Cut) -> Failure {
        match cut {
            Cut::Broken(
                error @ (StreamError::StreamError { .. }
                | StreamError::HeaderTooBig { .. }
                | StreamError::Undefined { .. }),
            ) => self.malformed(error.to_string()),
            Cut::Broken(error) => Failure::of(Kind::ClientGone, error.to_string()),
            Cut::Stopped => Failure::of(Kind::ClientGone, "the exchange was over before its request"),
        }
    }
}

impl http_body::Body for Inbound {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let answered = self.answered.get();
        match self.inlet.poll_data(context) {
            Poll::Ready(Some(data)) => return Poll::Ready(Some(self.take(data).map(Frame::data))),
            Poll::Ready(None) => {}
            Poll::Pending => return self.wait.poll(context, answered).map(Some),
        }
        let trailers = match self.inlet.poll_trailers(context) {
            Poll::Ready(trailers) => trailers,
            Poll::Pending => return self.wait.poll(context, answered).map(Some),
        };
        self.wait.calm();
        let trailers = match trailers {
            Ok(trailers) => trailers,
            Err(cut) => return Poll::Ready(Some(Err(self.failure(&cut)))),
        };
        if self.left.is_some_and(|left| left > 0) {
            return Poll::Ready(Some(Err(self.malformed("the body is shorter than Content-Length says"))));
        }
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.inlet.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
