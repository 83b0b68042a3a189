//! One request, from its head to the end of its answer or of the tunnel that the answer was.
//!
//! Dropping the future gives the exchange up; streams that did not come to their end are reset.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use h3::error::Code;
use h3::server::{RequestResolver, RequestStream};

use super::duplex::Duplex;
use super::head::{self, Asked, Refused};
use super::inbound::{Inbound, Inlet};
use super::link::{Link, Seat};
use super::outbound::{self, Outlet, Sent, Shut};
use super::quic::{Accepted, Both, Quic};
use crate::body::Body;
use crate::clock::Instant;
use crate::failure::{Failure, Kind};
use crate::front::h2::Priority;
use crate::front::{refusal, streams};
use crate::generation::Local;
use crate::message::{Fields, Method, Status, semantics};
use crate::pipeline::{self, Arrived, Client, Interim, Outgoing};

/// A request's circumstances.
pub(super) struct Stream {
    pub(super) link: Rc<Link>,
    pub(super) local: Rc<Local>,
    pub(super) client: Rc<Client>,
    pub(super) began: Instant,
}

/// What the two ways of a stream and the pipeline tell each other.
#[derive(Default)]
pub(super) struct Reply {
    /// Interim answers that are to go out.
    interim: RefCell<VecDeque<(Status, Fields)>>,
    /// The exchange's task.
    task: RefCell<Option<Waker>>,
    /// The final answer is there.
    is_final: Cell<bool>,
    /// The request is none after all.
    is_malformed: Cell<bool>,
}

/// Serves a request to its end.
pub(super) async fn serve(stream: Stream, _seat: Seat, resolver: RequestResolver<Quic, Bytes>, accepted: Accepted) {
    let deadline = stream.link.ticker.deadline();
    deadline.arm(stream.link.limits.head);
    let both = match deadline.limit(resolver.resolve_request()).await {
        Ok(Ok((_, both))) => both,
        // Nothing was asked: the client left the stream, or broke the connection.
        Ok(Err(error)) => {
            stream.link.note(false);
            return tracing::trace!(%error, "a stream without a request");
        }
        Err(_) => return stream.log(&Failure::of(Kind::HeadTimeout, "no whole head in time")),
    };
    drop(deadline);
    stream.exchange(both, accepted).await;
}

/// RFC 9218, section 5.
const PRIORITY: &str = "priority";

impl Stream {
    async fn exchange(&self, both: RequestStream<Both, Bytes>, accepted: Accepted) {
        let (is_early, section, answered) = (accepted.is_early, accepted.head.take(), accepted.written.clone());
        let (send, receive) = both.split();
        let (mut outlet, inlet) = (Outlet::of(send, &self.link, accepted), Inlet::of(receive));
        let Some(section) = section else { return outlet.reset(Code::H3_INTERNAL_ERROR) };
        let Asked { head, protocol } = match head::read(&section, &self.link.limits) {
            Ok(asked) => asked,
            Err(refused) => return self.refuse(outlet, inlet, refused).await,
        };
        let (method, reply) = (head.method.clone(), Rc::<Reply>::default());
        let priority = Priority::default().change(head.headers.get_all(PRIORITY).iter());
        // What a tunnel carries is no body (RFC 9220, section 3; RFC 8441, section 5).
        let body = match &protocol {
            Some(_) => Body::Empty,
            None if poll_fn(|context| Poll::Ready(inlet.look(context))).await => Body::Empty,
            None => Body::stream(Inbound::of(inlet.clone(), &head, &self.link, &reply, answered)),
        };
        let arrived = Arrived {
            local: self.local.clone(),
            client: self.client.clone(),
            head,
            body,
            interim: reply.clone(),
            began: self.began,
            protocol,
            is_early,
        };
        let answer = reply.wait(arrived, &mut outlet).await;
        self.link.note(answer.is_some());
        if let Some(answer) = answer {
            self.answer(&reply, answer, (&method, priority), outlet, &inlet).await;
        }
        inlet.stop(Code::H3_REQUEST_CANCELLED);
    }

    async fn answer(
        &self,
        reply: &Reply,
        answer: http::Response<Outgoing>,
        (method, asked): (&Method, Priority),
        mut outlet: Outlet,
        inlet: &Inlet,
    ) {
        let (mut head, mut body) = answer.into_parts();
        if reply.is_malformed.get() {
            // RFC 9114, section 4.1.2.
            return outlet.reset(Code::H3_MESSAGE_ERROR);
        }
        streams::strip(&mut head.headers);
        // An upstream knows better than its client what its answer is (RFC 9218, section 8).
        outlet.rank(asked.change(head.headers.get_all(PRIORITY).iter()));
        if let Some(tunnel) = body.take_tunnel() {
            // What HTTP/1 says with 101 is an answer like any other here.
            head.status = Status::OK;
            if outlet.send_head(head.status, head.headers).await.is_ok() {
                Box::pin(tunnel.carry(Duplex::of(inlet.clone(), outlet.of_tunnel()), Bytes::new())).await;
            }
            return;
        }
        let has_body = semantics::has_body(method, head.status);
        let left = if has_body { streams::state_length(&mut head, &body) } else { None };
        let sent = match outlet.send_head(head.status, head.headers).await {
            Ok(()) if has_body => outlet.carry(&mut body, left, reply).await,
            Ok(()) => outlet.finish().await.map_or_else(Sent::Shut, |()| Sent::Whole),
            Err(shut) => Sent::Shut(shut),
        };
        match sent {
            Sent::Whole => {
                // The answer does not need the rest of the request (RFC 9114, section 4.1), whoever still waits for it.
                inlet.stop(Code::H3_NO_ERROR);
                // The exchange is over; that a client is gone without a word must not keep it from the log.
                drop(body);
                outlet.settle().await;
            }
            Sent::Broken => outlet.reset(Code::H3_INTERNAL_ERROR),
            Sent::Shut(shut) => {
                outlet.reset(Code::H3_REQUEST_CANCELLED);
                if shut == Shut::Stalled {
                    body.give_up(&outbound::stalled(&self.link));
                }
            }
        }
    }

    /// Tells the log, and the client in the way that it is to be told.
    async fn refuse(&self, mut outlet: Outlet, inlet: Inlet, refused: Refused) {
        let (failure, method) = match refused {
            Refused::Malformed(failure) => {
                self.log(&failure);
                inlet.stop(Code::H3_MESSAGE_ERROR);
                return outlet.reset(Code::H3_MESSAGE_ERROR);
            }
            Refused::Undecodable => {
                self.log(&Failure::of(Kind::MalformedRequest, "the head cannot be decoded"));
                return self.link.close(Code::QPACK_DECOMPRESSION_FAILED, "a head that cannot be decoded");
            }
            Refused::Beyond(failure, method) => (failure, method),
        };
        let id = pipeline::request_id();
        pipeline::refused(&self.local, &self.client, &failure, &id, self.began);
        let (answer, body) = refusal::answer(&method, failure.kind, &id);
        let sent = async {
            outlet.send_head(answer.status, answer.fields.into()).await?;
            outlet.send_data(body).await?;
            outlet.finish().await
        };
        match sent.await {
            Ok(()) => {
                inlet.stop(Code::H3_NO_ERROR);
                outlet.settle().await;
            }
            Err(_) => outlet.reset(Code::H3_REQUEST_CANCELLED),
        }
    }

    fn log(&self, failure: &Failure) {
        pipeline::refused(&self.local, &self.client, failure, &pipeline::request_id(), self.began);
    }
}

impl Reply {
    /// The request breaks its own word: it gets no answer.
    pub(super) fn note_malformed(&self) {
        self.is_malformed.set(true);
    }

    pub(super) fn is_malformed(&self) -> bool {
        self.is_malformed.get()
    }

    /// The pipeline's answer, interim ones sent on before it; `None` when the client is gone before it.
    async fn wait(&self, arrived: Arrived, outlet: &mut Outlet) -> Option<http::Response<Outgoing>> {
        let mut serving = pipeline::serve(arrived);
        loop {
            let answer = poll_fn(|context| {
                *self.task.borrow_mut() = Some(context.waker().clone());
                if outlet.poll_gone(context).is_ready() {
                    return Poll::Ready(Some(None));
                }
                match Pin::new(&mut serving).poll(context) {
                    Poll::Ready(answer) => Poll::Ready(Some(Some(answer))),
                    Poll::Pending if !self.interim.borrow().is_empty() => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await;
            // They may have come in the same moment as the answer.
            while let Some((status, fields)) = self.next_interim() {
                outlet.send_interim(status, fields.into()).await.ok()?;
            }
            if let Some(answer) = answer {
                self.is_final.set(true);
                return answer;
            }
        }
    }

    fn next_interim(&self) -> Option<(Status, Fields)> {
        self.interim.borrow_mut().pop_front()
    }
}

/// Interim answers wait for the client's window, but not many of them.
const MOST_INTERIM: usize = 8;

impl Interim for Reply {
    fn send(&self, status: Status, fields: Fields) {
        let mut interim = self.interim.borrow_mut();
        if self.is_final.get() || status == Status::SWITCHING_PROTOCOLS || interim.len() >= MOST_INTERIM {
            return;
        }
        interim.push_back((status, fields));
        if let Some(task) = self.task.borrow_mut().take() {
            task.wake();
        }
    }
}
