//! The member with the least, by weight: of requests served, of bytes carried, of exchanges in flight.
//!
//! Among equals the rotation decides, so that a pool at rest, where nobody has anything, follows the weights.

use super::chance::Chance;
use super::rotation::Rotation;
use super::{Loads, Share, Turn, Wish};

/// `least-requests`, `by-traffic` and `by-busyness`.
#[derive(Debug)]
pub(super) struct Least {
    measure: Measure,
    rotation: Rotation,
    /// What each had when this began; only what came since is compared.
    before: Box<[u64]>,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// Exchanges begun.
    Served,
    /// Bytes both ways.
    Traffic,
    /// Exchanges not ended; nothing before matters.
    InFlight,
}

/// The best so far, and the weight of all who are as good.
struct Best {
    index: usize,
    load: f64,
    weight: u64,
}

impl Least {
    pub(super) fn of(measure: Measure, shares: &[Share], loads: &impl Loads) -> Self {
        let before = match measure {
            Measure::InFlight => vec![0; shares.len()],
            Measure::Served | Measure::Traffic => {
                shares.iter().map(|share| measure.of(share.position, loads)).collect()
            }
        };
        Self { measure, rotation: Rotation::of(shares), before: before.into() }
    }

    pub(super) fn choose(&self, shares: &[Share], wish: &Wish, loads: &impl Loads, turn: &Turn) -> Option<usize> {
        let due = self.rotation.turn(turn)?;
        let mut chance = Chance::of(wish.chance);
        let mut best: Option<Best> = None;
        for (index, (share, before)) in shares.iter().zip(&self.before).enumerate() {
            if loads.is_out(share.position) {
                continue;
            }
            let weight = u64::from(share.weight);
            // A quotient is rounded alike for equal ratios, so equals are found to be equal.
            let load = self.measure.of(share.position, loads).saturating_sub(*before) as f64 / weight as f64;
            match &mut best {
                Some(best) if load > best.load => {}
                Some(best) if load == best.load => {
                    // When the rotation's own choice is not among the best, chance decides among them by weight:
                    // going to the next in order would favour whoever stands behind a busy member.
                    best.weight += weight;
                    if index == due || best.index != due && chance.below(best.weight) < weight {
                        best.index = index;
                    }
                }
                _ => best = Some(Best { index, load, weight }),
            }
        }
        best.map(|best| best.index)
    }
}

impl Measure {
    fn of(self, position: usize, loads: &impl Loads) -> u64 {
        match self {
            Measure::Served => loads.served(position),
            Measure::Traffic => loads.traffic(position),
            Measure::InFlight => loads.in_flight(position),
        }
    }
}
