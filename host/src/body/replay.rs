//! A body that may be sent more than once: what was read of it is kept, up to a bound, and played again from its beginning.
//!
//! One view is read at a time. Invariant: as long as the body is whole, a view yields every frame from the first on.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::Body;
use crate::failure::Failure;

/// A body, and what was read of it.
pub struct Replay(Option<Rc<RefCell<Source>>>);

struct Source {
    body: Body,
    /// As the body said before it was read.
    size: SizeHint,
    kept: Vec<Kept>,
    room: usize,
    is_whole: bool,
}

enum Kept {
    Data(Bytes),
    Trailers(http::HeaderMap),
}

/// The body once more, from its beginning.
struct View {
    source: Rc<RefCell<Source>>,
    next: usize,
}

impl Replay {
    /// A body of which at most `room` bytes are kept. What is not read at all can be sent again whatever the room.
    #[must_use]
    pub fn of(body: Body, room: usize) -> Self {
        if body.is_over() {
            return Self(None);
        }
        let size = body.size_hint();
        Self(Some(Rc::new(RefCell::new(Source { body, size, kept: Vec::new(), room, is_whole: true }))))
    }

    /// The body from its beginning, or from where it is when it is not whole any more.
    #[must_use]
    pub fn view(&self) -> Body {
        match &self.0 {
            None => Body::Empty,
            Some(source) => Body::stream(View { source: source.clone(), next: 0 }),
        }
    }

    /// Whether a view would begin at the beginning.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.as_ref().is_none_or(|source| source.borrow().is_whole)
    }
}

impl Source {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.keep(frame),
            Poll::Ready(Some(Err(_))) => self.let_go(),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if !self.is_whole {
            return;
        }
        let kept = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Kept::Data(data.clone()),
            (None, Some(trailers)) => Kept::Trailers(trailers.clone()),
            (None, None) => return,
        };
        // A frame costs its place beside its bytes, so that a body of single bytes is bounded too.
        let cost = frame.data_ref().map_or(0, Bytes::len) + size_of::<Kept>();
        match self.room.checked_sub(cost) {
            Some(room) => {
                self.room = room;
                self.kept.push(kept);
            }
            None => self.let_go(),
        }
    }

    fn let_go(&mut self) {
        self.is_whole = false;
        self.kept = Vec::new();
    }
}

impl http_body::Body for View {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let source = self.source.clone();
        let mut source = source.borrow_mut();
        let again = match source.kept.get(self.next) {
            Some(Kept::Data(data)) => Frame::data(data.clone()),
            Some(Kept::Trailers(trailers)) => Frame::trailers(trailers.clone()),
            None => {
                let polled = source.poll_next(context);
                self.next = source.kept.len();
                return polled;
            }
        };
        self.next += 1;
        Poll::Ready(Some(Ok(again)))
    }

    fn is_end_stream(&self) -> bool {
        let source = self.source.borrow();
        self.next >= source.kept.len() && source.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let source = self.source.borrow();
        if self.next == 0 && source.is_whole { source.size } else { source.body.size_hint() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use super::*;

    struct Parts(VecDeque<&'static str>);

    impl http_body::Body for Parts {
        type Data = Bytes;
        type Error = Failure;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
            Poll::Ready(self.0.pop_front().map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes())))))
        }
    }

    fn read(body: &mut Body, frames: usize) -> String {
        let mut context = Context::from_waker(Waker::noop());
        let mut text = String::new();
        for _ in 0..frames {
            let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut *body).poll_frame(&mut context) else { break };
            text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
        text
    }

    fn parts() -> Body {
        Body::stream(Parts(["ab", "cd", "ef"].into()))
    }

    #[test]
    fn what_was_read_is_read_again_from_the_beginning() {
        let replay = Replay::of(parts(), 1000);
        assert_eq!(read(&mut replay.view(), 2), "abcd");
        assert!(replay.is_whole());
        assert_eq!(read(&mut replay.view(), 1), "ab");
        assert_eq!(read(&mut replay.view(), 9), "abcdef");
    }

    #[test]
    fn a_body_beyond_the_room_is_not_whole_and_goes_on_where_it_is() {
        let replay = Replay::of(parts(), 3 + size_of::<Kept>());
        let mut view = replay.view();
        assert_eq!(read(&mut view, 1), "ab");
        assert!(replay.is_whole());
        assert_eq!(read(&mut view, 1), "cd");
        assert!(!replay.is_whole());
        assert_eq!(read(&mut view, 9), "ef");
    }

    #[test]
    fn what_nobody_read_is_whole_without_any_room() {
        let replay = Replay::of(parts(), 0);
        drop(replay.view());
        assert!(replay.is_whole());
        assert_eq!(read(&mut replay.view(), 9), "abcdef");
        assert!(!replay.is_whole());
    }
}
