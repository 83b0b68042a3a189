//! The one body type: nothing, bytes at hand, or a stream.
//!
//! It knows lengths and frames, never where a stream comes from; guards that must live as long as a body lives are held
//! by the stream that is boxed into it.

mod parts;
mod piece;
mod replay;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

pub use self::parts::{Extent, Lent, Part, Parts};
use self::piece::Framed;
pub use self::piece::{Piece, Source};
pub use self::replay::Replay;
use crate::failure::Failure;

/// A boxed stream of frames.
pub type Stream = Pin<Box<dyn Source>>;

/// A request's or a response's body.
#[derive(Default)]
pub enum Body {
    /// None at all.
    #[default]
    Empty,
    /// Bytes at hand; `None` once they were taken.
    Bytes(Option<Bytes>),
    /// Bytes and extents of files.
    Parts(Parts),
    /// Frames as they come.
    Stream(Stream),
}

impl Body {
    /// A body of a stream.
    pub fn stream(stream: impl http_body::Body<Data = Bytes, Error = Failure> + Unpin + 'static) -> Self {
        Body::Stream(Box::pin(Framed(stream)))
    }

    /// A body of a stream of which the kernel can move a part.
    pub fn source(source: impl Source + 'static) -> Self {
        Body::Stream(Box::pin(source))
    }

    /// The next piece, for a reader that can have the kernel move bytes which nobody looked at; such a piece is at most
    /// `most` bytes long. Cancellation safe.
    pub fn poll_piece(&mut self, context: &mut Context<'_>, most: u64) -> Poll<Option<Result<Piece, Failure>>> {
        match self {
            Body::Parts(parts) => parts.poll_piece(context, most),
            Body::Stream(stream) => stream.as_mut().poll_piece(context, most),
            Body::Empty | Body::Bytes(_) => Pin::new(self).poll_frame(context).map_ok(Piece::Frame),
        }
    }

    /// Whether there is certainly nothing to come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_end_stream()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Body::Empty } else { Body::Bytes(Some(bytes)) }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match &mut *self {
            Body::Empty => Poll::Ready(None),
            Body::Bytes(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Body::Parts(parts) => parts.poll_read(context).map_ok(Frame::data),
            Body::Stream(stream) => stream.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty | Body::Bytes(None) => true,
            Body::Bytes(Some(_)) => false,
            Body::Parts(parts) => parts.is_over(),
            Body::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty | Body::Bytes(None) => SizeHint::with_exact(0),
            Body::Bytes(Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            Body::Parts(parts) => SizeHint::with_exact(parts.length()),
            Body::Stream(stream) => stream.size_hint(),
        }
    }
}
