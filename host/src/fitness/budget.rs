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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Duration, now};

    const MILLIS: fn(u64) -> Duration = Duration::from_millis;

    type Looks = &'static [(u64, u64, usize)];

    /// Retries in a row that are allowed.
    fn left(budget: &mut Budget, requests: u64, now: Instant) -> usize {
        (0..1_000_000).take_while(|_| budget.allows(requests, now)).count()
    }

    #[test]
    fn shares_and_floors() {
        let begin = now();
        // Percent, floor, then looks: at a millisecond, the count so far, the retries that are left.
        let cases: &[(u32, u32, Looks)] = &[
            (20, 0, &[(0, 500, 0), (1_000, 600, 20), (1_001, 600, 0), (2_000, 605, 1), (8_000, 1_000, 79)]),
            (20, 3, &[(0, 0, 30), (5_000, 0, 0), (9_999, 0, 0), (10_000, 0, 30)]),
            (0, 0, &[(0, 0, 0), (1_000, 1_000_000, 0)]),
            (100, 0, &[(0, 0, 0), (0, 7, 7), (0, 7, 0), (1, 8, 1)]),
            // Ten times the window: a tenth of it is in the window, less what is not over of the latest second.
            (100, 0, &[(0, 0, 0), (100_500, 1_005, 95), (200_500, 2_005, 95)]),
            // All of a shorter gap is in the window.
            (100, 0, &[(0, 0, 0), (9_000, 900, 900)]),
            // A count that goes back is not believed.
            (100, 0, &[(0, 50, 0), (1_000, 40, 0), (2_000, 51, 1)]),
        ];
        for (percent, floor, looks) in cases {
            let mut budget = Budget::of(*percent, *floor);
            for &(at, requests, expected) in *looks {
                let found = left(&mut budget, requests, begin + MILLIS(at));
                assert_eq!(found, expected, "{percent} % and {floor}, at {at} ms");
            }
        }
    }

    #[test]
    fn earlier_instants_and_large_counts_do_no_harm() {
        let begin = now() + MILLIS(10_000);
        let mut budget = Budget::of(u32::MAX, u32::MAX);
        assert!(budget.allows(0, begin));
        assert!(budget.allows(u64::MAX, begin + MILLIS(1)));
        assert!(budget.allows(u64::MAX, begin));
        assert!(budget.allows(u64::MAX, begin + Duration::from_secs(1 << 32)));
    }

    /// Loads and troubles change every minute; what really happened is written down and compared.
    #[test]
    fn an_hour() {
        let (percent, floor) = (20, 2);
        let mut random = fastrand::Rng::with_seed(7);
        let begin = now();
        let mut budget = Budget::of(percent, floor);
        let mut requests = vec![0_u64; 36_000]; // Tenths of a second.
        let mut retries = vec![0_u64; 36_000];
        let (mut all, mut wanted, mut load, mut trouble) = (0, 0, 0, 0.0);
        budget.look(0, begin);
        for tick in 0..requests.len() {
            if tick % 600 == 0 {
                load = [1, 10, 100][random.usize(..3)];
                trouble = [0.01, 0.1, 1.0][random.usize(..3)];
            }
            let at = begin + MILLIS(100 * tick as u64);
            for _ in 0..random.u64(0..=load) {
                all += 1;
                requests[tick] += 1;
                if random.f64() < trouble {
                    wanted += 1;
                    retries[tick] += u64::from(budget.allows(all, at));
                }
            }
            if tick % 10 == 0 {
                budget.look(all, at);
            }
            // A window of the budget is between nine and ten seconds long, and looks are a second apart at most.
            let in_window: u64 = retries[tick.saturating_sub(89)..=tick].iter().sum();
            let may: u64 = requests[tick.saturating_sub(110)..=tick].iter().sum::<u64>() / 5 + 20;
            assert!(retries[tick] == 0 || in_window <= may, "{in_window} retries of {may} at {at:?}");
        }
        let taken: u64 = retries.iter().sum();
        assert!(wanted > 2 * all / 10, "{wanted} of {all}: the budget was needed");
        assert!(taken <= all / 5 + 2 * 3600 + 20, "{taken} of {all}");
        assert!(taken > wanted.min(all / 5) / 2, "{taken} of {wanted} wanted and {all} requests: nobody starves");
    }
}
