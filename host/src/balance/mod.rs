//! Which member is next: pure choices over weights and loads, one file a method.
//!
//! A method knows positions, weights and what members carry, never addresses, health or time; chance is given to it. It is
//! laid out once for a set of members that may be chosen and asked by all threads at once: a choice takes no lock and makes
//! nothing on the heap.

mod by_load;
mod chance;
mod ewma;
mod first;
mod hash;
mod hashed;
mod least;
mod maglev;
mod peak_ewma;
mod random_two;
mod ring;
mod rotation;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};

pub use self::ewma::PeakEwma;
pub use self::hash::hash;

use self::by_load::ByLoad;
use self::hashed::Hashed;
use self::least::{Least, Measure};
use self::peak_ewma::Cheapest;
use self::random_two::RandomTwo;
use self::rotation::Rotation;
use crate::config;

/// One that may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Its place in the pool; what a choice answers.
    pub position: usize,
    /// Thousandths of a unit of weight, more than zero, slow start already in it.
    pub weight: u32,
    /// `hash` of its name: where it stands in the tables of hash methods. No two shares have the same.
    pub identity: u64,
}

/// What members carry at the moment, by position.
pub trait Loads {
    /// Exchanges in flight.
    fn in_flight(&self, position: usize) -> u64;
    /// Exchanges begun so far.
    fn served(&self, position: usize) -> u64;
    /// Bytes both ways so far.
    fn traffic(&self, position: usize) -> u64;
    /// Seconds, as `PeakEwma::value`; zero when nothing is known.
    fn latency(&self, position: usize) -> f64;
    /// The room that the member reported, from 0 to 1; 1 when nothing is known.
    fn spare(&self, position: usize) -> f64;
    /// Whether it must not be chosen now: it was tried in this exchange already, or is full.
    fn is_out(&self, position: usize) -> bool;
}

/// What an exchange brings to a choice.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// `hash` of its key, for methods that hash.
    pub hash: Option<u64>,
    /// A random number.
    pub chance: u64,
}

/// How far a pool's rotation has come. It outlives the methods, so that a new one goes on where the last stood.
#[derive(Debug, Default)]
pub struct Turn(AtomicUsize);

/// A way to choose, laid out for certain shares.
#[derive(Debug)]
pub struct Method {
    shares: Box<[Share]>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    RoundRobin(Rotation),
    Least(Least),
    RandomTwo(RandomTwo),
    PeakEwma(Cheapest),
    ByLoad(ByLoad),
    Hash(Hashed),
    First,
}

impl Method {
    /// Lays a method out. Methods that compare what was served so far begin to count with this moment's `loads`, so that
    /// one who joins late is not flooded to make up for the time before.
    #[must_use]
    pub fn of(plan: &config::Balance, shares: Vec<Share>, loads: &impl Loads) -> Self {
        // A weight of nothing would divide by zero; it counts as the smallest.
        let shares: Box<[Share]> =
            shares.into_iter().map(|share| Share { weight: share.weight.max(1), ..share }).collect();
        let way = match plan {
            config::Balance::RoundRobin => Way::RoundRobin(Rotation::of(&shares)),
            config::Balance::LeastRequests => Way::Least(Least::of(Measure::Served, &shares, loads)),
            config::Balance::ByTraffic => Way::Least(Least::of(Measure::Traffic, &shares, loads)),
            config::Balance::ByBusyness => Way::Least(Least::of(Measure::InFlight, &shares, loads)),
            config::Balance::RandomTwo => Way::RandomTwo(RandomTwo::of(&shares)),
            config::Balance::PeakEwma => Way::PeakEwma(Cheapest::of(&shares)),
            config::Balance::ByLoad => Way::ByLoad(ByLoad::of(&shares)),
            config::Balance::Hash(hash) => Way::Hash(Hashed::of(hash, &shares)),
            config::Balance::First => Way::First,
        };
        Self { shares, way }
    }

    /// The position to go to; `None` when all are out, or there is nobody.
    pub fn choose<L: Loads>(&self, wish: &Wish, loads: &L, turn: &Turn) -> Option<usize> {
        let shares = &self.shares;
        let index = match &self.way {
            Way::RoundRobin(rotation) => rotation.choose(shares, loads, turn),
            Way::Least(least) => least.choose(shares, wish, loads, turn),
            Way::RandomTwo(two) => two.choose(shares, wish, loads),
            Way::PeakEwma(cheapest) => cheapest.choose(shares, wish, loads),
            Way::ByLoad(by_load) => by_load.choose(shares, wish, loads),
            Way::Hash(hashed) => hashed.choose(shares, wish, loads, turn),
            Way::First => first::choose(shares, loads),
        }?;
        shares.get(index).map(|share| share.position)
    }
}

impl Turn {
    /// This turn's number; the next caller gets the next one.
    fn take(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
