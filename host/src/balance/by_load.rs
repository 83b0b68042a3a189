//! Drawn by weight times the room that members say they have.

use super::chance::{Chance, Draw, scan};
use super::{Loads, Share, Wish};

/// Draws by weight that room may refuse, before everybody is asked for theirs. The result is distributed alike; half the
/// members being half full, one draw in four is refused.
const DRAWS: usize = 4;

/// `by-load`.
#[derive(Debug)]
pub(super) struct ByLoad(Draw);

impl ByLoad {
    pub(super) fn of(shares: &[Share]) -> Self {
        Self(Draw::of(shares))
    }

    pub(super) fn choose(&self, shares: &[Share], wish: &Wish, loads: &impl Loads) -> Option<usize> {
        let mut chance = Chance::of(wish.chance);
        for _ in 0..DRAWS {
            let index = self.0.one(&mut chance)?;
            let room = shares.get(index).map_or(0.0, |share| room(share, loads));
            if room >= 1.0 || chance.fraction() < room {
                return Some(index);
            }
        }
        let weight = |index: usize| shares.get(index).map_or(0.0, |share| f64::from(share.weight) * room(share, loads));
        scan(shares.len(), weight, &mut chance).or_else(|| without_room(shares, loads, &mut chance))
    }
}

/// When nobody has room by their own account, somebody must still serve: by weight alone.
fn without_room(shares: &[Share], loads: &impl Loads, chance: &mut Chance) -> Option<usize> {
    let weight = |index: usize| match shares.get(index) {
        Some(share) if !loads.is_out(share.position) => f64::from(share.weight),
        _ => 0.0,
    };
    scan(shares.len(), weight, chance)
}

/// From 0 to 1. What is reported is not trusted to be.
fn room(share: &Share, loads: &impl Loads) -> f64 {
    if loads.is_out(share.position) { 0.0 } else { loads.spare(share.position).clamp(0.0, 1.0).max(0.0) }
}
