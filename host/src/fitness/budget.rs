//! How many retries a pool may take, so that they do not make a bad moment worse.
//!
//! A share of the requests of the last ten seconds, and a floor. Requests are not counted here: the caller's running
//! count is looked at, whenever there is reason to.

use crate::clock::Instant;

/// Seconds that are remembered.
const WINDOW: usize = 10;

/// One second, in nanoseconds. Finer parts would not make a share of many requests more exact.
const SECOND: u128 = 1_000_000_000;

/// What is left to be retried.
#[derive(Debug, Clone)]
pub struct Budget {
    percent: u32,
    floor: u32,
    /// What was seen last; before that nothing is known.
    seen: Option<Seen>,
    /// The seconds of the window, by their number since `Seen::begin` modulo its length.
    seconds: [Second; WINDOW],
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    begin: Instant,
    at: Instant,
    requests: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Second {
    requests: u64,
    retries: u64,
}

impl Budget {
    /// A budget of so many retries for each hundred requests, and so many a second whatever the requests.
    #[must_use]
    pub fn of(percent: u32, floor: u32) -> Self {
        Self { percent, floor, seen: None, seconds: [Second::default(); WINDOW] }
    }

    /// Takes a retry, if one is left. `requests_so_far` is a count that only grows.
    ///
    /// Requests since the last look are taken to have come evenly: those of a long gap count only with the part that falls
    /// into the window. What came before the first look is not counted, as nobody knows when that was.
    pub fn allows(&mut self, requests_so_far: u64, now: Instant) -> bool {
        self.look(requests_so_far, now);
        let (requests, retries) = self.seconds.iter().fold((0_u64, 0_u64), |(requests, retries), second| {
            (requests.saturating_add(second.requests), retries.saturating_add(second.retries))
        });
        let share = requests.saturating_mul(u64::from(self.percent)) / 100;
        let is_left = retries < share.saturating_add(u64::from(self.floor) * WINDOW as u64);
        if is_left && let Some(second) = self.current() {
            second.retries += 1;
        }
        is_left
    }

    /// Looks at the count without wanting a retry. Once when the budget begins lets it count from there on, and now and then
    /// afterwards makes it more exact when traffic is uneven.
    pub fn look(&mut self, requests_so_far: u64, now: Instant) {
        let Some(seen) = self.seen else {
            self.seen = Some(Seen { begin: now, at: now, requests: requests_so_far });
            return;
        };
        let from = seen.at.saturating_duration_since(seen.begin).as_nanos();
        let to = now.saturating_duration_since(seen.begin).as_nanos().max(from);
        self.forget(from / SECOND, to / SECOND);
        self.spread(u128::from(requests_so_far.saturating_sub(seen.requests)), from, to);
        let (at, requests) = (seen.at.max(now), seen.requests.max(requests_so_far));
        self.seen = Some(Seen { at, requests, ..seen });
    }

    /// Empties the seconds that have begun since, in place of those that have left the window.
    fn forget(&mut self, from: u128, to: u128) {
        for number in (from..to).take(WINDOW) {
            *self.second(number + 1) = Second::default();
        }
    }

    /// Lays requests evenly on the time between two instants, as far as that is in the window.
    fn spread(&mut self, requests: u128, from: u128, to: u128) {
        let last = to / SECOND;
        let first = (from / SECOND).max((last + 1).saturating_sub(WINDOW as u128));
        // By an instant, so many had come; all of them when no time has passed.
        let by = |instant: u128| requests.saturating_mul(instant - from).checked_div(to - from).unwrap_or(requests);
        for number in first..=last {
            let begin = (number * SECOND).max(from);
            let end = ((number + 1) * SECOND).min(to);
            let before = if begin == from { 0 } else { by(begin) };
            let share = u64::try_from(by(end) - before).unwrap_or(u64::MAX);
            let second = self.second(number);
            second.requests = second.requests.saturating_add(share);
        }
    }

    fn current(&mut self) -> Option<&mut Second> {
        let seen = self.seen?;
        Some(self.second(seen.at.saturating_duration_since(seen.begin).as_nanos() / SECOND))
    }

    fn second(&mut self, number: u128) -> &mut Second {
        let place = number % self.seconds.len() as u128;
        &mut self.seconds[usize::try_from(place).expect("a remainder is less than the window")]
    }
}
