//! A socket that listens and a stream that was accepted, whatever their family.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::tls;

/// A socket that listens, non-blocking.
pub enum Socket {
    /// By address.
    Tcp(std::net::TcpListener),
    /// By path.
    Unix(std::os::unix::net::UnixListener),
}

/// A listening socket in a runtime.
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// An accepted connection.
pub(super) struct Stream {
    kind: Kind,
    /// What was read before it was known who it is for.
    early: Bytes,
}

enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<tls::ServerStream<Stream>>),
}

impl Listening {
    pub(super) fn of(socket: Socket) -> io::Result<Self> {
        match socket {
            Socket::Tcp(socket) => TcpListener::from_std(socket).map(Self::Tcp),
            Socket::Unix(socket) => UnixListener::from_std(socket).map(Self::Unix),
        }
    }

    /// The next connection, and who it is from. Cancellation safe.
    pub(super) fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Option<SocketAddr>)>> {
        match self {
            Self::Tcp(socket) => socket.poll_accept(context).map_ok(|(stream, from)| {
                // Only a connection that is already gone refuses this, and then it does not matter.
                let _ = stream.set_nodelay(true);
                (Kind::Tcp(stream).into(), Some(from))
            }),
            Self::Unix(socket) => socket.poll_accept(context).map_ok(|(stream, _)| (Kind::Unix(stream).into(), None)),
        }
    }
}

impl Stream {
    /// A connection under TLS.
    pub(super) fn secured(stream: tls::ServerStream<Self>) -> Self {
        Kind::Tls(Box::new(stream)).into()
    }

    /// Our end of the connection; none on a Unix socket.
    pub(super) fn own_address(&self) -> Option<SocketAddr> {
        match &self.kind {
            Kind::Tcp(stream) => stream.local_addr().ok(),
            Kind::Unix(_) => None,
            Kind::Tls(stream) => stream.get_ref().0.own_address(),
        }
    }

    /// Puts back what was read; it comes first again.
    pub(super) fn put_back(&mut self, bytes: impl Into<Bytes>) {
        self.early = bytes.into();
    }

    /// Whether what is written goes to the client as it is, so that the kernel may write it too.
    pub(super) const fn is_bare(&self) -> bool {
        !matches!(self.kind, Kind::Tls(_))
    }

    /// Writes to the socket by a system call, when it takes something: `send` is told the socket.
    pub(super) fn poll_send(
        &self,
        context: &mut Context<'_>,
        mut send: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let sent = match &self.kind {
                Kind::Tcp(stream) => {
                    ready!(stream.poll_write_ready(context))?;
                    stream.try_io(Interest::WRITABLE, || send(stream.as_fd()))
                }
                Kind::Unix(stream) => {
                    ready!(stream.poll_write_ready(context))?;
                    stream.try_io(Interest::WRITABLE, || send(stream.as_fd()))
                }
                Kind::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
            };
            if !sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                return Poll::Ready(sent);
            }
        }
    }

    /// When it is closed, the client is told that this was no end.
    pub(super) fn break_off(&self) {
        if let Kind::Tcp(stream) = &self.kind {
            // A connection that is gone already needs no telling.
            let _ = stream.set_zero_linger();
        }
    }

    /// Writes what the socket takes at once, for when nobody else is writing.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.kind {
            Kind::Tcp(stream) => stream.try_write(bytes),
            Kind::Unix(stream) => stream.try_write(bytes),
            Kind::Tls(stream) => {
                let mut context = Context::from_waker(Waker::noop());
                let written = match Pin::new(&mut *stream).poll_write(&mut context, bytes) {
                    Poll::Ready(written) => written?,
                    Poll::Pending => 0,
                };
                // What TLS has taken goes out with what is written next, if it does not now.
                match Pin::new(stream).poll_flush(&mut context) {
                    Poll::Ready(flushed) => flushed.map(|()| written),
                    Poll::Pending => Ok(written),
                }
            }
        }
    }
}

impl From<Kind> for Stream {
    fn from(kind: Kind) -> Self {
        Self { kind, early: Bytes::new() }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let length = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early.split_to(length));
            return Poll::Ready(Ok(()));
        }
        match &mut self.kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Kind::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Kind::Tls(stream) => match Pin::new(stream).poll_read(context, buffer) {
                // Most clients close without a word of TLS about it; what they sent says itself whether it is whole.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                polled => polled,
            },
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Kind::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Kind::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Kind::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Kind::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Tcp(_) | Kind::Unix(_) => Poll::Ready(Ok(())),
            Kind::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Kind::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Kind::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
