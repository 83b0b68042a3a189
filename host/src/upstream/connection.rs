//! One connection to a member, and one attempt on it.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use http::{HeaderValue, header};
use hyper::client::conn::http1::SendRequest;
use tokio::task::AbortHandle;

use super::permit::Place;
use super::progress::{Hints, Limits, Progress, Stage};
use super::shared::Shared;
use super::speak::speak_alone;
use super::stream::Stream;
use super::tunnel::{Exit, Far, Leaving};
use super::waiting::Waiting;
use super::wire::Counted;
use super::{Endpoint, Incoming, Upload, socket};
use crate::body::Body;
use crate::clock::{Deadline, Duration};
use crate::failure::{Failure, Kind};
use crate::message::{Fields, Status, Version};
use crate::tls;

/// A connection that is not in the middle of anything: one of HTTP/1, or a place on one of HTTP/2.
pub struct Connection {
    line: Line,
    was_used: bool,
}

enum Line {
    Alone(Alone),
    Shared(Stream),
}

/// A connection of HTTP/1, which carries one exchange at a time.
pub(super) struct Alone {
    sender: SendRequest<Upload>,
    endpoint: Arc<Endpoint>,
    place: Place,
    deadline: Rc<Deadline>,
    codec: AbortHandle,
    exit: Exit<Beneath>,
    leaving: Option<Leaving<Beneath>>,
    /// Nothing stands between the codec and the socket.
    is_bare: bool,
    /// The answer at hand can be read without the codec, and is worth it.
    can_part: bool,
    /// After such an answer the connection may carry another request (RFC 9112, section 9.3).
    goes_on: bool,
}

/// What codecs of connections to members stand on.
pub(super) type Beneath = Counted<socket::Stream>;

/// The head of an answer, its body still to come.
pub struct Answered {
    /// What came.
    pub response: http::Response<Incoming>,
    /// The attempt it came in.
    pub progress: Rc<Progress>,
}

/// Why there is no answer.
pub struct Unanswered {
    /// What went wrong.
    pub failure: Failure,
    /// The member certainly did nothing with the request: not a byte was sent, or it said so (RFC 9113, section 8.7). It
    /// may be sent again whatever its method, if its body is still at hand.
    pub is_unsent: bool,
    /// The body of such a request, when nobody took anything of it.
    pub unsent: Option<Body>,
}

impl Connection {
    pub(super) const fn alone(alone: Alone) -> Self {
        Self { line: Line::Alone(alone), was_used: false }
    }

    pub(super) const fn shared(stream: Stream) -> Self {
        Self { line: Line::Shared(stream), was_used: false }
    }

    /// The connection of HTTP/1 that this is, or the place on one of HTTP/2.
    pub(super) fn apart(self) -> Result<Alone, Stream> {
        match self.line {
            Line::Alone(alone) => Ok(alone),
            Line::Shared(stream) => Err(stream),
        }
    }

    /// The shared connection that this is a place on.
    pub(super) const fn line(&self) -> Option<&Rc<Shared>> {
        match &self.line {
            Line::Alone(_) => None,
            Line::Shared(stream) => Some(stream.shared()),
        }
    }

    /// The same, used before: the member may have closed it meanwhile, and nobody knows yet.
    pub(super) fn used(mut self) -> Self {
        self.was_used = true;
        self
    }

    /// Whether it has served others before this exchange got it, be it at once or after waiting for it.
    #[must_use]
    pub const fn was_used(&self) -> bool {
        self.was_used
    }

    pub(super) const fn is_shared(&self) -> bool {
        matches!(self.line, Line::Shared(_))
    }

    pub(super) fn place(&self) -> &Place {
        match &self.line {
            Line::Alone(alone) => &alone.place,
            Line::Shared(stream) => stream.shared().place(),
        }
    }

    /// The next request asks for another protocol: if it is granted, `leave` gives the stream.
    pub fn may_leave(&mut self) {
        if let Line::Alone(alone) = &mut self.line {
            alone.leaving = Some(alone.exit.open());
        }
    }

    /// The stream beneath, after an answer that granted another protocol; the connection is no more, and does not count
    /// among those of its member.
    ///
    /// # Errors
    /// When it broke at that very moment, or nobody said before that it may be left.
    pub async fn leave(self) -> Result<Far, Failure> {
        let Line::Alone(mut alone) = self.line else {
            return Err(Failure::of(Kind::Internal, "a connection that others share cannot be left"));
        };
        match alone.leaving.take() {
            Some(leaving) => {
                let left = leaving.await;
                alone.place.release();
                let left = left.map_err(|_| Failure::of(Kind::UpstreamReset, "the connection ended with its 101"))?;
                Ok(Far { stream: Box::pin(left.stream), early: left.early })
            }
            None => Err(Failure::of(Kind::Internal, "the connection cannot be left")),
        }
    }

    /// Calls the codec out in the middle of an answer's body, where the rest of it can be read without and is worth it: it
    /// comes from a socket as it is, its length is known, and nothing of the request is left to be sent.
    pub(super) fn call_out(&self) -> Option<Leaving<Beneath>> {
        match &self.line {
            Line::Alone(alone) => alone.can_part.then(|| alone.exit.call()),
            Line::Shared(_) => None,
        }
    }

    /// The connection once more, behind an answer that was read to its end without its codec. None when it has served its
    /// time.
    pub(super) async fn again(self, stream: Beneath) -> Option<Self> {
        let alone = self.apart().ok().filter(|alone| alone.goes_on)?;
        let (endpoint, place, deadline) = (alone.endpoint.clone(), alone.place.clone(), alone.deadline.clone());
        speak_alone(stream, endpoint, place, deadline).await.ok().map(Self::alone)
    }

    /// Sends a request and waits for the head of its answer. `interim` is told of 1xx answers but `100 Continue`, which
    /// lets a body go that `expects` it. Dropping the future gives the exchange up, and closes a connection of HTTP/1.
    ///
    /// # Errors
    /// With the body, when nothing of the request was sent.
    pub async fn ask(
        &mut self,
        request: http::Request<Body>,
        limits: Limits,
        expects: bool,
        interim: impl FnMut(Status, Fields),
    ) -> Result<Answered, Unanswered> {
        match &mut self.line {
            Line::Alone(alone) => alone.ask(request, limits, expects, interim).await,
            // Boxed, so that exchanges over HTTP/1 do not carry the room for it.
            Line::Shared(stream) => Box::pin(stream.ask(request, limits, expects, interim)).await,
        }
    }
}

/// For the last bytes of a request whose answer is whole already: a moment, because another connection costs less.
const SETTLE: Duration = Duration::from_millis(100);

/// Answers from this length on are worth another way than through the codec, which costs two turns of its task and a codec
/// more.
const LONG: u64 = 256 << 10;

impl Alone {
    pub(super) const fn of(
        sender: SendRequest<Upload>,
        endpoint: Arc<Endpoint>,
        place: Place,
        deadline: Rc<Deadline>,
        codec: AbortHandle,
        exit: Exit<Beneath>,
    ) -> Self {
        let (is_bare, can_part, goes_on) = (false, false, false);
        Self { sender, endpoint, place, deadline, codec, exit, leaving: None, is_bare, can_part, goes_on }
    }

    /// Says whether its stream is nothing but a socket.
    pub(super) fn on(mut self, is_bare: bool) -> Self {
        self.is_bare = is_bare;
        self
    }

    pub(super) const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether the next request can be sent; waits for the codec to put the last one behind it.
    pub(super) async fn is_usable(&mut self) -> bool {
        // A member that has answered before it read all of a request may never read the rest, nor what comes behind it.
        self.sender.is_ready() || matches!(tokio::time::timeout(SETTLE, self.sender.ready()).await, Ok(Ok(())))
    }

    async fn ask(
        &mut self,
        request: http::Request<Body>,
        limits: Limits,
        expects: bool,
        interim: impl FnMut(Status, Fields),
    ) -> Result<Answered, Unanswered> {
        let (mut head, body) = request.into_parts();
        frame(&mut head, &body);
        let is_bodiless = body.is_over();
        let stage = Stage::first(is_bodiless, expects);
        let asks_to_close = closes(&head.headers);
        let progress = Progress::begin(self.deadline.clone(), limits, stage);
        let mut request = http::Request::from_parts(head, Upload::of(body, progress.clone()));
        let hints = Hints::default();
        hints.listen(&mut request);
        let mut sent = pin!(self.sender.try_send_request(request));
        let mut waiting = Waiting::of(&progress, interim);
        let answer = poll_fn(|context| {
            for (status, fields) in hints.take(context) {
                if let Err(failure) = waiting.hear(status, fields) {
                    return Poll::Ready(Err(failure.into()));
                }
            }
            if let Poll::Ready(answer) = sent.as_mut().poll(context) {
                return Poll::Ready(answer.map_err(|error| explain(error, &progress)));
            }
            waiting.overdue(context).map_or(Poll::Pending, |failure| Poll::Ready(Err(failure.into())))
        });
        let response = answer.await?;
        let length = http_body::Body::size_hint(response.body()).exact();
        self.can_part = self.is_bare && is_bodiless && length.is_some_and(|length| length >= LONG);
        if self.can_part {
            let is_last = response.version() != Version::HTTP_11 || closes(response.headers());
            self.goes_on = !asks_to_close && !is_last;
        }
        progress.reach(Stage::Body);
        progress.rest();
        Ok(Answered { response: response.map(Incoming::from), progress })
    }
}

/// Whether a head says that its connection ends with its message (RFC 9112, section 9.6).
fn closes(fields: &http::HeaderMap) -> bool {
    let mut options =
        fields.get_all(header::CONNECTION).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// Says how a body comes whose length nobody knows. The codec says so by itself, but not for methods that seldom have one:
/// theirs it would leave out (RFC 9112, section 6.3: a request without either has none).
fn frame(head: &mut http::request::Parts, body: &Body) {
    let is_unmeasured = !body.is_over() && http_body::Body::size_hint(body).exact().is_none();
    if is_unmeasured && !head.headers.contains_key(header::CONTENT_LENGTH) {
        head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Nobody waits for what the codec still does; without this a member that takes no byte would keep it, the request's body
/// and the client's connection for ever.
impl Drop for Alone {
    fn drop(&mut self) {
        self.codec.abort();
    }
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self { failure, is_unsent: false, unsent: None }
    }
}

fn explain(mut error: hyper::client::conn::TrySendError<http::Request<Upload>>, progress: &Progress) -> Unanswered {
    let unsent = error.take_message().map(|request| request.into_body().into_body());
    let is_unsent = unsent.is_some();
    if let Some(failure) = progress.failure() {
        return Unanswered { failure, is_unsent, unsent };
    }
    let error = error.into_error();
    if let Some(refusal) = std::error::Error::source(&error).and_then(tls::late_refusal) {
        return Unanswered { failure: Failure::of(Kind::TlsFailed, refusal), is_unsent: true, unsent };
    }
    let kind = if error.is_parse() { Kind::BadResponse } else { Kind::UpstreamReset };
    Unanswered { failure: Failure::of(kind, chain(&error)), is_unsent, unsent }
}

/// An error with its causes, which is where the useful part is.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
