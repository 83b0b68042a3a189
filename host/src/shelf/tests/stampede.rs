//! Many who want one thing at once: one fetches it.

use std::sync::atomic::AtomicUsize;
use std::sync::{Barrier, Mutex};
use std::time::Instant;

use super::*;
use crate::failure::Failure;

/// Tasks on a thread, of which each has a runtime of its own.
const TASKS: usize = 250;
const THREADS: usize = 4;

const LONG: Duration = Duration::from_secs(60);

/// Has as many tasks run, and says what became of all.
fn together<T: Send + 'static, F: Future<Output = T> + 'static>(
    task: impl Fn(usize) -> F + Send + Clone + 'static,
) -> Vec<T> {
    let start = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (task, start) = (task.clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                let tasks = tokio::task::LocalSet::new();
                let running: Vec<_> = (0..TASKS).map(|at| tasks.spawn_local(task(thread * TASKS + at))).collect();
                runtime().block_on(tasks.run_until(async {
                    let mut done = Vec::new();
                    for task in running {
                        done.push(task.await.unwrap());
                    }
                    done
                }))
            })
        })
        .collect();
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

/// What an exchange does that finds nothing. Leaders leave as often as `leave` says before one stays.
async fn fetch(shelf: &Shelf, now: Instant, fetched: &AtomicUsize, leave: usize) -> Vec<u8> {
    if let Some(object) = shelf.find(b"/a", at(1)).await.first() {
        return collect(object.body()).await.unwrap();
    }
    let mut landing = match shelf.flights().board(&"/a".into(), now) {
        Boarding::Leader(leader) => Landing::Leader(leader),
        Boarding::Waiter(waiter) => waiter.wait(LONG).await,
        Boarding::Alone => panic!("nobody goes alone here"),
    };
    loop {
        match landing {
            Landing::Follow(follow) => return collect(follow.body()).await.unwrap(),
            Landing::Stored => {
                let objects = shelf.find(b"/a", at(1)).await;
                return collect(objects.first().unwrap().body()).await.unwrap();
            }
            Landing::Leader(leader) => {
                if let Some(object) = shelf.find(b"/a", at(1)).await.first() {
                    leader.stored();
                    return collect(object.body()).await.unwrap();
                }
                if fetched.fetch_add(1, Ordering::SeqCst) < leave {
                    drop(leader);
                    match shelf.flights().board(&"/a".into(), now) {
                        Boarding::Leader(leader) => landing = Landing::Leader(leader),
                        Boarding::Waiter(waiter) => landing = waiter.wait(LONG).await,
                        Boarding::Alone => panic!("nobody goes alone here"),
                    }
                    continue;
                }
                tokio::task::yield_now().await;
                let mut writing = shelf.write(label("/a", "", &[]), None, Some(leader)).unwrap();
                for piece in answer().chunks(1000) {
                    poll_fn(|context| writing.poll_ready(context)).await;
                    writing.push(Bytes::copy_from_slice(piece));
                    tokio::task::yield_now().await;
                }
                assert!(writing.finish());
                return answer();
            }
            _ => panic!("it is stored, and soon"),
        }
    }
}

fn answer() -> Vec<u8> {
    (0..100_000_u32).map(|at| u8::try_from(at % 249).unwrap()).collect()
}

#[test]
fn a_thousand_and_one_fetch() {
    let place = Place::make();
    let both = Sizes { memory: in_memory(1 << 20, 50_000).memory, ..on_disk(&place, 8 << 20, 1 << 20) };
    for sizes in [in_memory(8 << 20, 1 << 20), on_disk(&place, 8 << 20, 1 << 20), both] {
        for leave in [0, 3] {
            let _ = fs::remove_dir_all(&place.0);
            let (shelf, fetched, now) = (open(&sizes), Arc::new(AtomicUsize::new(0)), crate::clock::now());
            let (all, count) = (shelf.clone(), fetched.clone());
            let got = together(move |_| {
                let (shelf, fetched) = (all.clone(), count.clone());
                async move { fetch(&shelf, now, &fetched, leave).await }
            });
            assert_eq!(got.len(), THREADS * TASKS);
            let answer = answer();
            assert!(got.iter().all(|got| *got == answer));
            assert_eq!(fetched.load(Ordering::SeqCst), leave + 1);
            settle(&shelf);
            assert_eq!(shelf.flights().count(), 0);
            close(shelf);
        }
    }
}

#[test]
fn what_cannot_be_stored_is_waited_for_once() {
    let (flights, now) = (Flights::of(10_000, Duration::from_secs(10), 100, Arc::default()), crate::clock::now());
    let key = Bytes::from("/a");
    let leader = match flights.board(&key, now) {
        Boarding::Leader(leader) => Mutex::new(Some(leader)),
        _ => panic!("there is nobody else"),
    };
    let (all, waiting, leader) = (flights.clone(), Arc::new(AtomicUsize::new(0)), Arc::new(leader));
    let landed = together(move |_| {
        let (flights, leader, waiting) = (all.clone(), leader.clone(), waiting.clone());
        async move {
            let boarding = flights.board(&"/a".into(), now);
            if waiting.fetch_add(1, Ordering::SeqCst) + 1 == THREADS * TASKS {
                leader.lock().unwrap().take().unwrap().uncacheable(now);
            }
            match boarding {
                Boarding::Waiter(waiter) => matches!(waiter.wait(LONG).await, Landing::Uncacheable),
                Boarding::Leader(_) | Boarding::Alone => false,
            }
        }
    });
    assert!(landed.iter().all(|is_released| *is_released));
    for (seconds, is_remembered) in [(0, true), (9, true), (10, false)] {
        let boarding = flights.board(&key, now + Duration::from_secs(seconds));
        assert_eq!(matches!(boarding, Boarding::Alone), is_remembered, "{seconds}");
        assert_eq!(matches!(boarding, Boarding::Leader(_)), !is_remembered);
    }
    assert_eq!(flights.count(), 0);
}

#[tokio::test]
async fn who_waits_is_the_next_leader_or_leaves() {
    let (flights, now, key) = (Flights::of(3, LONG, 100, Arc::default()), crate::clock::now(), Bytes::from("/a"));
    let board = || flights.board(&key, now);
    let Boarding::Leader(first) = board() else { panic!("there is nobody else") };
    assert!(flights.lead(&key, now).is_none());
    let waiters: [Boarding; 3] = std::array::from_fn(|_| board());
    assert!(matches!(board(), Boarding::Alone), "only three may wait");
    let [Boarding::Waiter(gone), Boarding::Waiter(mut early), Boarding::Waiter(next)] = waiters else {
        panic!("the first one fetches")
    };
    assert!(early.step_up(LONG, now).is_err());
    drop((gone, early));
    drop(first);
    let Landing::Leader(second) = next.wait(LONG).await else { panic!("nobody else waits") };
    let Boarding::Waiter(unheard) = board() else { panic!("the second one fetches") };
    let Boarding::Waiter(last) = board() else { panic!("the second one fetches") };
    drop(second);
    // It was called, and left before it heard.
    drop(unheard);
    let Landing::Leader(third) = last.wait(LONG).await else { panic!("nobody else waits") };
    third.stored();
    assert_eq!(flights.count(), 0);
}

#[tokio::test]
async fn beside_a_leader_that_takes_long_another_one_begins_and_the_first_to_bring_something_counts() {
    let (flights, now, key) = (Flights::of(9, LONG, 100, Arc::default()), crate::clock::now(), Bytes::from("/a"));
    let Boarding::Leader(first) = flights.board(&key, now) else { panic!("there is nobody else") };
    let [Boarding::Waiter(mut one), Boarding::Waiter(mut two), Boarding::Waiter(last)] =
        std::array::from_fn(|_| flights.board(&key, now))
    else {
        panic!("the first one fetches")
    };
    let later = now + LONG;
    let second = one.step_up(LONG, later).unwrap();
    // It has just begun.
    assert_eq!(two.step_up(LONG, later).unwrap_err(), later + LONG);
    let third = two.step_up(LONG, later + LONG).unwrap();
    second.failed(&Kind::ResponseTimeout.into(), 9, later);
    let Landing::Leader(fourth) = last.wait(LONG).await else { panic!("the second one passed its lead on") };
    let Boarding::Waiter(waiter) = flights.board(&key, now) else { panic!("three fetch") };
    first.stored();
    assert!(matches!(waiter.wait(LONG).await, Landing::Stored));
    drop((third, fourth));
    assert_eq!(flights.count(), 0);
}

#[tokio::test]
async fn failures_are_shared_when_they_are_sure_and_what_is_for_one_goes_on_to_a_few() {
    let (flights, now, key) = (Flights::of(99, LONG, 100, Arc::default()), crate::clock::now(), Bytes::from("/a"));
    let failure = Failure::of(Kind::UpstreamReset, "again");
    let Boarding::Leader(leader) = flights.board(&key, now) else { panic!("there is nobody else") };
    let waiters: Vec<Waiter> = (0..20)
        .map(|_| match flights.board(&key, now) {
            Boarding::Waiter(waiter) => waiter,
            Boarding::Leader(_) | Boarding::Alone => panic!("one fetches"),
        })
        .collect();
    leader.hand_on(now);
    let (mut heirs, mut waiting) = (Vec::new(), Vec::new());
    for mut waiter in waiters {
        match waiter.landing.try_recv() {
            Ok(Landing::Leader(leader)) => heirs.push(leader),
            Ok(_) => panic!("nothing was fetched"),
            Err(_) => waiting.push(waiter),
        }
    }
    assert_eq!((heirs.len(), waiting.len()), (8, 12));
    // Twice another one is asked, then all know.
    heirs.pop().unwrap().failed(&failure, 3, now);
    heirs.pop().unwrap().failed(&failure, 3, now);
    heirs.pop().unwrap().failed(&failure, 3, now);
    let mut told = 0;
    for mut waiter in waiting {
        match waiter.landing.try_recv().unwrap() {
            Landing::Leader(leader) => heirs.push(leader),
            Landing::Failed(failure) => {
                assert_eq!(failure.kind, Kind::UpstreamReset);
                told += 1;
            }
            _ => panic!("nothing was fetched"),
        }
    }
    assert_eq!((told, heirs.len()), (10, 7));
    drop(heirs);
    assert_eq!(flights.count(), 0);
}

#[tokio::test]
async fn who_came_late_is_not_told_that_it_took_too_long() {
    let (flights, now, key) = (Flights::of(99, LONG, 100, Arc::default()), crate::clock::now(), Bytes::from("/a"));
    let failure = Failure::of(Kind::ResponseTimeout, "in vain");
    let after = |seconds| now + Duration::from_secs(seconds);
    let Boarding::Leader(leader) = flights.board(&key, now) else { panic!("there is nobody else") };
    let mut waiters: Vec<Waiter> = [0, 10, 15, 16, 29]
        .into_iter()
        .map(|seconds| match flights.board(&key, after(seconds)) {
            Boarding::Waiter(waiter) => waiter,
            Boarding::Leader(_) | Boarding::Alone => panic!("one fetches"),
        })
        .collect();
    leader.overdue(&failure, after(15), after(30));
    for mut told in waiters.drain(..3) {
        assert!(matches!(told.landing.try_recv(), Ok(Landing::Failed(_))));
    }
    let Ok(Landing::Leader(next)) = waiters.remove(0).landing.try_recv() else { panic!("one of the others asks") };
    let mut last = waiters.remove(0);
    assert!(last.landing.try_recv().is_err(), "one is enough");
    next.overdue(&failure, after(45), after(60));
    assert!(matches!(last.landing.try_recv(), Ok(Landing::Failed(_))));
    assert_eq!(flights.count(), 0);
}

#[test]
fn where_nobody_waits_it_is_remembered_too_that_nothing_can_be_stored() {
    let (flights, now, key) = (Flights::of(9, LONG, 100, Arc::default()), crate::clock::now(), Bytes::from("/a"));
    flights.alone(&key).uncacheable(now);
    flights.aside(&key, now).unwrap().uncacheable(now);
    assert!(flights.aside(&key, now).is_none() && flights.aside(&key, now + LONG).is_some());
    assert_eq!(flights.count(), 0);
}
