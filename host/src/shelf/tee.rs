//! A body on its way to its first client, that is written onto the shelves as it passes.
//!
//! What its source says is passed on as it is, errors and trailers too; only data is stored. Invariant: an object is finished
//! exactly if its source came to its end.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::writing::Writing;
use crate::body::Body;
use crate::failure::Failure;

/// A body that is written while it is read.
pub struct Tee {
    source: Body,
    writing: Option<Writing>,
}

impl Tee {
    /// Both.
    #[must_use]
    pub fn of(source: Body, writing: Writing) -> Self {
        Self { source, writing: Some(writing) }.settled()
    }

    /// Whether it is worth reading on without a client: somebody follows, or it will be stored.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.writing.as_ref().is_some_and(|writing| writing.is_kept() || writing.followers() > 0)
    }

    /// Reads the rest for those who follow and for the shelf: its first client has left. Dropped, it is broken off.
    pub async fn go_on(mut self) {
        while self.is_wanted() {
            let frame = poll_fn(|context| Pin::new(&mut self).poll_frame(context)).await;
            if !matches!(frame, Some(Ok(_))) {
                return;
            }
        }
    }

    fn settled(mut self) -> Self {
        self.settle();
        self
    }

    /// Who knows the length does not ask once more, so the end may have to be seen before it is reached.
    fn settle(&mut self) {
        if self.source.is_end_stream() {
            self.writing.take().map(Writing::finish);
        }
    }
}

impl http_body::Body for Tee {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if let Some(writing) = &mut self.writing {
            ready!(writing.poll_ready(context));
        }
        let frame = ready!(Pin::new(&mut self.source).poll_frame(context));
        match (&frame, &mut self.writing) {
            (Some(Ok(frame)), Some(writing)) => {
                frame.data_ref().into_iter().for_each(|bytes| writing.push(bytes.clone()));
                self.settle();
            }
            // Dropped, it is broken off.
            (Some(Err(_)), _) => self.writing = None,
            (None, _) => drop(self.writing.take().map(Writing::finish)),
            (Some(Ok(_)), None) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}
