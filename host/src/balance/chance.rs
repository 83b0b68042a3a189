//! Draws at random: numbers made from the one that a request brings, and a table to draw by weight.

use super::Share;
use super::hash::mix;

/// Random numbers from a first one (SplitMix64).
#[derive(Debug)]
pub(super) struct Chance(u64);

/// Draws an index with the probability of its weight: one search in the sums of the weights.
#[derive(Debug)]
pub(super) struct Draw {
    /// Of each share, the sum of the weights up to and with it.
    ends: Box<[u64]>,
}

impl Chance {
    pub(super) const fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn draw(&mut self) -> u64 {
        // SplitMix64's step: 2^64 divided by the golden ratio, so that no small multiple of it comes near zero.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`: the upper half of a product, which is even to within `bound` in 2^64.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.draw().carrying_mul(bound, 0).1
    }

    /// A number from 0 up to 1, with as many bits as its type has.
    pub(super) fn fraction(&mut self) -> f64 {
        (self.draw() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }
}

impl Draw {
    pub(super) fn of(shares: &[Share]) -> Self {
        let sums = shares.iter().scan(0, |sum, share| {
            *sum += u64::from(share.weight);
            Some(*sum)
        });
        Self { ends: sums.collect() }
    }

    /// An index; `None` when there is none.
    pub(super) fn one(&self, chance: &mut Chance) -> Option<usize> {
        let total = *self.ends.last()?;
        Some(self.at(chance.below(total)))
    }

    /// An index that is not `first`, by weight among the others; `None` when there is no other.
    pub(super) fn other(&self, first: usize, chance: &mut Chance) -> Option<usize> {
        let end = *self.ends.get(first)?;
        let start = first.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let others = *self.ends.last()? - (end - start);
        if others == 0 {
            return None;
        }
        let mark = chance.below(others);
        Some(self.at(if mark < start { mark } else { mark + (end - start) }))
    }

    fn at(&self, mark: u64) -> usize {
        self.ends.partition_point(|&end| end <= mark)
    }
}

/// An index below `count` by a weight that is not known before; zero means never. `None` when all are zero.
pub(super) fn scan(count: usize, weight: impl Fn(usize) -> f64, chance: &mut Chance) -> Option<usize> {
    let total: f64 = (0..count).map(&weight).sum();
    let mut left = total * chance.fraction();
    let mut last = None;
    for index in 0..count {
        let weight = weight(index);
        if weight > 0.0 {
            // What rounding, or a load that changed since the sum was made, leaves over falls to the last one.
            last = Some(index);
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
    }
    last
}
