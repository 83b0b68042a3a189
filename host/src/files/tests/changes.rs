//! What is known of files, while they change.

use std::os::unix::fs::symlink;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use super::super::open::Content;
use super::*;

#[test]
fn what_is_fresh_is_not_looked_at_and_what_is_not_is() {
    let tree = Tree::new();
    tree.write("a", "one");
    tree.write("big", "b".repeat(100_000));
    run(async {
        let (kept, anew) = (Served::once(tree.root()), Served::anew(tree.root()));
        for served in [&kept, &anew] {
            assert_eq!(served.text("a").await.unwrap(), "one");
            assert_eq!(served.text("big").await.unwrap().len(), 100_000);
            assert_eq!(served.kind("later").await, Err(Kind::NoFile));
            assert_eq!(served.kind("directory").await, Err(Kind::NoFile));
        }
        // In its place, and elsewhere.
        fs::write(tree.path("srv/a"), "three").unwrap();
        fs::write(tree.path("other"), "other").unwrap();
        fs::rename(tree.path("other"), tree.path("srv/big")).unwrap();
        tree.write("later", "here");
        tree.write("directory/index.html", "index");
        assert_eq!(anew.text("a").await.unwrap(), "three");
        assert_eq!(anew.text("big").await.unwrap(), "other");
        assert_eq!(anew.text("later").await.unwrap(), "here");
        assert_eq!(anew.text("directory/").await.unwrap(), "index");
        assert_eq!(kept.text("a").await.unwrap(), "one");
        assert_eq!(kept.text("big").await.unwrap().len(), 100_000);
        assert_eq!(kept.kind("later").await, Err(Kind::NoFile));
        assert_eq!(kept.kind("directory").await, Err(Kind::NoFile));
        fs::remove_file(tree.path("srv/a")).unwrap();
        fs::create_dir(tree.path("srv/a")).unwrap();
        fs::remove_file(tree.path("srv/big")).unwrap();
        assert_eq!(anew.kind("a").await, Err(Kind::NoFile));
        assert_eq!(anew.kind("big").await, Err(Kind::NoFile));
        assert_eq!(kept.text("big").await.unwrap().len(), 100_000);
    });
}

#[test]
fn a_file_that_is_the_same_stays_open() {
    let tree = Tree::new();
    tree.write("recent", "recent");
    let kept = |served: &Served, path: &str| Rc::as_ptr(&served.files.open.kept(0, path.as_bytes()).unwrap());
    run(async {
        // Older than the test that was compiled from it.
        let served = Served::anew(root(env!("CARGO_MANIFEST_DIR").as_ref()));
        served.text("Cargo.toml").await.unwrap();
        let first = kept(&served, "Cargo.toml");
        served.text("Cargo.toml").await.unwrap();
        assert_eq!(kept(&served, "Cargo.toml"), first);
        // What was written a moment ago may have changed since within the same tick of a clock.
        let served = Served::anew(tree.root());
        served.text("recent").await.unwrap();
        let held = served.files.open.kept(0, b"recent").unwrap();
        served.text("recent").await.unwrap();
        assert_ne!(kept(&served, "recent"), Rc::as_ptr(&held));
    });
}

#[test]
fn who_asks_at_once_for_what_nobody_knows_shares_one_open_file() {
    // A file system without a disk is not known to be one until somebody has looked, so everybody waits here.
    let shm = Path::new("/dev/shm").join(format!("weir-shared-{}", process::id()));
    if fs::create_dir(&shm).is_err() {
        return;
    }
    fs::write(shm.join("big"), "b".repeat(100_000)).unwrap();
    date(&shm.join("big"), 784_111_777);
    let served = Rc::new(Served::once(root(&shm)));
    run(async {
        // What was changed a moment ago is shared by nobody: it may have changed once more.
        tokio::time::sleep(Duration::from_millis(2100)).await;
        let ask = |_| {
            let served = served.clone();
            tokio::task::spawn_local(async move { served.ask(Request::get(), b"big").await.unwrap().1 })
        };
        let asking: Vec<_> = (0..50).map(ask).collect();
        let mut bodies = Vec::new();
        for asked in asking {
            bodies.push(asked.await.unwrap());
        }
        let kept = served.files.open.kept(0, b"big").unwrap();
        let Content::File(file) = &kept.content else { panic!("it is not small") };
        assert_eq!(Arc::strong_count(file), 1 + bodies.len());
    });
    fs::remove_dir_all(&shm).unwrap();
}

#[test]
fn files_that_are_not_in_memory_are_read_all_the_same() {
    let tree = Tree::new();
    run(async {
        let served = Served::anew(tree.root());
        for (name, length) in [("small", 16 << 10), ("page", 4096), ("large", 200_000)] {
            tree.write(name, "c".repeat(length));
            let file = fs::File::open(tree.path("srv").join(name)).unwrap();
            file.sync_all().unwrap();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            let text = served.text(name).await.unwrap();
            assert!(text.len() == length && text.bytes().all(|byte| byte == b'c'), "{name}");
        }
    });
}

#[test]
fn nothing_is_kept_where_nothing_may_be() {
    let tree = Tree::new();
    (0..50).for_each(|number| tree.write(&number.to_string(), number.to_string()));
    run(async {
        for open in [0, 1, 7] {
            let plan = config::Files { open, fresh: ALWAYS, ..config::Files::default() };
            let served = Served::of(&[tree.root()], &plan);
            for number in 0..50 {
                assert_eq!(served.text(number.to_string()).await.unwrap(), number.to_string());
                assert_eq!(served.kind(format!("no-{number}")).await, Err(Kind::NoFile));
            }
            assert!(served.files.open.len() <= open);
            fs::write(tree.path("srv/49"), "changed").unwrap();
            let kept = served.text("49").await.unwrap();
            assert_eq!(kept, if open == 0 { "changed" } else { "49" });
            tree.write("49", "49");
        }
    });
}

#[test]
fn what_is_not_there_costs_no_file_its_place() {
    let tree = Tree::new();
    tree.write("a", "a");
    run(async {
        let plan = config::Files { open: 4, fresh: ALWAYS, ..config::Files::default() };
        let served = Served::of(&[tree.root()], &plan);
        assert_eq!(served.text("a").await.unwrap(), "a");
        for number in 0..100 {
            assert_eq!(served.kind(format!("no-{number}")).await, Err(Kind::NoFile));
        }
        fs::remove_file(tree.path("srv/a")).unwrap();
        assert_eq!(served.text("a").await.unwrap(), "a");
    });
}

#[test]
fn a_root_that_is_swapped_is_seen() {
    let tree = Tree::new();
    for release in ["one", "two"] {
        fs::create_dir(tree.path(release)).unwrap();
        fs::write(tree.path(release).join("a"), release).unwrap();
        fs::write(tree.path(release).join(release), release).unwrap();
    }
    let point = |to: &str| {
        symlink(to, tree.path("next")).unwrap();
        fs::rename(tree.path("next"), tree.path("current")).unwrap();
    };
    point("one");
    run(async {
        let served = Served::anew(root(&tree.path("current")));
        let path = |release: &str| tree.path(release).join("a").to_str().unwrap().as_bytes().to_vec();
        for (release, other) in [("one", "two"), ("two", "one"), ("one", "two")] {
            point(release);
            assert_eq!(served.text("a").await.unwrap(), release);
            assert_eq!(served.text(release).await.unwrap(), release);
            assert_eq!(served.kind(other).await, Err(Kind::NoFile));
            // The path without links is looked up beside requests.
            eventually(|| served.roots.find(&path(release), None) == Some((0, b"a"))).await;
            assert_eq!(served.roots.find(&path(other), None), None);
        }
        fs::rename(tree.path("current"), tree.path("gone")).unwrap();
        assert_eq!(served.kind("a").await, Err(Kind::NoFile));
        fs::rename(tree.path("gone"), tree.path("current")).unwrap();
        assert_eq!(served.text("a").await.unwrap(), "one");
    });
}

#[test]
fn what_is_kept_of_a_root_goes_with_it() {
    let tree = Tree::new();
    fs::create_dir(tree.path("other")).unwrap();
    fs::write(tree.path("other/a"), "other").unwrap();
    tree.write("a", "a");
    run(async {
        let mut served = Served::once(tree.root());
        assert_eq!(served.text("a").await.unwrap(), "a");
        fs::rename(tree.path("srv"), tree.path("old")).unwrap();
        fs::rename(tree.path("other"), tree.path("srv")).unwrap();
        assert_eq!(served.text("a").await.unwrap(), "a");
        // The root alone is looked at again: what is known of its files would still hold.
        served.files.doors.forget_when();
        assert_eq!(served.text("a").await.unwrap(), "other");
    });
}

/// Renames go on until it is dropped.
struct Restless(Arc<AtomicBool>, Option<thread::JoinHandle<usize>>);

impl Restless {
    fn of(mut once: impl FnMut() + Send + 'static) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        let thread = thread::spawn(move || {
            let mut rounds = 0;
            while !seen.load(Ordering::Relaxed) {
                once();
                rounds += 1;
            }
            rounds
        });
        Self(over, Some(thread))
    }

    fn rounds(mut self) -> usize {
        self.0.store(true, Ordering::Relaxed);
        self.1.take().unwrap().join().unwrap()
    }
}

#[test]
fn no_race_leads_out_of_a_root() {
    let tree = Tree::new();
    tree.write("a/b/secret", "public");
    tree.write("up/file", "public");
    fs::create_dir(tree.path("outside")).unwrap();
    fs::write(tree.path("outside/secret"), "SECRET").unwrap();
    fs::write(tree.path("file"), "SECRET").unwrap();
    symlink("../../outside", tree.path("srv/a/link")).unwrap();
    // Walked while `up` is deep inside or near the root.
    symlink("../../up/file", tree.path("srv/a/b/climb")).unwrap();
    let (srv, base) = (tree.path("srv"), tree.0.clone());
    let restless = Restless::of(move || {
        // `b` is a directory, then a link that leads out, then outside itself, and back.
        fs::rename(srv.join("a/b"), base.join("b")).unwrap();
        fs::rename(srv.join("a/link"), srv.join("a/b")).unwrap();
        fs::rename(srv.join("a/b"), srv.join("a/link")).unwrap();
        fs::rename(base.join("b"), srv.join("a/b")).unwrap();
    });
    let (mut found, mut rounds) = (0, 0);
    run(async {
        let served = Served::anew(tree.root());
        while found < 200 || rounds < 2000 {
            for path in ["a/b/secret", "a/b/climb", "a/link/secret"] {
                match served.text(path).await {
                    Ok(text) => {
                        assert_eq!(text, "public", "{path}");
                        found += 1;
                    }
                    Err(kind) => assert_eq!(kind, Kind::NoFile, "{path}"),
                }
            }
            rounds += 1;
        }
    });
    assert!(restless.rounds() > 0);
}

#[test]
fn what_changes_its_nature_is_read_or_not_there() {
    let tree = Tree::new();
    tree.write("it", "a file");
    fs::create_dir(tree.path("srv/directory")).unwrap();
    let fifo = tree.path("srv/fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let srv = tree.path("srv");
    let restless = Restless::of(move || {
        for other in ["fifo", "directory"] {
            fs::rename(srv.join("it"), srv.join("kept")).unwrap();
            fs::rename(srv.join(other), srv.join("it")).unwrap();
            fs::rename(srv.join("it"), srv.join(other)).unwrap();
            fs::rename(srv.join("kept"), srv.join("it")).unwrap();
        }
    });
    run(async {
        let served = Served::anew(tree.root());
        let mut found = 0;
        for _ in 0.. {
            match served.text("it").await {
                Ok(text) => {
                    assert_eq!(text, "a file");
                    found += 1;
                }
                Err(kind) => assert!(matches!(kind, Kind::NoFile | Kind::Internal), "{kind:?}"),
            }
            if found == 1000 {
                break;
            }
        }
    });
    assert!(restless.rounds() > 0);
}

#[test]
fn a_small_file_that_is_written_all_the_time_is_of_one_version_or_an_extent() {
    let tree = Tree::new();
    tree.write("it", "0".repeat(1000));
    let path = tree.path("srv/it");
    let mut number = 0_u8;
    let restless = Restless::of(move || {
        number = (number + 1) % 10;
        let next = path.with_extension("next");
        fs::write(&next, number.to_string().repeat(1000)).unwrap();
        fs::rename(&next, &path).unwrap();
    });
    run(async {
        let served = Served::anew(tree.root());
        for _ in 0..1000 {
            let text = served.text("it").await.unwrap();
            assert!(text.len() == 1000 && text.bytes().all(|byte| byte == text.as_bytes()[0]), "{text}");
        }
    });
    assert!(restless.rounds() > 0);
}
