//! Purges of much at once: piece by piece, and nothing gets past them meanwhile.

use std::sync::atomic::AtomicBool;

use super::super::index::{Card, Index};
use super::*;

fn sizes(place: &Place) -> [Sizes; 3] {
    let memory = in_memory(64 << 20, 1000).memory;
    [in_memory(64 << 20, 1000), on_disk(place, 64 << 20, 1000), Sizes { memory, ..on_disk(place, 64 << 20, 1000) }]
}

fn fill(shelf: &Shelf, count: usize) {
    for number in 0..count {
        let kind = if number % 3 == 0 { "404 text/html" } else { "200 text/html" };
        let mut label = label(&format!("/{number:05}"), "", &["all", if number % 2 == 0 { "even" } else { "odd" }]);
        label.stored = at(number as u64);
        let mut writing = shelf.write(label.of_kind(kind), None, None).unwrap();
        writing.push("x".into());
        assert!(writing.finish());
        if number % 100 == 0 {
            settle(shelf);
        }
    }
    settle(shelf);
}

fn only(end: &'static str, kind: &'static str, until: u64) -> Only {
    Only {
        key: Some(Arc::new(move |key| key.ends_with(end.as_bytes()))),
        kind: Some(Arc::new(move |found| found.starts_with(kind))),
        until: Some(at(until)),
    }
}

#[tokio::test]
async fn what_is_meant_is_meant_once_on_each_shelf() {
    let place = Place::make();
    for sizes in sizes(&place) {
        let both = u64::from(sizes.memory.is_some()) + u64::from(sizes.disk.is_some());
        let shelf = open(&sizes);
        fill(&shelf, 1000);
        let (all, even, odd) = (Target::Tag("all".into()), Target::Tag("even".into()), Target::Tag("odd".into()));
        let cases = |targets: &[Target], only: Only, purge| (Meant { targets: targets.to_vec(), only }, purge);
        for ((meant, purge), count) in [
            (cases(&[all.clone(), even.clone(), Target::All], Only::default(), Purge::Soft), 1000),
            (cases(&[even.clone(), odd.clone()], Only::default(), Purge::Soft), 1000),
            (cases(&[Target::Prefix("/0001".into()), even.clone()], Only::default(), Purge::Soft), 505),
            // 0, 30, 60 .. 480: every third, those that end with a zero, the first half.
            (cases(&[Target::All], only("0", "404 ", 499), Purge::Soft), 17),
            (cases(&[odd], only("0", "404 ", 499), Purge::Soft), 0),
            (cases(&[even], only("0", "404 ", 499), Purge::Hard), 17),
            (cases(&[Target::All], only("0", "404 ", 499), Purge::Hard), 0),
            (cases(&[all, Target::All], Only::default(), Purge::Hard), 983),
        ] {
            let mut purged = shelf.forget(meant.clone(), purge);
            assert_eq!(purged.count().await, count * both, "{meant:?}");
            purged.written().await;
            settle(&shelf);
        }
        assert!(place.objects().is_empty());
        close(shelf);
        let _ = fs::remove_dir_all(&place.0);
    }
}

/// What is written, confirmed and asked for while a purge walks does not bring back what is meant.
#[test]
fn nothing_gets_past_a_purge_that_walks() {
    let place = Place::make();
    let runtime = runtime();
    for sizes in sizes(&place) {
        for purge in [Purge::Hard, Purge::Soft] {
            let shelf = open(&sizes);
            fill(&shelf, 1000);
            let is_over = Arc::new(AtomicBool::new(false));
            let begun = shelf.write(label("/00999 late", "", &["all"]), None, None).unwrap();
            let busy: Vec<_> = (0..2_usize)
                .map(|thread| {
                    let (shelf, is_over) = (shelf.clone(), is_over.clone());
                    thread::spawn(move || {
                        let (mut chance, runtime) = (fastrand::Rng::with_seed(thread as u64), super::runtime());
                        while !is_over.load(Ordering::Relaxed) {
                            let key = format!("/{:05}", chance.u32(..1000));
                            for object in runtime.block_on(shelf.find(key.as_bytes(), at(1))) {
                                // A later label of what was found before the purge does not make it fresh, and one of what
                                // is stale is not given here.
                                if !object.is_stale() {
                                    shelf.relabel(&object, label(&key, "", &["all"]));
                                }
                            }
                        }
                    })
                })
                .collect();
            runtime.block_on(shelf.purge(&Target::Tag("all".into()), purge).written());
            is_over.store(true, Ordering::Relaxed);
            busy.into_iter().for_each(|busy| busy.join().unwrap());
            assert!(begun.finish());
            settle(&shelf);
            for number in 0..1000 {
                let left = runtime.block_on(found(&shelf, &format!("/{number:05}")));
                assert!(left.iter().all(|(.., is_stale)| *is_stale), "{number}");
                assert!(left.is_empty() || purge == Purge::Soft, "{number}");
            }
            let late = runtime.block_on(found(&shelf, "/00999 late"));
            assert_eq!(late.len(), if purge == Purge::Soft { 1 } else { 0 });
            assert!(late.iter().all(|(.., is_stale)| *is_stale));
            runtime.block_on(shelf.purge(&Target::All, Purge::Hard).written());
            settle(&shelf);
            close(shelf);
            let _ = fs::remove_dir_all(&place.0);
        }
    }
}

/// A purge that comes while a directory is read means what has not been read yet, and stays so.
#[test]
fn what_was_not_read_yet_is_meant_as_well() {
    let place = Place::make();
    let sizes = on_disk(&place, 64 << 20, 1000);
    let runtime = runtime();
    for round in 0..10 {
        let shelf = open(&sizes);
        fill(&shelf, 300);
        close(shelf);
        let shelf = open(&sizes);
        let meant = Meant { targets: vec![Target::All], only: only("0", "404 ", 9999) };
        thread::sleep(Duration::from_micros(round * 200));
        let purged = shelf.forget(meant, Purge::Hard);
        eventually(|| shelf.is_complete());
        runtime.block_on(purged.written());
        settle(&shelf);
        assert_eq!(place.objects().len(), 290, "{round}");
        close(shelf);
        let shelf = reopen(&sizes);
        assert_eq!(shelf.counts().disk.objects, 290);
        close(shelf);
        let _ = fs::remove_dir_all(&place.0);
    }
}

/// How long whoever stores something waits while a million objects are gone through, and how long that takes.
/// Run by hand: `cargo test --release -p weir --lib -- --ignored --nocapture a_million`.
#[test]
#[ignore = "it measures"]
fn a_million_objects_stall_nobody() {
    let count: usize = std::env::var("WEIR_OBJECTS").map_or(1_000_000, |count| count.parse().unwrap());
    let runtime = runtime();
    for (what, meant) in measured() {
        let shelf = open(&in_memory(8 << 30, 1000));
        fill(&shelf, count);
        let begun = crate::clock::now();
        let mut purged = shelf.forget(meant, Purge::Hard);
        let at_once = crate::clock::now() - begun;
        let (mut waits, mut number) = (Vec::new(), 0_u64);
        let (counted, walked) = loop {
            let before = crate::clock::now();
            let mut writing = shelf.write(label(&format!("x{number}"), "", &["other"]), None, None).unwrap();
            writing.push("x".into());
            assert!(writing.finish());
            waits.push(crate::clock::now() - before);
            number += 1;
            let polled = runtime.block_on(async {
                tokio::select! { biased; count = purged.count() => Some(count), () = std::future::ready(()) => None }
            });
            if let Some(counted) = polled {
                break (counted, crate::clock::now() - begun);
            }
        };
        waits.sort();
        let at = |part: usize| waits[(waits.len() - 1) * part / 1000];
        let (median, many, nearly_all, most) = (at(500), at(990), at(999), at(1000));
        println!(
            "memory, {what}: {counted} of {count} in {walked:?}, {at_once:?} at once; stores meanwhile: {median:?}, 99 % {many:?}, 99.9 % {nearly_all:?}, {most:?}"
        );
    }
    index(count);
}

/// The same for the index of a disk, without one: how long each piece holds it.
fn index(count: usize) {
    for (what, meant) in measured() {
        let mut index = Index::seeded(1);
        for number in 0..count as u64 {
            let label = label(&format!("/{number:05}"), "", &["all"]).of_kind("200 text/html");
            index.insert(Card::of(&label, number, 4096, 0, 0), &label);
        }
        let (mut after, mut holds, begun) = (None, Vec::new(), crate::clock::now());
        loop {
            let before = crate::clock::now();
            let (numbers, next) = index.select((&meant, u64::MAX), 0, after.as_ref());
            numbers.into_iter().for_each(|number| drop(index.remove(number)));
            holds.push(crate::clock::now() - before);
            after = next;
            if after.is_none() {
                break;
            }
        }
        let walked = crate::clock::now() - begun;
        holds.sort();
        let (pieces, left, median) = (holds.len(), index.count(), holds[holds.len() / 2]);
        let (many, most) = (holds[holds.len() * 99 / 100], holds[holds.len() - 1]);
        println!(
            "index, {what}: {left} of {count} left after {walked:?}; {pieces} pieces: {median:?}, 99 % {many:?}, {most:?}"
        );
    }
}

/// A test of every key that lets a tenth of them through, and everything in three ways.
fn measured() -> [(&'static str, Meant); 4] {
    let key: Test<[u8]> = Arc::new(|key| key.ends_with(b"7") && key.iter().skip(1).all(u8::is_ascii_digit));
    [
        ("pattern", Meant { targets: vec![Target::All], only: Only { key: Some(key), ..Only::default() } }),
        ("tag", Target::Tag("all".into()).into()),
        ("prefix", Target::Prefix("/".into()).into()),
        ("all", Target::All.into()),
    ]
}
