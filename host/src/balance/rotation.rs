//! Smooth weighted rotation: every member gets its share, and a heavy one is not hit in bursts.
//!
//! The rotation is laid out once, when the weights are known; taking a turn is one addition on a shared counter, so all
//! threads together follow one rotation. At any moment each member has had its share to within one turn.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Loads, Share, Turn};

/// The longest rotation. Weights that need more turns are rounded: a share is then off by at most one turn in 8192 of the
/// whole (a weight of 1 beside weights of 1000 is the case that feels it), and the lay-out stays below half a millisecond
/// and in 32 KiB. Slow start makes a new one ten times a second.
const MOST_TURNS: u64 = 8192;

/// Turns that are walked when members are out, before they are simply gone through in order.
const WALK: usize = 64;

/// A rotation over indices.
#[derive(Debug)]
pub(super) struct Rotation {
    turns: Box<[u32]>,
}

/// One member in the making of a rotation.
#[derive(Debug, Clone, Copy)]
struct Seat {
    weight: u64,
    taken: u64,
}

impl Rotation {
    pub(super) fn of(shares: &[Share]) -> Self {
        let weights: Vec<u64> = shares.iter().map(|share| u64::from(share.weight)).collect();
        Self { turns: lay_out(&bounded(&weights)).into() }
    }

    /// The index whose turn it is, out or not.
    pub(super) fn turn(&self, turn: &Turn) -> Option<usize> {
        self.at(turn.take())
    }

    /// The next index along the rotation that is not out.
    pub(super) fn choose(&self, shares: &[Share], loads: &impl Loads, turn: &Turn) -> Option<usize> {
        let is_in = |index: &usize| shares.get(*index).is_some_and(|share| !loads.is_out(share.position));
        let turn = turn.take();
        let due = self.at(turn)?;
        if is_in(&due) {
            return Some(due);
        }
        let ahead = (1..self.turns.len().min(WALK)).filter_map(|step| self.at(turn.wrapping_add(step))).find(is_in);
        ahead.or_else(|| (due..shares.len()).chain(0..due).find(is_in))
    }

    fn at(&self, turn: usize) -> Option<usize> {
        let turn = turn.checked_rem(self.turns.len())?;
        self.turns.get(turn).and_then(|&index| usize::try_from(index).ok())
    }
}

/// Weights in their lowest terms, and scaled down when that is still too many turns. Nobody is scaled to nothing.
fn bounded(weights: &[u64]) -> Vec<u64> {
    let whole = weights.iter().copied().fold(0, divisor).max(1);
    let sum = weights.iter().sum::<u64>() / whole;
    if sum <= MOST_TURNS {
        return weights.iter().map(|weight| weight / whole).collect();
    }
    let sum = sum * whole;
    let mut turns: Vec<u64> = weights.iter().map(|weight| (weight * MOST_TURNS / sum).max(1)).collect();
    // What rounding down left over goes to those it took most from (largest remainder).
    let left = MOST_TURNS.saturating_sub(turns.iter().sum());
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&index| Reverse(weights.get(index).map(|weight| weight * MOST_TURNS % sum)));
    for index in order.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        if let Some(turns) = turns.get_mut(index) {
            *turns += 1;
        }
    }
    turns
}

/// Each turn goes, among those whose share is far enough ahead of what they had, to the one who must have it first. This
/// is Tijdeman's solution of the chairman assignment problem (1980): for n members nobody is ever ahead or behind by
/// more than 1 - 1/(2n-2) of a turn.
fn lay_out(weights: &[u64]) -> Vec<u32> {
    let sum: u64 = weights.iter().sum();
    let scale = (2 * weights.len() as u64).saturating_sub(2).max(1);
    let mut seats: Vec<Seat> = weights.iter().map(|&weight| Seat { weight, taken: 0 }).collect();
    let mut waiting: BinaryHeap<_> =
        seats.iter().zip(0_u32..).map(|(seat, index)| Reverse((seat.release(scale, sum), index))).collect();
    let mut ready: BinaryHeap<Reverse<(u64, u32)>> = BinaryHeap::with_capacity(seats.len());
    let mut turns = Vec::new();
    for turn in 1..=sum {
        while let Some(&Reverse((release, index))) = waiting.peek()
            && (release <= turn || ready.is_empty())
        {
            waiting.pop();
            ready.extend(seat(&seats, index).map(|seat| Reverse((seat.deadline(scale, sum), index))));
        }
        let Some(Reverse((_, index))) = ready.pop() else { break };
        turns.push(index);
        if let Some(seat) = usize::try_from(index).ok().and_then(|index| seats.get_mut(index)) {
            seat.taken += 1;
            waiting.push(Reverse((seat.release(scale, sum), index)));
        }
    }
    turns
}

fn seat(seats: &[Seat], index: u32) -> Option<&Seat> {
    seats.get(usize::try_from(index).ok()?)
}

impl Seat {
    /// The first turn (from 1) at which its share is ahead of what it had by 1/scale.
    const fn release(self, scale: u64, sum: u64) -> u64 {
        (sum * (1 + scale * self.taken)).div_ceil(scale * self.weight)
    }

    /// The moment at which it would be behind by 1 - 1/scale, as the bits of a float that is not negative: these are
    /// ordered as the floats are, and equal moments are equal.
    fn deadline(self, scale: u64, sum: u64) -> u64 {
        let moment = (sum * (scale * (self.taken + 1) - 1)) as f64 / (scale * self.weight) as f64;
        moment.to_bits()
    }
}

fn divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations() {
        let cases: &[(&[u64], &[u32])] = &[
            (&[1], &[0]),
            (&[7], &[0]),
            (&[1, 1], &[0, 1]),
            (&[1, 1, 1], &[0, 1, 2]),
            (&[5, 1, 1], &[0, 0, 1, 0, 0, 2, 0]),
            (&[1000, 1000], &[0, 1]),
            (&[1, 3], &[1, 0, 1, 1]),
            (&[], &[]),
        ];
        for (weights, expected) in cases {
            assert_eq!(lay_out(&bounded(weights)), *expected, "weights {weights:?}");
        }
    }

    /// At every moment, not only at the end.
    #[test]
    fn nobody_is_ever_a_turn_ahead_or_behind() {
        let mut random = fastrand::Rng::with_seed(7);
        for members in [1_usize, 2, 3, 5, 8, 20, 100] {
            let weights: Vec<u64> = (0..members).map(|_| random.u64(1..=80)).collect();
            let (sum, mut taken) = (weights.iter().sum::<u64>(), vec![0_u64; members]);
            for (index, turn) in lay_out(&weights).into_iter().zip(1_u64..) {
                taken[index as usize] += 1;
                for (weight, taken) in weights.iter().zip(&taken) {
                    assert!((weight * turn).abs_diff(taken * sum) < sum, "{weights:?} at turn {turn}");
                }
            }
            assert_eq!(taken, weights);
        }
    }

    #[test]
    fn long_rotations_are_bounded_and_nobody_is_left_out() {
        let mut random = fastrand::Rng::with_seed(8);
        for members in [2_usize, 20, 300, 10_000] {
            let weights: Vec<u64> = (0..members).map(|_| random.u64(1..=1_000_000)).collect();
            let (turns, sum) = (bounded(&weights), weights.iter().sum::<u64>() as f64);
            let length = turns.iter().sum::<u64>();
            assert!(length <= MOST_TURNS + members as u64, "{members} members: {length}");
            assert!(turns.iter().all(|&turns| turns > 0));
            for (weight, turns) in weights.iter().zip(&turns) {
                let (wanted, got) = (*weight as f64 / sum, *turns as f64 / length as f64);
                assert!((wanted - got).abs() <= 1.5 / MOST_TURNS as f64, "{members} members: {wanted} {got}");
            }
        }
        assert_eq!(bounded(&[1_000_000, 1]), [8191, 1]);
    }
}
