//! A request's body on its way to a member.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::Progress;
use super::progress::Stage;
use crate::body::Body;
use crate::failure::Failure;

/// The body that the codec reads. Says through its progress what is being waited for.
pub struct Upload {
    body: Body,
    progress: Rc<Progress>,
}

impl Upload {
    pub(super) fn of(body: Body, progress: Rc<Progress>) -> Self {
        Self { body, progress }
    }

    /// The body again, of a request that was never sent.
    pub(super) fn into_body(self) -> Body {
        self.body
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if self.progress.stage() == Stage::Permission {
            self.progress.await_permission(context);
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(_))) = &polled {
            self.progress.moved();
        }
        match &polled {
            Poll::Pending => self.progress.reach(Stage::Client),
            Poll::Ready(Some(Ok(_))) if !self.body.is_end_stream() => self.progress.reach(Stage::Member),
            Poll::Ready(Some(Ok(_)) | None) => self.progress.sent(),
            Poll::Ready(Some(Err(failure))) => self.progress.fail(failure.clone()),
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
