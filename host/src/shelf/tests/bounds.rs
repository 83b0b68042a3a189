//! What is on a shelf is bounded, can be found, and can be forgotten.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn sizes(place: &Place) -> [Sizes; 3] {
    let both = Sizes { memory: in_memory(1 << 20, 64 << 10).memory, ..on_disk(place, 8 << 20, 1 << 20) };
    [in_memory(8 << 20, 1 << 20), on_disk(place, 8 << 20, 1 << 20), both]
}

#[tokio::test]
async fn objects_of_a_key_are_told_apart_and_the_latest_of_a_label_counts() {
    let place = Place::make();
    for sizes in sizes(&place) {
        let shelf = open(&sizes);
        store(&shelf, label("/a", "gzip", &[]), &[b"old"]);
        store(&shelf, label("/a", "", &[]), &[b"pl", b"ain"]);
        store(&shelf, label("/a", "gzip", &[]), &[b"zip"]);
        store(&shelf, label("/ab", "", &[]), &[]);
        let expected = vec![(String::new(), b"plain".to_vec(), false), ("gzip".to_owned(), b"zip".to_vec(), false)];
        assert_eq!(found(&shelf, "/a").await, expected);
        assert_eq!(found(&shelf, "/ab").await, [(String::new(), Vec::new(), false)]);
        assert!(found(&shelf, "/").await.is_empty());
        close(shelf);
        let _ = fs::remove_dir_all(&place.0);
    }
}

#[tokio::test]
async fn what_is_purged_is_gone_or_stale_and_stays_so_after_a_restart() {
    let place = Place::make();
    for sizes in sizes(&place) {
        for purge in [Purge::Soft, Purge::Hard] {
            let _ = fs::remove_dir_all(&place.0);
            let shelf = open(&sizes);
            for (key, variant, tags) in [
                ("/a", "", &["t", "u"][..]),
                ("/a", "v", &["u"]),
                ("/a/b", "", &["t"]),
                ("/c", "", &["t"]),
                ("/d", "", &[]),
            ] {
                store(&shelf, label(key, variant, tags), &[b"x"]);
            }
            let both = if sizes.memory.is_some() && sizes.disk.is_some() { 2 } else { 1 };
            shelf.purge(&Target::Key("/c".into()), Purge::Hard).written().await;
            for (target, count) in [
                (Target::Tag("t".into()), 2),
                (Target::Tag("none".into()), 0),
                (Target::Prefix("/a/".into()), 1),
                (Target::Key("/e".into()), 0),
            ] {
                let mut purged = shelf.purge(&target, purge);
                let again = purge == Purge::Hard && target == Target::Prefix("/a/".into());
                assert_eq!(purged.count().await, if again { 0 } else { count * both }, "{target:?}");
                purged.written().await;
            }
            let now = async |shelf: &Shelf| {
                let mut all = Vec::new();
                for key in ["/a", "/a/b", "/c", "/d"] {
                    let stale = found(shelf, key).await;
                    all.extend(stale.into_iter().map(|(variant, _, is_stale)| format!("{key} {variant} {is_stale}")));
                }
                all
            };
            let expected = match purge {
                Purge::Soft => vec!["/a  true", "/a v false", "/a/b  true", "/d  false"],
                Purge::Hard => vec!["/a v false", "/d  false"],
            };
            assert_eq!(now(&shelf).await, expected, "{sizes:?}");
            settle(&shelf);
            close(shelf);
            if sizes.disk.is_some() {
                let shelf = reopen(&sizes);
                assert_eq!(now(&shelf).await, expected);
                assert!(shelf.purge(&Target::All, Purge::Hard).count().await >= expected.len() as u64);
                assert!(now(&shelf).await.is_empty());
                settle(&shelf);
                assert!(place.objects().is_empty());
                close(shelf);
            }
        }
    }
}

#[tokio::test]
async fn what_was_begun_before_a_purge_counts_as_purged() {
    let place = Place::make();
    for sizes in sizes(&place) {
        let shelf = open(&sizes);
        for (purge, left) in [(Purge::Soft, 1), (Purge::Hard, 0)] {
            let mut writing = shelf.write(label("/a", "", &["t"]), None, None).unwrap();
            writing.push("x".into());
            shelf.purge(&Target::Tag("t".into()), purge).written().await;
            assert!(writing.finish());
            settle(&shelf);
            let found = found(&shelf, "/a").await;
            assert_eq!(found.len(), left);
            assert!(found.iter().all(|(_, _, is_stale)| *is_stale));
            shelf.purge(&Target::All, Purge::Hard).written().await;
        }
        close(shelf);
        let _ = fs::remove_dir_all(&place.0);
    }
}

#[tokio::test]
async fn a_later_label_replaces_one_and_stays_after_a_restart() {
    let place = Place::make();
    for sizes in sizes(&place) {
        let shelf = open(&sizes);
        store(&shelf, label("/a", "", &["old"]), &[b"content"]);
        shelf.purge(&Target::Key("/a".into()), Purge::Soft).written().await;
        let first = shelf.find(b"/a", at(1)).await.remove(0);
        for round in 0..5 {
            let head = format!("later head {round}");
            let later = Label::of(b"/a", b"", head.as_bytes(), at(round), at(7200)).tagged(["now".into()]);
            shelf.relabel(&first, later);
            settle(&shelf);
            let object = shelf.find(b"/a", at(1)).await.remove(0);
            assert_eq!((&*object.label().head, object.label().stored), (head.as_bytes(), at(round)));
            assert!(!object.is_stale());
            assert_eq!(collect(object.body()).await.unwrap(), b"content");
        }
        assert_eq!(shelf.purge(&Target::Tag("old".into()), Purge::Hard).count().await, 0);
        close(shelf);
        if sizes.disk.is_some() {
            let shelf = reopen(&sizes);
            let object = shelf.find(b"/a", at(1)).await.remove(0);
            assert_eq!(&*object.label().head, b"later head 4");
            assert_eq!(&*object.label().tags, ["now".into()]);
            assert_eq!(collect(object.body()).await.unwrap(), b"content");
            // Another object's label is not for this one, though key and variant are the same.
            store(&shelf, label("/a", "", &[]), &[b"other"]);
            shelf.relabel(&object, label("/a", "", &["wrong"]));
            assert_eq!(shelf.purge(&Target::Tag("wrong".into()), Purge::Hard).count().await, 0);
            close(shelf);
        }
        let _ = fs::remove_dir_all(&place.0);
    }
}

#[tokio::test]
async fn memory_is_bounded_by_bytes_and_evictions_are_counted() {
    let shelf = open(&in_memory(1 << 20, 100 << 10));
    for number in 0..1000_u32 {
        let size = usize::try_from(number % 50).unwrap() * 2048;
        store(&shelf, label(&format!("/{number}"), "", &["all"]), &[&vec![7; size]]);
        if number % 100 == 0 {
            assert!(shelf.counts().memory.bytes <= 1 << 20);
        }
    }
    let Count { objects, bytes, evictions, .. } = shelf.counts().memory;
    assert!(bytes <= 1 << 20 && bytes > 0, "{bytes}");
    assert_eq!(objects + evictions, 1000);
    // What left is not in the index any more.
    assert_eq!(shelf.purge(&Target::Tag("all".into()), Purge::Hard).count().await, objects);
    assert_eq!(shelf.counts().memory.bytes, 0);
}

#[tokio::test]
async fn a_disk_is_bounded_and_what_was_used_last_stays() {
    let place = Place::make();
    let sizes = on_disk(&place, 1 << 20, 100 << 10);
    let shelf = open(&sizes);
    for number in 0..300_u64 {
        let key = format!("/{number}");
        store(&shelf, label(&key, "", &[]), &[&vec![7; usize::try_from(number % 10).unwrap() * 4096]]);
        assert_eq!(shelf.find(b"/0", at(number)).await.len(), 1, "{number}");
        let bytes: u64 = place.objects().iter().map(|path| path.metadata().unwrap().len()).sum();
        assert!(bytes <= 1 << 20);
        assert!(shelf.counts().disk.bytes <= 1 << 20);
    }
    let Count { objects, evictions, failures, .. } = shelf.counts().disk;
    assert_eq!((objects, objects + evictions, failures), (place.objects().len() as u64, 300, 0));
    close(shelf);
    // A smaller shelf keeps what it can.
    let shelf = reopen(&on_disk(&place, 256 << 10, 100 << 10));
    let Count { objects: left, bytes, .. } = shelf.counts().disk;
    assert!(bytes <= 256 << 10 && left > 0 && left < objects);
    assert_eq!(place.objects().len() as u64, left);
}

#[test]
fn an_index_is_bounded_in_memory_too() {
    let place = Place::make();
    let mut sizes = on_disk(&place, 1 << 30, 1 << 20);
    sizes.disk.iter_mut().for_each(|disk| disk.index = 10_000);
    let shelf = open(&sizes);
    for number in 0..100 {
        store(&shelf, label(&format!("/{number}"), "", &[]), &[b"x"]);
    }
    let objects = shelf.counts().disk.objects;
    assert!((20..40).contains(&objects), "{objects}");
}

#[tokio::test]
async fn who_reads_reads_on_when_the_object_leaves() {
    let place = Place::make();
    let shelf = open(&on_disk(&place, 1 << 20, 1 << 20));
    store(&shelf, label("/a", "", &[]), &[&vec![5; 300_000]]);
    let object = shelf.find(b"/a", at(1)).await.remove(0);
    assert!(object.is_in_file());
    shelf.purge(&Target::All, Purge::Hard).written().await;
    assert!(place.objects().is_empty() && shelf.find(b"/a", at(1)).await.is_empty());
    assert_eq!(collect(object.body()).await.unwrap(), vec![5; 300_000]);
}

#[test]
fn a_directory_has_one_gateway_and_nobody_else_reads_it() {
    let place = Place::make();
    let sizes = on_disk(&place, 1 << 20, 1 << 20);
    let shelf = open(&sizes);
    let error = Shelf::open(sizes.clone(), at(0)).unwrap_err();
    assert_eq!(error.to_string(), "another gateway uses it, or another cache of this one");
    store(&shelf, label("/a", "", &[]), &[b"x"]);
    for path in files(&place.0) {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
    close(shelf);
    fs::set_permissions(&place.0, fs::Permissions::from_mode(0o750)).unwrap();
    let error = Shelf::open(sizes, at(0)).unwrap_err();
    assert_eq!(error.to_string(), "others have rights to it (mode 750, 700 is right)");
}

#[tokio::test]
async fn a_disk_that_fails_costs_objects_and_nothing_else() {
    let place = Place::make();
    let sizes = Sizes { memory: in_memory(1 << 20, 10).memory, ..on_disk(&place, 1 << 20, 1 << 20) };
    let shelf = open(&sizes);
    store(&shelf, label("/a", "", &[]), &[b"long enough for the disk alone"]);
    fs::remove_dir_all(place.0.join("written")).unwrap();
    fs::write(place.0.join("written"), "in the way").unwrap();
    store(&shelf, label("/a", "", &[]), &[b"another one, long enough too"]);
    assert_eq!(shelf.counts().disk.failures, 1);
    // The one before it is not what was said last.
    assert!(found(&shelf, "/a").await.is_empty());
    assert_eq!(shelf.counts().disk.bytes, 0);
}

#[tokio::test]
async fn what_somebody_takes_away_is_made_again() {
    let place = Place::make();
    let sizes = on_disk(&place, 1 << 20, 1 << 20);
    let shelf = open(&sizes);
    for taken in ["", "written", "objects", "lock"] {
        store(&shelf, label("/a", "", &[]), &[b"x"]);
        assert_eq!(found(&shelf, "/a").await.len(), 1);
        let path = place.0.join(taken);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        let is_there = usize::from(matches!(taken, "written" | "lock"));
        assert_eq!(shelf.find(b"/a", at(1)).await.len(), is_there, "{taken}");
        store(&shelf, label("/b", "", &[]), &[b"y"]);
        assert_eq!(found(&shelf, "/b").await, [(String::new(), b"y".to_vec(), false)], "{taken}");
    }
    assert_eq!(shelf.counts().disk.failures, 0);
    // And so is the right to it.
    fs::remove_dir_all(&place.0).unwrap();
    store(&shelf, label("/b", "", &[]), &[b"y"]);
    assert_eq!(
        Shelf::open(sizes, at(0)).unwrap_err().to_string(),
        "another gateway uses it, or another cache of this one"
    );
}

#[tokio::test]
async fn what_is_asked_for_again_comes_into_memory() {
    let place = Place::make();
    let sizes = Sizes { memory: in_memory(1 << 20, 1000).memory, ..on_disk(&place, 1 << 20, 1 << 20) };
    let shelf = open(&sizes);
    store(&shelf, label("/a", "", &["t"]), &[b"small"]);
    store(&shelf, label("/b", "", &[]), &[&[1; 1001]]);
    close(shelf);
    let shelf = reopen(&sizes);
    assert!(shelf.at_hand(b"/a", at(1)).is_none() && shelf.at_hand(b"/b", at(1)).is_none());
    for round in 0..3 {
        assert_eq!((found(&shelf, "/a").await.len(), found(&shelf, "/b").await.len()), (1, 1));
        settle(&shelf);
        // Its file is open from the first time on.
        let is_in_file = |key: &[u8]| shelf.at_hand(key, at(1)).unwrap()[0].is_in_file();
        assert_eq!((is_in_file(b"/a"), is_in_file(b"/b")), (round == 0, true), "{round}");
    }
    assert_eq!(shelf.purge(&Target::Tag("t".into()), Purge::Hard).count().await, 2);
    assert!(found(&shelf, "/a").await.is_empty());
}

#[tokio::test]
async fn what_is_purged_while_it_is_fetched_or_confirmed_counts_as_purged() {
    let place = Place::make();
    for sizes in sizes(&place) {
        let (shelf, key, now) = (open(&sizes), Bytes::from("/a"), crate::clock::now());
        let Boarding::Leader(leader) = shelf.flights().board(&key, now) else { panic!("nobody else") };
        // Asked for before, answered after.
        shelf.purge(&Target::Key(key.clone()), Purge::Hard);
        let mut writing = shelf.write(label("/a", "", &[]), None, Some(leader)).unwrap();
        // Who comes now fetches anew.
        let Boarding::Leader(next) = shelf.flights().board(&key, now) else { panic!("what is written is out of date") };
        assert!(matches!(shelf.flights().board(&key, now), Boarding::Waiter(_)));
        drop(next);
        writing.push("x".into());
        assert!(writing.finish());
        settle(&shelf);
        assert!(found(&shelf, "/a").await.is_empty());
        // Confirmed after it was found, but purged between.
        store(&shelf, label("/a", "", &[]), &[b"x"]);
        let object = shelf.find(b"/a", at(1)).await.remove(0);
        shelf.purge(&Target::Key(key.clone()), Purge::Soft).written().await;
        shelf.relabel(&object, label("/a", "", &[]));
        let object = shelf.find(b"/a", at(1)).await.remove(0);
        assert!(object.is_stale());
        shelf.relabel(&object, label("/a", "", &[]));
        assert!(!shelf.find(b"/a", at(1)).await.remove(0).is_stale());
        settle(&shelf);
        close(shelf);
        let _ = fs::remove_dir_all(&place.0);
    }
}

/// What `CONFIG.md` says of the memory of an index. By itself, because others take memory meanwhile.
#[test]
#[ignore = "it measures the memory of the process: run it alone, with --nocapture"]
fn an_object_on_the_disk_costs_so_much_memory() {
    const OBJECTS: u64 = 200_000;
    let resident = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
    };
    let mut all = Vec::new();
    for tags in [&[][..], &["one", "two"]] {
        let mut index = index::Index::seeded(1);
        let before = resident();
        for number in 0..OBJECTS {
            let label = label(&format!("https://any.example/images/{number:06}.jpg"), "", tags);
            let card = index::Card::of(&label, number, 4096, 1, 2);
            index.insert(card, &label);
        }
        let (real, counted) = ((resident() - before) / OBJECTS, index.memory / OBJECTS);
        eprintln!("{} tags: {real} bytes for an object, counted as {counted}", tags.len());
        assert!(real <= counted * 5 / 4 && counted <= real * 2);
        // Its memory is not to be the next one's.
        all.push(index);
    }
}
