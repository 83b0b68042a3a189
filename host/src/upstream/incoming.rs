//! An answer's body as its codec hands it over, in either version of HTTP.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};

use super::connection::chain;
use crate::failure::{Failure, Kind};

/// The body of an answer.
pub struct Incoming(Source);

enum Source {
    Alone(hyper::body::Incoming),
    Shared(Streamed),
}

struct Streamed {
    stream: RecvStream,
    /// Bytes to come, when the answer says so.
    left: Option<u64>,
    is_data_over: bool,
}

impl From<hyper::body::Incoming> for Incoming {
    fn from(body: hyper::body::Incoming) -> Self {
        Self(Source::Alone(body))
    }
}

impl Incoming {
    pub(super) fn streamed(stream: RecvStream, length: Option<u64>) -> Self {
        let left = if stream.is_end_stream() { Some(0) } else { length };
        Self(Source::Shared(Streamed { stream, left, is_data_over: false }))
    }
}

impl Streamed {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if !self.is_data_over {
            match ready!(self.stream.poll_data(context)) {
                Some(Ok(data)) => {
                    // Only what was taken may be sent again: a reader that stops stops its stream.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(cut(&error)))),
                None => self.is_data_over = true,
            }
        }
        Poll::Ready(match ready!(self.stream.poll_trailers(context)) {
            Ok(Some(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(None) => None,
            Err(error) => Some(Err(cut(&error))),
        })
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match &mut self.0 {
            Source::Alone(body) => Pin::new(body).poll_frame(context).map_err(|error| cut(&error)),
            Source::Shared(body) => body.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Alone(body) => body.is_end_stream(),
            Source::Shared(body) => body.stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Alone(body) => body.size_hint(),
            Source::Shared(body) => body.left.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

/// Whatever reason a member gives for ending a stream before END_STREAM, the body is not whole.
fn cut(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::of(Kind::ResponseCut, chain(error))
}
