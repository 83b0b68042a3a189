//! One exchange on a shared HTTP/2 connection: its request as RFC 9113 wants it, its body on the way up, its answer.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::header;
use http::uri::{Authority, Scheme, Uri};
use http_body::{Body as _, Frame};
use tokio::task::AbortHandle;

use super::connection::chain;
use super::progress::Stage;
use super::shared::Shared;
use super::waiting::Waiting;
use super::{Answered, Incoming, Keeping, Limits, Progress, Unanswered, Upload};
use crate::body::Body;
use crate::clock::{Deadline, Ticker};
use crate::failure::{Failure, Kind};
use crate::message::{Fields, Name, Status};

/// A place on a shared connection, for one exchange. Dropping it cancels what goes on there and nothing else.
pub(super) struct Stream {
    shared: Rc<Shared>,
    deadline: Rc<Deadline>,
    pump: Option<AbortHandle>,
}

/// Fields of an HTTP/1 connection, which make an HTTP/2 request malformed (RFC 9113, section 8.2.2).
const HOPS: [Name; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    Name::from_static("keep-alive"),
    Name::from_static("proxy-connection"),
];

impl Stream {
    pub(super) fn on(shared: Rc<Shared>, ticker: &Ticker) -> Self {
        shared.enter();
        Self { shared, deadline: Rc::new(ticker.deadline()), pump: None }
    }

    pub(super) const fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// The exchange was whole, and this is how the connection is to rest.
    pub(super) fn keep(self, keeping: Keeping) {
        self.shared.keep(keeping);
    }

    pub(super) async fn ask(
        &mut self,
        request: http::Request<Body>,
        limits: Limits,
        expects: bool,
        interim: impl FnMut(Status, Fields),
    ) -> Result<Answered, Unanswered> {
        let (mut head, body) = request.into_parts();
        let is_whole = body.is_over();
        if let Err(failure) = translate(&mut head, &body, self.shared.endpoint().transport.tls.is_some()) {
            return Err(unsent(failure, body));
        }
        let Some(mut sender) = self.shared.sender() else {
            return Err(unsent(Failure::of(Kind::UpstreamReset, "the connection takes no more requests"), body));
        };
        let (mut response, stream) = match sender.send_request(http::Request::from_parts(head, ()), is_whole) {
            Ok(begun) => begun,
            Err(error) => return Err(unsent(Failure::of(Kind::UpstreamReset, chain(&error)), body)),
        };
        let progress = Progress::begin(self.deadline.clone(), limits, Stage::first(is_whole, expects));
        if !is_whole {
            let upload = Upload::of(body, progress.clone());
            self.pump = Some(tokio::task::spawn_local(pump(stream, upload)).abort_handle());
        }
        let mut waiting = Waiting::of(&progress, interim);
        let answer = poll_fn(|context| {
            while let Poll::Ready(Some(Ok(head))) = response.poll_informational(context) {
                let (head, ()) = head.into_parts();
                if let Err(failure) = waiting.hear(head.status, head.headers.into()) {
                    return Poll::Ready(Err(failure.into()));
                }
            }
            if let Poll::Ready(answer) = Pin::new(&mut response).poll(context) {
                return Poll::Ready(answer.map_err(|error| explain(&error, &progress, is_whole)));
            }
            waiting.overdue(context).map_or(Poll::Pending, |failure| Poll::Ready(Err(failure.into())))
        });
        let response = answer.await?;
        progress.reach(Stage::Body);
        progress.rest();
        let length = length(response.headers());
        Ok(Answered { response: response.map(|stream| Incoming::streamed(stream, length)), progress })
    }
}

/// The streams of `h2` reset themselves when they are dropped before their end.
impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(pump) = &self.pump {
            pump.abort();
        }
        self.shared.leave();
    }
}

/// Makes a request of HTTP/1 one of HTTP/2: `Host` becomes `:authority`, the connection's fields go (RFC 9113, section 8.3.1).
fn translate(head: &mut http::request::Parts, body: &Body, is_tls: bool) -> Result<(), Failure> {
    let host = head.headers.remove(header::HOST).ok_or_else(|| Failure::of(Kind::Internal, "no Host to ask for"))?;
    let authority = Authority::try_from(host.as_bytes()).map_err(|error| bad_target(&error))?;
    for name in HOPS {
        head.headers.remove(name);
    }
    if head.headers.get(header::TE).is_some_and(|te| te != "trailers") {
        head.headers.remove(header::TE);
    }
    if !head.headers.contains_key(header::CONTENT_LENGTH)
        && let Some(length) = body.size_hint().exact()
        && (length > 0 || matches!(head.method.as_str(), "POST" | "PUT" | "PATCH"))
    {
        head.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if is_tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(authority);
    parts.path_and_query = head.uri.path_and_query().cloned();
    head.uri = Uri::from_parts(parts).map_err(|error| bad_target(&error))?;
    head.version = http::Version::HTTP_2;
    Ok(())
}

fn bad_target(error: &dyn std::error::Error) -> Failure {
    Failure::of(Kind::Internal, format!("the request cannot be asked for over HTTP/2: {error}"))
}

fn unsent(failure: Failure, body: Body) -> Unanswered {
    Unanswered { failure, is_unsent: true, unsent: Some(body) }
}

/// What a stream's end means. A stream that the member refused, or that is beyond the last one its GOAWAY speaks of, was
/// not looked at (RFC 9113, section 8.7).
fn explain(error: &h2::Error, progress: &Progress, is_whole: bool) -> Unanswered {
    if let Some(failure) = progress.failure() {
        return failure.into();
    }
    let is_refused = error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM);
    let is_unsent = error.is_remote() && is_refused;
    let kind = if error.is_library() { Kind::BadResponse } else { Kind::UpstreamReset };
    let unsent = (is_unsent && is_whole).then_some(Body::Empty);
    Unanswered { failure: Failure::of(kind, chain(error)), is_unsent, unsent }
}

/// The length an answer says, for whoever frames it again; `h2` holds the member to it.
fn length(fields: &http::HeaderMap) -> Option<u64> {
    fields.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Carries a request's body up, one frame at a time, each only after the member made room for it.
async fn pump(mut stream: SendStream<Bytes>, mut upload: Upload) {
    loop {
        let frame = poll_fn(|context| poll_frame(&mut stream, &mut upload, context)).await;
        let is_last = upload.is_end_stream();
        let sent = match frame.map(Frame::into_data) {
            Pumped::Frame(Some(Ok(data))) => {
                if !data.is_empty() && !has_room(&mut stream).await {
                    return;
                }
                stream.send_data(data, is_last)
            }
            Pumped::Frame(Some(Err(trailers))) => {
                let trailers = trailers.into_trailers().unwrap_or_default();
                let _ = stream.send_trailers(trailers);
                return;
            }
            Pumped::Frame(None) => {
                let _ = stream.send_data(Bytes::new(), true);
                return;
            }
            Pumped::Failed => return stream.send_reset(Reason::CANCEL),
            Pumped::Reset => return,
        };
        if is_last || sent.is_err() {
            return;
        }
    }
}

enum Pumped<F> {
    /// What the client sent; `None` at its end.
    Frame(Option<F>),
    /// The client's body is broken.
    Failed,
    /// The member wants no more of it; it may have answered (RFC 9113, section 8.1).
    Reset,
}

impl<F> Pumped<F> {
    fn map<G>(self, change: impl FnOnce(F) -> G) -> Pumped<G> {
        match self {
            Pumped::Frame(frame) => Pumped::Frame(frame.map(change)),
            Pumped::Failed => Pumped::Failed,
            Pumped::Reset => Pumped::Reset,
        }
    }
}

fn poll_frame(
    stream: &mut SendStream<Bytes>,
    upload: &mut Upload,
    context: &mut Context<'_>,
) -> Poll<Pumped<Frame<Bytes>>> {
    if stream.poll_reset(context).is_ready() {
        return Poll::Ready(Pumped::Reset);
    }
    Poll::Ready(match ready!(Pin::new(upload).poll_frame(context)) {
        Some(Ok(frame)) => Pumped::Frame(Some(frame)),
        Some(Err(_)) => Pumped::Failed,
        None => Pumped::Frame(None),
    })
}

/// Waits until the member takes something. One byte is asked for, so that a stream does not hold room that others could
/// use; `h2` asks for the rest of the frame when it has it.
async fn has_room(stream: &mut SendStream<Bytes>) -> bool {
    stream.reserve_capacity(1);
    poll_fn(|context| {
        while stream.capacity() == 0 {
            match ready!(stream.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(false),
            }
        }
        Poll::Ready(true)
    })
    .await
}
