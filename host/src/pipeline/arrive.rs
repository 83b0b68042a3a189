//! First phase: is this an honest request, and who asks?
//!
//! The front's gate has checked framing; here the head is read, once, and in one way.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::ops::ControlFlow::{self, Continue};
use std::rc::Rc;
use std::sync::Arc;

use http::header;
use http::uri::PathAndQuery;

use super::{Answer, Exchange};
use crate::body::Body;
use crate::chain::Spent;
use crate::clock::{self, Instant};
use crate::failure::{Failure, Kind};
use crate::generation::Local;
use crate::log::Record;
use crate::message::forwarding::{self, Peer};
use crate::message::target::BadTarget;
use crate::message::{
    Facts, Fields, Method, RequestHead, Scheme, Secured, Status, Value, hops, host, semantics, target,
};
use crate::upstream::{Connections, Preface};

/// A request as a front hands it over.
pub struct Arrived {
    /// The thread's part of the generation that was current when it came.
    pub local: Rc<Local>,
    /// Who sent it.
    pub client: Rc<Client>,
    /// Its head as the codec read it.
    pub head: http::request::Parts,
    /// Its body.
    pub body: Body,
    /// Where interim answers go.
    pub interim: Rc<dyn Interim>,
    /// When its head began to arrive.
    pub began: Instant,
    /// The protocol that the stream is to become, by extended CONNECT (RFC 8441; RFC 9220).
    pub protocol: Option<Value>,
    /// It came in TLS early data: somebody else may have repeated it (RFC 8470).
    pub is_early: bool,
}

/// Who is at the other end of a connection.
pub struct Client {
    /// Its address; none on a Unix socket. Whether it is trusted is each request's to find.
    pub peer: Peer,
    /// Its port.
    pub port: u16,
    /// The listener it came by.
    pub listener: Arc<str>,
    /// How it came.
    pub scheme: Scheme,
    /// The gateway's end of the connection, where the client's is an address.
    pub to: Option<SocketAddr>,
    /// What is known of the connection, when it is under TLS.
    pub secured: Option<Arc<Secured>>,
    /// Upstream connections that serve nobody else.
    pub own: OnceCell<Rc<Connections>>,
}

impl Client {
    /// What a member that speaks the PROXY protocol is told of it.
    pub(super) fn preface(&self) -> Preface {
        let source = self.peer.address().map(|address| SocketAddr::new(address, self.port));
        Preface { source, destination: self.to }
    }
}

/// Takes interim answers (RFC 9110, section 15.2) to the client, if the connection can carry them now.
pub trait Interim {
    /// Sends one on.
    fn send(&self, status: Status, fields: Fields);
}

/// What is left of an arrived request beside the exchange.
pub(super) struct Request {
    head: http::request::Parts,
    body: Body,
    interim: Rc<dyn Interim>,
}

/// A request that is honest.
pub(super) struct Asked {
    pub(super) body: Body,
    pub(super) interim: Rc<dyn Interim>,
    pub(super) peer: Peer,
    /// The client waits for `100 Continue`.
    pub(super) expects: bool,
    /// The client takes trailers.
    pub(super) trailers: bool,
    /// Protocols the client would change to.
    pub(super) upgrade: Vec<Value>,
}

impl Arrived {
    pub(super) fn begin(self) -> (Box<Exchange>, Request) {
        let exchange = unread(&self.local, &self.client, self.began);
        (exchange, Request { head: self.head, body: self.body, interim: self.interim })
    }
}

/// An exchange of which nothing is known but its client.
pub(super) fn unread(local: &Rc<Local>, client: &Rc<Client>, began: Instant) -> Box<Exchange> {
    let request = RequestHead::of(Method::GET, client.scheme, host::absent(), PathAndQuery::from_static("/"));
    let facts = Facts::of(local.thread.next_id(), client.peer.address(), request);
    let time = if local.generation.format.is_some() { clock::wall() } else { std::time::SystemTime::UNIX_EPOCH };
    let record = Record::begin(client.listener.clone(), time);
    Box::new(Exchange {
        local: local.clone(),
        client: client.clone(),
        facts,
        record,
        began,
        site: None,
        uploaded: None,
        spent: Spent::default(),
        done: Vec::new(),
        kept: None,
        switched: None,
        is_answered: false,
    })
}

pub(super) fn check(exchange: &mut Exchange, request: Request) -> ControlFlow<Answer, Asked> {
    let Request { head, body, interim } = request;
    let mut fields = Fields::from(head.headers);
    let local = exchange.local.clone();
    let trusts = |address| local.generation.trusts(address);
    let trusted = exchange.client.peer.address().is_none_or(trusts);
    exchange.facts.request_id = match forwarding::request_id(&fields, trusted) {
        Some(known) => known.to_owned(),
        None => request_id(),
    };
    if let Some(peer) = exchange.client.peer.address() {
        exchange.facts.client = Some(forwarding::client(peer, &fields, trusts));
    }
    let Ok(hops) = hops::strip(&mut fields) else {
        return Answer::broken(exchange, Failure::of(Kind::MalformedRequest, "Connection is not a list of tokens"));
    };
    let named = match fields.take(header::HOST).map(host::take).transpose() {
        Ok(named) => named,
        Err(_) => return Answer::broken(exchange, Failure::of(Kind::BadHost, "Host is not a host")),
    };
    let (authority, target) = match target::read(&head.method, &head.uri, named) {
        Ok(read) => read,
        Err(bad) => return Answer::broken(exchange, of_target(bad)),
    };
    let mut asked = RequestHead::of(head.method, exchange.client.scheme, authority, target);
    (asked.version, asked.fields) = (head.version, fields);
    exchange.facts.request = asked;
    if let Some(format) = &local.generation.format {
        exchange.record.note_request(&exchange.facts.request, format.needs());
    }
    let request = &exchange.facts.request;
    let Ok(expects) = semantics::expects_continue(request.version, &request.fields) else {
        return Answer::broken(exchange, Kind::UnknownExpectation);
    };
    if !expects && exchange.facts.request.version < http::Version::HTTP_11 {
        exchange.facts.request.fields.remove(header::EXPECT);
    }
    let peer = exchange.client.peer.trusted(trusted);
    Continue(Asked { body, interim, peer, expects, trailers: hops.trailers, upgrade: hops.upgrade })
}

/// 32 hexadecimal digits, as unique as chance makes them.
#[must_use]
pub fn request_id() -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut chance = (u128::from(fastrand::u64(..)) << 64) | u128::from(fastrand::u64(..));
    let mut id = String::with_capacity(32);
    for _ in 0..32 {
        let digit = DIGITS.get((chance & 15) as usize).copied().unwrap_or(b'0');
        id.push(char::from(digit));
        chance >>= 4;
    }
    id
}

fn of_target(bad: BadTarget) -> Failure {
    match bad {
        BadTarget::Path(detail) => Failure::of(Kind::BadTarget, detail),
        BadTarget::Host => Failure::of(Kind::BadHost, "the target and Host name different hosts, or none"),
        BadTarget::Connect => Failure::of(Kind::NotImplemented, "CONNECT"),
    }
}
