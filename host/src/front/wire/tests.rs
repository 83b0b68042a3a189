//! Files over a bare connection, with the codec that clients are spoken to by. What of a file is moved is never in the
//! memory of the process: a codec that looked at it would end these tests by a signal.

use std::convert::Infallible;
use std::fs::File;
use std::future::poll_fn;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};

use super::{Transport, Wire};
use crate::body::{Body, Extent, Part, Parts};
use crate::clock::{Duration, Ticker};
use crate::config;
use crate::failure::{Failure, Kind};
use crate::front::h1::{Answering, codec};
use crate::front::socket::{Listening, Socket};
use crate::kernel::Window;
use crate::pipeline::Outgoing;

/// Longer than any test takes that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client got, and how the connection ended.
struct Got {
    bytes: Vec<u8>,
    is_whole: bool,
    failure: Option<Failure>,
}

impl Got {
    /// For who wonders what came instead.
    fn told(&self) -> String {
        format!("{} bytes, whole: {}, {:?}", self.bytes.len(), self.is_whole, self.failure)
    }
}

/// Answers every request on a connection with a body of these parts, while `act` plays the client.
fn serve<F: Future<Output = (Vec<u8>, bool)>>(
    keys: &str,
    dress: impl Fn(&mut http::HeaderMap),
    parts: impl Fn() -> Vec<Part>,
    act: impl FnOnce(TcpStream) -> F,
) -> Got {
    let text = format!("[listener.web]\nbind = \"127.0.0.1:0\"\n{keys}\n[site.all]\nroute = [{{ exclude = true }}]\n");
    let plan = config::parse(&text, "weir.toml", Path::new("")).unwrap();
    let listener = plan.listeners[0].clone();
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let ticker = Ticker::start();
        tokio::task::spawn_local(ticker.clone().run());
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let listening = Listening::of(Socket::Tcp(socket)).unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        let (stream, _) = poll_fn(|context| listening.poll_accept(context)).await.unwrap();
        let wire = Wire::of(stream, &listener, &ticker);
        let shared = wire.clone();
        let service = service_fn(move |_| {
            let wire = shared.clone();
            wire.begin();
            let body = Outgoing::lone(Body::Parts(Parts::of(parts())));
            let mut answer = http::Response::new(Answering { body, wire });
            dress(answer.headers_mut());
            std::future::ready(Ok::<_, Infallible>(answer))
        });
        let near = async {
            let transport = TokioIo::new(Transport(wire.clone()));
            let mut codec = Box::pin(codec(&listener).serve_connection(transport, service));
            let _ = poll_fn(|context| {
                wire.take_turn();
                let polled = codec.as_mut().poll(context);
                assert!(wire.slot.gone() < 2 * Window::LENGTH, "the others on the thread get their turn");
                polled
            })
            .await;
            drop(codec);
            let failure = wire.broken();
            drop(wire);
            failure
        };
        let both = async { tokio::join!(near, act(client)) };
        let (failure, (bytes, is_whole)) = tokio::time::timeout(PATIENCE, both).await.expect("it ends");
        Got { bytes, is_whole, failure }
    })
}

/// A client that says this and reads to the end.
async fn say(mut client: TcpStream, text: &str) -> (Vec<u8>, bool) {
    client.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let read = client.read_to_end(&mut bytes).await;
    (bytes, read.is_ok())
}

/// A file of so many bytes, no two places of which look alike, that has no name any more.
fn file(length: usize) -> (Arc<File>, Vec<u8>) {
    let bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|count| format!("{count:07}\n").into_bytes()).collect();
    let name = format!("weir-wire-{}-{:?}-{length}", std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(name);
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    file.write_all(&bytes[..length]).unwrap();
    std::fs::remove_file(&path).unwrap();
    (Arc::new(file), bytes[..length].to_vec())
}

fn extent(file: &Arc<File>, offset: u64, length: u64) -> Part {
    Part::Extent(Extent { file: file.clone(), offset, length })
}

fn bodies(bytes: &[u8], length: usize) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut bodies = Vec::new();
    while let Some(at) = memchr::memmem::find(rest, b"\r\n\r\n") {
        let end = (at + 4 + length).min(rest.len());
        bodies.push(rest[at + 4..end].to_vec());
        rest = &rest[end..];
    }
    bodies
}

const CLOSING: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[test]
fn files_arrive_whatever_their_length() {
    for length in [1, 100, 16 << 10, (16 << 10) + 1, 100_000, 1 << 20, (1 << 20) + 1, 5_000_000] {
        let (file, bytes) = file(length);
        let got = serve("", |_| {}, || vec![extent(&file, 0, length as u64)], |client| say(client, CLOSING));
        assert!(got.is_whole && got.failure.is_none(), "{length}: {:?}", got.failure);
        assert!(bodies(&got.bytes, length) == [bytes], "{length}");
    }
}

#[test]
fn every_encoding_of_a_body_leaves_the_window_alone() {
    let (file, bytes) = file(2_500_000);
    let whole = || vec![extent(&file, 0, 2_500_000)];
    let old = "GET / HTTP/1.0\r\n\r\n";
    let got = serve("", |_| {}, whole, |client| say(client, old));
    assert!(bodies(&got.bytes, bytes.len()) == [bytes.clone()] && got.is_whole, "{}", got.told());
    let chunked = |fields: &mut http::HeaderMap| {
        fields.insert(http::header::TRANSFER_ENCODING, http::HeaderValue::from_static("chunked"));
    };
    let got = serve("", chunked, whole, |client| say(client, CLOSING));
    let mut rest = &bodies(&got.bytes, usize::MAX >> 1)[0][..];
    let mut found = Vec::new();
    loop {
        let line = memchr::memmem::find(rest, b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        found.extend_from_slice(&rest[line + 2..line + 2 + length]);
        rest = &rest[line + 4 + length..];
        if length == 0 {
            break;
        }
    }
    assert!(found == bytes && rest.is_empty() && got.is_whole);
}

#[test]
fn parts_arrive_in_order_and_so_do_answers_to_a_pipeline() {
    let (file, bytes) = file(400_000);
    let parts = || {
        vec![
            Part::Bytes(Bytes::from_static(b"--first")),
            extent(&file, 5, 100_000),
            Part::Bytes(Bytes::from_static(b"--second")),
            extent(&file, 200_001, 7),
            extent(&file, 300_000, 100_000),
            Part::Bytes(Bytes::from_static(b"--end")),
        ]
    };
    let expected =
        [b"--first", &bytes[5..100_005], b"--second", &bytes[200_001..200_008], &bytes[300_000..400_000], b"--end"]
            .concat();
    let pipeline = ["GET / HTTP/1.1\r\nHost: a\r\n\r\n"; 5].concat() + CLOSING;
    let got = serve("", |_| {}, parts, |client| say(client, &pipeline));
    assert!(got.is_whole && bodies(&got.bytes, expected.len()) == vec![expected; 6]);
}

#[test]
fn a_client_that_reads_slowly_gets_everything() {
    let length = 12_000_000;
    let (file, bytes) = file(length);
    let got = serve(
        "",
        |_| {},
        || vec![extent(&file, 0, length as u64)],
        |mut client| async move {
            client.write_all(CLOSING.as_bytes()).await.unwrap();
            let (mut bytes, mut piece) = (Vec::new(), vec![0; 100_000]);
            loop {
                tokio::task::yield_now().await;
                match client.read(&mut piece).await {
                    Ok(0) => return (bytes, true),
                    Ok(read) => bytes.extend_from_slice(&piece[..read]),
                    Err(_) => return (bytes, false),
                }
            }
        },
    );
    assert!(got.is_whole && bodies(&got.bytes, length) == [bytes], "{}", got.told());
}

#[test]
fn a_file_that_becomes_shorter_cuts_its_answer() {
    for (length, left) in [(30_000_000, 20_000_000), (30_000_000, 0), (100_000, 50_000)] {
        let (file, bytes) = file(length);
        let parts = || {
            file.set_len(left as u64).unwrap();
            vec![extent(&file, 0, length as u64)]
        };
        let got = serve("", |_| {}, parts, |client| say(client, CLOSING));
        assert!(!got.is_whole, "a reset, and no end");
        let body = bodies(&got.bytes, length).pop().unwrap_or_default();
        assert!(body.len() <= left && body == bytes[..body.len()], "{left}: {}", body.len());
        assert_eq!(got.failure.map(|failure| failure.kind), Some(Kind::FileCut));
    }
}

#[test]
fn a_client_that_takes_nothing_is_not_waited_for() {
    let length = 64 << 20;
    let file = file(8).0;
    file.set_len(length).unwrap();
    let parts = || vec![extent(&file, 0, length)];
    let got = serve(
        "write-timeout = \"200ms\"",
        |_| {},
        parts,
        |mut client| async move {
            client.write_all(CLOSING.as_bytes()).await.unwrap();
            // It ends when the gateway has no patience any more, and what is on its way is read then.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut bytes = Vec::new();
            let read = client.read_to_end(&mut bytes).await;
            (bytes, read.is_ok())
        },
    );
    assert!(got.bytes.len() < 64 << 20);
    assert_eq!(got.failure.map(|failure| failure.kind), Some(Kind::ClientStalled));
}
