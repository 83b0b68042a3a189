//! A memory of another size: what is there is carried over beside everything else that happens.

use std::sync::atomic::AtomicBool;

use super::*;

const KEYS: usize = 3000;
const WEIGHT: u64 = 512 + 6 + 2 * 14;

fn fill(shelf: &Shelf) {
    (0..KEYS).for_each(|number| store(shelf, label(&format!("/{number:05}"), "", &["all"]), &[b"x"]));
}

/// Whether nobody carries anything over any more.
fn is_settled(shelf: &Shelf) -> bool {
    shelf.memory.as_ref().is_some_and(|memory| memory.is_settled())
}

fn there(shelf: &Shelf) -> usize {
    (0..KEYS).filter(|number| shelf.in_memory(format!("/{number:05}").as_bytes()).is_some()).count()
}

#[tokio::test]
async fn what_fits_stays_and_what_is_known_is_what_is_there() {
    let shelf = open(&in_memory(8 << 20, 1000));
    fill(&shelf);
    let all = KEYS as u64 * WEIGHT;
    assert!(shelf.counts().memory.bytes >= all);
    for (capacity, least) in
        [(64 << 20, KEYS), (3 << 20, KEYS), (all / 2, KEYS / 4), (1 << 20, KEYS / 4), (64 << 20, KEYS / 4)]
    {
        shelf.resize(&in_memory(capacity, 1000));
        eventually(|| is_settled(&shelf));
        let counts = shelf.counts().memory;
        assert!(counts.bytes <= capacity, "{counts:?} in {capacity}");
        assert!(there(&shelf) >= least, "{} in {capacity}", there(&shelf));
        assert_eq!(counts.objects, there(&shelf) as u64);
        assert_eq!(counts.objects + counts.evictions, KEYS as u64);
    }
    let there = there(&shelf) as u64;
    assert_eq!(shelf.purge(&Target::Tag("all".into()), Purge::Soft).count().await, there);
    assert_eq!(shelf.purge(&Target::All, Purge::Hard).count().await, there);
    assert_eq!((shelf.counts().memory.objects, shelf.counts().memory.bytes), (0, 0));
}

#[test]
fn memory_can_be_had_later_and_given_up() {
    let place = Place::make();
    let with = |capacity| Sizes { memory: in_memory(capacity, 1000).memory, ..on_disk(&place, 64 << 20, 1000) };
    let (shelf, runtime) = (open(&with(0)), runtime());
    for capacity in [0, 1 << 20, 0, 2 << 20] {
        shelf.resize(&with(capacity));
        store(&shelf, label("/a", "", &[]), &[b"content"]);
        eventually(|| is_settled(&shelf));
        assert_eq!(shelf.in_memory(b"/a").is_some(), capacity > 0, "{capacity}");
        assert_eq!(shelf.counts().memory.objects, u64::from(capacity > 0));
        assert_eq!(runtime.block_on(found(&shelf, "/a")).len(), 1);
    }
    close(shelf);
}

/// Nobody finds what was forgotten, and there is never more than the larger of two sizes has room for.
#[test]
fn nothing_gets_past_a_purge_while_it_is_carried_over() {
    const LARGE: u64 = 4 << 20;
    let shelf = open(&in_memory(LARGE, 1000));
    fill(&shelf);
    let is_over = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..2_usize)
        .map(|thread| {
            let (shelf, is_over) = (shelf.clone(), is_over.clone());
            thread::spawn(move || {
                let mut chance = fastrand::Rng::with_seed(thread as u64);
                let runtime = runtime();
                while !is_over.load(Ordering::Relaxed) {
                    // Of each thread its own, so that only it stores what it forgets.
                    let key = format!("/{:05}", chance.usize(..KEYS / 2) * 2 + thread);
                    store(&shelf, label(&key, "", &["all"]), &[b"y"]);
                    let (purge, is_gone) = if chance.bool() { (Purge::Hard, true) } else { (Purge::Soft, false) };
                    runtime.block_on(async { shelf.purge(&Target::Key(key.clone().into()), purge).count().await });
                    for _ in 0..3 {
                        let found = shelf.in_memory(key.as_bytes());
                        assert!(!is_gone || found.is_none(), "{key} is there again");
                        assert!(found.iter().all(|found| found[0].is_stale()), "{key} is fresh again");
                    }
                }
            })
        })
        .collect();
    for round in 0..60_u64 {
        let capacity = if round % 2 == 0 { LARGE / 2 } else { LARGE };
        shelf.resize(&in_memory(capacity, 1000));
        if round % 3 == 0 {
            eventually(|| is_settled(&shelf));
        }
        let held = shelf.counts().memory.bytes;
        // What moka has been told and not counted yet is two objects.
        assert!(held <= LARGE + 4 * WEIGHT, "{held}");
    }
    is_over.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|thread| thread.join().unwrap());
    eventually(|| is_settled(&shelf));
    assert_eq!(shelf.counts().memory.objects, there(&shelf) as u64);
    let runtime = runtime();
    let count = runtime.block_on(async { shelf.purge(&Target::All, Purge::Hard).count().await });
    assert!(count > 0 && there(&shelf) == 0 && shelf.counts().memory.objects == 0);
}
