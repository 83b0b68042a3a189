//! What a reader gets that can have the kernel move bytes: frames like everybody, and bytes that stay where they are.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::Extent;
use crate::failure::Failure;
use crate::kernel::Pipe;

/// A piece of a body.
#[derive(Debug)]
pub enum Piece {
    /// Bytes at hand, or trailers.
    Frame(Frame<Bytes>),
    /// Bytes of a file.
    Extent(Extent),
    /// Bytes in a pipe: all that it holds.
    Piped(Pipe),
}

/// A stream of frames, some of which the kernel can move instead.
pub trait Source: Body<Data = Bytes, Error = Failure> {
    /// The next piece, for a reader that has the kernel move what it can; such a piece is at most `most` bytes long. Frames
    /// and pieces may be asked for in turns. Cancellation safe.
    fn poll_piece(self: Pin<&mut Self>, context: &mut Context<'_>, most: u64) -> Poll<Option<Result<Piece, Failure>>>;
}

/// A stream that has nothing but frames.
pub(super) struct Framed<B>(pub(super) B);

impl Piece {
    /// Its bytes; trailers have none.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Frame(frame) => frame.data_ref().map_or(0, |data| data.len() as u64),
            Self::Extent(extent) => extent.length,
            Self::Piped(pipe) => pipe.held() as u64,
        }
    }
}

impl<B> Framed<B> {
    fn inner(self: Pin<&mut Self>) -> Pin<&mut B>
    where
        B: Unpin,
    {
        Pin::new(&mut self.get_mut().0)
    }
}

impl<B: Body<Data = Bytes, Error = Failure> + Unpin> Source for Framed<B> {
    fn poll_piece(self: Pin<&mut Self>, context: &mut Context<'_>, _: u64) -> Poll<Option<Result<Piece, Failure>>> {
        self.inner().poll_frame(context).map_ok(Piece::Frame)
    }
}

impl<B: Body<Data = Bytes, Error = Failure> + Unpin> Body for Framed<B> {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        self.inner().poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
