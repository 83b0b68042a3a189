//! A stream of HTTP/3 as a stream of bytes, for tunnels (RFC 9220, section 3): an end is the stream's end, a break is
//! H3_REQUEST_CANCELLED.
//!
//! Flow control holds both ways: what the tunnel does not read shuts the client's window, what the client does not take is
//! not read from the member.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h3::error::Code;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::inbound::{Cut, Inlet};
use super::outbound::{Outlet, Shut};

/// Both ways of one stream. Dropped before both came to their end, it resets the stream.
pub(super) struct Duplex {
    inlet: Inlet,
    outlet: Out,
    /// Taken from the codec and not read yet.
    left: Bytes,
}

enum Out {
    Free(Box<Outlet>),
    /// A piece is on its way.
    Busy(Writing),
    Ended,
}

/// Gives the way back when it is over.
type Writing = Pin<Box<dyn Future<Output = (Box<Outlet>, Result<(), Shut>)>>>;

/// What is written at once; a tunnel's own buffer is not larger.
const PIECE: usize = 16 << 10;

impl Duplex {
    pub(super) fn of(inlet: Inlet, outlet: Outlet) -> Self {
        Self { inlet, outlet: Out::Free(Box::new(outlet)), left: Bytes::new() }
    }

    /// Ready when there is nothing on its way.
    fn poll_free(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Out::Busy(writing) = &mut self.outlet {
            let (outlet, written) = ready!(writing.as_mut().poll(context));
            self.outlet = Out::Free(outlet);
            written.map_err(broken)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Duplex {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.left.is_empty() {
            match ready!(self.inlet.poll_data(context)) {
                Some(Ok(data)) => self.left = data,
                Some(Err(Cut::Broken(error))) => {
                    return Poll::Ready(Err(io::Error::new(ErrorKind::ConnectionReset, error)));
                }
                Some(Err(Cut::Stopped)) => return Poll::Ready(Err(ErrorKind::ConnectionAborted.into())),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.left.len().min(buffer.remaining());
        buffer.put_slice(&self.left.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_free(context))?;
        let Out::Free(mut outlet) = std::mem::replace(&mut self.outlet, Out::Ended) else {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        };
        let piece = Bytes::copy_from_slice(bytes.get(..PIECE).unwrap_or(bytes));
        let length = piece.len();
        self.outlet = Out::Busy(Box::pin(async move {
            let written = outlet.send_data(piece).await;
            (outlet, written)
        }));
        // It begins now; whether it is over is asked before the next one.
        match self.poll_free(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(length)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_free(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_free(context))?;
        if let Out::Free(mut outlet) = std::mem::replace(&mut self.outlet, Out::Ended) {
            // It waits for nothing, so it is over when it was polled once.
            let mut ending = Box::pin(async move { outlet.finish().await });
            return ending.as_mut().poll(context).map_err(broken);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Duplex {
    fn drop(&mut self) {
        if let Out::Free(outlet) = &mut self.outlet {
            outlet.reset(Code::H3_REQUEST_CANCELLED);
            self.inlet.stop(Code::H3_REQUEST_CANCELLED);
        }
    }
}

fn broken(shut: Shut) -> io::Error {
    match shut {
        Shut::Gone | Shut::Unsendable => ErrorKind::ConnectionReset.into(),
        Shut::Stalled => ErrorKind::TimedOut.into(),
    }
}
