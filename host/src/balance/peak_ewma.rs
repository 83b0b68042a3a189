//! The cheaper of two drawn by weight, where cost is latency times what is in flight: slow members are found slow by
//! their first slow answer, and busy ones before it.

use super::random_two::Two;
use super::{Loads, Share, Wish};

/// Seconds that a member without any known latency is taken to need while it has something in flight: more than any
/// honest latency, so it is tried with one exchange at a time until the first answer is there.
const UNKNOWN: f64 = 1e6;

/// `peak-ewma`.
#[derive(Debug)]
pub(super) struct Cheapest(Two);

impl Cheapest {
    pub(super) fn of(shares: &[Share]) -> Self {
        Self(Two::of(shares))
    }

    pub(super) fn choose(&self, shares: &[Share], wish: &Wish, loads: &impl Loads) -> Option<usize> {
        self.0.better(shares, wish, loads, |share| cost(share, loads))
    }
}

fn cost(share: &Share, loads: &impl Loads) -> f64 {
    let in_flight = loads.in_flight(share.position) as f64;
    let latency = loads.latency(share.position);
    let latency = if latency > 0.0 || in_flight == 0.0 { latency } else { UNKNOWN };
    latency * (in_flight + 1.0) / f64::from(share.weight)
}
