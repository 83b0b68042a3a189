//! Sockets that listen: TCP with one socket a thread (`SO_REUSEPORT`), Unix with one for all.
//!
//! `[::]` takes IPv6 only, whatever the system's default is: a listener that wants both binds both. An address that
//! another process listens on is refused, though `SO_REUSEPORT` alone would let a second gateway of the same user in.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, SockFilter, Socket as RawSocket, TcpKeepalive, Type};

mod refusal;
mod unix;

pub(super) use self::refusal::Refusal;
pub(super) use self::unix::{SocketFile, admin};
use super::inherited::Inherited;
use crate::config::{Bind, Listener};
use crate::front::{self, Datagrams, Socket};

/// Probes without an answer before a connection counts as gone: one may be lost, and one more.
const PROBES: u32 = 3;

/// How often another port is tried.
const ATTEMPTS: usize = 32;

/// What the kernel may hold of datagrams that a thread has not come to: a fast client's for some milliseconds.
const UDP_BUFFER: usize = 2 << 20;

/// Sockets on one address, one for each thread.
pub(super) struct Sockets {
    /// As logged, with the port that the system chose.
    pub address: String,
    /// One a thread, non-blocking, listening.
    pub each: Vec<Socket>,
    /// For HTTP/3 on the same port, one a thread; none when that is not spoken.
    pub datagrams: Vec<Datagrams>,
    /// The file to remove at the end.
    pub file: Option<SocketFile>,
}

/// Binds an address for a number of threads; `shared` when sockets of ours have its port already.
pub(super) fn bind(
    listener: &Listener,
    bind: &Bind,
    threads: usize,
    shared: bool,
    inherited: &Inherited,
) -> Result<Sockets, Refusal> {
    match bind {
        Bind::Tcp(address) if listener.protocols.h3 => both(*address, listener.backlog, threads, shared),
        Bind::Tcp(address) => tcp(*address, listener.backlog, threads, shared),
        Bind::Unix(path) => unix::unix(path, listener.backlog, threads),
        Bind::Inherited(name) => passed_on(name, threads, inherited),
    }
    .map_err(|error| Refusal::of(&listener.name, bind, error))
}

/// The address of a listener as logs write it.
pub(super) fn text_of(bind: &Bind) -> String {
    match bind {
        Bind::Tcp(address) => address.to_string(),
        Bind::Unix(path) => format!("unix:{}", path.display()),
        Bind::Inherited(name) => format!("systemd:{name}"),
    }
}

/// Sets what the kernel does of itself: the length of its queue, and how it probes connections that are silent. Accepted
/// connections have what their socket had.
pub(super) fn set_options(socket: &Socket, backlog: u32, keep_alive: Option<Duration>) -> io::Result<()> {
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    match socket {
        Socket::Tcp(socket) => {
            let socket = socket2::SockRef::from(socket);
            match keep_alive {
                Some(every) => socket.set_tcp_keepalive(
                    &TcpKeepalive::new().with_time(every).with_interval(every).with_retries(PROBES),
                )?,
                None => socket.set_keepalive(false)?,
            }
            socket.listen(backlog)
        }
        Socket::Unix(socket) => socket2::SockRef::from(socket).listen(backlog),
    }
}

/// Lets no further handshake begin while those that have begun may finish: a filter drops every SYN (the flag 0x02 of
/// byte 13 of a TCP header, RFC 9293, section 3.1). A client whose SYN is dropped sends it again a second later.
pub(super) fn begin_nothing(socket: &Socket) -> io::Result<()> {
    let Socket::Tcp(socket) = socket else { return Ok(()) };
    let code = |code: u32| u16::try_from(code).unwrap_or(0);
    socket2::SockRef::from(socket).attach_filter(&[
        SockFilter::new(code(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS), 0, 0, 13),
        SockFilter::new(code(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K), 0, 1, 0x02),
        SockFilter::new(code(libc::BPF_RET | libc::BPF_K), 0, 0, 0),
        SockFilter::new(code(libc::BPF_RET | libc::BPF_K), 0, 0, u32::MAX),
    ])
}

/// Makes a socket that somebody else opened like ours: it never waits, and programs that the gateway starts do not have it.
pub(super) fn adopt(socket: &Socket) -> io::Result<()> {
    let socket = match socket {
        Socket::Tcp(socket) => socket2::SockRef::from(socket),
        Socket::Unix(socket) => socket2::SockRef::from(socket),
    };
    socket.set_nonblocking(true)?;
    socket.set_cloexec(true)
}

/// Another handle of the same socket.
pub(super) fn another(socket: &Socket) -> io::Result<Socket> {
    match socket {
        Socket::Tcp(socket) => socket.try_clone().map(Socket::Tcp),
        Socket::Unix(socket) => socket.try_clone().map(Socket::Unix),
    }
}

fn tcp(address: SocketAddr, backlog: u32, threads: usize, shared: bool) -> io::Result<Sockets> {
    if address.port() != 0 && !shared {
        tcp_socket(address, false)?;
    }
    let mut address = address;
    let mut each = Vec::with_capacity(threads);
    for _ in 0..threads {
        let socket = tcp_socket(address, true)?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        address = socket.local_addr()?.as_socket().unwrap_or(address);
        each.push(Socket::Tcp(socket.into()));
    }
    Ok(Sockets { address: address.to_string(), each, datagrams: Vec::new(), file: None })
}

/// TCP and UDP on one port. One that the system chose for TCP may be somebody's for UDP: then it chooses again.
fn both(address: SocketAddr, backlog: u32, threads: usize, shared: bool) -> io::Result<Sockets> {
    let mut left = ATTEMPTS;
    loop {
        let mut sockets = tcp(address, backlog, threads, shared)?;
        let port = sockets.each.first().and_then(|socket| port_of(socket).ok()).unwrap_or(address.port());
        match datagrams(SocketAddr::new(address.ip(), port), threads, shared) {
            Ok(datagrams) => {
                sockets.datagrams = datagrams;
                return Ok(sockets);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && address.port() == 0 && left > 0 => left -= 1,
            Err(error) => return Err(error),
        }
    }
}

/// UDP sockets on one address, one for each thread; `shared` when sockets of ours have its port already.
pub(super) fn datagrams(address: SocketAddr, threads: usize, shared: bool) -> io::Result<Vec<Datagrams>> {
    if !shared {
        udp_socket(address, false)?;
    }
    let sockets = (0..threads).map(|_| udp_socket(address, true).map(Into::into));
    Ok(front::group(sockets.collect::<io::Result<_>>()?))
}

/// Without `shared` it fails where anybody is already, us included.
fn udp_socket(address: SocketAddr, shared: bool) -> io::Result<RawSocket> {
    let socket = RawSocket::new(Domain::for_address(address), Type::DGRAM.nonblocking().cloexec(), None)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // The system allows what it allows.
    let _ = (socket.set_recv_buffer_size(UDP_BUFFER), socket.set_send_buffer_size(UDP_BUFFER));
    socket.bind(&address.into())?;
    Ok(socket)
}

fn port_of(socket: &Socket) -> io::Result<u16> {
    match socket {
        Socket::Tcp(socket) => socket.local_addr().map(|address| address.port()),
        Socket::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Without `shared` it fails where anybody listens already, us included.
fn tcp_socket(address: SocketAddr, shared: bool) -> io::Result<RawSocket> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), None)?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// One queue for all threads, because only whoever binds decides otherwise.
fn passed_on(name: &str, threads: usize, inherited: &Inherited) -> io::Result<Sockets> {
    let first = inherited.find(name)?;
    let address = match &first {
        Socket::Tcp(socket) => socket.local_addr()?.to_string(),
        Socket::Unix(socket) => {
            let address = socket.local_addr()?;
            address.as_pathname().map_or_else(|| format!("systemd:{name}"), |path| format!("unix:{}", path.display()))
        }
    };
    let mut each = (1..threads).map(|_| another(&first)).collect::<io::Result<Vec<_>>>()?;
    each.push(first);
    Ok(Sockets { address, each, datagrams: Vec::new(), file: None })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::TcpListener;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;

    use socket2::SockRef;

    use super::*;

    fn listen(address: impl std::borrow::Borrow<Bind>, threads: usize) -> Result<Sockets, Refusal> {
        bind(&Listener::plain("web"), address.borrow(), threads, false, &Inherited::default())
    }

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("weir-bind-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn port_zero_is_one_port_for_all_threads() {
        let sockets = listen(Bind::Tcp("127.0.0.1:0".parse().unwrap()), 3).ok().unwrap();
        assert_eq!(sockets.each.len(), 3);
        for socket in &sockets.each {
            let Socket::Tcp(socket) = socket else { panic!("not TCP") };
            assert_eq!(socket.local_addr().unwrap().to_string(), sockets.address);
        }
        assert!(!sockets.address.ends_with(":0"));
    }

    #[test]
    fn an_address_in_use_is_refused_even_when_it_is_shared() {
        let taken = listen(Bind::Tcp("127.0.0.1:0".parse().unwrap()), 1).ok().unwrap();
        let again = Bind::Tcp(taken.address.parse().unwrap());
        let text = listen(again, 1).err().unwrap().to_string();
        let expected = format!("listener \"web\": cannot bind {}: the address is in use; ", taken.address);
        assert!(text.starts_with(&expected), "{text}");
        let plain = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(listen(Bind::Tcp(plain.local_addr().unwrap()), 1).is_err());
    }

    #[test]
    fn a_socket_that_begins_nothing_still_gives_what_was_queued() {
        let sockets = listen(Bind::Tcp("127.0.0.1:0".parse().unwrap()), 1).ok().unwrap();
        let address = sockets.address.parse().unwrap();
        let soon = Duration::from_millis(50);
        std::net::TcpStream::connect(address).unwrap();
        begin_nothing(&sockets.each[0]).unwrap();
        let error = std::net::TcpStream::connect_timeout(&address, soon).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let Socket::Tcp(socket) = &sockets.each[0] else { panic!("not TCP") };
        assert!(socket.accept().is_ok());
        assert!(socket.accept().is_err());
    }

    #[test]
    fn ipv6_does_not_take_ipv4_along() {
        let Ok(six) = listen(Bind::Tcp("[::]:0".parse().unwrap()), 2) else { return };
        // The same port of IPv4 may be anybody's, so nobody is asked there.
        assert_eq!(six.each.len(), 2);
        assert!(six.each.iter().all(|socket| match socket {
            Socket::Tcp(socket) => SockRef::from(socket).only_v6().unwrap(),
            Socket::Unix(_) => false,
        }));
    }

    #[test]
    fn an_address_of_somebody_else_is_refused() {
        let text = listen(Bind::Tcp("240.0.0.1:0".parse().unwrap()), 1).err().unwrap().to_string();
        assert!(text.contains("cannot bind 240.0.0.1:0: this machine has no such address; `ip address`"), "{text}");
    }

    #[test]
    fn a_stale_socket_file_is_replaced_and_ours_is_removed() {
        let path = directory("stale").join("weir.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let sockets = listen(Bind::Unix(path.clone()), 2).ok().unwrap();
        assert_eq!(sockets.each.len(), 2);
        assert_eq!(sockets.address, format!("unix:{}", path.display()));
        UnixStream::connect(&path).unwrap();
        drop(sockets);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_in_use_and_a_file_that_is_none_are_left_alone() {
        let directory = directory("kept");
        let (path, file) = (directory.join("weir.sock"), directory.join("file"));
        let _taken = UnixListener::bind(&path).unwrap();
        let text = listen(Bind::Unix(path.clone()), 1).err().unwrap().to_string();
        assert!(text.ends_with("the address is in use; another process listens there"), "{text}");
        fs::write(&file, "mine").unwrap();
        let text = listen(Bind::Unix(file.clone()), 1).err().unwrap().to_string();
        assert!(text.ends_with("a file that is no socket has that name"), "{text}");
        assert!(path.exists() && file.exists());
    }

    #[test]
    fn a_socket_file_that_another_made_is_not_removed() {
        let path = directory("other").join("weir.sock");
        let sockets = listen(Bind::Unix(path.clone()), 1).ok().unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(sockets);
        assert!(path.exists());
    }
}
