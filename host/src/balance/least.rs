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
        let load = |index: usize| self.load(shares.get(index)?, *self.before.get(index)?, loads);
        let (mut best, mut least) = load(due).map_or((None, f64::INFINITY), |load| (Some(due), load));
        let (mut chance, mut equals) = (Chance::of(wish.chance), 0);
        for (index, (share, before)) in shares.iter().zip(&self.before).enumerate() {
            let Some(load) = self.load(share, *before, loads) else { continue };
            // When the rotation's own choice is not among the best, chance decides among them by weight: going to the
            // next in order would favour whoever stands behind a busy member.
            if load < least {
                (best, least, equals) = (Some(index), load, u64::from(share.weight));
            } else if load == least && best != Some(due) {
                equals += u64::from(share.weight);
                if chance.below(equals) < u64::from(share.weight) {
                    best = Some(index);
                }
            }
        }
        best
    }

    /// By weight; `None` of one who is out. A quotient is rounded alike for equal ratios, so equals are found to be equal.
    fn load(&self, share: &Share, before: u64, loads: &impl Loads) -> Option<f64> {
        let is_in = !loads.is_out(share.position);
        let since = || self.measure.of(share.position, loads).saturating_sub(before);
        // Nothing counted here comes near 2^63, and a float is made of a signed number in one instruction instead of nine.
        let load = || since().cast_signed() as f64 / f64::from(share.weight);
        is_in.then(load)
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
