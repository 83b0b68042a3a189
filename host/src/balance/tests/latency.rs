//! A pool over simulated time: requests arrive at a rate, members take the time that is theirs.

use super::*;
use crate::clock::{Duration, Instant};

/// What a run found.
struct Run {
    counts: Vec<u64>,
    /// Of each request, in the order in which they began, its member and how long it took.
    requests: Vec<(usize, Duration)>,
}

/// Requests at even distances for two minutes; `takes` says how long one takes on a member that has so many already.
fn run(
    plan: &config::Balance,
    weights: &[u32],
    every: Duration,
    takes: impl Fn(usize, u64, Duration) -> Duration,
) -> Run {
    let start = crate::clock::now();
    let mut world = World::of(weights.len());
    let ewmas: Vec<PeakEwma> = weights.iter().map(|_| PeakEwma::since(start)).collect();
    let (method, turn) = (Method::of(plan, shares(weights), &world), Turn::default());
    let mut random = fastrand::Rng::with_seed(21);
    let mut ends = std::collections::BinaryHeap::<std::cmp::Reverse<(Duration, usize, Duration)>>::new();
    let mut run = Run { counts: vec![0; weights.len()], requests: Vec::new() };
    let mut now = Duration::ZERO;
    while now < Duration::from_secs(120) {
        while let Some(&std::cmp::Reverse((end, position, took))) = ends.peek()
            && end <= now
        {
            ends.pop();
            world.in_flight[position] -= 1;
            ewmas[position].observe(took, start + end);
        }
        refresh(&mut world, &ewmas, start + now);
        let position = method.choose(&Wish { hash: None, chance: random.u64(..) }, &world, &turn).unwrap();
        let took = takes(position, world.in_flight[position], now).mul_f64(0.9 + 0.2 * random.f64());
        world.in_flight[position] += 1;
        run.counts[position] += 1;
        run.requests.push((position, took));
        ends.push(std::cmp::Reverse((now + took, position, took)));
        now += every;
    }
    run
}

fn refresh(world: &mut World, ewmas: &[PeakEwma], now: Instant) {
    world.latency.iter_mut().zip(ewmas).for_each(|(latency, ewma)| *latency = ewma.value(now));
}

const MILLISECOND: Duration = Duration::from_millis(1);

/// One of four is twenty times as slow. Rotation gives it a quarter all the same; the others notice.
#[test]
fn a_slow_member_gets_less() {
    let takes = |position: usize, _, _| if position == 2 { 200 * MILLISECOND } else { 10 * MILLISECOND };
    let slow = |plan: config::Balance| {
        let run = run(&plan, &[1; 4], MILLISECOND, takes);
        run.counts[2] as f64 / run.counts.iter().sum::<u64>() as f64
    };
    assert!((slow(config::Balance::RoundRobin) - 0.25).abs() < 0.001);
    for (plan, most) in
        [(config::Balance::ByBusyness, 0.03), (config::Balance::RandomTwo, 0.05), (config::Balance::PeakEwma, 0.01)]
    {
        let share = slow(plan.clone());
        assert!(share > 0.0 && share < most, "{plan:?}: {share}");
    }
}

/// A member stalls for ten seconds and recovers: with peak-ewma few requests meet the stall, it is tried now and then, and
/// a minute later, when a stall two hundred times its latency is forgotten, it has a fair share again.
#[test]
fn a_member_that_recovers_is_found_again() {
    let second = |second| Duration::from_secs(second);
    let takes = |position: usize, _, now: Duration| {
        if position == 1 && (second(10)..second(20)).contains(&now) { second(1) } else { 5 * MILLISECOND }
    };
    let run = run(&config::Balance::PeakEwma, &[1; 3], MILLISECOND, takes);
    let met = run.requests.iter().filter(|(_, took)| *took > 500 * MILLISECOND).count();
    assert!((1..60).contains(&met), "{met} requests met the stall");
    let of_second =
        |second: usize| run.requests[second * 1000..][..1000].iter().filter(|(member, _)| *member == 1).count();
    assert!((30..60).map(of_second).sum::<usize>() > 10, "never tried");
    assert!((300..370).contains(&((90..120).map(of_second).sum::<usize>() / 30)), "{:?}", run.counts);
}

/// Members whose answers slow down with what they have in flight, half of them of half the strength, with weights that
/// say so: nobody drowns, and shares come near the weights.
#[test]
fn strengths_and_weights_agree() {
    let takes = |position: usize, in_flight: u64, _| {
        let strength = if position < 2 { 2 } else { 1 };
        2 * MILLISECOND + MILLISECOND * u32::try_from(in_flight).unwrap() / strength
    };
    for plan in [config::Balance::ByBusyness, config::Balance::RandomTwo, config::Balance::PeakEwma] {
        let run = run(&plan, &[2, 2, 1, 1], MILLISECOND / 4, takes);
        let total = run.counts.iter().sum::<u64>() as f64;
        assert!(follow(&run.counts, &[2, 2, 1, 1], total * 0.06), "{plan:?}: {:?}", run.counts);
        let worst = run.requests.iter().map(|(_, took)| took).max().unwrap();
        assert!(*worst < 20 * MILLISECOND, "{plan:?}: {worst:?}");
    }
}

/// Before the first answer nothing is known: a member that never answers gets one request, not all of them.
#[test]
fn the_unknown_is_tried_once() {
    let mut world = World::of(2);
    world.latency = vec![0.005, 0.0];
    let (method, turn) = (Method::of(&config::Balance::PeakEwma, shares(&[1, 1]), &world), Turn::default());
    for chance in 0..1000 {
        let position = method.choose(&Wish { hash: None, chance }, &world, &turn).unwrap();
        world.in_flight[position] += 1;
    }
    assert_eq!(world.in_flight, [999, 1]);
}
