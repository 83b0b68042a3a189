//! From an accepted connection to a protocol: who is it from, is it under TLS, what does it speak?
//!
//! Each connection goes this way in its own task. Every wait has a limit, and nothing is held that others need while the
//! client has not sent a byte.

use std::cell::OnceCell;
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tokio::io::{AsyncRead as _, ReadBuf};

use super::seats::{ClientSeat, ListenerShared, Seat};
use super::socket::Stream;
use super::{Worker, h1, proxy, refusal};
use crate::clock::{self, Deadline, Duration};
use crate::config;
use crate::failure::{Failure, Kind};
use crate::message::forwarding::Peer;
use crate::message::{Scheme, Secured};
use crate::pipeline::{self, Client};
use crate::tls;

/// A connection at the door.
pub(super) struct Entry {
    pub(super) listener: Arc<ListenerShared>,
    pub(super) plan: Arc<config::Listener>,
    pub(super) stream: Stream,
    pub(super) from: Option<SocketAddr>,
}

/// Both ends of a connection, as they are or as a proxy says.
#[derive(Clone, Copy)]
struct Ends {
    client: Option<SocketAddr>,
    own: Option<SocketAddr>,
}

/// What came of waiting for a connection's first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looked {
    /// Enough of them are there.
    Enough,
    /// The client sends no more.
    Ended,
    /// Its time is over, or the thread drains and nothing has come.
    Over,
}

/// What a client of HTTP/2 says first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The first byte of a TLS handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
/// How long a handshake keeps others from theirs. What costs us happens at once; the rest is the client's time.
const TURN: Duration = Duration::from_secs(1);
/// For a connection that has said nothing when the gateway drains: its first bytes may be on their way.
const DRAIN_GRACE: Duration = Duration::from_millis(500);

impl Entry {
    /// Serves the connection to its end.
    pub(super) async fn serve(mut self, worker: &Rc<Worker>) {
        if !self.plan.protocols.h1 && !self.plan.protocols.h2 {
            // A listener of HTTP/3 alone holds its port for TCP too, and has nothing to say there.
            return;
        }
        let Some(_seat) = Seat::take(&self.listener, self.plan.max_connections) else {
            let detail = format!("listener \"{}\" has its {} connections", self.plan.name, self.plan.max_connections);
            let ends = self.ends();
            return self.refuse(worker, ends, Failure::of(Kind::Overloaded, detail)).await;
        };
        let Some(ends) = self.told_ends(worker).await else { return };
        let address = ends.client.map(|client| client.ip());
        let _client_seat = match (address, self.plan.max_connections_per_client) {
            (Some(address), Some(most)) => match ClientSeat::take(&self.listener, address, most) {
                Some(seat) => Some(seat),
                None => {
                    let failure =
                        Failure::of(Kind::TooManyConnections, format!("{address} has its {most} connections"));
                    return self.refuse(worker, ends, failure).await;
                }
            },
            _ => None,
        };
        let Self { listener, plan, mut stream, .. } = self;
        let tls = worker.local().generation.tls(&plan.name).cloned();
        let secured = match tls {
            None => None,
            Some(tls) => match Box::pin(secure(worker, &listener, &plan, &tls, stream)).await {
                Some((under_tls, secured)) => {
                    stream = under_tls;
                    Some(secured)
                }
                None => return,
            },
        };
        let Some(speaks_h2) = speaks_h2(worker, &plan, &mut stream, secured.as_deref()).await else { return };
        let client = Rc::new(client(&plan, ends, secured));
        match speaks_h2 {
            true => super::h2::serve(worker, stream, &plan, client).await,
            false => h1::serve(worker, stream, &plan, client).await,
        }
    }

    /// Whose connection this is. A listener's known proxies say so first, everybody else's word on it is not asked for.
    async fn told_ends(&mut self, worker: &Rc<Worker>) -> Option<Ends> {
        let ends = self.ends();
        let Some(from) = self.from.filter(|from| self.is_proxy(from)) else { return Some(ends) };
        let read = |bytes: &[u8]| proxy::read(bytes) != proxy::Header::Partial;
        let (looked, bytes) = look(worker, &mut self.stream, self.plan.head_timeout, read).await;
        let why = match proxy::read(&bytes) {
            proxy::Header::Whole { length, ends: told } => {
                self.stream.put_back(bytes.get(length..).unwrap_or_default().to_vec());
                return Some(told.map_or(ends, |(client, own)| Ends { client: Some(client), own: Some(own) }));
            }
            proxy::Header::Bad(why) => why,
            proxy::Header::Partial if bytes.is_empty() => return None,
            proxy::Header::Partial if looked == Looked::Ended => "the connection ended within its PROXY header",
            proxy::Header::Partial => "no whole PROXY header in time",
        };
        tracing::warn!(listener = &*self.plan.name, proxy = %from.ip(), why, "connection refused");
        None
    }

    fn ends(&self) -> Ends {
        Ends { client: self.from, own: self.stream.own_address() }
    }

    fn is_proxy(&self, from: &SocketAddr) -> bool {
        self.plan.proxy_protocol.iter().any(|network| network.contains(from.ip()))
    }

    /// Says that there is no room. Under TLS that would cost the handshake that there is no room for: the door stays shut.
    async fn refuse(mut self, worker: &Rc<Worker>, ends: Ends, failure: Failure) {
        let id = pipeline::request_id();
        let client = Rc::new(client(&self.plan, ends, None));
        pipeline::refused(&worker.local(), &client, &failure, &id, clock::now());
        if self.plan.tls.is_none() {
            let _ = refusal::write(&mut self.stream, failure.kind, &id).await;
            refusal::linger(&mut self.stream).await;
        }
    }
}

fn client(plan: &config::Listener, ends: Ends, secured: Option<Arc<Secured>>) -> Client {
    Client {
        peer: Peer::of(ends.client.map(|client| client.ip()), false),
        port: ends.client.map_or(0, |client| client.port()),
        listener: plan.name.clone(),
        scheme: if secured.is_some() { Scheme::Https } else { Scheme::Http },
        to: ends.own,
        secured,
        own: OnceCell::new(),
    }
}

/// The handshake, when it is its turn. A client that has not said its first word has none, and one that is slow goes on without.
async fn secure(
    worker: &Rc<Worker>,
    listener: &Arc<ListenerShared>,
    plan: &config::Listener,
    tls: &tls::Server,
    mut stream: Stream,
) -> Option<(Stream, Arc<Secured>)> {
    let limit = plan.tls.as_ref()?;
    let deadline = worker.thread().ticker.deadline();
    let (looked, bytes) = look(worker, &mut stream, limit.handshake_timeout, begins_whole).await;
    if looked == Looked::Over {
        return None;
    }
    let first = *bytes.first()?;
    stream.put_back(bytes);
    if first != HANDSHAKE {
        if first.is_ascii_uppercase() {
            say_cleartext(&mut stream).await;
        }
        return None;
    }
    deadline.arm(limit.handshake_timeout);
    let turn_over = worker.thread().ticker.deadline();
    let shaken = async {
        let turn = listener.handshake(limit.max_handshakes).await;
        turn_over.arm(TURN);
        let mut accepting = pin!(tls.accept(stream));
        if let Some(accepted) = within(&turn_over, accepting.as_mut()).await {
            return accepted;
        }
        drop(turn);
        accepting.await
    };
    match within(&deadline, shaken).await {
        Some(Ok((stream, secured))) => Some((Stream::secured(stream), Arc::new(secured))),
        Some(Err(error)) => {
            tracing::debug!(listener = &*plan.name, %error, "no TLS");
            None
        }
        None => {
            tracing::debug!(listener = &*plan.name, "no TLS within {:?}", limit.handshake_timeout);
            None
        }
    }
}

/// Whether the first record is whole (RFC 8446, section 5.1), or there will be none.
fn begins_whole(bytes: &[u8]) -> bool {
    match bytes {
        [HANDSHAKE, _, _, high, low, rest @ ..] => rest.len() >= usize::from(u16::from_be_bytes([*high, *low])),
        [HANDSHAKE, ..] | [] => false,
        _ => true,
    }
}

/// A browser that was sent to the wrong port shows this; what it asked for was on the wire in clear and is not answered.
async fn say_cleartext(stream: &mut Stream) {
    let _ = refusal::write(stream, Kind::MalformedRequest, &pipeline::request_id()).await;
    refusal::linger(stream).await;
}

/// Whether the connection is HTTP/2's, by what was agreed on or by what it says first. `None` when it says nothing.
async fn speaks_h2(
    worker: &Rc<Worker>,
    plan: &config::Listener,
    stream: &mut Stream,
    secured: Option<&Secured>,
) -> Option<bool> {
    match (secured, plan.protocols.h1, plan.protocols.h2) {
        (_, true, false) => return Some(false),
        (_, false, _) => return Some(true),
        (Some(secured), true, true) => return Some(secured.protocol == Some("h2")),
        (None, true, true) => {}
    }
    let is_clear = |bytes: &[u8]| bytes.len() >= PREFACE.len() || !PREFACE.starts_with(bytes);
    let limit = plan.head_timeout.min(plan.idle_timeout);
    let (looked, bytes) = look(worker, stream, limit, is_clear).await;
    if bytes.is_empty() || looked == Looked::Over {
        return None;
    }
    let speaks = bytes.starts_with(PREFACE);
    stream.put_back(bytes);
    Some(speaks)
}

/// Reads until there is enough to know what this is, within a time.
async fn look(
    worker: &Rc<Worker>,
    stream: &mut Stream,
    limit: Duration,
    is_enough: impl Fn(&[u8]) -> bool,
) -> (Looked, Vec<u8>) {
    let deadline = worker.thread().ticker.deadline();
    deadline.arm(limit);
    let mut drain = pin!(worker.draining().heard());
    let (mut bytes, mut is_told) = (Vec::new(), false);
    let looked = poll_fn(|context| {
        loop {
            let mut scratch = [0; 1024];
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    bytes.extend_from_slice(buffer.filled());
                    if is_enough(&bytes) {
                        return Poll::Ready(Looked::Enough);
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Looked::Ended),
                Poll::Pending => break,
            }
        }
        if !is_told && drain.as_mut().poll(context).is_ready() {
            is_told = true;
            deadline.arm(DRAIN_GRACE.min(limit));
        }
        deadline.poll_over(context).map(|()| Looked::Over)
    })
    .await;
    (looked, bytes)
}

/// Runs to the end, unless the deadline comes first.
async fn within<T>(deadline: &Deadline, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => deadline.poll_over(context).map(|()| None),
    })
    .await
}
