//! A stream whose broken writing side does not hide what can still be read.
//!
//! A member may answer early, say `Connection: close` and close, while the request's body is still on its way (RFC 9112,
//! section 9.6). Writing then fails, but the answer is there to be read: reading decides what became of the exchange.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that writes nothing more once the other side refused to take it, and says so to nobody.
pub(super) struct Patient<S> {
    stream: S,
    is_deaf: bool,
    /// The codec has written since it last flushed, so it may have more.
    is_owing: bool,
}

impl<S> Patient<S> {
    pub(super) const fn of(stream: S) -> Self {
        Self { stream, is_deaf: false, is_owing: false }
    }

    /// The stream itself, and whether all that the codec had to say was written.
    pub(super) fn into_inner(self) -> (S, bool) {
        (self.stream, !self.is_deaf && !self.is_owing)
    }
}

/// The other side takes nothing more.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> Patient<S> {
    /// Nobody needs to be woken for a write that never ends: a connection reset by the other side can always be read.
    fn written(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Err(error)) if is_refusal(&error) => {
                self.is_deaf = true;
                Poll::Pending
            }
            polled => polled,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_deaf {
            return Poll::Pending;
        }
        self.is_owing = true;
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_deaf {
            return Poll::Pending;
        }
        self.is_owing = true;
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// TLS may have kept what it was given, and fail only here.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_deaf {
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(Err(error)) if is_refusal(&error) => {
                self.is_deaf = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) => {
                self.is_owing = false;
                Poll::Ready(Ok(()))
            }
            polled => polled,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
