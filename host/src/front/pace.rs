//! How slow a client may be: bytes a second on average over the time that it was waited for, after a grace.
//!
//! Pure: time is an argument. A client that the gateway does not wait for uses none of its time up.

use std::task::{Context, Poll, ready};

use crate::clock::{Deadline, Duration, Instant};
use crate::failure::{Failure, Kind};

/// A body's pace, in one direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Bytes a second; zero for any.
    rate: u64,
    grace: Duration,
    moved: u64,
    waited: Duration,
    since: Option<Instant>,
}

impl Pace {
    pub(super) const fn of(rate: u64, grace: Duration) -> Self {
        Self { rate, grace, moved: 0, waited: Duration::ZERO, since: None }
    }

    /// Another body begins.
    pub(super) const fn begin(&mut self) {
        (self.moved, self.waited, self.since) = (0, Duration::ZERO, None);
    }

    /// The client is waited for from now on; how much longer it may last with what it has moved so far. `None` for as long
    /// as it likes.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Duration> {
        if self.rate == 0 {
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let waited = self.waited + now.saturating_duration_since(since);
        Some(self.allowed().saturating_sub(waited))
    }

    /// Arms a deadline for a wait that begins now, in which nothing at all may come for `limit`; zero is none. A client that is
    /// too slow already has no other moment, however often a byte comes.
    pub(super) fn arm(&mut self, deadline: &Deadline, limit: Duration) {
        match self.wait(deadline.recent()) {
            None => deadline.arm(limit),
            Some(Duration::ZERO) => deadline.ring(),
            Some(left) if limit.is_zero() => deadline.arm(left),
            Some(left) => deadline.arm(limit.min(left)),
        }
    }

    /// Bytes came or went.
    pub(super) fn moved(&mut self, bytes: usize, now: Instant) {
        if self.rate == 0 {
            return;
        }
        self.moved = self.moved.saturating_add(bytes as u64);
        if let Some(since) = self.since.take() {
            self.waited += now.saturating_duration_since(since);
        }
    }

    /// Why a client's time was over: it was too slow, or it moved nothing within its other limit.
    pub(super) fn or_silent(&self, limit: Duration) -> String {
        match self.rate {
            0 => format!("no further byte within {limit:?}"),
            rate => format!("no further byte within {limit:?}, or fewer than {rate} a second after {:?}", self.grace),
        }
    }

    fn allowed(&self) -> Duration {
        let earned = u128::from(self.moved) * 1_000_000 / u128::from(self.rate.max(1));
        self.grace.saturating_add(Duration::from_micros(u64::try_from(earned).unwrap_or(u64::MAX)))
    }
}

/// Waiting for a body that comes on a stream of its own, beside its answer.
pub(super) struct Wait {
    deadline: Deadline,
    limit: Duration,
    pace: Pace,
    /// What had gone the other way when the wait began.
    answered: u64,
}

impl Wait {
    pub(super) const fn of(deadline: Deadline, limit: Duration, pace: Pace) -> Self {
        Self { deadline, limit, pace, answered: 0 }
    }

    /// Bytes came.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.deadline.disarm();
        self.pace.moved(bytes, self.deadline.recent());
    }

    /// Nothing is waited for any more.
    pub(super) fn calm(&self) {
        self.deadline.disarm();
    }

    /// Ready when the client had its time. While its answer moves, a stream lives, though the client has nothing to say: so
    /// are most calls of gRPC that stream both ways.
    pub(super) fn poll<T>(&mut self, context: &mut Context<'_>, answered: u64) -> Poll<Result<T, Failure>> {
        loop {
            if !self.deadline.is_armed() {
                self.pace.arm(&self.deadline, self.limit);
                self.answered = answered;
            }
            ready!(self.deadline.poll_over(context));
            if self.answered == answered {
                return Poll::Ready(Err(Failure::of(Kind::BodyTimeout, self.pace.or_silent(self.limit))));
            }
            self.deadline.disarm();
            self.pace.begin();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    #[test]
    fn only_waiting_counts_and_bytes_buy_time() {
        let second = Duration::from_secs(1);
        let (mut pace, mut at) = (Pace::of(100, 5 * second), now());
        assert_eq!(pace.wait(at), Some(5 * second));
        at += 2 * second;
        assert_eq!(pace.wait(at), Some(3 * second));
        pace.moved(50, at);
        at += 60 * second;
        assert_eq!(pace.wait(at), Some(3 * second + second / 2), "nobody waited for that minute");
        at += 4 * second;
        assert_eq!(pace.wait(at), Some(Duration::ZERO));
        pace.moved(1000, at);
        assert_eq!(pace.wait(at), Some(Duration::from_millis(9500)));
        pace.begin();
        assert_eq!(pace.wait(at), Some(5 * second));
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut pace = Pace::of(0, Duration::ZERO);
        pace.moved(1, now());
        assert_eq!(pace.wait(now()), None);
    }
}
