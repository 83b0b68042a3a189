//! Disks that are full, forbidden, broken or somebody else's: requests are answered all the same, and nobody gets a wrong byte.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::process::Command;

use weir_tests::{Gateway, Origin, PATIENCE, Place, Response, Signal, behaviour, eventually, weir};

use super::ledger::{self, Ledger};
use super::{Store, files, only_stored, said};

/// Asks, checks every byte, and says what the cache said.
#[track_caller]
fn get(gateway: &Gateway, key: u64) -> String {
    let response = gateway.get(&format!("/o/{key}"));
    assert_eq!(ledger::check(response.expect(200), key, 0), Ok(()));
    said(&response)
}

/// Keys of a length that a file of its own is worth.
fn keys() -> Vec<u64> {
    (0..200).filter(|key| key % 3 != 0 && (1000..200_000).contains(&ledger::length(*key, 0))).take(8).collect()
}

/// Stores all of them.
fn filled(store: &Store, gateway: &Gateway) -> Vec<u64> {
    let keys = keys();
    keys.iter().for_each(|key| drop(get(gateway, *key)));
    store.holds(keys.len());
    keys
}

fn is_calm(gateway: &Gateway) {
    let warned = gateway.log().iter().filter(|line| line.contains("of a cache")).count();
    assert!(warned <= 6, "{warned} lines of the log are about the disk");
    assert_eq!(gateway.log_count("panicked"), 0);
}

#[test]
fn what_others_do_to_files_costs_objects_and_no_byte_is_wrong() {
    type Deed = fn(&std::path::Path, &std::path::Path);
    let deeds: [(&str, Deed); 9] = [
        ("cut", |path, _| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(700).unwrap()),
        ("emptied", |path, _| fs::write(path, "").unwrap()),
        ("a byte of its content changed", |path, _| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.write_all_at(b"another byte", file.metadata().unwrap().len() - 20).unwrap();
        }),
        ("a byte of its head changed", |path, _| {
            fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(b"!", 150).unwrap();
        }),
        ("zeros in it", |path, _| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.write_all_at(&[0; 400], file.metadata().unwrap().len() - 500).unwrap();
        }),
        ("another one's content", |path, other| fs::write(path, fs::read(other).unwrap()).unwrap()),
        ("exchanged", |path, other| {
            let beside = path.with_extension("beside");
            fs::rename(path, &beside).unwrap();
            fs::rename(other, path).unwrap();
            fs::rename(&beside, other).unwrap();
        }),
        ("forbidden", |path, _| fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap()),
        ("gone", |path, _| fs::remove_file(path).unwrap()),
    ];
    for (name, deed) in deeds {
        for is_running in [true, false] {
            // Nothing is open when nothing runs.
            for is_open in if is_running { &[true, false][..] } else { &[false] } {
                let (store, ledger) = (Store::fresh(), Ledger::default());
                let origin = ledger.origin();
                let mut gateway = Gateway::start(&store.config(&origin));
                let keys = filled(&store, &gateway);
                if *is_open {
                    keys.iter().for_each(|key| assert_eq!(get(&gateway, *key), "hit"));
                }
                if !is_running {
                    gateway.signal(Signal::Kill);
                    gateway.wait_exit(PATIENCE);
                }
                let objects = store.objects();
                deed(&objects[0], &objects[1]);
                if !is_running {
                    gateway = Gateway::start(&store.config(&origin));
                    gateway.logged("the directory of a cache was read");
                }
                for _ in 0..2 {
                    let said: Vec<_> = keys.iter().map(|key| get(&gateway, *key)).collect();
                    let hits = said.iter().filter(|said| *said == "hit").count();
                    assert!(hits >= keys.len() - 2, "{name}, running {is_running}, open {is_open}: {said:?}");
                    eventually("everything is written", || store.unfinished().is_empty().then_some(()));
                }
                is_calm(&gateway);
            }
        }
    }
}

#[test]
fn a_directory_that_is_removed_or_replaced_is_made_again() {
    let (store, ledger) = (Store::fresh(), Ledger::default());
    let origin = ledger.origin();
    let gateway = Gateway::start(&store.config(&origin));
    let path = store.path();
    let deeds: [&dyn Fn(); 4] = [
        &|| fs::remove_dir_all(&path).unwrap(),
        &|| files(&path).iter().for_each(|file| fs::remove_file(file).unwrap()),
        &|| fs::rename(&path, path.with_extension("old")).unwrap(),
        &|| fs::remove_dir_all(path.join("written")).unwrap(),
    ];
    for (number, deed) in deeds.iter().enumerate() {
        let keys = keys();
        keys.iter().for_each(|key| drop(get(&gateway, *key)));
        store.holds(keys.len());
        deed();
        keys.iter().for_each(|key| drop(get(&gateway, *key)));
        // What was open is still there where it was moved to.
        gateway.client().request("PURGE", "/", &[("Weir-Purge", "all")], b"").expect(200);
        keys.iter().for_each(|key| assert_ne!(get(&gateway, *key), "hit"));
        store.holds(keys.len());
        keys.iter().for_each(|key| assert_eq!(get(&gateway, *key), "hit", "after deed {number}"));
    }
    is_calm(&gateway);
    let second = weir_ends(&store, &origin);
    assert!(second.contains("another gateway uses it"), "{second}");
}

/// Starts a gateway that is to end by itself, and gives back its log.
fn weir_ends(store: &Store, origin: &Origin) -> String {
    let mut gateway = Gateway::spawn(&store.config(origin));
    assert_eq!(gateway.wait_exit(PATIENCE), Some(2));
    eventually("its log is read", || Some(gateway.log().join("\n")).filter(|log| !log.is_empty()))
}

#[test]
fn a_directory_that_cannot_be_had_is_told_of_at_the_start_and_by_check() {
    let origin = Origin::start();
    type Deed = fn(&std::path::Path);
    let is_root = fs::metadata("/proc/self").is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0);
    let deeds: [(&str, Deed); 5] = [
        ("it is not a directory", |path| fs::write(path, "a file").unwrap()),
        ("it is a symbolic link that leads nowhere", |path| std::os::unix::fs::symlink("nowhere", path).unwrap()),
        ("others have rights to it (mode 777, 700 is right)", |path| {
            fs::create_dir(path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        }),
        ("others have rights to it (mode 750, 700 is right)", |path| {
            fs::create_dir(path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o750)).unwrap();
        }),
        ("it belongs to user 1, not to user 0", |path| {
            fs::create_dir(path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
            std::os::unix::fs::chown(path, Some(1), None).unwrap();
        }),
    ];
    for (text, deed) in deeds.into_iter().filter(|(text, _)| is_root || !text.contains("user")) {
        let store = Store::fresh();
        deed(&store.path());
        let place = Place::fresh();
        store.config(&origin).write(&place);
        let checked = weir(&place, &["check", "-c", "weir.toml"]);
        assert_eq!(checked.code, Some(2), "{text}: {}", checked.all());
        let log = weir_ends(&store, &origin);
        for told in [checked.all(), log] {
            let line = told.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text:?} in {told}"));
            assert!(line.contains("cache \\\"pages\\\": ") || line.contains("cache \"pages\": "), "{line}");
            assert!(line.contains(&store.path().display().to_string()) && line.contains("weir.toml:"), "{line}");
        }
    }
    // One that is not there yet is no problem, and nothing is made by asking.
    let (store, place) = (Store::fresh(), Place::fresh());
    store.config(&origin).write(&place);
    assert_eq!(weir(&place, &["check", "-c", "weir.toml"]).code, Some(0));
    assert!(!store.path().exists());
}

/// Whether this user may mount a file system of its own, as the test below does.
fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["-m", "sh", "-c", "mount -t tmpfs none /mnt"]).output();
    tried.is_ok_and(|tried| tried.status.success())
}

/// Runs the gateway where the store is a file system of three megabytes, though it was told of sixteen.
const FULL: &str = "import os, sys
store = open('store').read()
script = 'mount -t tmpfs -o size=3m,mode=700 none \"$0\" && exec \"$@\"'
os.makedirs(store, 0o700, exist_ok=True)
os.execvp('unshare', ['unshare', '-m', 'sh', '-c', script, store, *sys.argv[1:]])";

#[test]
fn a_full_disk_costs_objects_and_no_answer() {
    if !may_mount() {
        return eprintln!("not tried: this user may not mount a file system of three megabytes");
    }
    let (store, ledger) = (Store::fresh(), Ledger::default());
    let origin = ledger.origin();
    let config = store.config(&origin).file("store", store.path().display().to_string());
    let gateway = Gateway::become_by(&config, FULL);
    for _ in 0..2 {
        (0..150).for_each(|key| drop(get(&gateway, key)));
    }
    gateway.logged("could not be written");
    is_calm(&gateway);
    // There is room for some.
    let is_stored = |key: &u64| only_stored(&gateway, &format!("/o/{key}")).status == 200;
    assert!((0..150).filter(is_stored).count() > 5);
    let key = keys()[0];
    eventually("something is stored again", || (get(&gateway, key) == "hit").then_some(()));
}

/// The store's file system is made read-only by whoever shares the gateway's view of it.
#[test]
fn a_disk_that_becomes_read_only_serves_what_it_has() {
    if !may_mount() {
        return eprintln!("not tried: this user may not mount a file system");
    }
    let (store, ledger) = (Store::fresh(), Ledger::default());
    let origin = ledger.origin();
    let config = store.config(&origin).file("store", store.path().display().to_string());
    let gateway = Gateway::become_by(&config, FULL);
    let keys = keys();
    keys.iter().for_each(|key| drop(get(&gateway, *key)));
    keys.iter().for_each(|key| {
        eventually("it is stored", || (only_stored(&gateway, &format!("/o/{key}")).status == 200).then_some(()));
    });
    let view = format!("--target={}", gateway.pid());
    let mut remount = Command::new("nsenter");
    remount.args([&view, "--mount", "mount", "-o", "remount,ro"]).arg(store.path());
    let done = remount.output().expect("nsenter is beside unshare");
    assert!(done.status.success(), "{done:?}");
    for _ in 0..50 {
        keys.iter().for_each(|key| assert_eq!(get(&gateway, *key), "hit"));
        (300..310).for_each(|key| drop(get(&gateway, key)));
    }
    let purged = gateway.client().request("PURGE", &format!("/o/{}", keys[0]), &[], b"");
    assert_eq!(purged.expect(200).text(), "1\n");
    assert_ne!(get(&gateway, keys[0]), "hit");
    gateway.logged("could not be removed");
    is_calm(&gateway);
}

#[test]
fn without_descriptors_the_upstream_answers() {
    let (store, ledger) = (Store::fresh(), Ledger::default());
    let origin = ledger.origin();
    let gateway = Gateway::start(&store.config(&origin));
    let keys = filled(&store, &gateway);
    let limit = |most: usize| {
        let (pid, most) = (gateway.pid().to_string(), format!("--nofile={most}:"));
        Command::new("prlimit").args(["--pid", &pid, &most]).status().is_ok_and(|status| status.success())
    };
    let mut client = gateway.client();
    client.get("/end").expect(200);
    // None is left for files; connections that are there go on.
    let first = client.get(&format!("/past/{}", keys[0]));
    first.expect(200);
    if !limit(gateway.descriptors()) {
        return eprintln!("not tried: there is no prlimit here");
    }
    for key in &keys {
        let response: Response = client.get(&format!("/o/{key}"));
        assert_eq!(ledger::check(response.expect(200), *key, 0), Ok(()));
    }
    assert!(limit(500));
    keys.iter().for_each(|key| drop(get(&gateway, *key)));
    keys.iter().for_each(|key| {
        eventually("they are found again", || (get(&gateway, *key) == "hit").then_some(()));
    });
    is_calm(&gateway);
}

/// What stands in the directory and is none of the cache's stays, and is never served.
#[test]
fn foreign_files_stay() {
    let (store, app) = (Store::fresh(), Origin::start());
    app.otherwise(behaviour::answers_with(200, &[("Cache-Control", "max-age=60")], "of the upstream"));
    let gateway = Gateway::start(&store.config(&app));
    gateway.get("/a").expect(200);
    store.holds(1);
    drop(gateway);
    let own = store.objects()[0].clone();
    let foreign = [store.path().join("notes"), own.with_file_name("notes"), store.path().join("written/notes")];
    foreign.iter().for_each(|path| fs::write(path, "not ours").unwrap());
    let link = own.with_file_name("0000000000000a00");
    std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
    let gateway = Gateway::start(&store.config(&app));
    gateway.logged("the directory of a cache was read");
    assert_eq!(said(&gateway.get("/a")), "hit");
    assert!(foreign.iter().all(|path| path.exists()) && link.is_symlink());
}
