//! A ring of points, many for each member: a key belongs to the next point behind it.
//!
//! Points depend on a member's identity and weight alone, so when members come or go only the keys of those move.

use super::Share;
use super::hash::mix;

/// Points for a unit of weight, by the heaviest weight: some hundreds for a member. With 256 a share lies within a
/// sixteenth of what it should be two times in three. A pool must lose everybody of its heaviest class for another row
/// of this table to hold, and for keys of others to move.
const POINTS: &[(u64, u64)] = &[(8_000, 256), (128_000, 16), (u64::MAX, 2)];

/// The lower bits of a point are the index of its member; what is left orders the points.
const INDEX_BITS: u32 = 20;

/// The ring.
#[derive(Debug)]
pub(super) struct Ring {
    points: Box<[u64]>,
}

impl Ring {
    pub(super) fn of(shares: &[Share]) -> Self {
        let heaviest = shares.iter().map(|share| u64::from(share.weight)).max().unwrap_or(0);
        let (_, density) = POINTS.iter().find(|(most, _)| heaviest <= *most).copied().unwrap_or((0, 1));
        let mut points: Vec<u64> = shares
            .iter()
            .zip(0..1_u64 << INDEX_BITS)
            .flat_map(|(share, index)| {
                let count = (u64::from(share.weight) * density / 1000).max(1);
                (0..count).map(move |point| place(share.identity, point) | index)
            })
            .collect();
        points.sort_unstable();
        Self { points: points.into() }
    }

    /// The indices behind a key, nearest first, once around; an index comes as often as it has points.
    pub(super) fn walk(&self, key: u64) -> impl Iterator<Item = usize> {
        let start = self.points.partition_point(|&point| point < key);
        let (before, behind) = self.points.split_at(start);
        behind.iter().chain(before).filter_map(|point| usize::try_from(point & ((1 << INDEX_BITS) - 1)).ok())
    }
}

/// Where a member's point stands; the bits of the index are free.
const fn place(identity: u64, point: u64) -> u64 {
    mix(identity.wrapping_add(mix(point))) >> INDEX_BITS << INDEX_BITS
}
