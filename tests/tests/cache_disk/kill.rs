//! A gateway that is killed at random instants, again and again, on one directory.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use weir_tests::{Client, Gateway, PATIENCE, Response, Signal, Stream, eventually, request_bytes};

use super::ledger::{self, Chance, Ledger, TAGS};
use super::{Store, said};

/// How long the loop goes on, unless `WEIR_KILLS` says for how many seconds.
const SECONDS: u64 = 20;
/// A busy machine may take longer until everything has happened that is to happen.
const MOST: Duration = Duration::from_secs(300);
/// Things that are asked for: together several times what the directory may hold.
const KEYS: u64 = 500;
const CLIENTS: u64 = 4;
const CAPACITY: u64 = 16 << 20;

/// What the clients of one round have in common.
struct Round<'w> {
    ledger: &'w Ledger,
    address: &'w str,
    /// Set before the gateway is killed: from then on connections may break.
    is_over: AtomicBool,
    steps: AtomicU64,
    hits: AtomicU64,
    parts: AtomicU64,
    confirmed: AtomicU64,
    purges: AtomicU64,
}

#[test]
fn what_a_killed_gateway_leaves_is_whole_and_what_was_forgotten_stays_so() {
    let seconds = std::env::var("WEIR_KILLS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(SECONDS);
    let (store, ledger) = (Store::fresh(), Ledger::default());
    let origin = ledger.origin();
    let start = Instant::now();
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut chance = Chance::of(seed);
    let (mut rounds, mut seen, mut again, mut kept) = (0_u64, [0_u64; 4], 0, Vec::new());
    let is_everything = |again: u64, seen: &[u64; 4]| again > 0 && seen.iter().all(|count| *count > 0);
    while rounds < 4
        || start.elapsed() < Duration::from_secs(seconds)
        || (!is_everything(again, &seen) && start.elapsed() < MOST)
    {
        // In every third round objects are in memory too, in every fourth on the disk itself before they count.
        let memory = if rounds % 3 == 2 { "memory = \"1MiB\"" } else { "memory = \"off\"" };
        let sync = if rounds % 4 == 3 { ", sync = true" } else { "" };
        let mut gateway = Gateway::start(&store.config_of(&origin, memory, sync, ""));
        // What was there when nothing went on is there again, and nothing is left that was not whole.
        let asked = ledger.fetches();
        for key in kept.drain(..) {
            eventually(&format!("/o/{key} is found again"), || {
                stored(&mut gateway.client(), &ledger, key).then_some(())
            });
            again += 1;
        }
        assert_eq!(ledger.fetches(), asked);
        eventually("nothing unfinished is left", || store.unfinished().is_empty().then_some(()));
        let address = gateway.addr("web");
        let round = Round {
            ledger: &ledger,
            address: &address,
            is_over: AtomicBool::new(false),
            steps: AtomicU64::default(),
            hits: AtomicU64::default(),
            parts: AtomicU64::default(),
            confirmed: AtomicU64::default(),
            purges: AtomicU64::default(),
        };
        // An instant by what was done until then, so that a busy machine kills as often in the midst of it, and a bit later.
        let (instant, later) = (chance.below(250), Duration::from_micros(chance.below(5000)));
        let is_quiet = rounds % 3 == 0;
        thread::scope(|scope| {
            let clients = (0..CLIENTS).map(|_| Chance::of(chance.below(u64::MAX)));
            let clients: Vec<_> = clients.map(|own| scope.spawn(|| roam(&round, own))).collect();
            eventually("the clients are busy", || {
                let is_over = clients.iter().any(|client| client.is_finished());
                (is_over || round.steps.load(Ordering::Relaxed) >= instant).then_some(())
            });
            thread::sleep(later);
            round.is_over.store(true, Ordering::SeqCst);
            if !is_quiet {
                gateway.signal(Signal::Kill);
            }
            for client in clients {
                let wrong = client.join().expect("it tells what is wrong").err();
                assert_eq!(wrong, None, "round {rounds} of seed {seed}, after {instant} steps");
            }
        });
        if is_quiet {
            eventually("everything is written", || store.unfinished().is_empty().then_some(()));
            let mut client = gateway.client();
            kept = (0..KEYS / 4).filter(|key| key % 3 != 0 && stored(&mut client, &ledger, *key)).collect();
            drop(client);
            gateway.signal(Signal::Kill);
        }
        gateway.wait_exit(PATIENCE);
        assert!(store.bytes() <= CAPACITY, "round {rounds}: {} bytes", store.bytes());
        assert_eq!(gateway.log_count("panicked"), 0);
        for (sum, count) in seen.iter_mut().zip([&round.hits, &round.parts, &round.confirmed, &round.purges]) {
            *sum += count.load(Ordering::Relaxed);
        }
        rounds += 1;
    }
    eprintln!("{rounds} kills; hits, parts, confirmations, purges: {seen:?}; found again: {again}");
    assert!(is_everything(again, &seen), "{again} {seen:?}");
}

/// Whether something is in the cache; what is has to be right.
fn stored(client: &mut Client, ledger: &Ledger, key: u64) -> bool {
    let floor = ledger.floor(key);
    let response = client.ask(&format!("/o/{key}"), &[("Cache-Control", "only-if-cached")]);
    if response.status == 504 {
        return false;
    }
    assert_eq!(ledger::check(&response, key, floor), Ok(()));
    said(&response) == "hit"
}

/// A client that asks for all kinds of things until the gateway is gone, and says what was wrong.
fn roam(round: &Round<'_>, mut chance: Chance) -> Result<(), String> {
    while !round.is_over.load(Ordering::SeqCst) {
        let done = Stream::connect(round.address).map(Client::over).and_then(|mut client| {
            while !round.is_over.load(Ordering::SeqCst) {
                round.steps.fetch_add(1, Ordering::Relaxed);
                if let Some(wrong) = step(round, &mut client, &mut chance)? {
                    return Ok(Some(wrong));
                }
            }
            Ok(None)
        });
        match done {
            Ok(Some(wrong)) => return Err(wrong),
            Err(error) if !round.is_over.load(Ordering::SeqCst) => return Err(format!("a connection broke: {error}")),
            Ok(None) | Err(_) => {}
        }
    }
    Ok(())
}

/// One request; what is wrong with its answer.
fn step(round: &Round<'_>, client: &mut Client, chance: &mut Chance) -> io::Result<Option<String>> {
    // Some are asked for far more often than others.
    let key = chance.below(KEYS).min(chance.below(KEYS));
    let floor = round.ledger.floor(key);
    let target = format!("/o/{key}");
    let wrong = match chance.below(40) {
        0 => {
            let version = round.ledger.change(key);
            let response = ask(client, "PURGE", &target, &[])?;
            round.purges.fetch_add(1, Ordering::Relaxed);
            forgotten(round, &response, key, version)
        }
        1 => {
            let version = round.ledger.change(key);
            let response = ask(client, "POST", &target, &[])?;
            forgotten(round, &response, key, version)
        }
        2 => {
            let tag = chance.below(TAGS);
            // One at a time, so that nobody changes what is changed here.
            let members = (0..KEYS).filter(|key| key % TAGS == tag && key % 5 == 0);
            let changed: Vec<_> = members.map(|key| (key, round.ledger.change(key))).collect();
            let response = ask(client, "PURGE", "/", &[("Weir-Purge", &format!("tag=t{tag}"))])?;
            changed.into_iter().find_map(|(key, version)| forgotten(round, &response, key, version))
        }
        3..8 => {
            let from = chance.below(1 + ledger::length(key, floor) as u64 / 2);
            let range = format!("bytes={from}-{}", from + chance.below(100_000));
            let response = ask(client, "GET", &target, &[("Range", &range)])?;
            round.parts.fetch_add(u64::from(response.status == 206), Ordering::Relaxed);
            if response.status == 416 { None } else { checked(round, &response, key, floor) }
        }
        8..11 => {
            round.ledger.change(key);
            let response = ask(client, "GET", &target, &[("Cache-Control", "no-cache")])?;
            checked(round, &response, key, floor)
        }
        _ => {
            let response = ask(client, "GET", &target, &[])?;
            checked(round, &response, key, floor)
        }
    };
    Ok(wrong)
}

fn ask(client: &mut Client, method: &str, target: &str, fields: &[(&str, &str)]) -> io::Result<Response> {
    client.try_send(request_bytes(method, target, fields, b""))?;
    client.try_response_to(method)
}

/// Whoever was told that something is forgotten may rely on it.
fn forgotten(round: &Round<'_>, response: &Response, key: u64, version: u64) -> Option<String> {
    if response.status == 200 && response.cut.is_none() {
        round.ledger.purged(key, version);
        return None;
    }
    let is_over = round.is_over.load(Ordering::SeqCst);
    (!is_over).then(|| format!("nothing was forgotten: {response}"))
}

fn checked(round: &Round<'_>, response: &Response, key: u64, floor: u64) -> Option<String> {
    if let Some(cut) = &response.cut
        && !round.is_over.load(Ordering::SeqCst)
    {
        return Some(format!("/o/{key} broke off: {cut}"));
    }
    if said(response) == "hit" {
        round.hits.fetch_add(1, Ordering::Relaxed);
        let is_confirmed = response.fields.get("x-confirmed").as_deref() == Some("yes");
        round.confirmed.fetch_add(u64::from(is_confirmed), Ordering::Relaxed);
    }
    ledger::check(response, key, floor).err()
}
