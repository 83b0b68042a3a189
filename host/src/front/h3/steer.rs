//! Whose packet is it? Connection ids carry the number of the worker that made them, so that a packet finds its
//! connection's thread whatever socket of the group it came by: addresses of clients change (RFC 9000, section 9), and with
//! them the kernel's choice.
//!
//! Pure. An id is eight bytes of chance and the number, hidden under a keyed hash of them: who has not got the key cannot
//! tell ids of one worker from those of others (RFC 9000, section 5.1).

use std::hash::{BuildHasher as _, RandomState};

/// Bytes of an id of ours.
pub(super) const LENGTH: usize = CHANCE + 2;

const CHANCE: usize = 8;

/// A long header (RFC 8999, section 5.1): this bit, then the version, then the id's length and the id.
const LONG: u8 = 0x80;
const AFTER_VERSION: usize = 5;

/// How workers of one group number their connections.
#[derive(Debug)]
pub(super) struct Numbers {
    key: RandomState,
    workers: usize,
}

/// Where a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Whoever got it: it begins a connection, or nobody knows its id.
    Finder,
    /// That worker.
    Worker(usize),
}

impl Numbers {
    /// Numbers of a new group, which nobody else can read.
    pub(super) fn of(workers: usize) -> Self {
        Self { key: RandomState::new(), workers }
    }

    /// An id of a worker's.
    pub(super) fn id(&self, worker: u16, chance: u64) -> [u8; LENGTH] {
        let mut id = [0; LENGTH];
        let (head, tail) = id.split_at_mut(CHANCE);
        head.copy_from_slice(&chance.to_be_bytes());
        tail.copy_from_slice(&(worker ^ self.mask(chance)).to_be_bytes());
        id
    }

    /// Who made an id; `None` when nobody of the group did.
    pub(super) fn maker(&self, id: &[u8]) -> Option<usize> {
        let (chance, number) = id.split_first_chunk::<CHANCE>()?;
        let number = <[u8; 2]>::try_from(number).ok()?;
        let worker = u16::from_be_bytes(number) ^ self.mask(u64::from_be_bytes(*chance));
        Some(usize::from(worker)).filter(|worker| *worker < self.workers)
    }

    /// Who is to get a datagram. Its packets all have the same id (RFC 9000, section 12.2), so the first one's counts.
    pub(super) fn owner(&self, datagram: &[u8]) -> Owner {
        destination(datagram).and_then(|id| self.maker(id)).map_or(Owner::Finder, Owner::Worker)
    }

    fn mask(&self, chance: u64) -> u16 {
        let [.., high, low] = self.key.hash_one(chance).to_be_bytes();
        u16::from_be_bytes([high, low])
    }
}

/// The id that a datagram's first packet is for. Short headers do not say how long it is: as long as ours.
fn destination(datagram: &[u8]) -> Option<&[u8]> {
    let (first, rest) = datagram.split_first()?;
    if first & LONG == 0 {
        return rest.get(..LENGTH);
    }
    let (length, rest) = datagram.get(AFTER_VERSION..)?.split_first()?;
    rest.get(..usize::from(*length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(id: &[u8]) -> Vec<u8> {
        let length = u8::try_from(id.len()).unwrap();
        [&[0xc3, 0, 0, 0, 1, length], id, &[8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0x40, 0x64]].concat()
    }

    fn short(id: &[u8]) -> Vec<u8> {
        [&[0x45], id, &[1; 25]].concat()
    }

    #[test]
    fn packets_go_to_the_maker_of_their_id() {
        let numbers = Numbers::of(3);
        let other = Numbers::of(3);
        for worker in 0..3 {
            for chance in [0, 1, u64::MAX, fastrand::u64(..)] {
                let id = numbers.id(worker, chance);
                let expected = Owner::Worker(usize::from(worker));
                assert_eq!(numbers.owner(&long(&id)), expected);
                assert_eq!(numbers.owner(&short(&id)), expected);
                assert_eq!(numbers.owner(&short(&id)[..=LENGTH]), expected);
            }
        }
        // Of another group's ids hardly any means anything here.
        let known = (0..1000).filter(|chance| numbers.maker(&other.id(1, *chance)).is_some()).count();
        assert!(known < 10, "{known}");
    }

    #[test]
    fn what_carries_no_id_of_ours_stays_with_its_finder() {
        let numbers = Numbers::of(2);
        let ours = numbers.id(1, 7);
        for (datagram, why) in [
            (vec![], "nothing"),
            (vec![0x45], "a short header without an id"),
            (short(&ours)[..LENGTH].to_vec(), "a short header with part of an id"),
            (vec![0xc3, 0, 0, 0, 1], "a long header that ends before the id's length"),
            (vec![0xc3, 0, 0, 0, 1, 10, 1, 2], "a long header that ends within the id"),
            (long(&[]), "no id"),
            (long(&ours[..8]), "a shorter id"),
            (long(&[&ours[..], &[0; 10]].concat()), "a longer id"),
            (long(&numbers.id(2, 7)), "a worker that does not exist"),
            (short(&numbers.id(u16::MAX, 7)), "a worker that does not exist"),
        ] {
            assert_eq!(numbers.owner(&datagram), Owner::Finder, "{why}");
        }
    }

    #[test]
    fn ids_of_one_worker_have_nothing_in_common() {
        let numbers = Numbers::of(1);
        let tails: std::collections::HashSet<_> =
            (0..100).map(|chance| numbers.id(0, chance)[CHANCE..].to_vec()).collect();
        assert!(tails.len() > 90, "{}", tails.len());
    }
}
