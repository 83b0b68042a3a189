//! A request's body that may not be longer than a limit, and is counted on its way.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::finish::cleaned;
use crate::body::Body;
use crate::failure::{Failure, Kind};

/// A body that fails when it grows beyond its limit.
pub(super) struct Limited {
    body: Body,
    most: u64,
    seen: Rc<Cell<u64>>,
}

impl Limited {
    /// Limits a body; `seen` counts its bytes.
    pub(super) fn of(body: Body, most: Option<u64>, seen: Rc<Cell<u64>>) -> Self {
        Self { body, most: most.unwrap_or(u64::MAX), seen }
    }
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.seen.set(self.seen.get() + data.len() as u64);
            if self.seen.get() > self.most {
                let detail = format!("more than {} bytes", self.most);
                return Poll::Ready(Some(Err(Failure::of(Kind::BodyTooLarge, detail))));
            }
        }
        polled.map_ok(cleaned)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
