//! A stream of HTTP/2 as a stream of bytes, for tunnels (RFC 8441, section 5): an end is END_STREAM, a break is CANCEL.
//!
//! Flow control holds both ways: what the tunnel does not read shuts the client's window, what the client does not take is
//! not read from the member.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::outbound::{Outlet, Shut};

/// Both ways of one stream. Dropped before both came to their end, it resets the stream.
pub(super) struct Duplex {
    inlet: RecvStream,
    outlet: Outlet,
    /// Taken from the codec and not read yet.
    left: Bytes,
    is_ended: bool,
}

impl Duplex {
    pub(super) fn of(inlet: RecvStream, outlet: Outlet) -> Self {
        Self { inlet, outlet, left: Bytes::new(), is_ended: false }
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
                Some(Err(error)) => return Poll::Ready(Err(io::Error::new(ErrorKind::ConnectionReset, error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.left.len().min(buffer.remaining());
        buffer.put_slice(self.left.get(..length).unwrap_or_default());
        self.left.advance(length);
        let _ = self.inlet.flow_control().release_capacity(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(self.outlet.poll_room(bytes.len(), context)).map_err(broken)?;
        let piece = bytes.get(..room).unwrap_or_default();
        self.outlet.send(Bytes::copy_from_slice(piece), false).map_err(broken)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_ended {
            self.outlet.send(Bytes::new(), true).map_err(broken)?;
            self.is_ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Duplex {
    fn drop(&mut self) {
        if !self.is_ended {
            self.outlet.reset(Reason::CANCEL);
        }
    }
}

fn broken(shut: Shut) -> io::Error {
    match shut {
        Shut::Gone => ErrorKind::ConnectionReset.into(),
        Shut::Stalled => ErrorKind::TimedOut.into(),
    }
}
