//! How much processor time one call may use, and has used.
//!
//! Counted is the time that its thread worked for it, not the time that passed: a loaded machine must not cost an
//! honest filter its call. The clock is read only at ticks, so a call shorter than one reads none.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Duration;

/// A call's time. Shared between the store, where ticks arrive, and whoever polls the call; used from one thread at a time.
#[derive(Default)]
pub(super) struct Budget {
    /// In nanoseconds of thread time; `UNKNOWN` until the call was resumed once.
    resumed: AtomicU64,
    used: AtomicU64,
    limit: AtomicU64,
}

/// The call was not resumed yet: when it began nobody looked at the clock.
const UNKNOWN: u64 = u64::MAX;

impl Budget {
    /// A call begins.
    pub(super) fn begin(&self, limit: Duration) {
        self.resumed.store(UNKNOWN, Ordering::Relaxed);
        self.used.store(0, Ordering::Relaxed);
        self.limit.store(nanoseconds(limit), Ordering::Relaxed);
    }

    /// The call goes on after a turn of its neighbours.
    pub(super) fn resume(&self, now: Duration) {
        self.resumed.store(nanoseconds(now), Ordering::Relaxed);
    }

    /// A tick; whether the call may go on. The time before the first tick is given away: it is at most one tick.
    pub(super) fn tick(&self, now: Duration) -> bool {
        let resumed = self.resumed.load(Ordering::Relaxed);
        let slice = if resumed == UNKNOWN { 0 } else { nanoseconds(now).saturating_sub(resumed) };
        self.resumed.store(nanoseconds(now), Ordering::Relaxed);
        let used = self.used.load(Ordering::Relaxed).saturating_add(slice);
        self.used.store(used, Ordering::Relaxed);
        used < self.limit.load(Ordering::Relaxed)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(UNKNOWN - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn counts_only_the_time_between_resumption_and_tick() {
        let budget = Budget::default();
        budget.begin(ms(3));
        assert!(budget.tick(ms(1000)), "the first slice is given away");
        budget.resume(ms(2000));
        assert!(budget.tick(ms(2001)));
        budget.resume(ms(5000));
        assert!(budget.tick(ms(5001)));
        budget.resume(ms(9000));
        assert!(!budget.tick(ms(9001)));
        budget.begin(ms(3));
        assert!(budget.tick(ms(9100)), "the next call begins anew");
    }
}
