//! One stream, from its request to the end of its answer or of the tunnel that the answer was.
//!
//! Dropping the future gives the exchange up; the codec resets what was not ended.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::request::Parts;

use super::duplex::Duplex;
use super::inbound::{self, Inbound, Inlet, Refused};
use super::link::{Link, Seat};
use super::outbound::{Outlet, Sent, Shut};
use super::priority::Priority;
use super::turns::Piece;
use crate::body::Body;
use crate::clock::{self, Instant};
use crate::failure::{Failure, Kind};
use crate::front::{refusal, streams};
use crate::generation::Local;
use crate::message::{Fields, Method, Status, Value, semantics};
use crate::pipeline::{self, Arrived, Client, Interim, Outgoing};

/// A stream's circumstances.
pub(super) struct Stream {
    pub(super) link: Rc<Link>,
    pub(super) local: Rc<Local>,
    pub(super) client: Rc<Client>,
    pub(super) seat: Seat,
}

/// Where heads go; nothing is there when the final one is gone.
struct Reply {
    respond: RefCell<Option<SendResponse<Piece>>>,
}

impl Stream {
    /// Serves it to its end.
    pub(super) async fn serve(self, request: http::Request<RecvStream>, respond: SendResponse<Piece>) {
        let began = clock::now();
        let reply = Rc::new(Reply { respond: RefCell::new(Some(respond)) });
        let (mut head, inlet) = request.into_parts();
        let inlet = Inlet::of(inlet);
        match read(&mut head, &self.link) {
            Err(refused) => self.refuse(&reply, &head, refused, began).await,
            Ok(protocol) => {
                let priority = Priority::default().change(head.headers.get_all(PRIORITY).iter());
                let method = head.method.clone();
                let arrived = self.arrive(&reply, &inlet, head, protocol, began);
                if let Some(answer) = reply.wait(arrived).await {
                    self.answer(&reply, answer, (&method, priority), &inlet).await;
                }
            }
        }
        // The answer is whole, or will never be: what the client still sends is not wanted (RFC 9113, section 8.1).
        if let Some(rest) = inlet.close() {
            inbound::linger(rest, &self.link).await;
        }
        reply.close();
        drop(self.seat);
    }

    fn arrive(
        &self,
        reply: &Rc<Reply>,
        inlet: &Inlet,
        head: Parts,
        protocol: Option<Value>,
        began: Instant,
    ) -> Arrived {
        // What a tunnel carries is no body (RFC 8441, section 5).
        let body = match protocol.is_some() || inlet.is_over() {
            true => Body::Empty,
            false => Body::stream(Inbound::of(inlet.clone(), &head, &self.link, reply)),
        };
        Arrived {
            local: self.local.clone(),
            client: self.client.clone(),
            head,
            body,
            interim: reply.clone(),
            began,
            protocol,
            is_early: false,
        }
    }

    async fn answer(
        &self,
        reply: &Reply,
        answer: http::Response<Outgoing>,
        (method, asked): (&Method, Priority),
        inlet: &Inlet,
    ) {
        let (mut head, mut body) = answer.into_parts();
        streams::strip(&mut head.headers);
        let priority = asked.change(head.headers.get_all(PRIORITY).iter());
        if let Some(tunnel) = body.take_tunnel() {
            let Some(inlet) = inlet.close() else { return };
            // RFC 8441, section 5: what HTTP/1 says with 101 is an answer like any other here.
            head.status = Status::OK;
            let Some(outlet) = reply.send(head, false, &self.link, priority) else { return };
            return Box::pin(tunnel.carry(Duplex::of(inlet, outlet.of_tunnel()), Bytes::new())).await;
        }
        let has_body = semantics::has_body(method, head.status);
        let left = if has_body { streams::state_length(&mut head, &body) } else { None };
        let is_over = !has_body || http_body::Body::is_end_stream(&body);
        if is_over && left.is_some_and(|left| left > 0) {
            return reply.reset(Reason::INTERNAL_ERROR);
        }
        let Some(mut outlet) = reply.send(head, is_over, &self.link, priority) else { return };
        outlet = outlet.beside(inlet);
        if !is_over && outlet.carry(&mut body, left).await == Sent::Shut(Shut::Stalled) {
            body.give_up(&outlet.stalled());
        }
    }

    /// Tells the log, and the client in the way that it is to be told.
    async fn refuse(&self, reply: &Reply, head: &Parts, refused: Refused, began: Instant) {
        let (Refused::Malformed(failure) | Refused::Beyond(failure)) = &refused;
        let id = pipeline::request_id();
        pipeline::refused(&self.local, &self.client, failure, &id, began);
        if let Refused::Malformed(_) = refused {
            self.link.provoked();
            return reply.reset(Reason::PROTOCOL_ERROR);
        }
        let (answer, mut body) = refusal::answer(&head.method, failure.kind, &id);
        let mut response = http::Response::new(());
        (*response.status_mut(), *response.headers_mut()) = (answer.status, answer.fields.into());
        let (head, ()) = response.into_parts();
        if let Some(mut outlet) = reply.send(head, body.is_empty(), &self.link, Priority::default())
            && !body.is_empty()
        {
            let mut body = Body::from(body.split_to(body.len()));
            outlet.carry(&mut body, None).await;
        }
    }
}

/// Checks a head; the protocol that the stream is to become, if it is.
fn read(head: &mut Parts, link: &Link) -> Result<Option<Value>, Refused> {
    let protocol = head.extensions.remove::<Protocol>();
    inbound::read(head, protocol.is_some(), &link.limits)?;
    let malformed = |_| Refused::Malformed(Failure::of(Kind::MalformedRequest, ":protocol is not a field's value"));
    protocol.map(|protocol| Value::from_bytes(protocol.as_ref()).map_err(malformed)).transpose()
}

/// RFC 9218, section 5.
const PRIORITY: &str = "priority";

impl Reply {
    /// The pipeline's answer; `None` when the client is gone before it.
    async fn wait(&self, arrived: Arrived) -> Option<http::Response<Outgoing>> {
        let mut serving = pipeline::serve(arrived);
        poll_fn(|context| {
            if self.poll_gone(context).is_ready() {
                return Poll::Ready(None);
            }
            Pin::new(&mut serving).poll(context).map(Some)
        })
        .await
    }

    fn poll_gone(&self, context: &mut Context<'_>) -> Poll<()> {
        match &mut *self.respond.borrow_mut() {
            Some(respond) => respond.poll_reset(context).map(|_| ()),
            None => Poll::Ready(()),
        }
    }

    /// Sends the head; `None` when the client is gone, or the head is none for HTTP/2.
    fn send(&self, head: http::response::Parts, is_over: bool, link: &Rc<Link>, priority: Priority) -> Option<Outlet> {
        link.answered();
        let mut respond = self.respond.borrow_mut().take()?;
        match respond.send_response(http::Response::from_parts(head, ()), is_over) {
            Ok(stream) => Some(Outlet::of(stream, link.clone(), priority)),
            Err(error) => {
                tracing::trace!(%error, "an answer's head was not sent");
                respond.send_reset(Reason::INTERNAL_ERROR);
                None
            }
        }
    }

    fn reset(&self, reason: Reason) {
        if let Some(mut respond) = self.respond.borrow_mut().take() {
            respond.send_reset(reason);
        }
    }

    /// Nothing more is said, whoever still could.
    fn close(&self) {
        self.respond.borrow_mut().take();
    }
}

impl Interim for Reply {
    fn send(&self, status: Status, fields: Fields) {
        let mut respond = self.respond.borrow_mut();
        let Some(respond) = respond.as_mut().filter(|_| status != Status::SWITCHING_PROTOCOLS) else { return };
        let mut response = http::Response::new(());
        (*response.status_mut(), *response.headers_mut()) = (status, fields.into());
        streams::strip(response.headers_mut());
        // A hint that cannot be sent is none.
        let _ = respond.send_informational(response);
    }
}
