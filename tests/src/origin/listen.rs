//! Where origins listen: TCP, TLS over it, Unix sockets by path and by name; and what may stand before the first request.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;

use super::{Behaviour, Origin, behaviour};
use crate::stream::{RefusedPort, Stream};
use crate::tls::{self, Authority, Identity};
use crate::wire::Wire;

/// Before version 2 of the PROXY protocol (`proxy-protocol.txt`, section 2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

pub(super) enum Address {
    /// TCP, on a port that nobody else gets while the origin is stopped.
    Ip(RefusedPort),
    /// The same, and a server's settings of TLS.
    Secured(RefusedPort, Arc<ServerConfig>),
    Unix(PathBuf),
    Abstract(String),
}

impl Origin {
    /// On 127.0.0.1, echoing whatever has no other behaviour.
    pub fn start() -> Origin {
        Origin::on_tcp("127.0.0.1:0")
    }

    /// The same with one behaviour for everything.
    pub fn that(behaviour: Behaviour) -> Origin {
        let origin = Origin::start();
        origin.otherwise(behaviour);
        origin
    }

    /// One that says who it is.
    pub fn named(name: &str) -> Origin {
        Origin::that(behaviour::is_named(name))
    }

    pub fn on_ipv6() -> Origin {
        Origin::on_tcp("[::1]:0")
    }

    /// On this address; port 0 lets the system choose.
    pub fn on_tcp(address: &str) -> Origin {
        let address = address.parse().expect("tests write addresses as they should be");
        let port = RefusedPort::take_at(address).expect("loopback has free ports");
        let listener = port.listen().expect("the port is ours");
        let origin = Origin::at(Address::Ip(port));
        origin.accept_tcp(listener);
        origin
    }

    /// One for each of these addresses, all on the same port, each saying as its name where it is.
    pub fn on_one_port(addresses: &[&str]) -> Vec<Origin> {
        let serve = |(port, name): (RefusedPort, &&str)| {
            let listener = port.listen().expect("the port is ours");
            let origin = Origin::at(Address::Ip(port));
            origin.otherwise(behaviour::is_named(name));
            origin.accept_tcp(listener);
            origin
        };
        RefusedPort::take_one(addresses).into_iter().zip(addresses).map(serve).collect()
    }

    /// Under TLS, on 127.0.0.1, saying who it is. It offers HTTP/1.1 by ALPN, and asks for certificates of `clients`.
    pub fn on_tls(name: &str, identity: &Identity, clients: Option<&Authority>) -> Origin {
        let port = RefusedPort::take();
        let listener = port.listen().expect("the port is ours");
        let origin = Origin::at(Address::Secured(port, identity.server(&["http/1.1"], clients)));
        origin.otherwise(behaviour::is_named(name));
        origin.accept_tcp(listener);
        origin
    }

    pub fn on_unix(path: &Path) -> Origin {
        let listener = UnixListener::bind(path).expect("the path is free");
        let origin = Origin::at(Address::Unix(path.to_owned()));
        origin.accept(move || listener.accept().map(|(stream, _)| Stream::Unix(stream)));
        origin
    }

    /// On a socket in the abstract namespace of Linux.
    pub fn on_abstract(name: &str) -> Origin {
        let listener = UnixListener::bind_addr(&abstract_address(name)).expect("the name is free");
        let origin = Origin::at(Address::Abstract(name.to_owned()));
        origin.accept(move || listener.accept().map(|(stream, _)| Stream::Unix(stream)));
        origin
    }

    pub(super) fn accept_tcp(&self, listener: TcpListener) {
        let config = match &self.address {
            Address::Secured(_, config) => Some(Arc::clone(config)),
            Address::Ip(_) | Address::Unix(_) | Address::Abstract(_) => None,
        };
        self.accept(move || {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            Ok(match &config {
                Some(config) => Stream::Tls(Box::new(tls::accept(config, stream)?)),
                None => Stream::Tcp(stream),
            })
        });
    }

    /// As a member's URL.
    pub fn url(&self) -> String {
        match &self.address {
            Address::Ip(port) => port.url(),
            Address::Secured(port, _) => format!("https://{}", port.address()),
            Address::Unix(path) => format!("unix:{}", path.display()),
            Address::Abstract(name) => format!("unix:@{name}"),
        }
    }

    /// As `Client::connect` takes it; also what the `Host` field says of a TCP origin.
    pub fn address(&self) -> String {
        match &self.address {
            Address::Ip(port) | Address::Secured(port, _) => port.address(),
            Address::Unix(path) => format!("unix:{}", path.display()),
            Address::Abstract(name) => format!("unix:@{name}"),
        }
    }

    /// The port of a TCP origin.
    #[track_caller]
    pub fn port(&self) -> u16 {
        match &self.address {
            Address::Ip(port) | Address::Secured(port, _) => port.port(),
            Address::Unix(_) | Address::Abstract(_) => panic!("a Unix socket has no port"),
        }
    }
}

impl Address {
    /// Lets `accept` return.
    pub(super) fn wake(&self) {
        match self {
            Address::Ip(port) | Address::Secured(port, _) => drop(TcpStream::connect(port.socket_address())),
            Address::Unix(path) => drop(UnixStream::connect(path)),
            Address::Abstract(name) => drop(UnixStream::connect_addr(&abstract_address(name))),
        }
    }
}

/// The PROXY protocol's header: version 1 as the line it is, version 2 as `v2`, command, family and payload in hexadecimal.
pub(super) fn preface(wire: &mut Wire) -> io::Result<String> {
    let mut first = Vec::new();
    wire.exactly(1, &mut |piece| first.extend_from_slice(piece))?;
    if first == b"P" {
        return wire.line().map(|line| format!("P{line}"));
    }
    wire.exactly(15, &mut |piece| first.extend_from_slice(piece))?;
    let Some([command, family, high, low]) = first.strip_prefix(SIGNATURE) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut payload = String::new();
    let length = u16::from_be_bytes([*high, *low]).into();
    wire.exactly(length, &mut |piece| payload.extend(piece.iter().map(|byte| format!("{byte:02x}"))))?;
    Ok(format!("v2 {command:02x} {family:02x} {payload}"))
}

fn abstract_address(name: &str) -> UnixAddr {
    UnixAddr::from_abstract_name(name).expect("tests have short names")
}
