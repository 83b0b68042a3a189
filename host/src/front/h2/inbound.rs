//! What comes from the client on one stream: whether its head is an honest request, and its body.
//!
//! The codec refuses what breaks RFC 9113 by itself: pseudo-fields that are missing, twice or misplaced, fields of a
//! connection, names in upper case, lengths that do not match. Here is what it lets through. The window of a body opens only
//! as far as the pipeline took it, so memory is bounded by the window.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::request::Parts;
use http::{HeaderMap, header};
use http_body::{Frame, SizeHint};

use super::link::Link;
use crate::clock::Duration;
use crate::failure::{Failure, Kind};
use crate::front::pace::Wait;
use crate::front::streams::{self, LINE, Limits};
use crate::message::{Fields, Method, Status, Value};
use crate::pipeline::Interim;

/// Why a request does not reach the pipeline.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is no request; the stream is reset (RFC 9113, section 8.1.1).
    Malformed(Failure),
    /// It is more than is taken, and is told so.
    Beyond(Failure),
}

/// The client's side of a stream, held by its exchange: when that is over, so is the body, whoever still has it.
#[derive(Clone)]
pub(super) struct Inlet(Rc<Near>);

struct Near {
    stream: RefCell<Option<RecvStream>>,
    /// Bytes of the answer that went the other way so far.
    answered: Cell<u64>,
}

/// A client's body.
pub(super) struct Inbound {
    inlet: Inlet,
    /// Bytes to come, when the head has said so; the codec holds the client to it.
    left: Option<u64>,
    is_data_over: bool,
    wait: Wait,
    /// Where a client that waits for `100 Continue` is to be told.
    permission: Option<Rc<dyn Interim>>,
}

/// How long a client may go on sending after its answer.
const LINGER: Duration = Duration::from_secs(1);

/// How much of it is read: small uploads to their end, and a bound on what one refusal costs.
const MOST_LINGERED: usize = 1 << 20;

/// Checks a head, and brings it into the one form that the pipeline reads.
pub(super) fn read(head: &mut Parts, is_tunnel: bool, limits: &Limits) -> Result<(), Refused> {
    let malformed = |detail| Err(Refused::Malformed(Failure::of(Kind::MalformedRequest, detail)));
    join_cookies(head);
    measure(head, limits)?;
    if streams::has_padding(&head.headers) {
        // RFC 9113, section 8.2.1.
        return malformed("a field's value begins or ends with white space");
    }
    if head.headers.get_all(header::CONTENT_LENGTH).iter().nth(1).is_some()
        && let Some(length) = head.headers.get(header::CONTENT_LENGTH).cloned()
    {
        // The codec has seen that they are equal (RFC 9110, section 8.6).
        head.headers.insert(header::CONTENT_LENGTH, length);
    }
    if head.method == Method::CONNECT && !is_tunnel {
        return Ok(());
    }
    // RFC 9113, section 8.3.1.
    let path = head.uri.path();
    let is_path = path.starts_with('/') || path == "*" && head.method == Method::OPTIONS;
    if !is_path {
        return malformed(":path does not begin with a slash");
    }
    streams::check_authority(head).map_err(|detail| Refused::Malformed(Failure::of(Kind::BadHost, detail)))
}

/// Crumbs become one line again before anybody sees them who speaks HTTP/1 (RFC 9113, section 8.2.3).
fn join_cookies(head: &mut Parts) {
    let crumbs: Vec<_> = head.headers.get_all(header::COOKIE).iter().map(Value::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(whole) = Value::from_bytes(&crumbs.join(&b"; "[..])) {
        head.headers.insert(header::COOKIE, whole);
    }
}

/// The same measure as an HTTP/1 head has.
fn measure(head: &Parts, limits: &Limits) -> Result<(), Refused> {
    let beyond = |kind, detail: String| Err(Refused::Beyond(Failure::of(kind, detail)));
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.max_target {
        return beyond(Kind::TargetTooLong, format!("{target} bytes, {} are allowed", limits.max_target));
    }
    if head.headers.len() > limits.max_fields {
        let text = format!("{} fields, {} are allowed", head.headers.len(), limits.max_fields);
        return beyond(Kind::HeadTooLarge, text);
    }
    let authority = head.uri.authority().map_or(0, |authority| authority.as_str().len());
    let lines = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + LINE).sum::<usize>();
    let length = head.method.as_str().len() + target + authority + lines;
    if length > limits.max_head {
        return beyond(Kind::HeadTooLarge, format!("{length} bytes, {} are allowed", limits.max_head));
    }
    Ok(())
}

/// Whether the client holds its body back until it is asked for (RFC 9110, section 10.1.1).
fn expects_continue(head: &Parts) -> bool {
    let mut lines = head.headers.get_all(header::EXPECT).iter();
    lines.any(|line| line.as_bytes().trim_ascii().eq_ignore_ascii_case(b"100-continue"))
}

impl Inlet {
    pub(super) fn of(stream: RecvStream) -> Self {
        Self(Rc::new(Near { stream: RefCell::new(Some(stream)), answered: Cell::default() }))
    }

    /// So many bytes of the answer went the other way: a client that takes them is not gone, whatever it sends.
    pub(super) fn note_answered(&self, bytes: usize) {
        self.0.answered.set(self.0.answered.get().saturating_add(bytes as u64));
    }

    /// Nothing more is read: the codec tells the client, if it is still sending.
    pub(super) fn close(&self) -> Option<RecvStream> {
        self.0.stream.borrow_mut().take()
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.stream.borrow().as_ref().is_none_or(RecvStream::is_end_stream)
    }
}

impl Inbound {
    pub(super) fn of(inlet: Inlet, head: &Parts, link: &Link, interim: &Rc<impl Interim + 'static>) -> Self {
        let length = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let wait = Wait::of(link.ticker.deadline(), link.limits.body, link.pace_of_body());
        let permission = expects_continue(head).then(|| interim.clone() as Rc<dyn Interim>);
        Self { inlet, left: length, is_data_over: false, wait, permission }
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let mut inlet = self.inlet.0.stream.borrow_mut();
        let Some(stream) = &mut *inlet else { return Poll::Ready(Some(Err(unwanted()))) };
        let Poll::Ready(polled) = stream.poll_data(context) else {
            // Somebody wants the body, and the client has not begun to send it (RFC 9110, section 10.1.1).
            if let Some(client) = self.permission.take() {
                client.send(Status::CONTINUE, Fields::default());
            }
            return self.wait.poll(context, self.inlet.0.answered.get()).map(Some);
        };
        self.permission = None;
        self.wait.calm();
        Poll::Ready(polled.map(|data| {
            let data = data.map_err(|error| cut(&error))?;
            let _ = stream.flow_control().release_capacity(data.len());
            self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
            self.wait.moved(data.len());
            Ok(data)
        }))
    }

    fn poll_trailers(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<HeaderMap, Failure>>> {
        let mut inlet = self.inlet.0.stream.borrow_mut();
        let Some(stream) = &mut *inlet else { return Poll::Ready(Some(Err(unwanted()))) };
        match stream.poll_trailers(context) {
            Poll::Ready(Ok(trailers)) => Poll::Ready(trailers.map(Ok)),
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(cut(&error)))),
            Poll::Pending => self.wait.poll(context, self.inlet.0.answered.get()).map(Some),
        }
    }
}

impl http_body::Body for Inbound {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if !self.is_data_over {
            match ready!(self.poll_data(context)) {
                Some(data) => return Poll::Ready(Some(data.map(Frame::data))),
                None => self.is_data_over = true,
            }
        }
        self.poll_trailers(context).map_ok(Frame::trailers)
    }

    fn is_end_stream(&self) -> bool {
        self.inlet.0.stream.borrow().as_ref().is_some_and(RecvStream::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn unwanted() -> Failure {
    Failure::of(Kind::ClientGone, "its exchange is over")
}

/// Reads what a client still sends after its answer, within bounds, then has the codec tell it to stop, if it is still
/// sending (RFC 9113, section 8.1): many clients take being stopped for a failure, and forget the answer.
pub(super) async fn linger(mut rest: RecvStream, link: &Link) {
    let deadline = link.ticker.deadline();
    deadline.arm(LINGER);
    let mut read = 0;
    while read < MOST_LINGERED && !rest.is_end_stream() {
        match deadline.limit(poll_fn(|context| rest.poll_data(context))).await {
            Ok(Some(Ok(data))) => {
                read += data.len();
                let _ = rest.flow_control().release_capacity(data.len());
            }
            Ok(Some(Err(_)) | None) | Err(_) => return,
        }
    }
}

/// Why a body is not whole.
fn cut(error: &h2::Error) -> Failure {
    let kind = if error.is_library() && error.is_reset() { Kind::MalformedBody } else { Kind::ClientGone };
    Failure::of(kind, error.to_string())
}
