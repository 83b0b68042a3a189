//! Last phase: the fields that the client sees from us, and the body with the exchange attached, so that the exchange is
//! logged when its last byte is gone.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::Bytes;
use http::header;
use http_body::{Body as _, Frame, SizeHint};

use super::arrive::is_multiplexed;
use super::rate::Rate;
use super::tunnel::{Switched, Tunnel};
use super::{Answer, Exchange, https, passage};
use crate::body::{Body, Piece};
use crate::clock;
use crate::failure::{Failure, Kind};
use crate::message::forwarding::{self, Outward};
use crate::message::{Fields, ResponseHead, Status, Value, Version, grpc, hops, trailers};

/// A body on its way to the client; one by default is nobody's, and over.
#[derive(Default)]
pub struct Outgoing {
    body: Body,
    /// How fast it goes, where that is limited.
    rate: Option<Box<Rate>>,
    exchange: Option<Box<Exchange>>,
    tunnel: Option<Box<Tunnel>>,
}

pub(super) fn finish(mut exchange: Box<Exchange>, answer: Answer) -> http::Response<Outgoing> {
    // A filter that put another answer in the place of a 101 has closed the member's connection with it.
    let switched = exchange.switched.take().filter(|_| answer.head.status == Status::SWITCHING_PROTOCOLS);
    let Answer { mut head, mut body, upstream, .. } = match exchange.is_connect && switched.is_none() {
        true => refuse(&mut exchange, answer),
        false => answer,
    };
    dress(&exchange, &mut head, upstream);
    suit(&exchange, &mut head, &body, switched.as_deref());
    let status = head.status;
    if exchange.is_grpc && upstream.is_none() && is_error(&head) {
        let sentence = exchange.record.failure.map(Kind::public_text).or(status.canonical_reason());
        grpc::tell(&mut head, sentence.unwrap_or_default());
        body = Body::Empty;
    }
    if let Some(format) = &exchange.local.generation.format {
        exchange.record.note_response(&head, format.needs());
    }
    // Of an error that gRPC was told of in its own way, the log has the status that it is.
    exchange.record.status = status.as_u16();
    exchange.is_answered = true;
    let version = exchange.facts.request.version.max(Version::HTTP_11);
    let speed = exchange.rate.filter(|speed| *speed > 0 && !body.is_over());
    let rate = speed.map(|speed| Box::new(Rate::of(speed, &exchange.local.thread.ticker)));
    let outgoing = match switched {
        Some(switched) => Outgoing { body, rate, exchange: None, tunnel: Some(Tunnel::of(exchange, *switched)) },
        None => Outgoing { body, rate, exchange: Some(exchange), tunnel: None },
    };
    let mut response = http::Response::new(outgoing);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.fields.into();
    *response.version_mut() = version;
    response
}

/// To extended CONNECT a 2xx would say that there is a tunnel (RFC 9110, section 9.3.6). Where there is none, who made the
/// answer did not mean that.
fn refuse(exchange: &mut Exchange, answer: Answer) -> Answer {
    if !answer.head.status.is_success() {
        return answer;
    }
    let failure = match answer.upstream {
        Some(_) => Failure::of(Kind::BadResponse, "it did not change the protocol, and says that all is well"),
        None => Failure::of(Kind::NotImplemented, "nobody here changes the protocol"),
    };
    passage::give_up(answer.body);
    Answer::of(exchange, &failure)
}

/// The fields that say who answers, and what else there is.
fn dress(exchange: &Exchange, head: &mut ResponseHead, upstream: Option<Version>) {
    let site = exchange.site.and_then(|site| exchange.local.generation.site(site));
    let alt_svc = https::alt_svc(exchange);
    let outward = Outward {
        preserve_server: upstream.is_some() && site.is_some_and(|site| site.preserve_server),
        via: upstream.filter(|_| site.is_none_or(|site| site.via)),
        date,
        hsts: https::hsts(exchange),
        alt_svc: alt_svc.as_ref(),
    };
    forwarding::to_client(&mut head.fields, outward);
}

/// What the client's version of HTTP wants said of the connection, or not.
fn suit(exchange: &Exchange, head: &mut ResponseHead, body: &Body, switched: Option<&Switched>) {
    let version = exchange.facts.request.version;
    if is_multiplexed(version) {
        // RFC 9113, section 8.2.2; RFC 9114, section 4.2.
        head.fields.remove(header::CONNECTION);
        let _ = hops::strip(&mut head.fields);
        if switched.is_some() {
            head.status = Status::OK;
        }
        return;
    }
    if let Some(switched) = switched {
        hops::switch(&mut head.fields, &switched.protocols);
    }
    if version < Version::HTTP_11 && body.size_hint().exact().is_none() {
        // Only the connection's end says where such a body ends (RFC 9112, section 6.3).
        head.fields.set(header::CONNECTION, Value::from_static("close"));
    }
}

/// Whether clients of gRPC must be told of it. That a request came too early is HTTP's own business.
fn is_error(head: &ResponseHead) -> bool {
    let is_error = head.status.is_client_error() || head.status.is_server_error();
    is_error && head.status.as_u16() != Kind::TooEarly.status() && !grpc::is_told(head)
}

/// A frame of a body with nothing in its trailers that has no place there.
pub(super) fn cleaned(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(trailers) => Frame::trailers(trailers::clean(trailers.into()).into()),
        Err(frame) => frame,
    }
}

impl Outgoing {
    /// What the connection becomes when this answer's head is written: a 101, or a 200 to extended CONNECT, whose stream
    /// does not end with its head then.
    pub fn take_tunnel(&mut self) -> Option<Box<Tunnel>> {
        self.tunnel.take()
    }

    /// Ends it before its end, for a reason that the front knows.
    pub fn give_up(&mut self, failure: &Failure) {
        self.end(Some(failure));
    }

    /// A body that belongs to no exchange.
    #[cfg(test)]
    pub fn lone(body: Body) -> Self {
        Self { body, rate: None, exchange: None, tunnel: None }
    }

    /// The next piece, for a connection that has the kernel move what nobody reads; such a piece is at most `most` bytes long.
    /// Where one is the last, the exchange ends when this is dropped, which is for when the piece was sent.
    pub fn poll_piece(&mut self, context: &mut Context<'_>, most: u64) -> Poll<Option<Result<Piece, Failure>>> {
        let polled = match &mut self.rate {
            None => self.body.poll_piece(context, most),
            Some(rate) => rate.poll_piece(&mut self.body, context, most),
        };
        Poll::Ready(match ready!(polled) {
            Some(Ok(Piece::Frame(frame))) => Some(Ok(Piece::Frame(self.pass(frame)))),
            Some(Ok(piece)) => {
                self.count(piece.length());
                Some(Ok(piece))
            }
            Some(Err(failure)) => Some(self.fail(failure).map(Piece::Frame)),
            None => {
                self.end(None);
                None
            }
        })
    }

    /// Whether there is certainly nothing to come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_end_stream()
    }

    /// So many bytes of a piece did not leave.
    pub fn take_back(&mut self, bytes: u64) {
        if let Some(exchange) = &mut self.exchange {
            exchange.record.response_bytes = exchange.record.response_bytes.saturating_sub(bytes);
        }
    }

    fn count(&mut self, bytes: u64) {
        if let Some(exchange) = &mut self.exchange {
            exchange.record.response_bytes += bytes;
        }
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        self.count(frame.data_ref().map_or(0, |data| data.len() as u64));
        // Nothing follows trailers, and hyper does not ask whether something does.
        if frame.is_trailers() || self.is_end_stream() {
            self.end(None);
        }
        cleaned(frame)
    }

    fn fail(&mut self, failure: Failure) -> Result<Frame<Bytes>, Failure> {
        let last = self.last_word(&failure);
        self.end(Some(&failure));
        let Some(trailers) = last else { return Err(failure) };
        (self.body, self.rate) = (Body::Empty, None);
        Ok(Frame::trailers(trailers.into()))
    }

    /// Bytes that wait for their time.
    fn held(&self) -> u64 {
        self.rate.as_ref().map_or(0, |rate| rate.held())
    }

    /// What gRPC is told when its time is over in the middle of an answer.
    fn last_word(&self, failure: &Failure) -> Option<Fields> {
        let is_grpc = self.exchange.as_ref().is_some_and(|exchange| exchange.is_grpc);
        let is_open = self.body.size_hint().exact().is_none();
        (is_grpc && is_open && failure.kind == Kind::ExchangeTimeout).then(|| grpc::overdue(failure.kind.public_text()))
    }

    fn end(&mut self, failure: Option<&Failure>) {
        let Some(mut exchange) = self.exchange.take() else { return };
        if let Some(failure) = failure {
            exchange.fail(failure);
        }
        drop(exchange);
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        let polled = match &mut this.rate {
            None => Pin::new(&mut this.body).poll_frame(context),
            Some(rate) => rate.poll_frame(&mut this.body, context),
        };
        Poll::Ready(match ready!(polled) {
            Some(Ok(frame)) => Some(Ok(self.pass(frame))),
            Some(Err(failure)) => Some(self.fail(failure)),
            None => {
                self.end(None);
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.held() == 0 && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, held) = (self.body.size_hint(), self.held());
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower().saturating_add(held));
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(held));
        }
        whole
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        match self.is_end_stream() {
            true => self.end(None),
            false => self.end(Some(&Failure::of(Kind::ClientGone, "the client left before its answer was whole"))),
        }
    }
}

/// `Date`'s value, made once a second and thread.
fn date() -> Value {
    thread_local! {
        static DATE: std::cell::RefCell<(u64, Value)> = const { std::cell::RefCell::new((0, Value::from_static(""))) };
    }
    let now = clock::wall();
    let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    DATE.with_borrow_mut(|(known, value)| {
        if *known != second {
            *known = second;
            *value = Value::from_str(&httpdate::fmt_http_date(now)).unwrap_or(Value::from_static(""));
        }
        value.clone()
    })
}
