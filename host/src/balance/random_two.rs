//! The better of two drawn by weight ("the power of two choices"): nearly as even as looking at everybody, and no herd
//! runs to the one who looked best a moment ago.

use super::chance::{Chance, Draw, scan};
use super::{Loads, Share, Wish};

/// `random-two`.
#[derive(Debug)]
pub(super) struct RandomTwo(Two);

/// Draws two.
#[derive(Debug)]
pub(super) struct Two(Draw);

impl RandomTwo {
    pub(super) fn of(shares: &[Share]) -> Self {
        Self(Two::of(shares))
    }

    /// The one with fewer in flight by weight.
    pub(super) fn choose(&self, shares: &[Share], wish: &Wish, loads: &impl Loads) -> Option<usize> {
        let busyness = |share: &Share| loads.in_flight(share.position) as f64 / f64::from(share.weight);
        self.0.better(shares, wish, loads, busyness)
    }
}

impl Two {
    pub(super) fn of(shares: &[Share]) -> Self {
        Self(Draw::of(shares))
    }

    /// Of two who are not out, the one that costs less; of equals the one that was drawn first, so shares follow weights
    /// when nobody is busy.
    pub(super) fn better<L: Loads>(
        &self,
        shares: &[Share],
        wish: &Wish,
        loads: &L,
        cost: impl Fn(&Share) -> f64,
    ) -> Option<usize> {
        let mut chance = Chance::of(wish.chance);
        let is_in = |index: usize| shares.get(index).is_some_and(|share| !loads.is_out(share.position));
        let one = self.0.one(&mut chance)?;
        let other = self.0.other(one, &mut chance).unwrap_or(one);
        let (one, other) = if is_in(one) && is_in(other) { (one, other) } else { two_in(shares, is_in, &mut chance)? };
        let cost = |index: usize| shares.get(index).map_or(f64::MAX, &cost);
        Some(if one != other && cost(other) < cost(one) { other } else { one })
    }
}

/// Two different ones, or twice the only one; looks at everybody, which only happens where somebody is out.
fn two_in(shares: &[Share], is_in: impl Fn(usize) -> bool, chance: &mut Chance) -> Option<(usize, usize)> {
    let weight = |index: usize| match shares.get(index) {
        Some(share) if is_in(index) => f64::from(share.weight),
        _ => 0.0,
    };
    let one = scan(shares.len(), weight, chance)?;
    let other = scan(shares.len(), |index| if index == one { 0.0 } else { weight(index) }, chance);
    Some((one, other.unwrap_or(one)))
}
