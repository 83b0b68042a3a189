//! An answer's body on its way from a member, and what becomes of the connection when it ends.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::progress::Stage;
use super::{Connection, Connections, Incoming, Keeping, Progress};
use crate::failure::Failure;

/// A body being received. `guard` is dropped when the body is over, or is given up.
pub struct Download<G> {
    incoming: Incoming,
    progress: Rc<Progress>,
    back: Option<Back>,
    guard: Option<G>,
    is_waiting: bool,
}

/// What is held as long as a body is received, and told of it.
pub trait Guard {
    /// So many bytes came.
    fn received(&self, bytes: usize);
    /// It ended before its end.
    fn cut(&self);
}

/// A connection and where it goes after a whole exchange.
struct Back {
    connection: Connection,
    to: Rc<Connections>,
    keeping: Keeping,
}

impl Guard for () {
    fn received(&self, _: usize) {}
    fn cut(&self) {}
}

impl<G: Guard> Download<G> {
    /// The body of an answer.
    pub fn of(
        incoming: Incoming,
        progress: Rc<Progress>,
        connection: Connection,
        (to, keeping): (Rc<Connections>, Keeping),
        guard: G,
    ) -> Self {
        let back = Some(Back { connection, to, keeping });
        let mut download = Self { incoming, progress, back, guard: Some(guard), is_waiting: false };
        if download.incoming.is_end_stream() {
            download.finish();
        }
        download
    }

    /// The exchange is whole: the connection may serve another, if its request was sent to its end too. One that is shared
    /// goes on in any case; what was left of the request is cancelled.
    fn finish(&mut self) {
        self.guard = None;
        self.progress.rest();
        if let Some(Back { connection, to, keeping }) = self.back.take()
            && (self.progress.is_sent() || connection.is_shared())
            && keeping.most > 0
        {
            to.keep(connection, keeping);
        }
    }

    fn break_off(&mut self) {
        self.back = None;
        if let Some(guard) = self.guard.take() {
            guard.cut();
        }
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if !self.is_waiting {
            self.is_waiting = true;
            self.progress.reach(Stage::Body);
        }
        if !self.progress.is_silent(context) {
            return Poll::Pending;
        }
        self.break_off();
        Poll::Ready(Some(Err(self.progress.overdue())))
    }
}

impl<G: Guard + Unpin> http_body::Body for Download<G> {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(context);
        if polled.is_pending() {
            return self.wait(context);
        }
        if self.is_waiting {
            self.is_waiting = false;
            self.progress.rest();
        }
        let frame = match ready!(polled) {
            Some(Ok(frame)) => frame,
            None => {
                self.finish();
                return Poll::Ready(None);
            }
            Some(Err(failure)) => {
                self.break_off();
                return Poll::Ready(Some(Err(failure)));
            }
        };
        if let (Some(guard), Some(data)) = (&self.guard, frame.data_ref()) {
            guard.received(data.len());
        }
        if self.incoming.is_end_stream() {
            self.finish();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
