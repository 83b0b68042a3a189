//! Objects of one key: who leaves when there are too many, and what becomes of one of them alone.

use super::*;

/// As many as a key may have.
const MOST: usize = 64;

fn both(place: &Place) -> [Sizes; 2] {
    [in_memory(8 << 20, 1 << 20), on_disk(place, 64 << 20, 1 << 20)]
}

async fn variants(shelf: &Shelf) -> Vec<String> {
    found(shelf, "/a").await.into_iter().map(|(variant, ..)| variant).collect()
}

async fn object(shelf: &Shelf, variant: &str) -> Object {
    let objects = shelf.find(b"/a", at(1)).await;
    objects.into_iter().find(|object| *object.label().variant == *variant.as_bytes()).unwrap()
}

#[tokio::test]
async fn what_is_used_stays_however_many_others_come() {
    let place = Place::make();
    for sizes in both(&place) {
        let shelf = open(&sizes);
        store(&shelf, label("/a", "used", &[]), &[b"x"]);
        store(&shelf, label("/a", "once", &[]), &[b"x"]);
        for number in 0..3 * MOST {
            store(&shelf, label("/a", &format!("junk {number}"), &[]), &[b"x"]);
            if number % 40 == 0 {
                shelf.used(&object(&shelf, "used").await);
                // A later label does not make it another object.
                let used = object(&shelf, "used").await;
                shelf.relabel(&used, label("/a", "used", &["tag"]));
                settle(&shelf);
            }
        }
        let variants = variants(&shelf).await;
        assert_eq!(variants.len(), MOST);
        assert!(variants.contains(&"used".into()) && !variants.contains(&"once".into()), "{variants:?}");
        close(shelf);
    }
}

#[tokio::test]
async fn one_of_them_goes_or_is_stale_and_the_others_stay() {
    let place = Place::make();
    for sizes in both(&place) {
        let shelf = open(&sizes);
        for variant in ["soft", "hard", "other"] {
            store(&shelf, label("/a", variant, &[]), &[b"x"]);
        }
        let gone = object(&shelf, "hard").await;
        shelf.set_aside(&object(&shelf, "soft").await, Purge::Soft);
        shelf.set_aside(&gone, Purge::Hard);
        settle(&shelf);
        let expected =
            [("other", false), ("soft", true)].map(|(variant, is_stale)| (variant.into(), b"x".into(), is_stale));
        assert_eq!(found(&shelf, "/a").await, expected);
        // What came in its place is not meant.
        store(&shelf, label("/a", "hard", &[]), &[b"later"]);
        shelf.set_aside(&gone, Purge::Hard);
        assert_eq!(object(&shelf, "hard").await.length(), 5);
        let is_on_disk = shelf.disk.is_some();
        close(shelf);
        if is_on_disk {
            let shelf = reopen(&sizes);
            assert!(object(&shelf, "soft").await.is_stale() && !object(&shelf, "other").await.is_stale());
            close(shelf);
        }
    }
}

#[tokio::test]
async fn what_comes_of_an_order_outlives_it_but_no_other() {
    let meant = || Meant::from(Target::Stem("/a".into()));
    for (before, after, is_stored) in [(false, false, true), (true, false, false), (false, true, false)] {
        let shelf = open(&in_memory(8 << 20, 1 << 20));
        store(&shelf, label("/a", "", &[]), &[b"old"]);
        let mut leader = shelf.flights().alone(&"/a".into());
        if before {
            shelf.purge(&Target::Key("/a".into()), Purge::Hard);
        }
        // What is of something else does not matter.
        shelf.purge(&Target::Key("/b".into()), Purge::Hard);
        drop(shelf.forget_for(meant(), Purge::Hard, (&mut leader, &label("/a", "", &[]))));
        assert!(variants(&shelf).await.is_empty());
        if after {
            shelf.purge(&Target::Key("/a".into()), Purge::Hard);
        }
        let mut writing = shelf.write(label("/a", "", &[]), None, Some(leader)).unwrap();
        writing.push("new".into());
        assert!(writing.finish());
        assert_eq!(found(&shelf, "/a").await.len(), usize::from(is_stored), "{before} {after}");
    }
}
