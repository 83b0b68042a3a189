//! Latency as a moving average that jumps to peaks at once and forgets with time.
//!
//! Shared by threads: estimate and moment stand in one atomic word, so neither is ever seen without the other.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Duration, Instant};

/// Seconds in which what was observed fades to 37 %, as in Finagle and linkerd: long against one answer, short against
/// an outage.
const FADES: f32 = 10.0;

/// A tick of the stamp, in microseconds: a power of two near a short latency. The stamp goes around in three days.
const TICK: u128 = 64;

/// How far, in ticks, a stamp may lie ahead of a thread that read the clock earlier (four seconds); anything beyond is
/// time gone by.
const AHEAD: u32 = 1 << 16;

/// The average.
#[derive(Debug)]
pub struct PeakEwma {
    /// The upper half is the estimate (seconds, a float's bits), the lower the tick of its moment.
    state: AtomicU64,
    since: Instant,
}

impl PeakEwma {
    /// Nothing observed yet.
    #[must_use]
    pub const fn since(now: Instant) -> Self {
        Self { state: AtomicU64::new(0), since: now }
    }

    /// An answer took so long. One that took longer than the estimate becomes the estimate.
    pub fn observe(&self, took: Duration, now: Instant) {
        // Zero means that nothing is known.
        let took = took.as_secs_f32().max(f32::MIN_POSITIVE);
        let tick = self.tick(now);
        let update = |state| {
            let (estimate, stamp) = unpack(state);
            let left = share_left(tick, stamp);
            let next = if took > estimate { took } else { estimate * left + took * (1.0 - left) };
            Some(pack(next, tick))
        };
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// Seconds: the estimate, faded since it was made. So somebody who was slow and has been left alone is tried again;
    /// after a quarter of an hour nothing is left.
    pub fn value(&self, now: Instant) -> f64 {
        let (estimate, stamp) = unpack(self.state.load(Ordering::Relaxed));
        f64::from(estimate * share_left(self.tick(now), stamp))
    }

    fn tick(&self, now: Instant) -> u32 {
        let ticks = now.saturating_duration_since(self.since).as_micros() / TICK;
        u32::try_from(ticks & u128::from(u32::MAX)).unwrap_or(u32::MAX)
    }
}

fn share_left(tick: u32, stamp: u32) -> f32 {
    let ticks = tick.wrapping_sub(stamp);
    let ticks = if ticks > u32::MAX - AHEAD { 0 } else { ticks };
    (-(ticks as f32 * (TICK as f32 / 1e6)) / FADES).exp()
}

const fn pack(estimate: f32, tick: u32) -> u64 {
    (estimate.to_bits() as u64) << 32 | tick as u64
}

#[allow(clippy::cast_possible_truncation, reason = "the halves of a word are meant")]
const fn unpack(state: u64) -> (f32, u32) {
    (f32::from_bits((state >> 32) as u32), state as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < other.abs() * 0.01 + 1e-9
    }

    #[test]
    fn peaks_count_at_once_and_fade() {
        let start = crate::clock::now();
        let ewma = PeakEwma::since(start);
        assert!(near(ewma.value(start), 0.0));
        ewma.observe(10 * MILLISECOND, start);
        ewma.observe(800 * MILLISECOND, start + MILLISECOND);
        assert!(near(ewma.value(start + MILLISECOND), 0.8));
        assert!(near(ewma.value(start + Duration::from_secs(10)), 0.8 * 0.3679));
        assert!(ewma.value(start + Duration::from_secs(1800)) < 1e-9);
    }

    #[test]
    fn better_answers_are_believed_with_time() {
        let start = crate::clock::now();
        let ewma = PeakEwma::since(start);
        ewma.observe(1000 * MILLISECOND, start);
        for step in 1..=100 {
            ewma.observe(10 * MILLISECOND, start + step * 100 * MILLISECOND);
        }
        let value = ewma.value(start + Duration::from_secs(10));
        assert!(near(value, 0.3679 + 0.01 * (1.0 - 0.3679)), "{value}");
    }

    /// Threads read the clock one after the other; what is a moment earlier must not look like three days later.
    #[test]
    fn an_earlier_moment_takes_nothing_away() {
        let start = crate::clock::now();
        let ewma = PeakEwma::since(start);
        let later = start + Duration::from_secs(3);
        ewma.observe(100 * MILLISECOND, later);
        assert!(near(ewma.value(start), 0.1));
        ewma.observe(50 * MILLISECOND, start + Duration::from_secs(2));
        assert!(near(ewma.value(later), 0.1 * 0.905), "{}", ewma.value(later));
    }

    /// The stamp goes around: nothing odd happens but in the seconds after.
    #[test]
    fn three_days_later() {
        let start = crate::clock::now();
        let ewma = PeakEwma::since(start);
        ewma.observe(100 * MILLISECOND, start);
        let around = Duration::from_micros(64 * (1 << 32));
        ewma.observe(20 * MILLISECOND, start + around - Duration::from_secs(60));
        assert!(near(ewma.value(start + around + Duration::from_secs(1)), 0.02 * (-6.1_f64).exp()));
    }
}
