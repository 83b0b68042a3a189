//! Maglev's table (Eisenbud et al., NSDI 2016): members take turns in filling slots, each in an order of its own.
//!
//! A look-up is one read, shares are exact to a slot, and when members come or go a few keys of others move as well.

use super::Share;
use super::hash::mix;

/// Slots: primes, so that any step visits all of them. A hundred slots a member keep shares within a hundredth.
const SLOTS: (u32, u32) = (65_537, 655_373);

/// Members beyond which the larger table is used.
const MANY: usize = 655;

/// The table.
#[derive(Debug)]
pub(super) struct Maglev {
    slots: Box<[u32]>,
}

/// One member while the table is filled.
struct Filler {
    index: u32,
    /// The slot it would take next, and how far it goes from there.
    at: u32,
    step: u32,
    weight: u64,
    /// What it has taken, in heaviest weights: it waits while that is ahead of its share of the rounds.
    spent: u64,
}

impl Maglev {
    pub(super) fn of(shares: &[Share]) -> Self {
        let size = if shares.len() <= MANY { SLOTS.0 } else { SLOTS.1 };
        // In the order of identities, so that the order in which a config lists members means nothing.
        let mut order: Vec<(&Share, u32)> = shares.iter().zip(0..).collect();
        order.sort_by_key(|(share, _)| share.identity);
        let mut fillers: Vec<Filler> = order.into_iter().map(|(share, index)| Filler::of(share, index, size)).collect();
        Self { slots: fill(&mut fillers, size).into() }
    }

    /// The index of a key, then those of further slots, drawn by the key.
    pub(super) fn walk(&self, key: u64) -> impl Iterator<Item = usize> {
        let size = self.slots.len() as u64;
        let slots = std::iter::successors(Some(key), |key| Some(mix(key.wrapping_add(1))));
        let slots = slots.map_while(move |key| usize::try_from(key.checked_rem(size)?).ok());
        slots.filter_map(|slot| self.slots.get(slot).and_then(|&index| usize::try_from(index).ok()))
    }
}

/// Rounds in which each takes one slot, or waits when its weight says so, until none is free.
fn fill(fillers: &mut [Filler], size: u32) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    let heaviest = fillers.iter().map(|filler| filler.weight).max().unwrap_or(1);
    let mut slots = vec![FREE; if fillers.is_empty() { 0 } else { index(size) }];
    let mut left = slots.len();
    for round in 1_u64.. {
        for filler in fillers.iter_mut() {
            if left == 0 {
                return slots;
            }
            if round * filler.weight < filler.spent {
                continue;
            }
            filler.spent += heaviest;
            while slots.get(index(filler.at)).is_some_and(|&slot| slot != FREE) {
                filler.advance(size);
            }
            if let Some(slot) = slots.get_mut(index(filler.at)) {
                *slot = filler.index;
                left -= 1;
            }
        }
        if left == 0 {
            break;
        }
    }
    slots
}

impl Filler {
    fn of(share: &Share, index: u32, size: u32) -> Self {
        let at = remainder(mix(share.identity), size);
        // Another hash than that of the first slot, from the same name.
        let step = remainder(mix(share.identity ^ 0x6d61_676c_6576), size - 1) + 1;
        Self { index, at, step, weight: u64::from(share.weight), spent: 0 }
    }

    /// Neither number reaches the table's size, so the sum of two stays far below the type's.
    const fn advance(&mut self, size: u32) {
        self.at += self.step;
        if self.at >= size {
            self.at -= size;
        }
    }
}

fn remainder(hash: u64, size: u32) -> u32 {
    u32::try_from(hash % u64::from(size)).expect("a remainder is below its divisor, which is of this type")
}

fn index(slot: u32) -> usize {
    usize::try_from(slot).expect("a table of that size was made in memory")
}
