//! How fast an answer's body goes to its client, where an upstream said so (`X-Accel-Limit-Rate`).
//!
//! A bucket that fills with time: whoever sends asks how much may go, sends no more, and says how much it was. Time is
//! that of the thread's ticks, so a bucket is deeper than ticks are long.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame};

use crate::body::{Body, Piece};
use crate::clock::{Deadline, Duration, Instant, Ticker};
use crate::failure::Failure;

/// A body's pace.
pub(super) struct Rate {
    /// Bytes in a second.
    speed: u64,
    room: u64,
    filled: Instant,
    deadline: Deadline,
    /// What was read of the body and may not go yet.
    held: Bytes,
}

/// What a bucket holds: the first piece of an answer, and what is caught up with when the thread was late.
const DEPTH: Duration = Duration::from_millis(500);

/// Pieces are not smaller than what goes in so long a time, so that a fast body is not cut into crumbs.
const PIECE: Duration = Duration::from_millis(50);

impl Rate {
    /// So many bytes in a second.
    pub(super) fn of(speed: u64, ticker: &Ticker) -> Self {
        let filled = ticker.recent();
        let mut rate = Self { speed, room: 0, filled, deadline: ticker.deadline(), held: Bytes::new() };
        rate.room = rate.within(DEPTH);
        rate
    }

    /// Bytes that were read of the body and did not go.
    pub(super) fn held(&self) -> u64 {
        self.held.len() as u64
    }

    /// The next frame, not larger than may go now. Cancellation safe.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut Body,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if self.held.is_empty() {
            match ready!(Pin::new(body).poll_frame(context)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.held = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(failure)) => return Poll::Ready(Some(Err(failure))),
                None => return Poll::Ready(None),
            }
        }
        self.poll_held(context).map(|data| Some(Ok(Frame::data(data))))
    }

    /// The same for whoever has the kernel move bytes. Cancellation safe.
    pub(super) fn poll_piece(
        &mut self,
        body: &mut Body,
        context: &mut Context<'_>,
        most: u64,
    ) -> Poll<Option<Result<Piece, Failure>>> {
        if self.held.is_empty() {
            // An end does not wait.
            let room = if body.is_over() { most } else { ready!(self.poll_room(context)) };
            match ready!(body.poll_piece(context, most.min(room))) {
                Some(Ok(Piece::Frame(frame))) => match frame.into_data() {
                    Ok(data) => self.held = data,
                    Err(other) => return Poll::Ready(Some(Ok(Piece::Frame(other)))),
                },
                Some(Ok(piece)) => {
                    self.spend(piece.length());
                    return Poll::Ready(Some(Ok(piece)));
                }
                end => return Poll::Ready(end),
            }
        }
        self.poll_held(context).map(|data| Some(Ok(Piece::Frame(Frame::data(data)))))
    }

    /// As much of what was read as may go now.
    fn poll_held(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        let room = ready!(self.poll_room(context));
        let length = self.held.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        self.spend(length as u64);
        Poll::Ready(self.held.split_to(length))
    }

    /// How many bytes may go now: at least one.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<u64> {
        self.fill(self.deadline.recent());
        let least = self.within(PIECE);
        if self.room >= least {
            return Poll::Ready(self.room);
        }
        self.deadline.arm_at(self.filled + self.time_of(least - self.room));
        // Rings with a later tick, so the bucket is full enough then.
        self.deadline.poll_over(context).map(|()| least)
    }

    /// So many bytes went.
    fn spend(&mut self, bytes: u64) {
        self.room = self.room.saturating_sub(bytes);
    }

    /// What came with time; a part of a byte comes later.
    fn fill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.filled);
        let bytes = self.bytes_in(since);
        let depth = self.within(DEPTH);
        if bytes >= depth - self.room.min(depth) {
            (self.room, self.filled) = (depth, now);
        } else if bytes > 0 {
            self.room += bytes;
            // Rounded down: what is left of a byte's time counts for the next.
            self.filled += self.time_of(bytes).saturating_sub(Duration::from_nanos(1));
        }
    }

    /// Bytes in a time, but at least one, or nothing would ever go.
    fn within(&self, time: Duration) -> u64 {
        self.bytes_in(time).max(1)
    }

    fn bytes_in(&self, time: Duration) -> u64 {
        u64::try_from(u128::from(self.speed) * time.as_nanos() / NANOS).unwrap_or(u64::MAX)
    }

    /// How long so many bytes take, to the nanosecond above.
    fn time_of(&self, bytes: u64) -> Duration {
        let nanos = (u128::from(bytes) * NANOS).div_ceil(u128::from(self.speed.max(1)));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(LONGEST)
    }
}

const NANOS: u128 = 1_000_000_000;

/// A wait that nobody lives to see; an instant can still be that far away.
const LONGEST: Duration = Duration::from_secs(1 << 30);

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use super::*;
    use crate::body::{Extent, Part, Parts};

    struct Frames(VecDeque<&'static [u8]>);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = Failure;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
            Poll::Ready(self.0.pop_front().map(|frame| Ok(Frame::data(Bytes::from_static(frame)))))
        }
    }

    #[test]
    fn a_bucket_fills_with_time_and_is_not_deeper_than_it_is() {
        for (speed, first, steps) in [
            (1000, 500, &[(50, 50), (10, 10), (600, 500), (3_600_000, 500)][..]),
            (30, 15, &[(50, 1), (50, 2), (900, 15)]),
            (1, 1, &[(999, 0), (1001, 1)]),
            (u64::MAX, u64::MAX / 2 + 1, &[(50, u64::MAX / 20)]),
        ] {
            let ticker = Ticker::start();
            let mut rate = Rate::of(speed, &ticker);
            assert!(rate.room >= first - 1 && rate.room <= first, "{speed}: {}", rate.room);
            let mut now = rate.filled;
            for &(millis, room) in steps {
                rate.spend(rate.room);
                now += Duration::from_millis(millis);
                rate.fill(now);
                assert_eq!(rate.room, room, "{speed} after {millis} ms");
            }
        }
    }

    #[test]
    fn no_part_of_a_byte_is_lost() {
        let mut rate = Rate::of(30, &Ticker::start());
        rate.spend(15);
        let began = rate.filled;
        let mut sent = 0;
        for tick in 1..=200_u32 {
            rate.fill(began + Duration::from_millis(50) * tick);
            sent += rate.room;
            rate.spend(rate.room);
        }
        assert_eq!(sent, 300);
    }

    #[test]
    fn what_the_kernel_moves_is_bounded_too() {
        let file = std::sync::Arc::new(std::fs::File::open("/proc/self/exe").unwrap());
        let mut context = Context::from_waker(Waker::noop());
        let mut rate = Rate::of(100_000, &Ticker::start());
        let whole = Extent { file, offset: 0, length: 60_000 };
        let mut body = Body::Parts(Parts::of([Part::Extent(whole), Part::Bytes(Bytes::from_static(b"end"))]));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut next = |rate: &mut Rate| {
            let piece = std::future::poll_fn(|context| rate.poll_piece(&mut body, context, 1 << 20));
            runtime.block_on(piece).map(|piece| piece.unwrap().length())
        };
        assert_eq!((next(&mut rate), rate.room), (Some(50_000), 0));
        assert!(rate.poll_room(&mut context).is_pending());
        rate.room = 10_002;
        assert_eq!((next(&mut rate), rate.room), (Some(10_000), 2));
        rate.room = 50_000;
        assert_eq!((next(&mut rate), next(&mut rate)), (Some(3), None));
    }

    #[test]
    fn frames_are_cut_to_what_may_go() {
        let mut context = Context::from_waker(Waker::noop());
        let mut rate = Rate::of(10, &Ticker::start());
        let mut body = Body::stream(Frames([b"abc".as_slice(), b"defgh", b""].into()));
        let mut went = Vec::new();
        while let Poll::Ready(Some(Ok(frame))) = rate.poll_frame(&mut body, &mut context) {
            went.push(frame.into_data().unwrap());
        }
        assert_eq!(went, ["abc", "de"]);
        assert_eq!((rate.held(), rate.room), (3, 0));
        rate.room = 100;
        for expected in ["fgh", ""] {
            let Poll::Ready(Some(Ok(frame))) = rate.poll_frame(&mut body, &mut context) else { panic!("{expected}") };
            assert_eq!(frame.into_data().unwrap(), expected);
        }
        rate.room = 0;
        assert!(matches!(rate.poll_frame(&mut body, &mut context), Poll::Ready(None)), "an end does not wait");
    }
}
