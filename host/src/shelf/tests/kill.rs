//! Whatever instant a process was killed at: the next one serves nothing that is torn.

use std::env;
use std::os::unix::fs::FileExt as _;
use std::process::{Command, Stdio};

use super::*;
use crate::shelf::format;
use crate::shelf::seal::Seal;

/// The one object's file, before anything was done to it.
fn one_object(place: &Place, sizes: &Sizes) -> (PathBuf, Vec<u8>) {
    let shelf = open(sizes);
    store(&shelf, label("/a", "v", &["t"]), &[b"the content"]);
    close(shelf);
    let [path] = place.objects().try_into().unwrap();
    let bytes = fs::read(&path).unwrap();
    (path, bytes)
}

#[test]
fn a_file_that_was_cut_or_changed_is_not_served_and_goes() {
    let place = Place::make();
    let sizes = on_disk(&place, 1 << 20, 1 << 20);
    let (path, whole) = one_object(&place, &sizes);
    let content_at = whole.len() - b"the content".len();
    let runtime = runtime();
    let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
    let changed = (0..content_at).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    });
    // As a file system has it that knows a length before it has the bytes.
    let zeros = (0..content_at).map(|length| {
        let mut bytes = whole[..length].to_vec();
        bytes.resize(whole.len(), 0);
        bytes
    });
    for bytes in cut.chain(changed).chain(zeros).filter(|bytes| *bytes != whole) {
        fs::write(&path, &bytes).unwrap();
        let shelf = reopen(&sizes);
        assert!(runtime.block_on(found(&shelf, "/a")).is_empty(), "{bytes:?}");
        assert!(!path.exists(), "{bytes:?}");
        close(shelf);
    }
    // Whoever wrote it, it is right; but nobody knows whether it holds.
    fs::write(&path, &whole).unwrap();
    let shelf = reopen(&sizes);
    assert_eq!(runtime.block_on(found(&shelf, "/a")), [("v".to_owned(), b"the content".to_vec(), true)]);
    close(shelf);
}

/// The file becomes shorter while the gateway runs, before it is opened.
#[tokio::test]
async fn a_file_that_somebody_broke_is_a_miss() {
    let place = Place::make();
    let sizes = on_disk(&place, 1 << 20, 1 << 20);
    let (path, whole) = one_object(&place, &sizes);
    let shelf = reopen(&sizes);
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(found(&shelf, "/a").await.is_empty());
    assert_eq!((shelf.counts().disk.objects, shelf.counts().disk.bytes), (0, 0));
}

#[test]
fn a_label_that_was_cut_off_leaves_the_one_before_it() {
    let place = Place::make();
    let sizes = on_disk(&place, 1 << 20, 1 << 20);
    let (path, _) = one_object(&place, &sizes);
    let runtime = runtime();
    let mut head = b"head of /a".to_vec();
    for round in 0..4_u8 {
        let later = format!("a later head {round}");
        // Whoever wrote the file, it is ours again once it was found.
        let shelf = reopen(&sizes);
        assert_eq!(runtime.block_on(found(&shelf, "/a")).len(), 1);
        settle(&shelf);
        close(shelf);
        let before = fs::read(&path).unwrap();
        let shelf = reopen(&sizes);
        let object = runtime.block_on(shelf.find(b"/a", at(1))).remove(0);
        assert_eq!(*object.label().head, *head);
        shelf.relabel(&object, Label::of(b"/a", b"v", later.as_bytes(), at(1), at(2)));
        settle(&shelf);
        close(shelf);
        let after = fs::read(&path).unwrap();
        let is_same = |at: &usize| before.get(*at).copied().unwrap_or(0) == after[*at];
        let first = (0..after.len()).find(|at| !is_same(at)).unwrap();
        let last = (0..after.len()).rfind(|at| !is_same(at)).unwrap();
        for cut in (first..=last).step_by(3) {
            let mut torn = before.clone();
            torn.resize(after.len(), 0);
            torn[first..cut].copy_from_slice(&after[first..cut]);
            fs::write(&path, &torn).unwrap();
            let shelf = reopen(&sizes);
            let object = runtime.block_on(shelf.find(b"/a", at(1))).remove(0);
            assert_eq!(*object.label().head, *head, "{round} {cut}");
            assert_eq!(runtime.block_on(collect(object.body())).unwrap(), b"the content");
            close(shelf);
        }
        fs::write(&path, &after).unwrap();
        head = later.into_bytes();
    }
}

#[test]
fn between_the_steps_of_a_write() {
    let place = Place::make();
    let sizes = on_disk(&place, 1 << 20, 1 << 20);
    let (path, whole) = one_object(&place, &sizes);
    let runtime = runtime();
    // Before the name was given, whatever was written by then.
    let name = path.file_name().unwrap();
    let temporary = place.0.join("written").join(name);
    for length in [0, 50, whole.len()] {
        fs::write(&temporary, &whole[..length]).unwrap();
        let shelf = reopen(&sizes);
        assert!(!temporary.exists());
        assert_eq!(runtime.block_on(found(&shelf, "/a")).len(), 1);
        close(shelf);
    }
    // After the name was given, before the file in whose place it stands was removed.
    let shelf = reopen(&sizes);
    store(&shelf, label("/a", "v", &[]), &[b"later"]);
    close(shelf);
    let later = place.objects();
    fs::write(&path, &whole).unwrap();
    assert_eq!(place.objects().len(), 2);
    let shelf = reopen(&sizes);
    assert_eq!(runtime.block_on(found(&shelf, "/a")), [("v".to_owned(), b"later".to_vec(), false)]);
    assert_eq!(place.objects(), later);
    close(shelf);
}

#[test]
fn what_is_not_ours_stays_and_what_has_our_name_and_is_not_whole_goes() {
    let place = Place::make();
    let sizes = on_disk(&place, 1 << 20, 1 << 20);
    let (path, whole) = one_object(&place, &sizes);
    let folder = path.parent().unwrap();
    let byte = folder.file_name().unwrap().to_str().unwrap().to_owned();
    let foreign = [
        place.0.join("notes"),
        place.0.join("objects/notes"),
        folder.join("0123"),
        folder.join(format!("00000000000ABC{byte}")),
        folder.join("00000000000000ff").with_file_name(if byte == "ff" {
            "00000000000000fe"
        } else {
            "00000000000000ff"
        }),
    ];
    foreign.iter().for_each(|path| fs::write(path, "not ours").unwrap());
    let broken = folder.join(format!("00000000000abc{byte}"));
    fs::write(&broken, "not ours").unwrap();
    // A file of ours under another number.
    let copy = folder.join(format!("00000000000def{byte}"));
    fs::write(&copy, &whole).unwrap();
    let shelf = reopen(&sizes);
    assert!(foreign.iter().all(|path| path.exists()));
    assert!(!broken.exists() && !copy.exists() && path.exists());
    assert_eq!(shelf.counts().disk.objects, 1);
}

/// Has a file look as if it was written before the machine was started.
fn of_another_boot(path: &Path) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let number = u64::from_str_radix(path.file_name().unwrap().to_str().unwrap(), 16).unwrap();
    let found = format::read(&file, number).unwrap().unwrap();
    if !found.is_synced {
        Seal::of(number, found.sum, Some(7)).put(&file).unwrap();
    }
}

#[tokio::test]
async fn after_the_machine_went_down_what_was_not_synced_is_read_before_it_is_believed() {
    for sync in [false, true] {
        for is_torn in [false, true] {
            let place = Place::make();
            let mut sizes = on_disk(&place, 1 << 20, 1 << 20);
            sizes.disk.iter_mut().for_each(|disk| disk.sync = sync);
            let (path, whole) = one_object(&place, &sizes);
            if is_torn && !sync {
                // The length was on the disk, the last page was not.
                let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                file.write_all_at(&[0; 4], whole.len() as u64 - 4).unwrap();
            }
            of_another_boot(&path);
            let shelf = reopen(&sizes);
            let expected = vec![("v".to_owned(), b"the content".to_vec(), !sync)];
            let expected = if is_torn && !sync { Vec::new() } else { expected };
            for _ in 0..2 {
                assert_eq!(found(&shelf, "/a").await, expected, "{sync} {is_torn}");
            }
            assert_eq!(place.objects().len(), expected.len());
            close(shelf);
            // It stays stale until it is confirmed, and is read no second time.
            let shelf = reopen(&sizes);
            assert_eq!(found(&shelf, "/a").await, expected);
            if let Some(object) = shelf.find(b"/a", at(1)).await.pop() {
                shelf.relabel(&object, label("/a", "v", &[]));
                settle(&shelf);
            }
            close(shelf);
            let shelf = reopen(&sizes);
            assert!(found(&shelf, "/a").await.iter().all(|(_, _, is_stale)| !is_stale));
            close(shelf);
        }
    }
}

/// What was synced is believed after that, unless something was written or forgotten since that was not.
#[tokio::test]
async fn what_was_synced_is_believed_as_long_as_everything_was() {
    for (states, is_stale) in [
        (&[true][..], false),
        (&[true, false], true),
        (&[true, false, true], false),
        (&[false, true], true),
        (&[true, true], false),
    ] {
        for is_restarted in [false, true] {
            let place = Place::make();
            let of = |sync| {
                let mut sizes = on_disk(&place, 1 << 20, 1 << 20);
                sizes.disk.iter_mut().for_each(|disk| disk.sync = sync);
                sizes
            };
            let mut shelf = open(&of(states[0]));
            store(&shelf, label("/a", "v", &[]), &[b"the content"]);
            for sync in &states[1..] {
                if is_restarted {
                    close(shelf);
                    shelf = reopen(&of(*sync));
                } else {
                    shelf.resize(&of(*sync));
                    settle(&shelf);
                }
            }
            close(shelf);
            let path = place.objects().pop().unwrap();
            of_another_boot(&path);
            let note = place.0.join("unsynced");
            if note.exists() {
                fs::write(&note, "7\n").unwrap();
            }
            for _ in 0..2 {
                let shelf = reopen(&of(true));
                let expected = [("v".to_owned(), b"the content".to_vec(), is_stale)];
                assert_eq!(found(&shelf, "/a").await, expected, "{states:?} {is_restarted}");
                assert!(!note.exists() && !place.0.join("doubt").exists());
                settle(&shelf);
                close(shelf);
            }
        }
    }
}

#[tokio::test]
async fn what_somebody_else_wrote_into_a_file_is_noticed_while_it_is_open() {
    let place = Place::make();
    let sizes = on_disk(&place, 1 << 20, 1 << 20);
    let (path, whole) = one_object(&place, &sizes);
    let content = whole.len() as u64 - b"the content".len() as u64;
    let shelf = reopen(&sizes);
    let good = |is_stale| vec![("v".to_owned(), b"the content".to_vec(), is_stale)];
    assert_eq!(found(&shelf, "/a").await, good(false));
    // The same bytes again: they are read, and are what they have to be.
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"the", content).unwrap();
    assert_eq!(found(&shelf, "/a").await.len(), 1);
    assert_eq!(found(&shelf, "/a").await, good(true));
    file.write_all_at(b"The", content).unwrap();
    assert!(found(&shelf, "/a").await.is_empty());
    assert_eq!((shelf.counts().disk.bytes, place.objects().len()), (0, 0));
    close(shelf);
}

/// A run that was killed before it had read everything may have forgotten what it had not read.
#[tokio::test]
async fn what_was_not_read_when_something_was_forgotten_has_to_be_confirmed() {
    let place = Place::make();
    let sizes = on_disk(&place, 1 << 20, 1 << 20);
    let (path, whole) = one_object(&place, &sizes);
    let shelf = reopen(&sizes);
    shelf.disk.as_ref().unwrap().unread();
    shelf.purge(&Target::Key("/another".into()), Purge::Hard).written().await;
    assert!(place.0.join("doubt").exists());
    close(shelf);
    for _ in 0..2 {
        let shelf = reopen(&sizes);
        assert!(!place.0.join("doubt").exists());
        assert_eq!(found(&shelf, "/a").await, [("v".to_owned(), b"the content".to_vec(), true)]);
        settle(&shelf);
        close(shelf);
    }
    assert!(fs::read(&path).unwrap().starts_with(&whole));
    // Once everything was read, a purge is done when it is done.
    let shelf = reopen(&sizes);
    shelf.purge(&Target::Key("/another".into()), Purge::Hard).written().await;
    assert!(!place.0.join("doubt").exists());
    close(shelf);
}

#[test]
fn a_lock_file_that_was_cut_costs_no_start() {
    let place = Place::make();
    let sizes = on_disk(&place, 1 << 20, 1 << 20);
    one_object(&place, &sizes);
    let lock = fs::read(place.0.join("lock")).unwrap();
    for length in 0..lock.len() {
        fs::write(place.0.join("lock"), &lock[..length]).unwrap();
        let shelf = Shelf::open(sizes.clone(), at(1 + length as u64)).unwrap();
        eventually(|| shelf.is_complete());
        assert_eq!(shelf.counts().disk.objects, 1);
        close(shelf);
    }
}

/// Where the test below has its child write.
const DIRECTORY: &str = "WEIR_TEST_SHELF";

/// Keys that the child writes again and again.
const KEYS: u64 = 40;

#[test]
fn killed_again_and_again() {
    let place = Place::make();
    let sizes = on_disk(&place, 4 << 20, 1 << 20);
    let runtime = runtime();
    let mut chance = fastrand::Rng::with_seed(7);
    let mut seen = 0;
    for round in 0..20 {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "shelf::tests::kill::writes_until_it_is_killed", "--ignored"])
            .env(DIRECTORY, &place.0)
            .stdout(Stdio::null())
            .spawn();
        let mut child = child.unwrap();
        let before = place.objects();
        eventually(|| place.objects() != before);
        thread::sleep(Duration::from_micros(chance.u64(..60_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let shelf = reopen(&sizes);
        for key in 0..KEYS {
            for object in runtime.block_on(shelf.find(format!("/{key}").as_bytes(), at(1))) {
                let bytes = runtime.block_on(collect(object.body())).unwrap();
                let head = String::from_utf8(object.label().head.to_vec()).unwrap();
                let (version, _) = head.split_once(' ').unwrap();
                assert_eq!(bytes, content(key, version.parse().unwrap()), "round {round}");
                seen += 1;
            }
        }
        let counts = shelf.counts().disk;
        assert!(counts.bytes <= 4 << 20);
        assert_eq!(place.objects().len() as u64, counts.objects);
        assert!(files(&place.0.join("written")).is_empty());
        close(shelf);
    }
    assert!(seen > 0);
}

#[test]
#[ignore = "it is run by the test above, and never ends"]
fn writes_until_it_is_killed() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let place = std::mem::ManuallyDrop::new(Place(directory.into()));
    let runtime = runtime();
    let shelf = open(&on_disk(&place, 4 << 20, 1 << 20));
    for version in 0.. {
        let key = fastrand::u64(..KEYS);
        let name = format!("/{key}");
        let head = format!("{version} ").repeat(fastrand::usize(1..2000));
        if version % 5 == 4 {
            // A later label says the version of the content that it is for.
            for object in runtime.block_on(shelf.find(name.as_bytes(), at(1))) {
                let own = String::from_utf8(object.label().head.to_vec()).unwrap();
                let own = format!("{} {head}", own.split_once(' ').unwrap().0);
                shelf.relabel(&object, Label::of(name.as_bytes(), b"", own.as_bytes(), at(1), at(2)));
            }
            continue;
        }
        let label = Label::of(name.as_bytes(), b"", head.as_bytes(), at(1), at(2));
        let Ok(mut writing) = shelf.write(label, None, None) else { continue };
        content(key, version).chunks(10_000).for_each(|piece| writing.push(Bytes::copy_from_slice(piece)));
        assert!(writing.finish());
    }
}

/// Every version of every key has its own.
fn content(key: u64, version: u64) -> Vec<u8> {
    let mut chance = fastrand::Rng::with_seed(key << 32 | version);
    let length = chance.usize(..150_000);
    std::iter::repeat_with(|| chance.u8(..)).take(length).collect()
}
