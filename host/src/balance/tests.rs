//! Simulations: members that carry what they are given, requests and chance from a seeded generator.

mod hashing;
mod latency;

use super::*;

/// Members as a simulation sees them.
#[derive(Debug, Default, Clone)]
pub(super) struct World {
    in_flight: Vec<u64>,
    served: Vec<u64>,
    traffic: Vec<u64>,
    latency: Vec<f64>,
    spare: Vec<f64>,
    out: Vec<bool>,
}

impl World {
    pub(super) fn of(members: usize) -> Self {
        Self {
            in_flight: vec![0; members],
            served: vec![0; members],
            traffic: vec![0; members],
            latency: vec![0.0; members],
            spare: vec![1.0; members],
            out: vec![false; members],
        }
    }
}

impl Loads for World {
    fn in_flight(&self, position: usize) -> u64 {
        self.in_flight[position]
    }
    fn served(&self, position: usize) -> u64 {
        self.served[position]
    }
    fn traffic(&self, position: usize) -> u64 {
        self.traffic[position]
    }
    fn latency(&self, position: usize) -> f64 {
        self.latency[position]
    }
    fn spare(&self, position: usize) -> f64 {
        self.spare[position]
    }
    fn is_out(&self, position: usize) -> bool {
        self.out[position]
    }
}

/// Shares at positions 0, 1, 2...; weights in whole units.
pub(super) fn shares(weights: &[u32]) -> Vec<Share> {
    let share = |(position, weight): (usize, &u32)| Share {
        position,
        weight: weight * 1000,
        identity: hash(format!("http://10.0.0.{position}:8080").as_bytes()),
    };
    weights.iter().enumerate().map(share).collect()
}

const RING: config::Balance = hashed(config::HashTable::Ring, None);
const MAGLEV: config::Balance = hashed(config::HashTable::Maglev, None);

pub(super) const fn hashed(table: config::HashTable, load_factor: Option<u32>) -> config::Balance {
    config::Balance::Hash(config::Hash { key: config::HashKey::Client, table, load_factor })
}

fn all() -> Vec<config::Balance> {
    use config::Balance::{ByBusyness, ByLoad, ByTraffic, First, LeastRequests, PeakEwma, RandomTwo, RoundRobin};
    let bounded = hashed(config::HashTable::Ring, Some(125));
    vec![RoundRobin, LeastRequests, ByTraffic, ByBusyness, RandomTwo, PeakEwma, ByLoad, First, RING, MAGLEV, bounded]
}

/// Requests one after the other: how many each member got.
fn tally(method: &Method, world: &mut World, picks: usize, served: impl Fn(&mut World, usize)) -> Vec<u64> {
    let (mut random, turn) = (fastrand::Rng::with_seed(42), Turn::default());
    let mut counts = vec![0; world.out.len()];
    for _ in 0..picks {
        let wish = Wish { hash: Some(random.u64(..)), chance: random.u64(..) };
        let position = method.choose(&wish, world, &turn).unwrap();
        assert!(!world.out[position]);
        counts[position] += 1;
        world.served[position] += 1;
        served(world, position);
    }
    counts
}

/// Whether counts follow weights to within so many.
fn follow(counts: &[u64], weights: &[u32], within: f64) -> bool {
    let (sum, total) = (weights.iter().sum::<u32>(), counts.iter().sum::<u64>() as f64);
    let wanted = weights.iter().map(|weight| total * f64::from(*weight) / f64::from(sum));
    counts.iter().zip(wanted).all(|(count, wanted)| (*count as f64 - wanted).abs() <= within)
}

const PICKS: usize = 100_000;

#[test]
fn rotation_is_exact() {
    for weights in [&[1_u32, 1, 1][..], &[3, 1], &[5, 1, 1], &[7, 11, 13, 17, 19], &[1000, 1, 333, 21], &[2; 20]] {
        let mut world = World::of(weights.len());
        let method = Method::of(&config::Balance::RoundRobin, shares(weights), &world);
        let counts = tally(&method, &mut world, PICKS, |_, _| {});
        assert!(follow(&counts, weights, 1.0), "{weights:?}: {counts:?}");
    }
}

/// Threads share one rotation: together they are as exact as one.
#[test]
fn threads_share_a_rotation() {
    let weights = [5, 3, 1];
    let (world, turn) = (World::of(3), Turn::default());
    let method = Method::of(&config::Balance::RoundRobin, shares(&weights), &world);
    let run = || {
        let mut counts = [0; 3];
        for _ in 0..PICKS / 4 {
            counts[method.choose(&Wish { hash: None, chance: 0 }, &world, &turn).unwrap()] += 1;
        }
        counts
    };
    let counts: Vec<[u64; 3]> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let sums: Vec<u64> = (0..3).map(|position| counts.iter().map(|counts| counts[position]).sum()).collect();
    assert!(follow(&sums, &weights, 1.0), "{sums:?}");
}

/// A new lay-out goes on where the last one stood: a rebuild at every pick costs nobody its share.
#[test]
fn a_rotation_outlives_its_lay_out() {
    let (world, turn, mut counts) = (World::of(3), Turn::default(), [0_u64; 3]);
    for _ in 0..700 {
        let method = Method::of(&config::Balance::RoundRobin, shares(&[5, 1, 1]), &world);
        counts[method.choose(&Wish { hash: None, chance: 0 }, &world, &turn).unwrap()] += 1;
    }
    assert_eq!(counts, [500, 100, 100]);
}

/// Requests that are over before the next one comes: every method that knows weights follows them.
#[test]
fn weights_in_every_method() {
    let weights = [4, 2, 1, 1];
    // Bounds: one for those that count; four standard deviations (at most 158 of 100,000 draws) for those that draw; for
    // tables the bound of their own test.
    for (plan, within) in [
        (config::Balance::RoundRobin, 1.0),
        (config::Balance::LeastRequests, 1.0),
        (config::Balance::ByTraffic, 4.0),
        (config::Balance::ByBusyness, 1.0),
        (config::Balance::RandomTwo, 632.0),
        (config::Balance::ByLoad, 632.0),
        (RING, 5000.0),
        (MAGLEV, 700.0),
    ] {
        let mut world = World::of(weights.len());
        let method = Method::of(&plan, shares(&weights), &world);
        let counts = tally(&method, &mut world, PICKS, |world, position| world.traffic[position] += 1000);
        assert!(follow(&counts, &weights, within), "{plan:?}: {counts:?}");
    }
}

/// Members so busy that nobody is ever free: exchanges in flight follow the weights. Of two that were drawn by weight the
/// one with less by weight is taken, which is not exact: an eighth is allowed.
#[test]
fn weights_under_load() {
    let weights = [4, 2, 1, 1];
    for (plan, within) in
        [(config::Balance::ByBusyness, 0.02), (config::Balance::RandomTwo, 0.125), (config::Balance::PeakEwma, 0.125)]
    {
        let mut world = World::of(4);
        world.latency.fill(0.01);
        let method = Method::of(&plan, shares(&weights), &world);
        let (mut random, turn, mut running) = (fastrand::Rng::with_seed(3), Turn::default(), Vec::new());
        let mut busy = [0_u64; 4];
        for _ in 0..PICKS {
            let position = method.choose(&Wish { hash: None, chance: random.u64(..) }, &world, &turn).unwrap();
            world.in_flight[position] += 1;
            running.push(position);
            if running.len() > 800 {
                world.in_flight[running.swap_remove(random.usize(..running.len()))] -= 1;
                busy.iter_mut().zip(&world.in_flight).for_each(|(sum, in_flight)| *sum += in_flight);
            }
        }
        let within = busy.iter().sum::<u64>() as f64 * within / 8.0;
        assert!(follow(&busy, &weights, within), "{plan:?}: {busy:?}");
    }
}

#[test]
fn the_least_of_what_is_measured() {
    let mut world = World::of(2);
    // The first member's answers are nine times as large.
    let method = Method::of(&config::Balance::ByTraffic, shares(&[1, 1]), &world);
    let counts = tally(&method, &mut world, PICKS, |world, position| world.traffic[position] += [9000, 1000][position]);
    assert!(follow(&counts, &[1, 9], 10.0), "{counts:?}");

    // One of two has exchanges that never end: the other gets all that follow, weights considered.
    let mut world = World::of(3);
    world.in_flight = vec![5, 0, 1];
    let method = Method::of(&config::Balance::ByBusyness, shares(&[1, 1, 1]), &world);
    assert_eq!(tally(&method, &mut world, 100, |_, _| {}), [0, 100, 0]);
    let heavy = Method::of(&config::Balance::ByBusyness, shares(&[10, 1, 1]), &world);
    world.in_flight = vec![5, 1, 1];
    assert_eq!(tally(&heavy, &mut world, 100, |_, _| {}), [100, 0, 0]);
}

/// Of three, the first is always busy and the rotation often points at it: the other two still share alike.
#[test]
fn nobody_pays_for_standing_behind_a_busy_member() {
    let mut world = World::of(3);
    world.in_flight[0] = 9;
    let method = Method::of(&config::Balance::ByBusyness, shares(&[1, 1, 1]), &world);
    let counts = tally(&method, &mut world, PICKS, |_, _| {});
    assert!(counts[0] == 0 && counts[1].abs_diff(counts[2]) < 1300, "{counts:?}");
}

#[test]
fn one_who_joins_is_not_flooded() {
    for plan in [config::Balance::LeastRequests, config::Balance::ByTraffic] {
        let mut world = World::of(3);
        let two = Method::of(&plan, shares(&[1, 1]), &world);
        tally(&two, &mut world, PICKS, |world, position| world.traffic[position] += 500);
        let three = Method::of(&plan, shares(&[1, 1, 1]), &world);
        let counts = tally(&three, &mut world, 300, |world, position| world.traffic[position] += 500);
        assert_eq!(counts, [100, 100, 100], "{plan:?}");
    }
}

#[test]
fn members_that_say_they_are_full_are_drawn_less() {
    let mut world = World::of(4);
    world.spare = vec![1.0, 0.5, 0.1, 0.0];
    let method = Method::of(&config::Balance::ByLoad, shares(&[1, 2, 10, 1]), &world);
    let counts = tally(&method, &mut world, PICKS, |_, _| {});
    assert!(follow(&counts, &[1, 1, 1, 0], 632.0), "{counts:?}");
    // Reports are the members' own, so anything may stand in them; and somebody has to serve.
    for (spare, expected) in [([0.0; 4], [1, 2, 10, 1]), ([f64::NAN; 4], [1, 2, 10, 1]), ([1e9; 4], [1, 2, 10, 1])] {
        world.spare = spare.to_vec();
        let counts = tally(&method, &mut world, PICKS, |_, _| {});
        assert!(follow(&counts, &expected, 632.0), "{spare:?}: {counts:?}");
    }
}

#[test]
fn the_first_fills_before_the_second() {
    let mut world = World::of(3);
    let method = Method::of(&config::Balance::First, shares(&[1, 1, 5]), &world);
    let turn = Turn::default();
    let mut order = Vec::new();
    for _ in 0..5 {
        let position = method.choose(&Wish { hash: None, chance: 1 }, &world, &turn).unwrap();
        order.push(position);
        world.in_flight[position] += 1;
        world.out[position] = world.in_flight[position] == 2;
    }
    assert_eq!(order, [0, 0, 1, 1, 2]);
    world.out[0] = false;
    assert_eq!(method.choose(&Wish { hash: None, chance: 1 }, &world, &turn), Some(0));
}

/// Whoever is out is not chosen, everybody else is reachable, and none left is none.
#[test]
fn those_who_are_out_are_passed_over() {
    for plan in all() {
        for out in 0_u32..16 {
            let mut world = World::of(4);
            world.out = (0..4).map(|position| out >> position & 1 == 1).collect();
            world.in_flight = vec![3, 0, 7, 1];
            let method = Method::of(&plan, shares(&[1000, 1, 1, 20]), &world);
            let mut random = fastrand::Rng::with_seed(5);
            let turn = Turn::default();
            for _ in 0..200 {
                let wish = Wish { hash: random.bool().then(|| random.u64(..)), chance: random.u64(..) };
                let chosen = method.choose(&wish, &world, &turn);
                assert_eq!(chosen.is_none(), out == 15, "{plan:?}, {out:04b} out");
                assert!(chosen.is_none_or(|position| !world.out[position]), "{plan:?}, {out:04b} out: {chosen:?}");
            }
        }
        let nobody = Method::of(&plan, Vec::new(), &World::of(0));
        assert_eq!(nobody.choose(&Wish { hash: Some(1), chance: 1 }, &World::of(0), &Turn::default()), None);
    }
}

/// Positions are those of the shares, not their order.
#[test]
fn positions_may_be_sparse() {
    for plan in all() {
        let world = World::of(10);
        let sparse: Vec<Share> =
            shares(&[1; 10]).into_iter().filter(|share| [2, 5, 9].contains(&share.position)).collect();
        let method = Method::of(&plan, sparse, &world);
        let mut random = fastrand::Rng::with_seed(6);
        for _ in 0..50 {
            let wish = Wish { hash: Some(random.u64(..)), chance: random.u64(..) };
            let chosen = method.choose(&wish, &world, &Turn::default()).unwrap();
            assert!([2, 5, 9].contains(&chosen), "{plan:?}: {chosen}");
        }
    }
}
