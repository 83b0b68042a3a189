//! A request's body that may not be longer than a limit, must be as long as it says, and is counted on its way.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::finish::cleaned;
use crate::body::Body;
use crate::failure::{Failure, Kind};

/// A body that fails when it grows beyond its limit, or is not as long as its head said.
pub(super) struct Limited {
    body: Body,
    most: u64,
    length: Option<u64>,
    seen: Rc<Cell<u64>>,
}

impl Limited {
    /// Limits a body; `seen` counts its bytes.
    pub(super) fn of(body: Body, most: Option<u64>, length: Option<u64>, seen: Rc<Cell<u64>>) -> Self {
        Self { body, most: most.unwrap_or(u64::MAX), length, seen }
    }

    fn count(&self, bytes: u64) -> Result<(), Failure> {
        self.seen.set(self.seen.get() + bytes);
        if self.seen.get() > self.most {
            return Err(Failure::of(Kind::BodyTooLarge, format!("more than {} bytes", self.most)));
        }
        match self.length {
            Some(length) if self.seen.get() > length => Err(unlike(length)),
            _ => Ok(()),
        }
    }

    /// At the end: whether all came that was announced.
    fn close(&self) -> Result<(), Failure> {
        match self.length {
            Some(length) if self.seen.get() < length => Err(unlike(length)),
            _ => Ok(()),
        }
    }
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let polled = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            Some(Err(failure)) => return Poll::Ready(Some(Err(failure))),
            None => return Poll::Ready(self.close().err().map(Err)),
        };
        let checked = match polled.data_ref() {
            Some(data) => self.count(data.len() as u64),
            None => self.close(),
        };
        // Who reads may not look for an end behind the last byte.
        let checked = if self.body.is_over() { checked.and_then(|()| self.close()) } else { checked };
        Poll::Ready(Some(checked.map(|()| cleaned(polled))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_over() && self.close().is_ok()
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) => SizeHint::with_exact(length.saturating_sub(self.seen.get())),
            None => self.body.size_hint(),
        }
    }
}

/// RFC 9113, section 8.1.1; RFC 9114, section 4.1.2.
fn unlike(length: u64) -> Failure {
    Failure::of(Kind::MalformedBody, format!("the body is not {length} bytes long, as Content-Length says"))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Pieces, one after the other.
    struct Pieces(Vec<&'static str>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = Failure;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
            let next = if self.0.is_empty() { None } else { Some(self.0.remove(0)) };
            Poll::Ready(next.map(|piece| Ok(Frame::data(Bytes::from(piece)))))
        }
    }

    #[tokio::test]
    async fn a_body_is_as_long_as_it_says_and_no_longer_than_it_may_be() {
        let cases: [(&[&str], _, _, _); 8] = [
            (&["ab", "c"], None, None, Ok(3)),
            (&["ab", "c"], Some(3), Some(3), Ok(3)),
            (&["ab", "c"], Some(2), None, Err(Kind::BodyTooLarge)),
            (&["ab", "c"], None, Some(2), Err(Kind::MalformedBody)),
            (&["ab", "c"], None, Some(4), Err(Kind::MalformedBody)),
            (&["abc"], None, Some(0), Err(Kind::MalformedBody)),
            (&[], None, Some(1), Err(Kind::MalformedBody)),
            (&[], None, Some(0), Ok(0)),
        ];
        for (pieces, most, length, expected) in cases {
            let seen = Rc::new(Cell::new(0));
            let mut body = Limited::of(Body::stream(Pieces(pieces.to_vec())), most, length, seen.clone());
            let mut ended = Ok(());
            while let Some(frame) = poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut body), context)).await {
                if let Err(failure) = frame {
                    ended = Err(failure.kind);
                    break;
                }
            }
            assert_eq!(ended.map(|()| seen.get()), expected, "{pieces:?} {most:?} {length:?}");
        }
    }
}
