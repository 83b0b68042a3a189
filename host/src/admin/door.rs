//! Connections: how many there are, how long each may take, and HTTP/1.1 on them by hyper.
//!
//! One request a connection: whoever comes by a Unix socket gains nothing by keeping it. When all seats are taken, who
//! has said nothing yet leaves for who comes, the longest silent first.

use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

use super::Desk;
use super::pages;
use super::question::Question;
use crate::body::Body;
use crate::clock::{self, Duration, Telling};

/// Connections at once. An operator, a few dashboards and a monitoring system have a dozen.
const SEATS: usize = 64;
/// For a head. Whoever types one by hand is done with it by then.
const HEAD: Duration = Duration::from_secs(10);
/// For everything on a connection: forgetting may have to wait for a slow disk.
const WHOLE: Duration = Duration::from_secs(120);
/// Fields of a request; browsers send about twenty.
const MOST_FIELDS: usize = 64;
/// What is read of a head at most.
const MOST_HEAD: usize = 16 << 10;
/// After an `accept` that failed because there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Everybody who is connected.
#[derive(Default)]
struct Seats {
    tasks: JoinSet<()>,
    /// In the order in which they came.
    taken: VecDeque<Seat>,
}

struct Seat {
    task: AbortHandle,
    /// Whether its request has come as a whole.
    is_heard: Rc<Cell<bool>>,
}

pub(super) async fn serve(desk: Rc<Desk>, socket: std::os::unix::net::UnixListener, mut stop: oneshot::Receiver<()>) {
    let socket = match UnixListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "the admin socket cannot be listened on"),
    };
    let (mut seats, troubles) = (Seats::default(), Telling::default());
    loop {
        tokio::select! {
            _ = &mut stop => break,
            Some(_) = seats.tasks.join_next() => seats.clear(),
            accepted = accept(&socket, &troubles), if seats.have_room() => {
                if let Some(stream) = accepted {
                    seats.give(&desk, stream);
                }
            }
        }
    }
    drop(socket);
    while seats.tasks.join_next().await.is_some() {}
}

async fn accept(socket: &UnixListener, troubles: &Telling<(), Option<i32>>) -> Option<UnixStream> {
    match socket.accept().await {
        Ok((stream, _)) => Some(stream),
        Err(error) => {
            if let Some(times) = troubles.more((), error.raw_os_error(), 1, clock::now()) {
                tracing::warn!(%error, times, "the admin socket cannot accept");
            }
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

impl Seats {
    fn have_room(&self) -> bool {
        self.taken.len() < SEATS || self.taken.iter().any(|seat| !seat.is_heard.get())
    }

    fn give(&mut self, desk: &Rc<Desk>, stream: UnixStream) {
        if self.taken.len() >= SEATS
            && let Some(silent) = self.taken.iter().position(|seat| !seat.is_heard.get())
            && let Some(seat) = self.taken.remove(silent)
        {
            seat.task.abort();
        }
        let is_heard = Rc::default();
        let task = self.tasks.spawn_local(converse(desk.clone(), stream, Rc::clone(&is_heard)));
        self.taken.push_back(Seat { task, is_heard });
    }

    fn clear(&mut self) {
        self.taken.retain(|seat| !seat.task.is_finished());
    }
}

/// One connection, from its first byte to its last.
async fn converse(desk: Rc<Desk>, stream: UnixStream, is_heard: Rc<Cell<bool>>) {
    let service = service_fn(|request| {
        let (desk, is_heard) = (desk.clone(), is_heard.clone());
        async move { Ok::<_, Infallible>(answer(&desk, request, &is_heard).await) }
    });
    let mut codec = http1::Builder::new();
    codec.timer(TokioTimer::new()).header_read_timeout(HEAD).keep_alive(false);
    codec.max_headers(MOST_FIELDS).max_buf_size(MOST_HEAD);
    match tokio::time::timeout(WHOLE, codec.serve_connection(TokioIo::new(stream), service)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection broke off"),
        Err(_) => tracing::warn!("an admin connection took too long, it is cut"),
    }
}

async fn answer(desk: &Desk, request: http::Request<Incoming>, is_heard: &Cell<bool>) -> http::Response<Body> {
    let reply = match Question::read(request).await {
        Ok(question) => {
            is_heard.set(true);
            pages::answer(desk, &question).await
        }
        Err(reply) => reply,
    };
    reply.into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::runtime::{LocalOptions, LocalRuntime};

    use super::*;
    use crate::generation::{Current, Generation, Lasting};
    use crate::wasm::{Engine, EngineOptions};

    fn runtime() -> LocalRuntime {
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap()
    }

    fn desk() -> Rc<Desk> {
        let text = "[listener.web]\nbind = \"127.0.0.1:0\"\n[site.main]\nroute = [{ respond = {} }]\n[cache.a]";
        let plan = crate::config::parse(text, "weir.toml", std::path::Path::new("")).unwrap();
        let engine = Engine::start(EngineOptions { cache_directory: None, threads: 1 }).unwrap();
        let generation = Generation::build(plan, &engine, &Lasting::default(), 1).unwrap();
        Rc::new(Desk { current: Arc::new(Current::of(Arc::new(generation))) })
    }

    /// What comes back for these bytes, to the end of the connection.
    async fn say(path: &std::path::Path, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        String::from_utf8(said).unwrap()
    }

    fn with_door(name: &str, test: impl AsyncFnOnce(&std::path::Path, oneshot::Sender<()>)) {
        let path = std::env::temp_dir().join(format!("weir-admin-{name}-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        runtime().block_on(async {
            let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
            socket.set_nonblocking(true).unwrap();
            let (stop, stopped) = oneshot::channel();
            let door = tokio::task::spawn_local(serve(desk(), socket, stopped));
            test(&path, stop).await;
            door.await.unwrap();
        });
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn who_says_nothing_leaves_for_who_comes() {
        with_door("silent", async |path, stop| {
            let mut silent = Vec::new();
            for _ in 0..2 * SEATS {
                silent.push(UnixStream::connect(path).await.unwrap());
                tokio::task::yield_now().await;
            }
            let said = say(path, b"GET / HTTP/1.1\r\nHost: weir\r\n\r\n").await;
            assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
            assert_eq!(silent[0].read(&mut [0]).await.unwrap(), 0, "the first one had to leave");
            drop((silent, stop));
        });
    }

    #[test]
    fn a_connection_is_for_one_request_and_the_rest_is_refused() {
        with_door("one", async |path, stop| {
            let said = say(path, b"GET / HTTP/1.1\r\nHost: weir\r\n\r\nGET / HTTP/1.1\r\nHost: weir\r\n\r\n").await;
            assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 1, "{said}");
            assert!(said.contains("\r\nconnection: close\r\n"), "{said}");
            for (bytes, expected) in [
                ("GET /nowhere HTTP/1.1\r\nHost: weir\r\n\r\n".to_owned(), "404 Not Found"),
                ("BREW / HTTP/1.1\r\nHost: weir\r\n\r\n".to_owned(), "405 Method Not Allowed"),
                ("GARBAGE\r\n\r\n".to_owned(), "400 Bad Request"),
                (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MOST_HEAD)), "431"),
                (format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MOST_FIELDS + 1)), "431"),
            ] {
                let said = say(path, bytes.as_bytes()).await;
                assert!(said.starts_with(&format!("HTTP/1.1 {expected}")), "{bytes}: {said}");
            }
            drop(stop);
        });
    }

    #[test]
    fn who_came_before_the_end_is_answered() {
        with_door("end", async |path, stop| {
            let mut early = UnixStream::connect(path).await.unwrap();
            early.write_all(b"GET /metrics HT").await.unwrap();
            // Until it is accepted.
            say(path, b"GET / HTTP/1.1\r\n\r\n").await;
            drop(stop);
            tokio::task::yield_now().await;
            early.write_all(b"TP/1.1\r\n\r\n").await.unwrap();
            let mut said = String::new();
            early.read_to_string(&mut said).await.unwrap();
            assert!(said.starts_with("HTTP/1.1 200 OK"), "{said}");
        });
    }
}
