//! The transport beneath the HTTP/2 codec: what the codec writes in one pass goes to the socket in one write.
//!
//! The codec flushes after each DATA frame, which would be a system call for each. Here a flush of the codec's means
//! "some time"; the connection's task writes when the codec has nothing more to say, or when there is enough. It knows how
//! long the client may take nothing, and nothing of frames. Invariant: what is written is taken whole, so memory is bounded
//! by `FULL` and one write of the codec's, and what is gathered ends where a write of the codec's ended.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::link::Link;
use super::wall::Wall;
use crate::clock::{Deadline, Duration};
use crate::front::pace::Pace;

/// What the codec and the connection's task share of a connection.
pub(super) struct Gather<S> {
    stream: RefCell<S>,
    wall: Rc<RefCell<Wall>>,
    out: RefCell<BytesMut>,
    writing: Deadline,
    limit: Duration,
    pace: Cell<Pace>,
    /// Bytes of the client's so far.
    heard: Cell<u64>,
    /// Bytes that the socket took so far.
    written: Cell<u64>,
    /// Something was written since the stream was flushed.
    is_unflushed: Cell<bool>,
    /// The codec waits for room.
    is_blocked: Cell<bool>,
    is_stalled: Cell<bool>,
}

/// The codec's side.
pub(super) struct Transport<S>(Rc<Gather<S>>);

/// As much makes a write that is worth its system call; what comes beyond goes with it, and is not copied.
const FULL: usize = 64 << 10;

/// Pieces of one write: what was gathered, and a frame's head and payload, with some to spare.
const MOST_SLICES: usize = 8;

impl<S: AsyncRead + AsyncWrite + Unpin> Gather<S> {
    pub(super) fn of(stream: S, link: &Link) -> Rc<Self> {
        Rc::new(Self {
            stream: RefCell::new(stream),
            wall: link.wall.clone(),
            out: RefCell::default(),
            writing: link.ticker.deadline(),
            limit: link.limits.write,
            pace: Cell::new(link.pace_of_answer()),
            heard: Cell::default(),
            written: Cell::default(),
            is_unflushed: Cell::default(),
            is_blocked: Cell::default(),
            is_stalled: Cell::default(),
        })
    }

    pub(super) fn transport(self: &Rc<Self>) -> Transport<S> {
        Transport(self.clone())
    }

    /// The stream, when nothing is gathered for it any more.
    pub(super) fn into_stream(self) -> S {
        self.stream.into_inner()
    }

    pub(super) fn heard(&self) -> u64 {
        self.heard.get()
    }

    pub(super) fn written(&self) -> u64 {
        self.written.get()
    }

    /// Whether the client took no byte for too long.
    pub(super) fn is_stalled(&self) -> bool {
        self.is_stalled.get()
    }

    /// Lets the codec act, then writes what came of it; once more when that made the room that it waits for.
    pub(super) fn poll_pass<T>(
        &self,
        context: &mut Context<'_>,
        mut act: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            self.is_blocked.set(false);
            if let Poll::Ready(done) = act(context) {
                return Poll::Ready(Ok(done));
            }
            ready!(self.poll_drain(context))?;
            if !self.is_blocked.get() {
                return Poll::Pending;
            }
        }
    }

    /// Gives back the memory that writing took, for a connection that rests.
    pub(super) fn rest(&self) {
        let mut out = self.out.borrow_mut();
        if out.is_empty() {
            *out = BytesMut::new();
        }
        let mut pace = self.pace.get();
        pace.begin();
        self.pace.set(pace);
    }

    /// Writes what was gathered. Pending while the socket does not take all of it.
    pub(super) fn poll_drain(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut out = self.out.borrow_mut();
        while !out.is_empty() {
            let written = ready!(self.poll_write(context, |stream, context| stream.poll_write(context, &out)))?;
            out.advance(written);
        }
        if self.is_unflushed.get() {
            // Under TLS what was written may not be on its way yet.
            let flushed = Pin::new(&mut *self.stream.borrow_mut()).poll_flush(context);
            ready!(self.poll_timed(context, flushed))?;
            self.is_unflushed.set(false);
        }
        Poll::Ready(Ok(()))
    }

    /// One write to the socket.
    fn poll_write(
        &self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = write(Pin::new(&mut *self.stream.borrow_mut()), context);
        let length = ready!(self.poll_timed(context, written))?;
        if length == 0 {
            return Poll::Ready(Err(ErrorKind::WriteZero.into()));
        }
        self.is_unflushed.set(true);
        self.written.set(self.written.get() + length as u64);
        let mut pace = self.pace.get();
        pace.moved(length, self.writing.recent());
        self.pace.set(pace);
        Poll::Ready(Ok(length))
    }

    /// What came of a try, within the client's time.
    fn poll_timed<T>(&self, context: &mut Context<'_>, tried: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            self.writing.disarm();
            return tried;
        }
        if !self.writing.is_armed() {
            let mut pace = self.pace.get();
            pace.arm(&self.writing, self.limit);
            self.pace.set(pace);
        }
        ready!(self.writing.poll_over(context));
        self.is_stalled.set(true);
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    /// Takes a write of the codec's, whole, unless there is too much already.
    fn poll_take(&self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.out.borrow().len() >= FULL && self.poll_drain(context)?.is_pending() {
            self.is_blocked.set(true);
            return Poll::Pending;
        }
        let gathered = self.out.borrow().len();
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>();
        let skip = if gathered + length >= FULL { self.write_through(context, slices)? } else { 0 };
        self.copy(slices, skip);
        Poll::Ready(Ok(length))
    }

    /// Writes what was gathered and what comes in one call; says how much of the latter the socket took.
    fn write_through(&self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if slices.len() >= MOST_SLICES || !self.stream.borrow().is_write_vectored() {
            return Ok(0);
        }
        let mut out = self.out.borrow_mut();
        let gathered = out.len();
        let mut all = [IoSlice::new(&[]); MOST_SLICES];
        let pieces = std::iter::once(&out[..]).chain(slices.iter().map(|slice| &**slice));
        all.iter_mut().zip(pieces).for_each(|(place, piece)| *place = IoSlice::new(piece));
        let polled = self.poll_write(context, |stream, context| stream.poll_write_vectored(context, &all));
        let Poll::Ready(written) = polled? else { return Ok(0) };
        out.advance(written.min(gathered));
        Ok(written.saturating_sub(gathered))
    }

    fn copy(&self, slices: &[IoSlice<'_>], mut skip: usize) {
        let mut out = self.out.borrow_mut();
        for slice in slices {
            let from = skip.min(slice.len());
            out.extend_from_slice(slice.get(from..).unwrap_or_default());
            skip -= from;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Transport<S> {
    /// The one place where the client's bytes come in. After a refusal none does; the connection's task sees to the end.
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.wall.borrow().refusal().is_some() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut *self.0.stream.borrow_mut()).poll_read(context, buffer))?;
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        if self.0.wall.borrow_mut().feed(fresh, self.0.writing.recent()).is_err() {
            buffer.set_filled(before);
            return Poll::Pending;
        }
        self.0.heard.set(self.0.heard.get() + fresh.len() as u64);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_take(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_take(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Not now: `poll_pass` writes, once for all that the codec had to say.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_drain(context))?;
        Pin::new(&mut *self.0.stream.borrow_mut()).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::clock::Ticker;
    use crate::front::streams::Limits;

    /// A socket that takes so many bytes, and notes its calls.
    #[derive(Default)]
    struct Socket {
        room: usize,
        calls: Vec<usize>,
        taken: Vec<u8>,
        flushed: usize,
    }

    impl AsyncRead for Socket {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Socket {
        fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(context, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let length = bytes.len().min(self.room);
            if length == 0 {
                return Poll::Pending;
            }
            self.room -= length;
            self.calls.push(length);
            self.taken.extend_from_slice(&bytes[..length]);
            Poll::Ready(Ok(length))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushed = self.taken.len();
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn gather(room: usize) -> Rc<Gather<Socket>> {
        Gather::of(
            Socket { room, ..Socket::default() },
            &Link::with(Limits::any(Duration::from_secs(60)), &Ticker::start()),
        )
    }

    fn write(gather: &Rc<Gather<Socket>>, head: &[u8], payload: &[u8]) -> Poll<usize> {
        let mut context = Context::from_waker(Waker::noop());
        let slices = [IoSlice::new(head), IoSlice::new(payload)];
        let mut transport = gather.transport();
        let polled = Pin::new(&mut transport).poll_write_vectored(&mut context, &slices).map(Result::unwrap);
        assert!(Pin::new(&mut transport).poll_flush(&mut context).is_ready());
        polled
    }

    fn drain(gather: &Gather<Socket>) -> bool {
        gather.poll_drain(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn what_is_written_in_one_pass_goes_out_at_once() {
        let gather = gather(usize::MAX);
        for _ in 0..10 {
            assert_eq!(write(&gather, &[1; 9], &[2; 300]), Poll::Ready(309));
        }
        assert!(gather.stream.borrow().calls.is_empty());
        assert!(drain(&gather));
        assert_eq!(gather.stream.borrow().calls, [3090]);
        assert_eq!(gather.written(), 3090);
        assert!(drain(&gather));
        assert_eq!(gather.stream.borrow().calls.len(), 1);
    }

    #[test]
    fn enough_for_a_write_goes_with_what_was_gathered() {
        let gather = gather(usize::MAX);
        for _ in 0..4 {
            assert_eq!(write(&gather, &[1; 9], &[2; 16 << 10]), Poll::Ready(9 + (16 << 10)));
        }
        assert_eq!(gather.stream.borrow().calls, [4 * (9 + (16 << 10))]);
        assert!(gather.out.borrow().is_empty());
        assert_eq!(gather.stream.borrow().flushed, 0);
        assert!(drain(&gather));
        assert_eq!(gather.stream.borrow().flushed, gather.stream.borrow().taken.len());
    }

    /// However little the socket takes, every write is taken whole or not at all, and all bytes arrive in order.
    #[test]
    fn a_slow_socket_holds_the_codec_up_and_loses_nothing() {
        let gather = gather(0);
        let (mut sent, mut blocked, mut next) = (Vec::new(), 0, 0_u8);
        for step in 0..2000_usize {
            let (head, payload) = ([next; 9], vec![next.wrapping_add(1); step * 37 % 20_000]);
            match write(&gather, &head, &payload) {
                Poll::Ready(length) => {
                    assert_eq!(length, head.len() + payload.len());
                    sent.extend_from_slice(&[&head[..], &payload].concat());
                    next = next.wrapping_add(1);
                }
                Poll::Pending => blocked += 1,
            }
            assert!(gather.out.borrow().len() <= FULL + 9 + 20_000);
            gather.stream.borrow_mut().room += step * 53 % 9000;
        }
        assert!(blocked > 100, "{blocked}");
        gather.stream.borrow_mut().room = usize::MAX;
        assert!(drain(&gather));
        assert!(gather.stream.borrow().taken == sent);
    }

    #[test]
    fn room_that_a_pass_makes_is_used_in_it() {
        let gather = gather(0);
        while write(&gather, &[0; 9], &[0; 5000]).is_ready() {}
        let mut context = Context::from_waker(Waker::noop());
        let mut tries = 0;
        let polled = gather.poll_pass(&mut context, |_| {
            tries += 1;
            let polled = write(&gather, &[1; 9], &[1; 5000]);
            // The socket takes again just after the codec found that it does not.
            gather.stream.borrow_mut().room = usize::MAX;
            polled
        });
        assert!(matches!(polled, Poll::Ready(Ok(5009))));
        assert_eq!(tries, 2);
    }
}
