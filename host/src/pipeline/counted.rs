//! A body whose bytes are counted as its member's traffic while they pass.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::body::Body;
use crate::failure::Failure;
use crate::pool::{Member, Pool};

/// A body being counted.
struct Counted {
    body: Body,
    member: Arc<Member>,
}

/// The body, counted when the pool goes by traffic.
pub(super) fn counted(body: Body, pool: &Pool, member: &Arc<Member>) -> Body {
    match pool.wants_traffic() && !body.is_over() {
        true => Body::stream(Counted { body, member: member.clone() }),
        false => body,
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.member.carry(frame.data_ref().map_or(0, Bytes::len));
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
