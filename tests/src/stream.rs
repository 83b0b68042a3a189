//! One stream type over TCP, TLS and Unix sockets, and ports that misbehave before any byte: refusing, or deaf.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, SockRef, Socket, Type};

use crate::eventually::{PATIENCE, eventually};
use crate::tls::{Handshake, TlsStream};

pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// An origin's end.
    Tls(Box<TlsStream>),
    /// A client's end.
    Secured(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects to `127.0.0.1:80`, `[::1]:80` or `unix:/path`.
    pub fn connect(address: &str) -> io::Result<Stream> {
        let stream = match address.strip_prefix("unix:") {
            Some(path) => Stream::Unix(UnixStream::connect(path)?),
            None => {
                let address: SocketAddr = address.parse().map_err(io::Error::other)?;
                let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
        };
        stream.set_patience(PATIENCE)?;
        Ok(stream)
    }

    /// Connects with a receive buffer so small that a sender soon has to wait for the reader.
    pub fn connect_narrow(address: &str) -> io::Result<Stream> {
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_recv_buffer_size(4096)?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        let stream = Stream::Tcp(socket.into());
        stream.set_patience(PATIENCE)?;
        Ok(stream)
    }

    /// How long one read or write may wait.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))
            }
            Stream::Tls(stream) => {
                stream.sock.set_read_timeout(Some(patience))?;
                stream.sock.set_write_timeout(Some(patience))
            }
            Stream::Secured(stream) => {
                stream.sock.set_read_timeout(Some(patience))?;
                stream.sock.set_write_timeout(Some(patience))
            }
        }
    }

    /// Of TLS only the connection below it, for cutting it.
    pub fn try_clone(&self) -> io::Result<Stream> {
        Ok(match self {
            Stream::Tcp(stream) => Stream::Tcp(stream.try_clone()?),
            Stream::Unix(stream) => Stream::Unix(stream.try_clone()?),
            Stream::Tls(stream) => Stream::Tcp(stream.sock.try_clone()?),
            Stream::Secured(stream) => Stream::Tcp(stream.sock.try_clone()?),
        })
    }

    /// Ends one or both directions in good order.
    pub fn shutdown(&self, how: Shutdown) {
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(how),
            Stream::Unix(stream) => stream.shutdown(how),
            Stream::Tls(stream) => stream.sock.shutdown(how),
            Stream::Secured(stream) => stream.sock.shutdown(how),
        };
    }

    /// Ends what is under TLS so that no byte of it is lost: a socket that is closed while something on it was not read (the other
    /// side's own notice of its end is such a thing) resets the connection, and what was sent last with it.
    pub fn end(&mut self) {
        let Stream::Tls(stream) = self else { return };
        stream.conn.send_close_notify();
        let told = stream.flush().and_then(|()| stream.sock.shutdown(Shutdown::Write));
        if told.is_ok() {
            let mut rest = [0; 4096];
            while stream.sock.read(&mut rest).is_ok_and(|length| length > 0) {}
        }
    }

    /// Who is at the other end of TCP.
    pub fn peer(&self) -> Option<SocketAddr> {
        match self {
            Stream::Tcp(stream) => stream.peer_addr().ok(),
            Stream::Tls(stream) => stream.sock.peer_addr().ok(),
            Stream::Secured(stream) => stream.sock.peer_addr().ok(),
            Stream::Unix(_) => None,
        }
    }

    /// Where this end of TCP is.
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Stream::Tcp(stream) => stream.local_addr().ok(),
            Stream::Tls(stream) => stream.sock.local_addr().ok(),
            Stream::Secured(stream) => stream.sock.local_addr().ok(),
            Stream::Unix(_) => None,
        }
    }

    /// What was agreed on with whoever came under TLS, once something was read.
    pub fn handshake(&self) -> Option<Handshake> {
        match self {
            Stream::Tls(stream) => Some(Handshake::of(&stream.conn)),
            Stream::Tcp(_) | Stream::Unix(_) | Stream::Secured(_) => None,
        }
    }

    /// Makes the coming close a reset instead of an orderly end. Unix sockets know no reset.
    pub fn reset_on_close(&self) {
        if let Stream::Tcp(stream) = self {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
            Stream::Secured(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
            Stream::Secured(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Tls(stream) => stream.flush(),
            Stream::Secured(stream) => stream.flush(),
            Stream::Tcp(_) | Stream::Unix(_) => Ok(()),
        }
    }
}

/// A port that is taken, so nobody else gets it, but refuses every connection, until a server that is told of it listens there.
pub struct RefusedPort {
    _socket: Socket,
    address: SocketAddr,
}

impl RefusedPort {
    pub fn take() -> RefusedPort {
        RefusedPort::take_at(([127, 0, 0, 1], 0).into()).expect("loopback has free ports")
    }

    /// The port of this address, unless somebody has it; port 0 lets the system choose.
    pub fn take_at(address: SocketAddr) -> io::Result<RefusedPort> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // Others that say so too may have the port beside this one as long as it does not listen. Whoever asks for any port
        // gets another one all the same.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        Ok(RefusedPort { _socket: socket, address })
    }

    /// One and the same port at each of these addresses.
    pub fn take_one(addresses: &[&str]) -> Vec<RefusedPort> {
        let take = || {
            let mut port = 0;
            let at = |address: &&str| {
                let address = format!("{address}:{port}").parse().map_err(io::Error::other)?;
                let taken = RefusedPort::take_at(address)?;
                port = taken.port();
                Ok(taken)
            };
            addresses.iter().map(at).collect::<io::Result<_>>()
        };
        eventually("a port is free at every address", || take().ok())
    }

    /// A server there. The port stays taken when it ends.
    pub(crate) fn listen(&self) -> io::Result<TcpListener> {
        // The standard library says so.
        TcpListener::bind(self.address)
    }

    pub(crate) fn socket_address(&self) -> SocketAddr {
        self.address
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

/// A port that neither accepts nor refuses: its queue is full and nobody empties it, so connecting never ends.
pub struct DeafPort {
    _socket: Socket,
    _queue: Vec<TcpStream>,
    address: SocketAddr,
}

impl DeafPort {
    pub fn take() -> DeafPort {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("sockets can be made");
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        socket.bind(&any.into()).and_then(|()| socket.listen(0)).expect("loopback has free ports");
        let address = socket.local_addr().ok().and_then(|address| address.as_socket());
        let address = address.expect("a bound socket has an address");
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            queue.push(stream);
            assert!(queue.len() < 64, "the queue of a port that never accepts does not fill up");
        }
        DeafPort { _socket: socket, _queue: queue, address }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
