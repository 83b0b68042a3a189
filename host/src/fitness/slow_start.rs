//! How the share of a member that comes back grows to its whole.
//!
//! Shares move in steps, so that they are constants between two instants and all threads that look see the same ones.

use crate::clock::{Duration, Instant};

/// Thousandths in a unit of weight.
const UNIT: u32 = 1000;

/// What a member gets at once, in percent of its share: Envoy's default of `min_weight_percent`. Less would leave a
/// member of a small pool without a request to warm up with. The share grows from here on at once, where Envoy's stays
/// at the floor until time has caught up with it.
const FLOOR: u128 = 10;

/// Steps from the floor to the whole; more would only have rotations laid out again for differences nobody can see.
const STEPS: u32 = 20;

/// The shortest step, however short the slow start: laying out a rotation ten times a second costs nothing.
const SHORTEST: Duration = Duration::from_millis(100);

/// A share on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// In thousandths of a unit of weight, and at least 1.
    pub(super) weight: u32,
    /// When it grows next; `None` when it is whole.
    pub(super) grows_at: Option<Instant>,
}

/// The share of a member that came back, if it ever was away.
pub(super) fn share(weight: u32, back: Option<Instant>, slow_start: Duration, now: Instant) -> Share {
    let whole = weight.saturating_mul(UNIT).max(1);
    let Some(back) = back else { return Share { weight: whole, grows_at: None } };
    let away = now.saturating_duration_since(back);
    if away >= slow_start {
        return Share { weight: whole, grows_at: None };
    }
    let step = (slow_start / STEPS).max(SHORTEST);
    let steps = away.as_nanos() / step.as_nanos();
    let next = step.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX).saturating_add(1)).min(slow_start);
    Share { weight: part(whole, steps * step.as_nanos(), slow_start.as_nanos()), grows_at: back.checked_add(next) }
}

/// Linear from the floor, at no time, to the whole, at all of it.
fn part(whole: u32, time: u128, all: u128) -> u32 {
    let percent_of_all = FLOOR * all + (100 - FLOOR) * time;
    let part = u128::from(whole) * percent_of_all / (100 * all).max(1);
    u32::try_from(part).unwrap_or(whole).clamp(1, whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    type Curve = &'static [(u64, u32, Option<u64>)];

    const MILLIS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn the_curve() {
        let back = now();
        // Slow start, then: time since the member is back, its share of a weight of 1, the next step.
        let curves: &[(u64, Curve)] = &[
            (
                20_000,
                &[
                    (0, 100, Some(1000)),
                    (999, 100, Some(1000)),
                    (1000, 145, Some(2000)),
                    (9_999, 505, Some(10_000)),
                    (10_000, 550, Some(11_000)),
                    (19_999, 955, Some(20_000)),
                    (20_000, 1000, None),
                    (90_000, 1000, None),
                ],
            ),
            // Steps are not shorter than 100 ms, and the last one ends with the slow start.
            (250, &[(0, 100, Some(100)), (100, 460, Some(200)), (200, 820, Some(250)), (250, 1000, None)]),
            (50, &[(0, 100, Some(50)), (49, 100, Some(50)), (50, 1000, None)]),
            (0, &[(0, 1000, None)]),
        ];
        for (slow_start, rows) in curves {
            for &(time, weight, next) in *rows {
                let share = share(1, Some(back), MILLIS(*slow_start), back + MILLIS(time));
                let expected = Share { weight, grows_at: next.map(|next| back + MILLIS(next)) };
                assert_eq!(share, expected, "{time} ms into {slow_start} ms");
            }
        }
    }

    #[test]
    fn shares_grow_and_keep_to_weights() {
        let back = now();
        let slow_start = Duration::from_secs(30);
        let mut before = 0;
        for tick in 0..=310 {
            let at = back + MILLIS(tick * 100);
            let light = share(1, Some(back), slow_start, at).weight;
            let heavy = share(1000, Some(back), slow_start, at).weight;
            assert!((100..=1000).contains(&light) && light >= before, "{light} after {before}");
            assert!(heavy.abs_diff(light * 1000) < 1000, "{heavy} to {light}: the ratio of the weights stays");
            before = light;
        }
        assert_eq!(before, 1000);
    }

    #[test]
    fn whole_at_once() {
        let now = now();
        let slow_start = Duration::from_secs(30);
        assert_eq!(share(3, None, slow_start, now), Share { weight: 3000, grows_at: None }, "it never was away");
        assert_eq!(share(0, None, slow_start, now).weight, 1, "never nothing");
        assert_eq!(share(u32::MAX, None, slow_start, now).weight, u32::MAX);
        let ahead = share(1, Some(now + MILLIS(5)), slow_start, now);
        assert_eq!(ahead, Share { weight: 100, grows_at: Some(now + MILLIS(1505)) }, "a clock read a little earlier");
        assert_eq!(share(1, Some(now), Duration::MAX, now).weight, 100, "for ever, and without overflow");
    }
}
