//! A body on its way to a client that is stored as it goes.
//!
//! It goes as fast as the client takes it. When the client leaves, what is still wanted is read to its end without it.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Sleep;

use crate::body::Body;
use crate::cache::Stored;
use crate::clock::Duration;
use crate::failure::Failure;
use crate::shelf::Writing;

/// The body, and where it goes beside the client.
pub(super) struct Tee {
    body: Body,
    writing: Option<Box<Kept>>,
}

struct Kept {
    writing: Writing,
    /// To check the length with.
    stored: Stored,
    length: u64,
    /// How much longer the client waits for the disk.
    patience: Option<Pin<Box<Sleep>>>,
}

/// A disk that stands still so long is not waited for: the object goes into memory, or nowhere.
const PATIENCE: Duration = Duration::from_secs(1);

impl Tee {
    /// What the client gets. A body that is at hand is stored at once.
    pub(super) fn of(body: Body, writing: Writing, stored: Stored) -> Body {
        let mut kept = Kept { writing, stored, length: 0, patience: None };
        match body {
            Body::Bytes(Some(bytes)) => {
                kept.push(&bytes);
                kept.finish();
                Body::from(bytes)
            }
            body if body.is_over() => {
                kept.finish();
                body
            }
            body => Body::stream(Self { body, writing: Some(Box::new(kept)) }),
        }
    }

    fn note(&mut self, frame: &Frame<Bytes>) {
        let is_over = frame.is_trailers() || self.body.is_over();
        if let (Some(kept), Some(bytes)) = (&mut self.writing, frame.data_ref()) {
            kept.push(bytes);
        }
        if is_over {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(kept) = self.writing.take() {
            kept.finish();
        }
    }
}

impl Kept {
    fn push(&mut self, bytes: &Bytes) {
        self.length += bytes.len() as u64;
        self.writing.push(bytes.clone());
    }

    fn is_wanted(&self) -> bool {
        self.writing.is_kept() || self.writing.followers() > 0
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

impl http_body::Body for Tee {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        if let Some(kept) = &mut this.writing {
            ready!(kept.poll_ready(context));
        }
        let polled = ready!(Pin::new(&mut this.body).poll_frame(context));
        match &polled {
            Some(Ok(frame)) => this.note(frame),
            // Dropped, it leaves nothing behind.
            Some(Err(_)) => this.writing = None,
            None => this.finish(),
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        let Some(kept) = self.writing.take() else { return };
        if kept.is_wanted() && tokio::runtime::Handle::try_current().is_ok() {
            tokio::task::spawn_local(read_on(std::mem::take(&mut self.body), kept));
        }
    }
}

/// Reads to the end for the shelf and for who follows.
async fn read_on(mut body: Body, mut kept: Box<Kept>) {
    while kept.is_wanted() {
        poll_fn(|context| kept.poll_ready(context)).await;
        match poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    kept.push(bytes);
                }
                if frame.is_trailers() || body.is_over() {
                    return kept.finish();
                }
            }
            Some(Err(_)) => return,
            None => return kept.finish(),
        }
    }
}
