//! From an address to a connected socket.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use super::names;
use super::race::{ATTEMPT_DELAY, Tried, interleaved, race};
use super::socket::Socket;
use crate::clock::Duration;
use crate::config::MemberAddress;

/// When a connection that carries nothing is probed, and how often: a member that vanished is noticed within two minutes, and
/// what stands between keeps the connection in mind.
const PROBES: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);

/// How long to wait when a Unix socket's queue is full: its connections are refused at once, not held up as TCP's are.
const QUEUE_FULL: Duration = Duration::from_millis(10);

/// Connects, with no limit of time. What is tried of several addresses is noted in `tried`. Cancellation safe.
pub(super) async fn reach(address: &MemberAddress, source: Option<IpAddr>, tried: &Tried) -> io::Result<Socket> {
    match address {
        MemberAddress::Tcp(address) => connect(canonical(*address), source).await.map(Socket::Tcp),
        MemberAddress::Name(name, port) => {
            let found = names::addresses(name).await?;
            any(&interleaved(&found, *port), source, tried).await.map(Socket::Tcp)
        }
        MemberAddress::Unix(path) => unix(path).await,
        MemberAddress::Abstract(name) => {
            // The leading zero byte is what makes it abstract.
            let path = [&b"\0"[..], name].concat();
            unix(Path::new(OsStr::from_bytes(&path))).await
        }
        MemberAddress::Service(_) => {
            Err(io::Error::new(ErrorKind::Unsupported, "the name of a service stands for members and is none itself"))
        }
    }
}

/// Whichever address is the first to stand.
async fn any(addresses: &[SocketAddr], source: Option<IpAddr>, tried: &Tried) -> io::Result<TcpStream> {
    race(addresses, ATTEMPT_DELAY, tried, |to| connect(to, source)).await
}

async fn connect(to: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source.map(|source| source.to_canonical()) {
        if source.is_ipv4() != to.is_ipv4() {
            let text = format!("cannot be reached from {source}, which is of the other family");
            return Err(io::Error::new(ErrorKind::AddrNotAvailable, text));
        }
        let bound = socket.bind(SocketAddr::new(source, 0));
        bound.map_err(|error| io::Error::new(error.kind(), format!("cannot come from {source}: {error}")))?;
    }
    socket.set_nodelay(true)?;
    SockRef::from(&socket).set_tcp_keepalive(&PROBES)?;
    let stream = socket.connect(to).await?;
    // A port of this machine where nobody listens may be given to the connection itself, which then stands, with itself.
    if stream.local_addr()? == to {
        return Err(ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// IPv4 mapped into IPv6 is dialled as IPv4; a link-local address keeps its scope.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

async fn unix(path: &Path) -> io::Result<Socket> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::time::sleep(QUEUE_FULL).await,
            connected => return connected.map(Socket::Unix),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, UnixSocket};

    use super::*;

    async fn listening(host: &str) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn dead_addresses_hold_nobody_up() {
        let (open, alive) = listening("127.0.0.1").await;
        let (closed, refusing) = listening("127.0.0.2").await;
        drop(closed);
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.3:0".parse().unwrap()).unwrap();
        let full = socket.listen(0).unwrap();
        let silent = full.local_addr().unwrap();
        let _queued = TcpStream::connect(silent).await.unwrap();
        let tried = Tried::default();
        let reached = any(&[refusing, silent, alive], None, &tried).await.unwrap();
        assert_eq!(reached.peer_addr().unwrap(), alive);
        let told = tried.to_string();
        assert!(told.starts_with(&format!("{refusing}: Connection refused")), "{told}");
        assert!(told.contains(&format!("{silent}: no answer")), "{told}");
        drop(open);
    }

    #[tokio::test]
    async fn addresses_of_the_other_family_are_passed_over() {
        let (_open, alive) = listening("127.0.0.1").await;
        let other = SocketAddr::new("2001:db8::1".parse().unwrap(), 80);
        let tried = Tried::default();
        let source = "127.0.0.5".parse().ok();
        let reached = any(&[other, alive], source, &tried).await.unwrap();
        assert_eq!(Some(reached.local_addr().unwrap().ip()), source);
        let told =
            format!("{other}: cannot be reached from 127.0.0.5, which is of the other family, {alive}: no answer");
        assert_eq!(tried.to_string(), told);
    }

    #[tokio::test]
    async fn sockets_are_set_up() {
        let (_open, alive) = listening("127.0.0.1").await;
        let stream = connect(alive, None).await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(15));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
    }

    #[tokio::test]
    async fn a_full_queue_is_waited_for() {
        let path = std::env::temp_dir().join(format!("weir-queue-{}.sock", std::process::id()));
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(&path).unwrap();
        let listener = socket.listen(0).unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = UnixStream::connect(&path).await {
            queued.push(stream);
        }
        assert!(tokio::time::timeout(QUEUE_FULL * 3, unix(&path)).await.is_err(), "it is full");
        let (reached, accepted) = tokio::join!(unix(&path), listener.accept());
        std::fs::remove_file(&path).unwrap();
        assert!(reached.is_ok() && accepted.is_ok());
    }
}
