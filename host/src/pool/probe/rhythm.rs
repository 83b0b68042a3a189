//! When checks begin: spread at first, then at their interval with a little chance in it, so that they never march in step.
//!
//! Pure: chance is an argument.

use super::Subject;
use crate::clock::Duration;

/// Over how long the first checks of many members are spread at most.
const SPREAD: Duration = Duration::from_secs(1);

/// The same when members serve nothing before they passed.
const GATE_SPREAD: Duration = Duration::from_millis(100);

/// No interval is shorter, whatever a plan says: a loop without a pause would starve the control thread.
const SHORTEST: Duration = Duration::from_millis(10);

/// How often a judge that wants nothing is asked again.
const GLANCE: Duration = Duration::from_secs(1);

/// What `beat` takes as its chance at most.
pub(super) const CHANCE: u32 = 1000;

/// When the first check of a member begins, counted from now; it is the `index`th of `count` that begin together.
pub(super) fn first(subject: &Subject, index: usize, count: usize) -> Duration {
    let (interval, spread) = match &subject.health {
        Some(health) if health.gate => (health.interval, GATE_SPREAD),
        Some(health) => (health.interval, SPREAD),
        None => (subject.reprobe, SPREAD),
    };
    share(interval.min(spread), index, count)
}

/// From the beginning of one check to that of the next: the interval, a tenth of it less (chance 0) to a tenth more (1000).
pub(super) fn beat(interval: Duration, chance: u32) -> Duration {
    let tenth = interval / 10;
    let step = tenth / (CHANCE / 2);
    (interval - tenth).saturating_add(step.saturating_mul(chance.min(CHANCE))).max(SHORTEST)
}

/// How long to wait before a judge that wanted nothing is asked again.
pub(super) fn glance(interval: Duration) -> Duration {
    interval.clamp(SHORTEST, GLANCE)
}

fn share(span: Duration, index: usize, count: usize) -> Duration {
    let parts = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    let part = u32::try_from(index).unwrap_or(u32::MAX).min(parts);
    span.saturating_mul(part) / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_beat_is_the_interval_and_a_tenth_up_or_down() {
        for (interval, chance, expected) in [
            (ms(1000), 0, ms(900)),
            (ms(1000), 500, ms(1000)),
            (ms(1000), 1000, ms(1100)),
            (ms(1000), 5000, ms(1100)),
            (ms(30_000), 250, ms(28_500)),
            (Duration::ZERO, 1000, SHORTEST),
            (ms(1), 0, SHORTEST),
        ] {
            assert_eq!(beat(interval, chance), expected, "{interval:?} {chance}");
        }
        assert!(beat(Duration::MAX, 1000) >= Duration::MAX - Duration::MAX / 10);
        for chance in 0..=CHANCE {
            let beat = beat(ms(777), chance);
            assert!(beat >= ms(777) * 9 / 10 && beat <= ms(777) * 11 / 10, "{beat:?}");
        }
    }

    #[test]
    fn first_checks_are_shared_out_evenly_over_their_span() {
        assert_eq!(share(ms(1000), 0, 1), Duration::ZERO);
        assert_eq!(share(ms(1000), 1, 4), ms(250));
        assert_eq!(share(ms(1000), 3, 4), ms(750));
        assert_eq!(share(ms(1000), 999, 1000), ms(999));
        assert_eq!(share(ms(1000), 7, 0), ms(1000));
    }

    #[test]
    fn who_wants_nothing_is_asked_once_a_second_or_at_its_interval() {
        assert_eq!(glance(ms(30_000)), ms(1000));
        assert_eq!(glance(ms(100)), ms(100));
        assert_eq!(glance(Duration::ZERO), SHORTEST);
    }
}
