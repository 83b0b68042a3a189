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
    Authority, Facts, Fields, Method, RequestHead, Scheme, Secured, Status, Value, Version, grpc, hops, host,
    semantics, target,
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
    /// Its body; none with `protocol`, where what follows on the stream is the tunnel's.
    pub body: Body,
    /// Where interim answers go.
    pub interim: Rc<dyn Interim>,
    /// When its head began to arrive.
    pub began: Instant,
    /// The protocol that the stream is to become, by extended CONNECT (RFC 8441; RFC 9220): `:protocol` as it came. The
    /// head's method is still `CONNECT`.
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
    protocol: Option<Value>,
    is_early: bool,
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
    /// It came in TLS early data.
    pub(super) is_early: bool,
    /// Bytes of its body, where nobody has checked yet that they are as many as it says.
    pub(super) length: Option<u64>,
}

impl Arrived {
    pub(super) fn begin(self) -> (Box<Exchange>, Request) {
        let exchange = unread(&self.local, &self.client, self.began);
        let Self { head, body, interim, protocol, is_early, .. } = self;
        (exchange, Request { head, body, interim, protocol, is_early })
    }
}

/// An exchange of which nothing is known but its client.
pub(super) fn unread(local: &Rc<Local>, client: &Rc<Client>, began: Instant) -> Box<Exchange> {
    let request = RequestHead::of(Method::GET, client.scheme, host::absent(), PathAndQuery::from_static("/"));
    let mut facts = Facts::of(local.thread.next_id(), client.peer.address(), request);
    facts.secured.clone_from(&client.secured);
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
        is_connect: false,
        is_grpc: false,
        led: None,
        rate: None,
        spent: Spent::default(),
        done: Vec::new(),
        kept: None,
        switched: None,
        begins_session: false,
        asked: None,
        outcome: None,
        has_waited: false,
        is_quiet: false,
        is_answered: false,
    })
}

pub(super) fn check(exchange: &mut Exchange, request: Request) -> ControlFlow<Answer, Asked> {
    match read(exchange, request) {
        Ok(asked) => Continue(asked),
        Err(failure) => Answer::broken(exchange, failure),
    }
}

fn read(exchange: &mut Exchange, request: Request) -> Result<Asked, Failure> {
    let Request { mut head, body, interim, protocol, is_early } = request;
    let mut fields = Fields::from(std::mem::take(&mut head.headers));
    let trusted = identify(exchange, &fields);
    exchange.facts.request.version = head.version;
    exchange.is_connect = protocol.is_some();
    exchange.is_grpc = is_multiplexed(head.version) && grpc::is_one(&fields);
    let hops = hops::strip(&mut fields)
        .map_err(|_| Failure::of(Kind::MalformedRequest, "Connection is not a list of tokens"))?;
    let upgrade = protocols(&mut head, protocol, hops.upgrade)?;
    let (authority, target) = whom(exchange, &head, &mut fields, trusted)?;
    let length = length(exchange, &mut fields, &body)?;
    if is_multiplexed(head.version) {
        semantics::join_cookies(&mut fields);
    }
    let is_safe = semantics::is_safe(&head.method) && !exchange.is_connect;
    let mut asked = RequestHead::of(head.method, exchange.client.scheme, authority, target);
    (asked.version, asked.fields) = (head.version, fields);
    exchange.facts.request = asked;
    if let Some(format) = &exchange.local.generation.format {
        exchange.record.note_request(&exchange.facts.request, format.needs());
    }
    if is_early && !is_safe {
        return Err(Kind::TooEarly.into());
    }
    let expects = expects(&mut exchange.facts.request)?;
    let peer = exchange.client.peer.trusted(trusted);
    Ok(Asked { body, interim, peer, expects, trailers: hops.trailers, upgrade, is_early, length })
}

/// Whether the client waits for `100 Continue`. In HTTP/1.0 nobody does, and the member need not hear of it.
fn expects(request: &mut RequestHead) -> Result<bool, Failure> {
    let expects = semantics::expects_continue(request.version, &request.fields);
    let expects = expects.map_err(|_| Failure::from(Kind::UnknownExpectation))?;
    if !expects && request.version < Version::HTTP_11 {
        request.fields.remove(header::EXPECT);
    }
    Ok(expects)
}

/// Finds out whose request it is, and what it is called; whether its sender's word is taken.
fn identify(exchange: &mut Exchange, fields: &Fields) -> bool {
    let local = exchange.local.clone();
    let trusts = |address| local.generation.trusts(address);
    let trusted = exchange.client.peer.address().is_none_or(trusts);
    exchange.facts.request_id = match forwarding::request_id(fields, trusted) {
        Some(known) => known.to_owned(),
        None => request_id(),
    };
    if let Some(peer) = exchange.client.peer.address() {
        exchange.facts.client = Some(forwarding::client(peer, fields, trusts));
    }
    trusted
}

/// Protocols that the client would change to. Extended CONNECT becomes the `GET` that would ask for the same in HTTP/1.1;
/// nothing else can change the protocol in HTTP/2 and HTTP/3 (RFC 9113, section 8.6; RFC 9114, section 4.5).
fn protocols(
    head: &mut http::request::Parts,
    protocol: Option<Value>,
    upgrade: Vec<Value>,
) -> Result<Vec<Value>, Failure> {
    let is_multiplexed = is_multiplexed(head.version);
    match protocol {
        None if is_multiplexed => Ok(Vec::new()),
        None => Ok(upgrade),
        Some(protocol)
            if is_multiplexed && head.method == Method::CONNECT && hops::is_protocol(protocol.as_bytes()) =>
        {
            head.method = Method::GET;
            Ok(vec![protocol])
        }
        Some(_) => Err(Failure::of(Kind::MalformedRequest, ":protocol is not one protocol, or not with CONNECT")),
    }
}

/// Whom and what is asked for. How the client came is told by its connection, not by what it says; but who asks for
/// `https` without TLS is refused (RFC 9110, section 7.4), unless a trusted proxy has taken the TLS off.
fn whom(
    exchange: &Exchange,
    head: &http::request::Parts,
    fields: &mut Fields,
    trusted: bool,
) -> Result<(Authority, PathAndQuery), Failure> {
    // HTTP/1 is asked for one host by the gate (RFC 9113, section 8.3.1; RFC 9114, section 4.3.1).
    let is_multiplexed = is_multiplexed(head.version);
    if is_multiplexed && fields.lines(header::HOST).nth(1).is_some() {
        return Err(Failure::of(Kind::BadHost, "more than one Host"));
    }
    let named = fields.take(header::HOST).map(host::take).transpose();
    let named = named.map_err(|_| Failure::of(Kind::BadHost, "Host is not a host"))?;
    let (authority, target) = target::read(&head.method, &head.uri, named).map_err(of_target)?;
    if is_multiplexed && authority.is_empty() {
        return Err(Failure::of(Kind::BadHost, "neither :authority nor Host"));
    }
    let is_in_clear = exchange.client.scheme == Scheme::Http;
    if is_in_clear && !trusted && head.uri.scheme() == Some(&http::uri::Scheme::HTTPS) {
        return Err(Failure::of(Kind::Misdirected, "https without TLS, and not from a trusted proxy"));
    }
    Ok((authority, target))
}

/// The length that a body must turn out to have, where its codec does not see to that itself.
fn length(exchange: &Exchange, fields: &mut Fields, body: &Body) -> Result<Option<u64>, Failure> {
    if !is_multiplexed(exchange.facts.request.version) {
        return Ok(None);
    }
    // What follows is the tunnel's (RFC 9110, section 9.3.6).
    if exchange.is_connect {
        fields.remove(header::CONTENT_LENGTH);
        return Ok(None);
    }
    let length = semantics::declared_length(fields)
        .map_err(|_| Failure::of(Kind::AmbiguousFraming, "Content-Length is not one number"))?;
    match length {
        Some(1..) if body.is_over() => Err(Failure::of(Kind::MalformedBody, "a length, and no body")),
        length => Ok(length),
    }
}

/// Whether it is HTTP/2 or HTTP/3, where exchanges share their connection.
pub(super) fn is_multiplexed(version: Version) -> bool {
    version > Version::HTTP_11
}

/// 32 hexadecimal digits, as unique as chance makes them.
#[must_use]
pub fn request_id() -> String {
    let mut id = Vec::with_capacity(32);
    (0..4).for_each(|_| id.extend_from_slice(&digits(fastrand::u32(..))));
    String::from_utf8(id).unwrap_or_default()
}

/// Eight hexadecimal digits at once, for every request has an id: one number has a digit in each of its bytes.
fn digits(number: u32) -> [u8; 8] {
    let spread = |number: u64, by: u32, mask: u64| (number | number << by) & mask;
    let mut halves = spread(number.into(), 16, 0x0000_ffff_0000_ffff);
    halves = spread(halves, 8, 0x00ff_00ff_00ff_00ff);
    halves = spread(halves, 4, 0x0f0f_0f0f_0f0f_0f0f);
    // Where a digit is above nine, adding six carries into its upper half.
    let letters = (halves + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (halves + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

fn of_target(bad: BadTarget) -> Failure {
    match bad {
        BadTarget::Path(detail) => Failure::of(Kind::BadTarget, detail),
        BadTarget::Host => Failure::of(Kind::BadHost, "the target and Host name different hosts, or none"),
        BadTarget::Connect => Failure::of(Kind::NotImplemented, "CONNECT"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hexadecimal() {
        for number in [0, 0x0123_4567, 0x89ab_cdef, u32::MAX] {
            assert_eq!(digits(number), *format!("{number:08x}").as_bytes());
        }
        assert!(request_id().len() == 32 && request_id() != request_id());
    }
}
