//! An upstream server that does what a script says, and remembers everything that reached it.
//!
//! Each connection has a thread. A behaviour is called once the head of a request is there; it decides whether the
//! body is read at all, and what happens to the connection.

pub mod behaviour;
mod listen;

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::net::{Shutdown, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use self::listen::Address;
use crate::eventually::eventually;
use crate::stream::Stream;
use crate::tls::Handshake;
use crate::wire::{Fields, Framing, Head, Wire};

/// What an origin does about one request.
pub type Behaviour = Arc<dyn Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync>;

/// What becomes of the connection afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Keep,
    Close,
    Reset,
}

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Counts the origin's connections, from 1.
    pub connection: usize,
    /// Who is at the other end of TCP.
    pub peer: Option<SocketAddr>,
    /// What was agreed on under TLS.
    pub handshake: Option<Handshake>,
    /// What the PROXY protocol said before the connection's first request.
    pub preface: Option<String>,
    pub method: String,
    pub target: String,
    pub version: String,
    pub fields: Fields,
    /// What a behaviour has read and kept of the body.
    pub body: Vec<u8>,
    /// How much of the body was read, kept or not.
    pub length: u64,
    pub trailers: Fields,
    /// Whether the request came to its end.
    pub whole: bool,
}

/// The origin's side of one exchange, as a behaviour sees it.
pub struct Exchange<'a> {
    pub request: Request,
    wire: &'a mut Wire,
    state: &'a State,
    index: usize,
    framing: Framing,
    body_read: bool,
}

pub struct Origin {
    address: Address,
    listening: Mutex<Option<Listening>>,
    state: Arc<State>,
}

/// The thread that accepts, and how it is told to end.
struct Listening {
    stopped: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

#[derive(Default)]
struct State {
    is_prefaced: AtomicBool,
    seen: Mutex<Seen>,
    script: Mutex<Script>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    ended: usize,
    /// Connections by their number, for cutting them.
    open: HashMap<usize, Stream>,
    requests: Vec<Request>,
    records: Vec<Arc<Mutex<Vec<u8>>>>,
    violations: Vec<String>,
}

#[derive(Default)]
struct Script {
    queue: VecDeque<Behaviour>,
    paths: HashMap<String, Behaviour>,
    otherwise: Option<Behaviour>,
}

impl Origin {
    fn at(address: Address) -> Origin {
        Origin { address, listening: Mutex::default(), state: Arc::default() }
    }

    /// Stops listening and cuts every connection; what was seen and what was scripted stays.
    pub fn stop(&self) {
        let Some(listening) = lock(&self.listening).take() else { return };
        listening.stopped.store(true, Ordering::Release);
        self.address.wake();
        let _ = listening.thread.join();
        for stream in lock(&self.state.seen).open.values() {
            stream.shutdown(Shutdown::Both);
        }
    }

    /// Listens again where it did. Nobody else was given the port meanwhile.
    #[track_caller]
    pub fn start_again(&self) {
        let (Address::Ip(port) | Address::Secured(port, _)) = &self.address else {
            panic!("only TCP origins start again")
        };
        assert!(lock(&self.listening).is_none(), "stop it first");
        self.accept_tcp(port.listen().expect("the port is ours"));
    }

    /// From now on the PROXY protocol's header has to begin a connection.
    pub fn wants_proxy_protocol(&self) -> &Origin {
        self.state.is_prefaced.store(true, Ordering::Release);
        self
    }

    /// The behaviour for a path, whatever the query.
    pub fn on(&self, path: &str, behaviour: Behaviour) -> &Origin {
        lock(&self.state.script).paths.insert(path.to_owned(), behaviour);
        self
    }

    /// The behaviour for the next request, whatever its path; calls queue up.
    pub fn next(&self, behaviour: Behaviour) -> &Origin {
        lock(&self.state.script).queue.push_back(behaviour);
        self
    }

    /// The behaviour for so many further requests.
    pub fn next_times(&self, count: usize, behaviour: &Behaviour) -> &Origin {
        lock(&self.state.script).queue.extend((0..count).map(|_| Arc::clone(behaviour)));
        self
    }

    /// The behaviour for requests that have no other.
    pub fn otherwise(&self, behaviour: Behaviour) -> &Origin {
        lock(&self.state.script).otherwise = Some(behaviour);
        self
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        lock(&self.state.seen).connections
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> usize {
        let seen = lock(&self.state.seen);
        seen.connections - seen.ended
    }

    /// The requests so far, in the order of their heads.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state.seen).requests.clone()
    }

    /// The latest request for a target, with its body as far as it was read.
    #[track_caller]
    pub fn request(&self, target: &str) -> Request {
        let found = self.requests().into_iter().rev().find(|request| request.target == target);
        found.unwrap_or_else(|| panic!("no request for {target} reached the origin"))
    }

    pub fn count(&self, target: &str) -> usize {
        lock(&self.state.seen).requests.iter().filter(|request| request.target == target).count()
    }

    /// Waits until this many requests have arrived.
    #[track_caller]
    pub fn await_requests(&self, count: usize) -> Vec<Request> {
        eventually(&format!("{count} requests reach the origin"), || {
            Some(self.requests()).filter(|requests| requests.len() >= count)
        })
    }

    /// Every byte that arrived, connection after connection.
    pub fn raw(&self) -> Vec<u8> {
        lock(&self.state.seen).records.iter().flat_map(|record| lock(record).clone()).collect()
    }

    /// What reached the origin and was not HTTP/1.1 by the letter.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.state.seen).violations.clone()
    }

    fn accept(&self, mut next: impl FnMut() -> io::Result<Stream> + Send + 'static) {
        let state = Arc::clone(&self.state);
        let stopped = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stopped);
        let thread = thread::spawn(move || {
            while let Ok(stream) = next() {
                if told.load(Ordering::Acquire) {
                    return;
                }
                let state = Arc::clone(&state);
                thread::spawn(move || serve(stream, &state));
            }
        });
        *lock(&self.listening) = Some(Listening { stopped, thread });
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Some(listening) = lock(&self.listening).take() {
            listening.stopped.store(true, Ordering::Release);
            self.address.wake();
        }
    }
}

impl Exchange<'_> {
    /// Reads the body to its end and keeps it.
    pub fn read_body(&mut self) -> io::Result<()> {
        self.take_body(true)
    }

    /// Reads the body to its end and only counts it.
    pub fn sink_body(&mut self) -> io::Result<()> {
        self.take_body(false)
    }

    /// Whatever bytes of the request come next, chunk sizes and all; none at the end.
    pub fn some(&mut self) -> io::Result<Vec<u8>> {
        self.wire.some()
    }

    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.write(bytes.as_ref())
    }

    /// A head with this status and these field lines.
    pub fn write_head(&mut self, status: u16, fields: &[(&str, &str)]) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {status} {}\r\n", behaviour::reason(status));
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.write(head)
    }

    /// Ends the sending side and goes on reading.
    pub fn half_close(&mut self) {
        self.wire.shutdown(Shutdown::Write);
    }

    /// Waits until the other side has taken everything that was written: a reset overtakes what it has not.
    pub fn wait_until_taken(&mut self) {
        let (Some(SocketAddr::V4(ours)), Some(SocketAddr::V4(theirs))) =
            (self.wire.stream().local(), self.request.peer)
        else {
            panic!("only of TCP over IPv4 can be known what was taken")
        };
        eventually("everything arrives", || queues(ours, theirs).is_none_or(|(sent, _)| sent == 0).then_some(()));
        eventually("everything is taken", || queues(theirs, ours).is_none_or(|(_, read)| read == 0).then_some(()));
    }

    /// Waits until the gateway ends the connection, or sends something instead.
    pub fn wait_for_end(&mut self) {
        let _ = self.wire.at_end();
    }

    fn take_body(&mut self, keep: bool) -> io::Result<()> {
        if self.body_read {
            return Ok(());
        }
        self.body_read = true;
        let (state, index) = (self.state, self.index);
        let mut body = Vec::new();
        let trailers = self.wire.body(self.framing, &mut |piece| {
            let mut seen = lock(&state.seen);
            let request = &mut seen.requests[index];
            request.length += piece.len() as u64;
            if keep {
                request.body.extend_from_slice(piece);
                body.extend_from_slice(piece);
            }
        })?;
        let mut seen = lock(&state.seen);
        let request = &mut seen.requests[index];
        request.trailers = trailers.clone();
        request.whole = true;
        self.request.length = request.length;
        self.request.body = body;
        self.request.trailers = trailers;
        self.request.whole = true;
        Ok(())
    }
}

fn serve(stream: Stream, state: &State) {
    if stream.set_patience(crate::PATIENCE * 4).is_err() {
        return;
    }
    let Ok(open) = stream.try_clone() else { return };
    let mut wire = Wire::over(stream);
    let number = {
        let mut seen = lock(&state.seen);
        seen.connections += 1;
        seen.records.push(wire.record());
        let number = seen.connections;
        seen.open.insert(number, open);
        number
    };
    // Leaves before the connection is closed, also when a behaviour panics.
    let _open = Open { state, number };
    let mut first = Request { connection: number, peer: wire.stream().peer(), ..Request::default() };
    if state.is_prefaced.load(Ordering::Acquire) {
        match listen::preface(&mut wire) {
            Ok(preface) => first.preface = Some(preface),
            Err(error) => return lock(&state.seen).violations.push(format!("no PROXY protocol: {error}")),
        }
    }
    loop {
        match exchange(&mut wire, state, &first) {
            Ok(Then::Keep) => continue,
            Ok(Then::Close) => wire.end(),
            Ok(Then::Reset) => wire.stream().reset_on_close(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                lock(&state.seen).violations.push(error.to_string());
                let _ = wire.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            }
            Err(_) => {}
        }
        break;
    }
}

/// A connection among those that are open.
struct Open<'a> {
    state: &'a State,
    number: usize,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut seen = lock(&self.state.seen);
        seen.open.remove(&self.number);
        seen.ended += 1;
    }
}

/// `of` says what all requests of the connection have in common.
fn exchange(wire: &mut Wire, state: &State, of: &Request) -> io::Result<Then> {
    let Some(head) = wire.head()? else { return Ok(Then::Close) };
    let framing = Framing::of_request(&head)?;
    let handshake = wire.stream().handshake();
    let whole = framing == Framing::Nothing;
    let request = Request { handshake, whole, ..parse_request(&head, of)? };
    let index = {
        let mut seen = lock(&state.seen);
        seen.requests.push(request.clone());
        seen.requests.len() - 1
    };
    let behaviour = choose(state, &request.target);
    let mut exchange = Exchange { request, wire, state, index, framing, body_read: framing == Framing::Nothing };
    let then = behaviour(&mut exchange)?;
    if then == Then::Keep {
        exchange.sink_body()?;
    }
    Ok(then)
}

fn choose(state: &State, target: &str) -> Behaviour {
    let path = target.split('?').next().unwrap_or_default();
    let mut script = lock(&state.script);
    if let Some(behaviour) = script.queue.pop_front() {
        return behaviour;
    }
    let found = script.paths.get(path).or(script.otherwise.as_ref()).cloned();
    found.unwrap_or_else(behaviour::echoes)
}

fn parse_request(head: &Head, of: &Request) -> io::Result<Request> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {:?}", head.start));
    let mut words = head.start.split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(wrong("request line"));
    };
    if method.is_empty() || !target.bytes().all(|byte| byte.is_ascii_graphic()) || target.is_empty() {
        return Err(wrong("method or target"));
    }
    if version != "HTTP/1.1" && version != "HTTP/1.0" {
        return Err(wrong("version"));
    }
    if head.fields.all("host").len() != 1 {
        return Err(wrong("not exactly one Host"));
    }
    Ok(Request {
        method: method.to_owned(),
        target: target.to_owned(),
        version: version.to_owned(),
        fields: head.fields.clone(),
        ..of.clone()
    })
}

/// How much of what a socket sent has not arrived, and how much that arrived was not read (proc(5), /proc/net/tcp).
fn queues(own: SocketAddrV4, other: SocketAddrV4) -> Option<(u64, u64)> {
    let text = |at: SocketAddrV4| format!("{:08X}:{:04X}", u32::from_ne_bytes(at.ip().octets()), at.port());
    let ends = format!(" {} {} ", text(own), text(other));
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let rest = table.lines().find_map(|line| line.split_once(&ends))?.1;
    let (sent, read) = rest.split_whitespace().nth(1)?.split_once(':')?;
    Some((u64::from_str_radix(sent, 16).ok()?, u64::from_str_radix(read, 16).ok()?))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
