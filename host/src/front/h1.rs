//! HTTP/1: one connection from its first byte to its last.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Uri, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::socket::Stream;
use super::wire::{Bare, Transport, Wire};
use super::{Worker, refusal};
use crate::body::{Body, Piece};
use crate::config;
use crate::failure::Failure;
use crate::kernel::Window;
use crate::pipeline::{self, Arrived, Client, Outgoing, Serving};

/// Fields beyond this need a parser buffer on the heap, which hyper is told only then.
const FIELDS_ON_STACK: usize = 100;

/// What hyper may hold of one head: the gate has its own limit, this must only be larger.
const HEAD_ROOM: usize = 8 << 10;

/// A client's body.
struct Inbound {
    incoming: Incoming,
    wire: Rc<Wire>,
}

/// An answer on its way to the codec.
struct Answer<'a> {
    serving: Serving,
    wire: &'a Rc<Wire>,
}

/// An answer's body; the wire learns when it is over.
pub(super) struct Answering {
    pub(super) body: Outgoing,
    pub(super) wire: Rc<Wire>,
}

/// Serves a connection to its end, and closes it.
pub(super) async fn serve(worker: &Rc<Worker>, stream: Stream, listener: &config::Listener, client: Rc<Client>) {
    let wire = Wire::of(stream, listener, &worker.thread().ticker);
    let ended = speak(worker, &wire, listener, &client).await;
    if let Some(tunnel) = wire.take_tunnel() {
        // The codec's last word was the 101, unless the client left before it.
        if ended.is_ok() {
            // Boxed, because every connection would otherwise carry the room for it.
            Box::pin(tunnel.carry(Bare(&wire), wire.take_held())).await;
        }
        return;
    }
    if wire.is_cut() {
        return;
    }
    let unanswered = wire.unanswered(ended.as_ref().err());
    // An answer that broke off does not end in good order: `close_notify` would say that nobody cut it (RFC 8446, section 6.1).
    let is_whole = ended.is_ok() || unanswered.is_some();
    if let Err(error) = ended {
        tracing::trace!(%error, "connection ended");
    }
    let mid_message = wire.is_mid_message();
    if let Some(failure) = unanswered {
        let (id, began) = (pipeline::request_id(), wire.began());
        pipeline::refused(&worker.local(), &client, &failure, &id, began);
        // A client that is gone needs no answer.
        let _ = refusal::write(&mut Bare(&wire), failure.kind, &id).await;
    }
    if mid_message || wire.has_unread() {
        refusal::linger(&mut Bare(&wire)).await;
    } else if is_whole && client.secured.is_some() {
        refusal::end(&mut Bare(&wire)).await;
    }
}

async fn speak(
    worker: &Rc<Worker>,
    wire: &Rc<Wire>,
    listener: &config::Listener,
    client: &Rc<Client>,
) -> hyper::Result<()> {
    let service = service_fn(|request: http::Request<Incoming>| {
        wire.begin();
        Answer { serving: pipeline::serve(arrive(worker, wire, client, request)), wire }
    });
    let mut codec = pin!(codec(listener).serve_connection(TokioIo::new(Transport(wire.clone())), service));
    let mut drain = pin!(worker.draining().heard());
    let (mut is_told, mut listens) = (false, false);
    poll_fn(|context| {
        if !listens {
            // Once is enough: whoever is told wakes this task, and to ask again at every turn costs a lock.
            listens = true;
            let _ = drain.as_mut().poll(context);
        }
        if !is_told && worker.draining().is_told() {
            is_told = true;
            wire.drain();
            // The codec would close a connection on which nothing came yet. What comes in the moment that the wire gives it
            // is answered, with `close`.
            if wire.has_served() {
                codec.as_mut().graceful_shutdown();
            }
        }
        wire.take_turn();
        codec.as_mut().poll(context)
    })
    .await
}

/// How HTTP/1 is spoken with clients.
pub(super) fn codec(listener: &config::Listener) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // Bodies are not looked at: some of them are the window's (`kernel/window.rs`), which must not be. Written vectored, every
    // encoding of a body is a list of slices that the transport gets as they are; flattened, or with `pipeline_flush`, the
    // codec would copy them.
    builder.auto_date_header(false).writev(true);
    if listener.max_fields > FIELDS_ON_STACK {
        builder.max_headers(listener.max_fields);
    }
    // Its default is what throughput wants; only a head larger than that needs more.
    builder.max_buf_size((listener.max_head + HEAD_ROOM).max(DEFAULT_BUFFER));
    builder
}

/// hyper's own.
const DEFAULT_BUFFER: usize = 8192 + 4096 * 100;

fn arrive(worker: &Rc<Worker>, wire: &Rc<Wire>, client: &Rc<Client>, request: http::Request<Incoming>) -> Arrived {
    let (mut head, incoming) = request.into_parts();
    if wire.is_of_server() {
        head.uri = of_server(head.uri);
    }
    let body = match incoming.is_end_stream() {
        true => Body::Empty,
        false => Body::stream(Inbound { incoming, wire: wire.clone() }),
    };
    Arrived {
        local: worker.local(),
        client: client.clone(),
        head,
        body,
        interim: wire.clone(),
        began: wire.began(),
        protocol: None,
        is_early: false,
    }
}

/// The same server, asked about as a whole (RFC 9112, section 3.2.4).
fn of_server(uri: Uri) -> Uri {
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static("*"));
    Uri::from_parts(parts).unwrap_or_else(|_| Uri::from_static("*"))
}

impl Future for Answer<'_> {
    type Output = Result<http::Response<Answering>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut answer = ready!(Pin::new(&mut self.serving).poll(context));
        let wire = self.wire;
        if let Some(tunnel) = answer.body_mut().take_tunnel() {
            wire.switch(tunnel);
        } else if wire.is_last() {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(answer.map(|body| Answering { body, wire: wire.clone() })))
    }
}

impl http_body::Body for Inbound {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        Pin::new(&mut self.incoming).poll_frame(context).map_err(|_| self.wire.body_failure())
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl http_body::Body for Answering {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if !self.wire.moves() {
            return Pin::new(&mut self.body).poll_frame(context);
        }
        ready!(self.wire.poll_moved(context));
        let piece = ready!(self.body.poll_piece(context, Window::LENGTH as u64));
        Poll::Ready(piece.map(|piece| match piece? {
            Piece::Frame(frame) => Ok(frame),
            piece => self.wire.show(piece).map(Frame::data),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.wire.entrust(mem::take(&mut self.body));
        self.wire.end();
    }
}
