//! A body that is stored, and that its client reads from what is stored of it.
//!
//! A task reads it, as fast as a shelf takes it: a client that is slow keeps neither others from following nor a member's
//! connection. What no shelf takes (any more) is read as fast as somebody wants it. The client gets what it would get
//! without a cache: every byte, trailers, and the reason if it breaks off; when it leaves, what is wanted is read on.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Sleep;

use crate::body::Body;
use crate::cache::Stored;
use crate::clock::Duration;
use crate::failure::Failure;
use crate::shelf::{Follow, Writing};

/// What a client gets of a body that is stored.
struct Own {
    follow: Follow,
    read: u64,
    end: Rc<RefCell<Option<End>>>,
}

/// How a body ended, for the client that it was fetched for.
struct End {
    length: u64,
    /// Trailers, or why it broke off.
    last: Option<Result<Frame<Bytes>, Failure>>,
}

/// A body on its way to the shelf.
struct Pump {
    body: Body,
    kept: Kept,
    end: Rc<RefCell<Option<End>>>,
}

struct Kept {
    writing: Writing,
    /// To check the length with.
    stored: Stored,
    length: u64,
    /// How much longer the disk is waited for.
    patience: Option<Pin<Box<Sleep>>>,
}

/// A disk that stands still so long is not waited for: the object goes into memory, or nowhere.
const PATIENCE: Duration = Duration::from_secs(1);

/// Stores a body, and gives what the client gets. A body that is at hand is stored at once.
pub(super) fn store(body: Body, writing: Writing, stored: Stored) -> Body {
    let kept = Kept::of(writing, stored);
    match body {
        Body::Bytes(Some(bytes)) => {
            kept.whole(&bytes);
            Body::from(bytes)
        }
        body if body.is_over() => {
            kept.finish();
            body
        }
        body => {
            let end = Rc::default();
            let own = Own { follow: kept.writing.own(), read: 0, end: Rc::clone(&end) };
            tokio::task::spawn_local(Pump { body, kept, end }.run());
            Body::stream(own)
        }
    }
}

/// Stores a body that nobody gets as it is.
pub(super) fn fill(body: Body, writing: Writing, stored: Stored) {
    let kept = Kept::of(writing, stored);
    match body {
        Body::Bytes(Some(bytes)) => kept.whole(&bytes),
        body if body.is_over() => kept.finish(),
        body => drop(tokio::task::spawn_local(Pump { body, kept, end: Rc::default() }.run())),
    }
}

impl Pump {
    async fn run(mut self) {
        let last = loop {
            poll_fn(|context| self.kept.poll_ready(context)).await;
            let Some(frame) = poll_fn(|context| self.poll_frame(context)).await else {
                // Nobody wants it.
                return;
            };
            match frame {
                Some(Ok(frame)) => {
                    frame.data_ref().into_iter().for_each(|bytes| self.kept.push(bytes));
                    if frame.is_trailers() {
                        break Some(Ok(frame));
                    }
                    if self.body.is_over() {
                        break None;
                    }
                }
                Some(Err(failure)) => break Some(Err(failure)),
                None => break None,
            }
        };
        let is_whole = !matches!(last, Some(Err(_)));
        // Before anybody is woken by what comes next. Not finished, it is broken off.
        *self.end.borrow_mut() = Some(End { length: self.kept.length, last });
        if is_whole {
            self.kept.finish();
        }
    }

    /// The next frame, when it is wanted; `None` when nothing is wanted any more.
    #[allow(clippy::option_option, reason = "that nobody wants more and that there is no more are two things")]
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Option<Came>>> {
        if !ready!(self.kept.writing.poll_wanted(context)) {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(context).map(Some)
    }
}

/// Of a body.
type Came = Result<Frame<Bytes>, Failure>;

impl Kept {
    fn of(writing: Writing, stored: Stored) -> Self {
        Self { writing, stored, length: 0, patience: None }
    }

    fn whole(mut self, bytes: &Bytes) {
        self.push(bytes);
        self.finish();
    }

    fn push(&mut self, bytes: &Bytes) {
        self.length += bytes.len() as u64;
        self.writing.push(bytes.clone());
    }

    /// Whole, if it is as long as it said.
    fn finish(mut self) {
        if self.stored.finish(self.length).is_ok() {
            self.writing.finish();
        }
    }

    /// Ready when there is room for more on the way to the disk, or no hope for it.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.writing.poll_ready(context).is_ready() {
            self.patience = None;
            return Poll::Ready(());
        }
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
        ready!(patience.as_mut().poll(context));
        self.patience = None;
        self.writing.hurry();
        Poll::Ready(())
    }
}

impl http_body::Body for Own {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        let polled = ready!(Pin::new(&mut this.follow).poll_frame(context));
        if let Some(Ok(frame)) = &polled {
            this.read += frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
            return Poll::Ready(polled);
        }
        // Also where nothing was stored in the end, because it was not as long as it said.
        let mut end = this.end.borrow_mut();
        match end.as_mut().filter(|end| end.length == this.read) {
            Some(end) => Poll::Ready(end.last.take()),
            None => Poll::Ready(polled),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.follow.is_end_stream() && self.end.borrow().as_ref().is_some_and(|end| end.last.is_none())
    }

    fn size_hint(&self) -> SizeHint {
        self.follow.size_hint()
    }
}
