//! Connections to members that live in the same thread: what they say and what becomes of it.

mod endings;
mod permits;
mod pieces;
mod shared;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalOptions;

use super::{Answered, Connection, Connections, Download, Endpoint, Keeping, Limits, Unanswered};
use crate::body::Body;
use crate::clock::{Duration, Ticker};
use crate::config::{MemberAddress, Protocol, Transport, UpstreamHttp2};
use crate::failure::Failure;

const KEEPING: Keeping = Keeping { most: 16, idle_timeout: Duration::from_secs(60) };
const LIMITS: Limits = Limits {
    head: Duration::from_secs(20),
    read: Duration::from_secs(20),
    write: Duration::from_secs(20),
    until: None,
};
const LONG: Duration = Duration::from_secs(20);

/// Runs a test as a thread of the gateway runs.
fn run<T, F: Future<Output = T>>(test: impl FnOnce(Rc<Connections>, Rc<Ticker>) -> F) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let ticker = Ticker::start();
        tokio::task::spawn_local(ticker.clone().run());
        let connections = Connections::start(ticker.clone());
        tokio::time::timeout(Duration::from_secs(60), test(connections, ticker)).await.expect("it ends")
    })
}

/// A listening member and its endpoint.
async fn listen(protocol: Protocol) -> (TcpListener, Arc<Endpoint>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let transport = Transport { protocol, tls: None, source: None, proxy_protocol: None, h2: UpstreamHttp2::USUAL };
    (listener, Endpoint::of(&MemberAddress::Tcp(address), &Arc::new(transport)))
}

/// Serves every connection of a listener, numbered.
fn serve<F: Future<Output = ()> + 'static>(listener: TcpListener, serve: impl Fn(usize, TcpStream) -> F + 'static) {
    tokio::task::spawn_local(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(serve(number, stream));
        }
    });
}

fn request(method: &str, path: &str, body: Body) -> http::Request<Body> {
    http::Request::builder().method(method).uri(path).header("host", "shop.example").body(body).unwrap()
}

async fn ask(connection: &mut Connection, request: http::Request<Body>) -> Result<Answered, Unanswered> {
    connection.ask(request, LIMITS, false, |_, _| {}).await
}

/// As the pipeline gets a connection.
async fn connect(connections: &Connections, endpoint: &Arc<Endpoint>, most: Option<usize>) -> Connection {
    match connections.reuse(endpoint).await {
        Some(connection) => connection,
        None => connections.dial(endpoint, LONG, None, most).await.expect("a connection"),
    }
}

/// A whole exchange: what was answered.
async fn exchange(connections: &Rc<Connections>, endpoint: &Arc<Endpoint>, most: Option<usize>) -> Bytes {
    let mut connection = connect(connections, endpoint, most).await;
    let answered = ask(&mut connection, request("GET", "/", Body::Empty)).await.map_err(|no| no.failure).unwrap();
    read(download(answered, connection, connections)).await.unwrap().0
}

fn download(answered: Answered, connection: Connection, to: &Rc<Connections>) -> Body {
    let incoming = answered.response.into_body();
    Body::stream(Download::of(incoming, answered.progress, connection, (to.clone(), KEEPING), ()))
}

/// A body's bytes and trailers.
async fn read(mut body: Body) -> Result<(Bytes, HeaderMap), Failure> {
    let (mut bytes, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame?.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap(),
        }
    }
    Ok((bytes.into(), trailers))
}

/// A body of given frames, which then ends, or goes on for ever; tells by its last reference whether somebody holds it.
struct Frames {
    frames: RefCell<VecDeque<Frame<Bytes>>>,
    is_endless: bool,
    _held: Rc<()>,
}

impl Frames {
    fn of(frames: impl IntoIterator<Item = Frame<Bytes>>, is_endless: bool, held: &Rc<()>) -> Body {
        Body::stream(Self { frames: RefCell::new(frames.into_iter().collect()), is_endless, _held: held.clone() })
    }
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match self.frames.borrow_mut().pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if self.is_endless => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

/// Waits, turn by turn of the runtime, until something is so.
async fn eventually(mut is_so: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came to pass");
}
