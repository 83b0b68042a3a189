//! Smooth weighted rotation: every member gets its share, and a heavy one is not hit in bursts.
//!
//! The rotation is laid out once, when the weights are known; taking a turn is one addition on a shared counter, so all
//! threads together follow one rotation.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A rotation over positions.
#[derive(Debug)]
pub struct RoundRobin {
    turns: Vec<usize>,
    next: AtomicUsize,
}

impl RoundRobin {
    /// A rotation in which every position comes as often as its weight says, relative to the others.
    #[must_use]
    pub fn of(weights: &[u32]) -> Self {
        Self { turns: lay_out(weights), next: AtomicUsize::new(0) }
    }

    /// The next position; 0 when there are none.
    pub fn turn(&self) -> usize {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        turn.checked_rem(self.turns.len()).and_then(|turn| self.turns.get(turn)).copied().unwrap_or(0)
    }
}

/// At every turn each position gains its weight, the richest one takes the turn and pays the sum of all weights.
fn lay_out(weights: &[u32]) -> Vec<usize> {
    let divisor = weights.iter().copied().fold(0, divisor).max(1);
    let weights: Vec<i64> = weights.iter().map(|&weight| i64::from(weight / divisor)).collect();
    let sum: i64 = weights.iter().sum();
    let mut wealth = vec![0_i64; weights.len()];
    (0..sum)
        .filter_map(|_| {
            wealth.iter_mut().zip(&weights).for_each(|(wealth, weight)| *wealth += weight);
            // The first of equals, as written in the config: `max_by_key` alone would take the last.
            let richest = (0..wealth.len()).rev().max_by_key(|&position| wealth.get(position).copied())?;
            *wealth.get_mut(richest)? -= sum;
            Some(richest)
        })
        .collect()
}

fn divisor(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations() {
        let cases: &[(&[u32], &[usize])] = &[
            (&[1], &[0, 0, 0]),
            (&[1, 1], &[0, 1, 0, 1]),
            (&[5, 1, 1], &[0, 0, 1, 0, 2, 0, 0, 0]),
            (&[1000, 1000], &[0, 1, 0]),
            (&[1, 3], &[1, 0, 1, 1, 1]),
            (&[], &[0, 0]),
        ];
        for (weights, expected) in cases {
            let rotation = RoundRobin::of(weights);
            let turns: Vec<_> = expected.iter().map(|_| rotation.turn()).collect();
            assert_eq!(&turns, expected, "weights {weights:?}");
        }
    }
}
