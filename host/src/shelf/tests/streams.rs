//! Objects that are read while they are written.

use super::*;

const PIECE: usize = 10_000;

fn piece(number: usize) -> Bytes {
    Bytes::from(vec![u8::try_from(number % 256).unwrap(); PIECE])
}

fn all(pieces: usize) -> Vec<u8> {
    (0..pieces).flat_map(|number| piece(number).to_vec()).collect()
}

fn follow(writing: &Writing) -> Pin<Box<Follow>> {
    Box::pin(writing.source().follow().unwrap())
}

async fn rest(follow: &mut Pin<Box<Follow>>) -> Result<Vec<u8>, Kind> {
    let mut bytes = Vec::new();
    while let Some(step) = step(follow).await {
        bytes.extend_from_slice(&step?);
    }
    Ok(bytes)
}

fn shelves(place: &Place) -> [Sizes; 3] {
    let small = Sizes { memory: in_memory(1 << 20, 100_000).memory, ..on_disk(place, 32 << 20, 16 << 20) };
    [in_memory(32 << 20, 8 << 20), on_disk(place, 32 << 20, 16 << 20), small]
}

#[tokio::test]
async fn fast_slow_and_late_readers_get_everything() {
    let place = Place::make();
    for sizes in shelves(&place) {
        let shelf = open(&sizes);
        let mut writing = shelf.write(label("/a", "", &[]), Some(4_000_000), None).unwrap();
        let (mut fast, mut slow, mut bytes) = (follow(&writing), follow(&writing), Vec::new());
        let mut readers = vec![];
        for number in 0..400 {
            poll_fn(|context| writing.poll_ready(context)).await;
            writing.push(piece(number));
            bytes.extend_from_slice(&step(&mut fast).await.unwrap().unwrap());
            if number % 100 == 50 {
                readers.push(follow(&writing));
            }
        }
        let first = step(&mut slow).await.unwrap().unwrap();
        assert_eq!(writing.followers(), 6);
        assert!(writing.finish());
        bytes.extend(rest(&mut fast).await.unwrap());
        assert_eq!(bytes, all(400));
        for mut reader in readers {
            assert_eq!(rest(&mut reader).await.unwrap(), all(400));
        }
        assert_eq!([&*first, &*rest(&mut slow).await.unwrap()].concat(), all(400));
        drop((fast, slow));
        settle(&shelf);
        assert_eq!(found(&shelf, "/a").await, [(String::new(), all(400), false)]);
        close(shelf);
        let _ = fs::remove_dir_all(&place.0);
    }
}

/// What a reader that does nothing costs: pieces that are in the file are not in memory.
#[tokio::test]
async fn a_reader_that_is_behind_reads_from_the_file() {
    let place = Place::make();
    let shelf = open(&on_disk(&place, 32 << 20, 16 << 20));
    let mut writing = shelf.write(label("/a", "", &[]), None, None).unwrap();
    let mut slow = follow(&writing);
    for number in 0..1000 {
        poll_fn(|context| writing.poll_ready(context)).await;
        writing.push(piece(number));
        assert!(writing.in_memory() <= 5 << 20);
    }
    eventually(|| writing.in_memory() < 1 << 20);
    assert!(writing.finish());
    assert_eq!(rest(&mut slow).await.unwrap(), all(1000));
}

#[tokio::test]
async fn what_is_broken_off_leaves_nothing_and_readers_learn_it() {
    let place = Place::make();
    for sizes in shelves(&place) {
        for (expected, pieces) in [(None, 3), (None, 60), (Some(1_000_000), 60), (Some(5), 1)] {
            let shelf = open(&sizes);
            let mut writing = shelf.write(label("/a", "", &["t"]), expected, None).unwrap();
            let (source, mut reader) = (writing.source(), follow(&writing));
            (0..pieces).for_each(|number| writing.push(piece(number)));
            match expected {
                // Who promised another length has not finished.
                Some(_) => assert!(!writing.finish()),
                None => drop(writing),
            }
            assert_eq!(rest(&mut reader).await, Err(Kind::ResponseCut));
            assert!(source.follow().is_none());
            drop((reader, source));
            settle(&shelf);
            let counts = shelf.counts();
            assert_eq!((counts.memory.bytes, counts.disk.bytes), (0, 0));
            assert!(files(&place.0).iter().all(|path| path.ends_with("lock") || path.ends_with("unsynced")));
            assert_eq!(shelf.purge(&Target::All, Purge::Hard).count().await, 0);
            close(shelf);
            let _ = fs::remove_dir_all(&place.0);
        }
    }
}

#[tokio::test]
async fn what_grows_too_large_is_not_stored_and_goes_on() {
    let place = Place::make();
    for sizes in [in_memory(8 << 20, 1 << 20), on_disk(&place, 8 << 20, 1 << 20)] {
        let shelf = open(&sizes);
        let now = crate::clock::now();
        let Boarding::Leader(leader) = shelf.flights().board(&"/a".into(), now) else { panic!("nobody else") };
        let Boarding::Waiter(waiter) = shelf.flights().board(&"/a".into(), now) else { panic!("one leads") };
        let mut writing = shelf.write(label("/a", "", &[]), None, Some(leader)).unwrap();
        let Landing::Follow(early) = waiter.wait(Duration::from_secs(60)).await else { panic!("it is being written") };
        let (mut early, mut stuck, mut bytes) = (Box::pin(early), follow(&writing), Vec::new());
        for number in 0..1000 {
            // The writer is never asked to wait for the one that is stuck.
            poll_fn(|context| writing.poll_ready(context)).await;
            writing.push(piece(number));
            bytes.extend_from_slice(&step(&mut early).await.unwrap().unwrap());
            assert_eq!(writing.is_kept(), (number + 1) * PIECE <= 1 << 20);
            assert!(writing.in_memory() <= 5 << 20);
        }
        assert!(matches!(shelf.flights().board(&"/a".into(), now), Boarding::Alone));
        assert!(writing.source().follow().is_none() || place.0.exists());
        assert!(writing.finish());
        bytes.extend(rest(&mut early).await.unwrap());
        assert_eq!(bytes, all(1000));
        assert_eq!(rest(&mut stuck).await, Err(Kind::ResponseCut));
        drop((early, stuck));
        settle(&shelf);
        assert!(found(&shelf, "/a").await.is_empty());
        assert!(place.objects().is_empty() && files(&place.0.join("written")).is_empty());
        close(shelf);
        // What says at its beginning that it is too large is not even begun.
        let shelf = open(&sizes);
        store(&shelf, label("/a", "", &[]), &[b"x"]);
        assert!(shelf.write(label("/a", "", &[]), Some(2 << 20), None).is_err());
        settle(&shelf);
        assert!(found(&shelf, "/a").await.is_empty(), "what had the label before is out of date");
    }
}

#[tokio::test]
async fn what_is_being_written_takes_a_bounded_part_of_memory() {
    let shelf = open(&in_memory(4 << 20, 1 << 20));
    let mut writings: Vec<_> =
        (0..8).map(|number| shelf.write(label(&format!("/{number}"), "", &[]), None, None).unwrap()).collect();
    for number in 0..50 {
        writings.iter_mut().for_each(|writing| writing.push(piece(number)));
    }
    assert!(writings.iter().filter(|writing| writing.is_kept()).count() <= 2);
    drop(writings);
    store(&shelf, label("/a", "", &[]), &[&all(100)]);
    assert_eq!(found(&shelf, "/a").await.len(), 1);
}

/// Readers on other threads, each with its own pace, none of which loses a wake.
#[test]
fn readers_on_many_threads() {
    let place = Place::make();
    for sizes in shelves(&place) {
        let shelf = open(&sizes);
        let mut writing = shelf.write(label("/a", "", &[]), None, None).unwrap();
        let source = writing.source();
        let threads: Vec<_> = (0..6_u64)
            .map(|pace| {
                let mut reader = Box::pin(source.follow().unwrap());
                thread::spawn(move || {
                    runtime().block_on(async {
                        let mut bytes = Vec::new();
                        while let Some(step) = step(&mut reader).await {
                            bytes.extend_from_slice(&step.unwrap());
                            (0..pace * 3).for_each(|_| thread::yield_now());
                        }
                        bytes
                    })
                })
            })
            .collect();
        runtime().block_on(async {
            for number in 0..300 {
                poll_fn(|context| writing.poll_ready(context)).await;
                writing.push(piece(number));
                tokio::task::yield_now().await;
            }
        });
        assert!(writing.finish());
        for thread in threads {
            assert!(thread.join().unwrap() == all(300));
        }
        drop(source);
        settle(&shelf);
        close(shelf);
        let _ = fs::remove_dir_all(&place.0);
    }
}

#[tokio::test]
async fn what_is_written_is_stored_when_it_is_whole() {
    let shelf = open(&in_memory(8 << 20, 1 << 20));
    for (at, (pieces, is_whole, stored)) in [
        (0, true, Some(0)),
        (1, true, Some(PIECE)),
        (2, true, Some(2 * PIECE)),
        (1, false, None),
        (0, false, None),
        (200, true, None),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("/{at}");
        let mut writing = shelf.write(label(&key, "", &[]), None, None).unwrap();
        (0..pieces).for_each(|number| writing.push(piece(number)));
        if is_whole {
            writing.finish();
        } else {
            drop(writing);
        }
        let found = found(&shelf, &key).await;
        assert_eq!(found.first().map(|(_, bytes, _)| bytes.len()), stored, "{at}");
        assert!(stored.is_none() || all(pieces) == found[0].1);
    }
}
