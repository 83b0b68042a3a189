//! The content of a `QUERY`, which is a part of its key (RFC 10008, section 2.7): read before anything else is done.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame};

use crate::body::Body;
use crate::cache::key;
use crate::failure::Failure;
use crate::message::Fields;

/// What was read of a body, and how to go on.
pub(super) struct Content {
    /// The whole, from its beginning.
    pub(super) body: Body,
    /// What it is in a key; `None` if it is too long for one.
    pub(super) digest: Option<String>,
}

/// What was read already, and the rest.
struct Again {
    read: VecDeque<Bytes>,
    rest: Body,
}

/// Longer contents are not looked at: they would have to be kept in memory while they come.
const MOST: usize = 64 << 10;

impl Content {
    /// Reads a body, as far as it may go into a key.
    pub(super) async fn read(mut body: Body, fields: &Fields) -> Result<Self, Failure> {
        let mut digest = key::Content::of(fields);
        let (mut read, mut length) = (VecDeque::new(), 0);
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            // Trailers of a request that is kept are for nobody.
            let Ok(bytes) = frame?.into_data() else { continue };
            length += bytes.len();
            digest.add(&bytes);
            read.push_back(bytes);
            if length > MOST {
                return Ok(Self { body: Body::stream(Again { read, rest: body }), digest: None });
            }
        }
        let whole: Vec<u8> = read.iter().flat_map(|bytes| bytes.iter().copied()).collect();
        Ok(Self { body: Bytes::from(whole).into(), digest: Some(digest.finish()) })
    }
}

impl http_body::Body for Again {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match self.read.pop_front() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
    }
}
