//! Connections over a pipe to a real front, with a member that misbehaves as asked.

mod ends;
mod exchanges;
mod heads;
mod raw;
mod tunnels;

use std::cell::OnceCell;
use std::future::poll_fn;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};

use super::serve;
use crate::clock::Duration;
use crate::config;
use crate::front::Worker;
use crate::generation::{Current, Generation, Lasting};
use crate::log::{AccessLog, Output};
use crate::message::forwarding::Peer;
use crate::message::{Scheme, websocket};
use crate::pipeline::Client;
use crate::wasm::{Engine, EngineOptions};

/// A front with one listener, and a member behind it.
struct World {
    worker: Rc<Worker>,
    listener: Arc<config::Listener>,
}

/// Longer than any test takes that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test in a world of its own; `keys` are the listener's, and the pool's behind its name.
fn world<F: Future<Output = ()>>(keys: &str, test: impl FnOnce(World) -> F) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = origin.local_addr().unwrap();
        tokio::task::spawn_local(member(origin));
        let (keys, pool) = keys.split_once("[pool.app]").unwrap_or((keys, ""));
        let text = format!(
            r#"
            [listener.web]
            bind = "127.0.0.1:0"
            {keys}
            [pool.app]
            member = ["http://{address}"]
            {pool}
            [site.all]
            host = "a.example"
            [[site.all.route]]
            path = "/"
            pool = "app"
            upgrade = ["websocket"]
            "#
        );
        let plan = config::parse(&text, "weir.toml", Path::new("")).unwrap();
        let listener = plan.listeners[0].clone();
        let engine = Engine::start(EngineOptions { cache_directory: None, threads: 1 }).unwrap();
        let generation = Generation::build(plan, &engine, &Lasting::default(), 1).unwrap();
        let access = AccessLog::start(Output::default()).unwrap();
        let worker = Worker::start(Arc::new(Current::of(Arc::new(generation))), &access);
        tokio::time::timeout(PATIENCE, test(World { worker, listener })).await.expect("it takes too long");
    });
}

impl World {
    /// A connection, by a pipe of so many bytes.
    fn connect(&self, room: usize) -> DuplexStream {
        let (near, far) = duplex(room);
        let client = Client {
            peer: Peer::of(None, false),
            port: 0,
            listener: self.listener.name.clone(),
            scheme: Scheme::Http,
            to: None,
            secured: None,
            own: OnceCell::new(),
        };
        let (worker, listener) = (self.worker.clone(), self.listener.clone());
        tokio::task::spawn_local(async move { serve(&worker, near, &listener, Rc::new(client)).await });
        far
    }

    /// A client that speaks HTTP/2, as this builder says.
    async fn client(&self, builder: &client::Builder) -> SendRequest<Bytes> {
        let (sender, connection) = builder.handshake(self.connect(1 << 20)).await.unwrap();
        tokio::task::spawn_local(async move { drop(connection.await) });
        sender.ready().await.unwrap()
    }
}

/// A request as a client of HTTP/2 makes it.
fn request(method: &str, path: &str) -> http::request::Builder {
    http::Request::builder().method(method).uri(format!("http://a.example{path}")).version(http::Version::HTTP_2)
}

/// The head, the body and the trailers of an answer; an error where it was not whole.
async fn whole(
    response: client::ResponseFuture,
) -> Result<(http::response::Parts, Vec<u8>, Option<http::HeaderMap>), h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        let _ = body.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
    }
    let trailers = poll_fn(|context| body.poll_trailers(context)).await?;
    Ok((head, bytes, trailers))
}

/// A member that does what the path says.
async fn member(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::task::spawn_local(async move {
            let _ = answer(stream).await;
        });
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut read = Vec::new();
    loop {
        while !read.windows(4).any(|end| end == b"\r\n\r\n") {
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        }
        let length = read.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(read.drain(..length).collect()).unwrap();
        let path = head.split(' ').nth(1).unwrap();
        let whole = |fields: &str, body: &[u8]| {
            [format!("HTTP/1.1 200 OK\r\n{fields}content-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
        };
        match path {
            "/head" => stream.write_all(&whole("", head.as_bytes())).await?,
            "/trailers" => {
                let text = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-end: yes\r\n\r\n";
                stream.write_all(text.as_bytes()).await?;
            }
            "/none" => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?,
            "/hints" => {
                stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await?;
                stream.write_all(&whole("", b"late")).await?;
            }
            "/cut" => return stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort").await,
            "/never" => {
                stream.read_buf(&mut read).await?;
                return Ok(());
            }
            // As much as the number says.
            path if path.starts_with("/bytes/") => {
                let count = path.trim_start_matches("/bytes/").parse().unwrap();
                stream.write_all(&whole("", &vec![b'x'; count])).await?;
            }
            "/early" => stream.write_all(&whole("connection: close\r\n", b"early")).await?,
            "/upgrade" => {
                let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
                let text = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                     sec-websocket-accept: {}\r\n\r\n",
                    websocket::tests::accept(key)
                );
                stream.write_all(text.as_bytes()).await?;
                return echo(stream, read, u64::MAX).await;
            }
            // Every byte of the body goes back as it comes.
            "/echo" | "/permits" => {
                if path == "/permits" {
                    stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                    stream.read_buf(&mut read).await?;
                }
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
                return echo(stream, read, length.parse().unwrap()).await;
            }
            // A piece every now and then, whatever the client sends; after the last one it must have sent its end.
            "/ticks" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                for _ in 0..12 {
                    tokio::time::sleep(Duration::from_millis(120)).await;
                    stream.write_all(b"4\r\ntick\r\n").await?;
                }
                while !read.ends_with(b"\r\n0\r\n\r\n") {
                    if stream.read_buf(&mut read).await? == 0 {
                        return Ok(());
                    }
                }
                return stream.write_all(b"0\r\n\r\n").await;
            }
            // Its answer begins at once, and goes on when the whole body is there.
            "/gathers" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegun\r\n").await?;
                while !read.ends_with(b"\r\n0\r\n\r\n") {
                    if stream.read_buf(&mut read).await? == 0 {
                        return Ok(());
                    }
                }
                return stream.write_all(b"4\r\nover\r\n0\r\n\r\n").await;
            }
            other => panic!("{other}"),
        }
    }
}

async fn echo(mut stream: TcpStream, mut read: Vec<u8>, mut left: u64) -> std::io::Result<()> {
    loop {
        stream.write_all(&read).await?;
        left -= read.len() as u64;
        read.clear();
        if left == 0 || stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
}
