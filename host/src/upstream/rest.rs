//! The rest of an answer's body whose codec was called out: so many bytes, as they come from the socket.
//!
//! Whoever can have the kernel move them gets them in pipes. Invariant: not a byte more is taken from the socket than the
//! answer has.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tokio::io::{AsyncRead, ReadBuf};

use super::connection::Beneath;
use super::tunnel::Left;
use crate::body::Piece;
use crate::failure::{Failure, Kind};
use crate::kernel::Pipe;

/// What is still to come.
pub(super) struct Rest {
    left: Left<Beneath>,
    to_come: u64,
    /// The answer was not all that was there.
    is_more: bool,
}

/// Bytes that are read at once where there is no pipe to be had.
const CHUNK: usize = 64 << 10;

impl Rest {
    /// So many bytes, of which the codec may have read some.
    pub(super) fn of(mut left: Left<Beneath>, to_come: u64) -> Self {
        let length = usize::try_from(to_come).unwrap_or(usize::MAX);
        let is_more = left.early.len() > length;
        left.early.truncate(length);
        Self { left, to_come, is_more }
    }

    pub(super) const fn to_come(&self) -> u64 {
        self.to_come
    }

    /// The next bytes; `None` at the end. Cancellation safe.
    pub(super) fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let most = self.most(CHUNK as u64);
        if most == 0 {
            return Poll::Ready(None);
        }
        if !self.left.early.is_empty() {
            let early = std::mem::take(&mut self.left.early);
            self.pass(early.len());
            return Poll::Ready(Some(Ok(early)));
        }
        let mut bytes = vec![0; most];
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = ready!(Pin::new(&mut self.left.stream).poll_read(context, &mut buffer));
        let length = buffer.filled().len();
        bytes.truncate(length);
        Poll::Ready(Some(self.took(read.map(|()| length)).map(|()| bytes.into())))
    }

    /// The next piece: a pipe that holds at most `most` bytes, or bytes. `None` at the end. Cancellation safe.
    pub(super) fn poll_piece(&mut self, context: &mut Context<'_>, most: u64) -> Poll<Option<Result<Piece, Failure>>> {
        let most = self.most(most);
        let is_early = !self.left.early.is_empty();
        let pipe = if most == 0 || is_early { None } else { Pipe::open().ok() };
        let (Some(mut pipe), Some(socket)) = (pipe, self.left.stream.get().bare()) else {
            return self.poll_bytes(context).map_ok(|bytes| Piece::Frame(Frame::data(bytes)));
        };
        let taken = ready!(socket.poll_take(context, |socket| pipe.fill(socket, most)));
        Poll::Ready(Some(self.took(taken).map(|()| Piece::Piped(pipe))))
    }

    /// The stream, when the answer was all that was on it and another can be asked for.
    pub(super) fn into_stream(self) -> Option<Beneath> {
        (self.to_come == 0 && !self.is_more && self.left.is_clean).then_some(self.left.stream)
    }

    fn most(&self, most: u64) -> usize {
        usize::try_from(self.to_come.min(most)).unwrap_or(usize::MAX)
    }

    fn pass(&mut self, length: usize) {
        self.to_come = self.to_come.saturating_sub(length as u64);
    }

    fn took(&mut self, taken: io::Result<usize>) -> Result<(), Failure> {
        match taken {
            Ok(0) => Err(Failure::of(Kind::ResponseCut, format!("{} bytes before its end", self.to_come))),
            Ok(length) => {
                self.pass(length);
                Ok(())
            }
            Err(error) => Err(Failure::of(Kind::ResponseCut, error.to_string())),
        }
    }
}
