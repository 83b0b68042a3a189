//! One connection to a member, and one attempt on it.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::task::AbortHandle;

use super::progress::{Hints, Limits, Progress, Stage};
use super::tunnel::{Exit, Far, Left};
use super::{Endpoint, Upload};
use crate::body::Body;
use crate::clock::Deadline;
use crate::failure::{Failure, Kind};
use crate::message::{Fields, Status};

/// A connection that is not in the middle of anything.
pub struct Connection {
    sender: SendRequest<Upload>,
    endpoint: Arc<Endpoint>,
    deadline: Rc<Deadline>,
    codec: AbortHandle,
    exit: Exit,
    left: Option<Left>,
}

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
    /// The request, when not a byte of it was sent.
    pub unsent: Option<http::Request<Body>>,
}

/// Interim answers a member may send before the final one, as httpd limits them.
const MOST_INTERIM: usize = 10;

impl Connection {
    pub(super) const fn fresh(
        sender: SendRequest<Upload>,
        endpoint: Arc<Endpoint>,
        deadline: Rc<Deadline>,
        codec: AbortHandle,
        exit: Exit,
    ) -> Self {
        Self { sender, endpoint, deadline, codec, exit, left: None }
    }

    pub(super) const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether the next request can be sent; waits for the codec to put the last one behind it.
    pub(super) async fn is_usable(&mut self) -> bool {
        self.sender.is_ready() || self.sender.ready().await.is_ok()
    }

    /// The next request asks for another protocol: if it is granted, `leave` gives the stream.
    pub fn may_leave(&mut self) {
        self.left = Some(self.exit.open());
    }

    /// The stream beneath, after an answer that granted another protocol; the connection is no more.
    ///
    /// # Errors
    /// When it broke at that very moment, or nobody said before that it may be left.
    pub async fn leave(mut self) -> Result<Far, Failure> {
        let broken = || Failure::of(Kind::UpstreamReset, "the connection ended with its 101");
        match self.left.take() {
            Some(left) => left.await.map_err(|_| broken()),
            None => Err(Failure::of(Kind::Internal, "the connection cannot be left")),
        }
    }

    /// Sends a request and waits for the head of its answer. `interim` is told of 1xx answers but `100 Continue`, which
    /// lets a body go that `expects` it. Dropping the future gives the exchange up and closes the connection.
    ///
    /// # Errors
    /// With the request, when nothing of it was sent.
    pub async fn ask(
        &mut self,
        request: http::Request<Body>,
        limits: Limits,
        expects: bool,
        mut interim: impl FnMut(Status, Fields),
    ) -> Result<Answered, Unanswered> {
        let (head, body) = request.into_parts();
        let stage = match (http_body::Body::is_end_stream(&body), expects) {
            (true, _) => Stage::Answer,
            (false, true) => Stage::Permission,
            (false, false) => Stage::Member,
        };
        let progress = Progress::begin(self.deadline.clone(), limits, stage);
        let mut request = http::Request::from_parts(head, Upload::of(body, progress.clone()));
        let hints = Hints::default();
        hints.listen(&mut request);
        let mut sent = pin!(self.sender.try_send_request(request));
        let mut heard = 0;
        let answer = poll_fn(|context| {
            for (status, fields) in hints.take(context) {
                heard += 1;
                if status == Status::CONTINUE {
                    progress.permit();
                } else if heard <= MOST_INTERIM {
                    interim(status, fields);
                } else {
                    return Poll::Ready(Err(Failure::of(Kind::BadResponse, "more than 10 interim answers").into()));
                }
            }
            if let Poll::Ready(answer) = sent.as_mut().poll(context) {
                return Poll::Ready(answer.map_err(|error| explain(error, &progress)));
            }
            while progress.is_over(context) {
                if progress.stage() != Stage::Permission {
                    return Poll::Ready(Err(progress.overdue().into()));
                }
                progress.permit();
            }
            Poll::Pending
        });
        let response = answer.await?;
        progress.reach(Stage::Body);
        progress.rest();
        Ok(Answered { response, progress })
    }
}

/// Nobody waits for what the codec still does; without this a member that takes no byte would keep it, the request's body
/// and the client's connection for ever.
impl Drop for Connection {
    fn drop(&mut self) {
        self.codec.abort();
    }
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self { failure, unsent: None }
    }
}

fn explain(mut error: hyper::client::conn::TrySendError<http::Request<Upload>>, progress: &Progress) -> Unanswered {
    let unsent = error.take_message().map(|request| request.map(Upload::into_body));
    if let Some(failure) = progress.failure() {
        return Unanswered { failure, unsent };
    }
    let error = error.into_error();
    let kind = if error.is_parse() { Kind::BadResponse } else { Kind::UpstreamReset };
    Unanswered { failure: Failure::of(kind, chain(&error)), unsent }
}

/// An error with its causes, which is where the useful part is.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
