//! Last phase: the fields that the client sees from us, and the body with the exchange attached, so that the exchange is
//! logged when its last byte is gone.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use http::header;
use http_body::{Body as _, Frame, SizeHint};

use super::tunnel::Tunnel;
use super::{Answer, Exchange};
use crate::body::Body;
use crate::clock;
use crate::failure::{Failure, Kind};
use crate::message::forwarding::{self, Outward};
use crate::message::{Status, Value, Version, hops};

/// A body on its way to the client.
pub struct Outgoing {
    body: Body,
    exchange: Option<Box<Exchange>>,
    tunnel: Option<Box<Tunnel>>,
}

pub(super) fn finish(mut exchange: Box<Exchange>, answer: Answer) -> http::Response<Outgoing> {
    let Answer { mut head, body, upstream } = answer;
    let local = exchange.local.clone();
    let site = exchange.site.and_then(|site| local.generation.site(site));
    let outward = Outward {
        preserve_server: upstream.is_some() && site.is_some_and(|site| site.preserve_server),
        via: upstream.filter(|_| site.is_none_or(|site| site.via)),
        date: &date(),
    };
    forwarding::to_client(&mut head.fields, outward);
    // A filter that put another answer in the place of a 101 has closed the member's connection with it.
    let switched = exchange.switched.take().filter(|_| head.status == Status::SWITCHING_PROTOCOLS);
    if let Some(switched) = &switched {
        hops::switch(&mut head.fields, &switched.protocols);
    }
    exchange.record.status = head.status.as_u16();
    let request = &exchange.facts.request;
    if request.version < Version::HTTP_11 && body.size_hint().exact().is_none() {
        // Only the connection's end says where such a body ends (RFC 9112, section 6.3).
        head.fields.set(header::CONNECTION, Value::from_static("close"));
    }
    if let Some(format) = &local.generation.format {
        exchange.record.note_response(&head, format.needs());
    }
    exchange.is_answered = true;
    let outgoing = match switched {
        Some(switched) => Outgoing { body, exchange: None, tunnel: Some(Tunnel::of(exchange, *switched)) },
        None => Outgoing { body, exchange: Some(exchange), tunnel: None },
    };
    let mut response = http::Response::new(outgoing);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.fields.into();
    *response.version_mut() = Version::HTTP_11;
    response
}

impl Outgoing {
    /// What the connection becomes when this answer's head, a 101, is written.
    pub fn take_tunnel(&mut self) -> Option<Box<Tunnel>> {
        self.tunnel.take()
    }

    /// Ends it before its end, for a reason that the front knows.
    pub fn give_up(&mut self, failure: &Failure) {
        self.end(Some(failure));
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
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                if let Some(exchange) = &mut self.exchange {
                    exchange.record.response_bytes += length;
                }
                // Nothing follows trailers, and hyper does not ask whether something does.
                if frame.is_trailers() || self.body.is_end_stream() {
                    self.end(None);
                }
            }
            Poll::Ready(Some(Err(failure))) => {
                let failure = failure.clone();
                self.end(Some(&failure));
            }
            Poll::Ready(None) => self.end(None),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        match self.body.is_over() {
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
