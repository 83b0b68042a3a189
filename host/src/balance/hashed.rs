//! The same key goes to the same member, unless that one has more than its part of the load.
//!
//! Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016): a member takes another exchange only
//! while it has fewer in flight than the load factor times its weight's part of all; what it refuses walks on along the
//! table, so one hot key is spread and nobody else's keys move. A request without a key is balanced by rotation.

use super::hash::mix;
use super::maglev::Maglev;
use super::ring::Ring;
use super::rotation::Rotation;
use super::{Loads, Share, Turn, Wish};
use crate::config;

/// Places of the table that are looked at before everybody is: with half of the members out, all of them are held in
/// 64 places once in 2^64.
const WALK: usize = 64;

/// `hash` and `ip-hash`.
#[derive(Debug)]
pub(super) struct Hashed {
    table: Table,
    rotation: Rotation,
    /// Percent.
    load_factor: Option<u32>,
}

#[derive(Debug)]
enum Table {
    Ring(Ring),
    Maglev(Maglev),
}

/// How much a member may have in flight: `limit * weight / whole`, kept apart so that nothing is rounded.
#[derive(Debug, Clone, Copy)]
struct Bound {
    limit: u128,
    whole: u128,
}

impl Hashed {
    pub(super) fn of(plan: &config::Hash, shares: &[Share]) -> Self {
        let table = match plan.table {
            config::HashTable::Ring => Table::Ring(Ring::of(shares)),
            config::HashTable::Maglev => Table::Maglev(Maglev::of(shares)),
        };
        Self { table, rotation: Rotation::of(shares), load_factor: plan.load_factor }
    }

    pub(super) fn choose(&self, shares: &[Share], wish: &Wish, loads: &impl Loads, turn: &Turn) -> Option<usize> {
        let Some(key) = wish.hash else { return self.rotation.choose(shares, loads, turn) };
        let is_in = |share: &Share| !loads.is_out(share.position);
        let bound = self.load_factor.map(|factor| Bound::of(factor, shares, loads));
        let has_room = |share: &Share| {
            is_in(share) && bound.is_none_or(|bound| bound.admits(loads.in_flight(share.position), share.weight))
        };
        let is_good = |index: &usize| shares.get(*index).is_some_and(has_room);
        let near = match &self.table {
            Table::Ring(ring) => ring.walk(key).take(WALK).find(is_good),
            Table::Maglev(maglev) => maglev.walk(key).take(WALK).find(is_good),
        };
        near.or_else(|| nearest(key, shares, has_room)).or_else(|| nearest(key, shares, is_in))
    }
}

/// The first in the key's own order of members (rendezvous hashing), among those that are wanted.
fn nearest(key: u64, shares: &[Share], is_wanted: impl Fn(&Share) -> bool) -> Option<usize> {
    let wanted = shares.iter().enumerate().filter(|(_, share)| is_wanted(share));
    wanted.max_by_key(|(_, share)| mix(key ^ share.identity)).map(|(index, _)| index)
}

impl Bound {
    /// Of those who are not out; the exchange to come is counted in, so somebody always has room.
    fn of(factor: u32, shares: &[Share], loads: &impl Loads) -> Self {
        let (mut in_flight, mut weights) = (1_u64, 0_u64);
        for share in shares.iter().filter(|share| !loads.is_out(share.position)) {
            in_flight = in_flight.saturating_add(loads.in_flight(share.position));
            weights += u64::from(share.weight);
        }
        Self { limit: u128::from(factor) * u128::from(in_flight), whole: 100 * u128::from(weights) }
    }

    /// Whether somebody with this in flight may take one more. Having fewer than a bound that is not whole means ending
    /// at that bound rounded up.
    fn admits(self, in_flight: u64, weight: u32) -> bool {
        u128::from(in_flight).saturating_mul(self.whole) < self.limit.saturating_mul(u128::from(weight))
    }
}
