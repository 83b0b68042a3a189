//! Dialling, with members that are sockets of the test's own.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::body::Body;
use crate::config::{MemberAddress, Transport, UpstreamHttp2};
use crate::tls::testing::{Authority, plan};
use crate::upstream::Limits;

const PATIENCE: Duration = Duration::from_secs(30);
/// For what is never to come.
const BRIEF: Duration = Duration::from_millis(500);

fn plain() -> Transport {
    Transport { protocol: Protocol::Http1, tls: None, source: None, proxy_protocol: None, h2: UpstreamHttp2::USUAL }
}

fn secured(tls: UpstreamTls, protocol: Protocol) -> Transport {
    Transport { tls: Some(tls), protocol, ..plain() }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn dialled(address: &MemberAddress, transport: &Transport) -> Result<Connection, Failure> {
    dialled_within(PATIENCE, address, transport, None).await
}

async fn dialled_within(
    timeout: Duration,
    address: &MemberAddress,
    transport: &Transport,
    preface: Option<&Preface>,
) -> Result<Connection, Failure> {
    let endpoint = Endpoint::of(address, &Arc::new(transport.clone()));
    let ticker = Ticker::start();
    tokio::task::LocalSet::new().run_until(dial(&endpoint, timeout, preface, &ticker)).await
}

async fn failure(address: &MemberAddress, transport: &Transport) -> (Kind, String) {
    let failure = dialled(address, transport).await.err().unwrap();
    (failure.kind, failure.detail.into_owned())
}

/// Dials and asks for something; the status of the answer.
async fn asked(address: &MemberAddress, transport: &Transport, preface: Option<&Preface>) -> u16 {
    let endpoint = Endpoint::of(address, &Arc::new(transport.clone()));
    let ticker = Ticker::start();
    let ask = async {
        let mut connection = dial(&endpoint, PATIENCE, preface, &ticker).await.unwrap();
        let request = http::Request::get("/").header("host", "member").body(Body::Empty).unwrap();
        let limits = Limits { head: PATIENCE, read: PATIENCE, write: PATIENCE, until: None };
        let answered = connection.ask(request, limits, false, |_, _| {}).await;
        answered.map_err(|unanswered| unanswered.failure).unwrap().response.status().as_u16()
    };
    tokio::task::LocalSet::new().run_until(ask).await
}

/// Reads a head and answers it.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"GET / HTTP/1.1\r\n"), "{}", head.escape_ascii());
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    stream.flush().await.unwrap();
}

/// The same under TLS; whether the session was an old one.
async fn answer_under_tls(listener: &TcpListener, acceptor: &TlsAcceptor) -> bool {
    let (stream, _) = listener.accept().await.unwrap();
    let stream = acceptor.accept(stream).await.unwrap();
    let is_resumed = format!("{:?}", stream.get_ref().1.handshake_kind()) == "Some(Resumed)";
    answer(stream).await;
    is_resumed
}

#[tokio::test]
async fn every_kind_of_address_is_dialled() {
    let ((listener, address), transport) = (listener().await, plain());
    for member in [MemberAddress::Tcp(address), MemberAddress::Name("localhost".into(), address.port())] {
        let serve = async { answer(listener.accept().await.unwrap().0).await };
        assert_eq!(tokio::join!(asked(&member, &transport, None), serve).0, 204, "{member:?}");
    }
    let path = std::env::temp_dir().join(format!("weir-dial-{}.sock", std::process::id()));
    let name = format!("weir-dial-{}", std::process::id()).into_bytes();
    let hidden = {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        std::os::unix::net::UnixListener::bind_addr(&address).unwrap()
    };
    hidden.set_nonblocking(true).unwrap();
    for (member, listener) in [
        (MemberAddress::Unix(path.clone()), UnixListener::bind(&path).unwrap()),
        (MemberAddress::Abstract(name), UnixListener::from_std(hidden).unwrap()),
    ] {
        let serve = async { answer(listener.accept().await.unwrap().0).await };
        assert_eq!(tokio::join!(asked(&member, &transport, None), serve).0, 204, "{member:?}");
    }
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn what_cannot_be_reached_says_why() {
    let (closed, address) = listener().await;
    drop(closed);
    let from = |source: &str| Transport { source: source.parse().ok(), ..plain() };
    let refused = format!("{address}: Connection refused (os error 111)");
    for (member, transport, said) in [
        (MemberAddress::Tcp(address), plain(), refused.as_str()),
        (MemberAddress::Unix("/nowhere/app.sock".into()), plain(), "No such file or directory"),
        (MemberAddress::Abstract(b"weir-nobody\xff".to_vec()), plain(), "unix:@weir-nobody\\xff: Connection refused"),
        (MemberAddress::Abstract(vec![b'x'; 200]), plain(), "abstract socket name must be shorter than SUN_LEN"),
        (MemberAddress::Service("_http._tcp.app".into()), plain(), "the name of a service stands for members"),
        (MemberAddress::Tcp(address), from("::1"), "cannot be reached from ::1, which is of the other family"),
        (MemberAddress::Tcp(address), from("192.0.2.9"), "cannot come from 192.0.2.9: "),
    ] {
        let (kind, detail) = failure(&member, &transport).await;
        assert_eq!(kind, Kind::ConnectRefused, "{detail}");
        assert!(detail.contains(said), "{detail}");
    }
}

#[tokio::test]
async fn a_member_that_never_answers_is_given_up() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(0).unwrap();
    let address = full.local_addr().unwrap();
    let _queued = TcpStream::connect(address).await.unwrap();
    let failure = dialled_within(BRIEF, &MemberAddress::Tcp(address), &plain(), None).await.err().unwrap();
    assert_eq!(failure.kind, Kind::ConnectTimeout);
    assert_eq!(failure.detail, format!("{address}: no connection within 500ms"));

    let (_silent, address) = listener().await;
    let transport = secured(UpstreamTls { verify: false, ..plan() }, Protocol::Http1);
    let failure = dialled_within(BRIEF, &MemberAddress::Tcp(address), &transport, None).await.err().unwrap();
    assert_eq!(failure.kind, Kind::ConnectTimeout);
    assert_eq!(failure.detail, format!("{address}: no TLS handshake within 500ms"));
}

#[tokio::test]
async fn http_is_spoken_under_tls_and_sessions_are_shared() {
    let (authority, (listener, address)) = (Authority::found(), listener().await);
    let acceptor = authority.certify(&["127.0.0.1", "localhost"]).acceptor(&["http/1.1"], None);
    let transport = secured(authority.trusted(), Protocol::Auto);
    let member = MemberAddress::Tcp(address);
    // What TLS remembers of sessions lives as long as somebody holds the endpoint.
    let _held = Endpoint::of(&member, &Arc::new(transport.clone()));
    for is_resumed in [false, true] {
        let (status, resumed) = tokio::join!(asked(&member, &transport, None), answer_under_tls(&listener, &acceptor));
        assert_eq!((status, resumed), (204, is_resumed));
    }
    let by_name = MemberAddress::Name("localhost".into(), address.port());
    let (status, _) = tokio::join!(asked(&by_name, &transport, None), answer_under_tls(&listener, &acceptor));
    assert_eq!(status, 204);
}

#[tokio::test]
async fn tls_that_cannot_be_agreed_on_says_why() {
    let (authority, stranger) = (Authority::found(), Authority::found());
    let mut pinned = authority.trusted();
    pinned.pins = vec![[1; 32]];
    let other = UpstreamTls { server_name: Some("other.example".into()), ..authority.trusted() };
    let keyless = UpstreamTls { ca: Some(tls::testing::file("empty.pem", "")), ..plan() };
    for (tls, protocol, alpn, said) in [
        (stranger.trusted(), Protocol::Http1, &["http/1.1"][..], "signed by no authority that is trusted"),
        (other, Protocol::Http1, &[], "certificate not valid for name \"other.example\""),
        (pinned, Protocol::Http1, &[], "the certificate's key is none of those pinned"),
        (authority.trusted(), Protocol::Http2, &[], "the member did not choose HTTP/2 in the handshake"),
        (authority.trusted(), Protocol::Http2, &["http/1.1"], "it speaks no version of HTTP that it was offered"),
        (keyless, Protocol::Http1, &[], "\"empty.pem\": there is no certificate in it"),
    ] {
        let (listener, address) = listener().await;
        let acceptor = authority.certify(&["127.0.0.1"]).acceptor(alpn, None);
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            let _ = acceptor.accept(stream).await;
        };
        let (member, transport) = (MemberAddress::Tcp(address), secured(tls, protocol));
        let ((kind, detail), ()) = tokio::join!(failure(&member, &transport), serve);
        assert_eq!(kind, Kind::TlsFailed, "{detail}");
        assert!(detail.starts_with(&format!("{address}: ")) && detail.contains(said), "{detail}");
    }
}

#[tokio::test]
async fn a_connection_comes_from_where_it_should() {
    let (listener, address) = listener().await;
    for (source, seen) in [("127.0.0.9", "127.0.0.9"), ("::ffff:127.0.0.8", "127.0.0.8")] {
        let transport = Transport { source: source.parse().ok(), ..plain() };
        let member = MemberAddress::Tcp(address);
        let (connection, accepted) = tokio::join!(dialled(&member, &transport), listener.accept());
        assert!(connection.is_ok());
        assert_eq!(accepted.unwrap().1.ip().to_string(), seen);
    }
}

#[tokio::test]
async fn the_preface_comes_before_everything() {
    let client = Preface { source: "192.0.2.1:1000".parse().ok(), destination: "192.0.2.2:443".parse().ok() };
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let block = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x03\xe8\x01\xbb";
    let authority = Authority::found();
    let acceptor = authority.certify(&["127.0.0.1"]).acceptor(&[], None);
    for (version, preface, expected) in [
        (ProxyVersion::V1, Some(client), Some(&b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n"[..])),
        (ProxyVersion::V1, Some(Preface::default()), Some(b"PROXY UNKNOWN\r\n")),
        (ProxyVersion::V1, None, None),
        (ProxyVersion::V2, Some(client), Some(block)),
        (ProxyVersion::V2, Some(Preface::default()), Some(local)),
        (ProxyVersion::V2, None, Some(local)),
    ] {
        for tls in [None, Some(authority.trusted())] {
            let (listener, address) = listener().await;
            let transport = Transport { tls, proxy_protocol: Some(version), ..plain() };
            let serve = async {
                let (mut stream, peer) = listener.accept().await.unwrap();
                let own = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", peer.port(), address.port());
                let expected = expected.unwrap_or(own.as_bytes());
                let mut header = vec![0; expected.len()];
                stream.read_exact(&mut header).await.unwrap();
                assert_eq!(header, expected, "{}", header.escape_ascii());
                match transport.tls {
                    Some(_) => answer(acceptor.accept(stream).await.unwrap()).await,
                    None => answer(stream).await,
                }
            };
            let member = MemberAddress::Tcp(address);
            assert_eq!(tokio::join!(asked(&member, &transport, preface.as_ref()), serve).0, 204);
        }
    }
}

#[tokio::test]
async fn the_end_of_a_unix_socket_has_no_address() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut socket = Socket::Unix(ours);
    let header = header(None, ProxyVersion::V1, &socket);
    socket.write_all(&header).await.unwrap();
    drop(socket);
    let mut heard = Vec::new();
    theirs.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"PROXY UNKNOWN\r\n");
}
