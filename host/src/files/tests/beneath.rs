//! Nothing is served but regular files beneath a root.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::thread;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;
use crate::config::Symlinks;

#[test]
fn paths_that_climb_find_nothing() {
    let tree = Tree::new();
    tree.write("a/b.txt", "b");
    fs::write(tree.path("secret"), "secret").unwrap();
    let served = Served::anew(tree.root());
    run(async {
        assert_eq!(served.text("a/b.txt").await.unwrap(), "b");
        for path in [
            "../secret",
            "a/../../secret",
            "a/../a/b.txt",
            "a/./b.txt",
            "./a/b.txt",
            "..",
            ".",
            "../",
            "a/..",
            "/a/b.txt",
            "//a/b.txt",
            "a//b.txt",
            "/etc/passwd",
            "a/b.txt\0.html",
            "\0",
            "a/b.txt/",
            "a/b.txt/..",
            "a/b.txt/x",
            "..\\secret",
            "%2e%2e/secret",
            "..%2fsecret",
            "a/..;/secret",
            "a/b.txt ",
            "A/B.TXT",
            "",
            "a",
        ] {
            let found = served.kind(path).await;
            assert!(matches!(found, Err(Kind::NoFile | Kind::FileForbidden)), "{path:?}: {found:?}");
        }
    });
}

#[test]
fn links_are_followed_as_far_as_the_root_says() {
    let tree = Tree::new();
    tree.write("a/b.txt", "b");
    fs::write(tree.path("secret"), "secret").unwrap();
    fs::create_dir(tree.path("other")).unwrap();
    fs::write(tree.path("other/b.txt"), "other").unwrap();
    let link = |to: &str, name: &str| symlink(to, tree.path("srv").join(name)).unwrap();
    let inside: &[(&str, &str, &str)] = &[
        ("a/b.txt", "file", "file"),
        ("a", "directory", "directory/b.txt"),
        ("../a/b.txt", "a/up", "a/up"),
        ("file", "twice", "twice"),
    ];
    let outside: &[(&str, &str, &str)] = &[
        ("../secret", "out", "out"),
        ("a/../../secret", "out-by-in", "out-by-in"),
        ("../other", "out-directory", "out-directory/b.txt"),
        ("../srv/a/b.txt", "out-and-back", "out-and-back"),
        ("/etc/passwd", "absolute", "absolute"),
        ("/", "everything", "everything/etc/passwd"),
        ("loop", "loop", "loop"),
        ("pong", "ping", "ping"),
        ("ping", "pong", "pong/x"),
        ("nowhere", "dangling", "dangling"),
        ("/proc/self/root", "magic", "magic/etc/passwd"),
        ("/proc/self/exe", "exe", "exe"),
        ("/proc/self/fd/0", "fd", "fd"),
        ("/proc/self/cwd", "cwd", "cwd/Cargo.toml"),
        ("out", "chain", "chain"),
    ];
    for (to, name, _) in inside.iter().chain(outside) {
        link(to, name);
    }
    let absolute = tree.path("srv/a/b.txt");
    symlink(&absolute, tree.path("srv/absolute-inside")).unwrap();
    run(async {
        let beneath = Served::anew(tree.root());
        let deny = Served::anew(Root { symlinks: Symlinks::Deny, ..tree.root() });
        for (_, _, path) in inside {
            assert_eq!(beneath.text(path).await.unwrap(), "b", "{path}");
        }
        for (_, _, path) in outside.iter().chain([&("", "", "absolute-inside")]) {
            assert_eq!(beneath.kind(path).await, Err(Kind::NoFile), "{path}");
        }
        for (_, _, path) in inside.iter().chain(outside).chain([&("", "", "absolute-inside")]) {
            assert_eq!(deny.kind(path).await, Err(Kind::NoFile), "{path}");
        }
        assert_eq!(deny.text("a/b.txt").await.unwrap(), "b");
    });
}

#[test]
fn a_root_may_be_a_link_itself() {
    let tree = Tree::new();
    tree.write("a", "a");
    symlink("srv", tree.path("link")).unwrap();
    let served = Served::anew(Root { symlinks: Symlinks::Deny, ..root(&tree.path("link")) });
    run(async { assert_eq!(served.text("a").await.unwrap(), "a") });
}

#[test]
fn what_is_no_regular_file_is_not_opened() {
    let tree = Tree::new();
    tree.write("a", "a");
    let path = |name: &str| tree.path("srv").join(name);
    mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _socket = UnixListener::bind(path("socket")).unwrap();
    symlink("fifo", path("to-fifo")).unwrap();
    run(async {
        let served = Served::anew(tree.root());
        for name in ["fifo", "socket", "to-fifo", "fifo/", "fifo/x"] {
            assert_eq!(served.kind(name).await, Err(Kind::NoFile), "{name}");
        }
        let devices = Served::anew(root("/dev".as_ref()));
        for name in ["null", "zero", "tty", "full"] {
            assert_eq!(devices.kind(name).await, Err(Kind::NoFile), "{name}");
        }
        let kernel = Served::anew(root("/".as_ref()));
        for name in [
            "proc/self/environ",
            "proc/version",
            "proc/self/exe",
            "proc/self/fd/0",
            "proc/kmsg",
            "sys/kernel/profiling",
        ] {
            assert_eq!(kernel.kind(name).await, Err(Kind::NoFile), "{name}");
        }
        assert_eq!(kernel.kind("etc/passwd").await, Ok(200));
    });
}

#[test]
fn who_writes_to_a_fifo_is_left_waiting() {
    let tree = Tree::new();
    let fifo = tree.path("srv/fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let path = fifo.clone();
    // It waits in `open` for somebody to read.
    let writer = thread::spawn(move || fs::OpenOptions::new().write(true).open(path).is_ok());
    run(async {
        let served = Served::anew(tree.root());
        for _ in 0..1000 {
            assert_eq!(served.kind("fifo").await, Err(Kind::NoFile));
        }
    });
    assert!(!writer.is_finished());
    let _reader = fs::File::open(&fifo).unwrap();
    assert!(writer.join().unwrap());
}

#[test]
fn names_are_bytes() {
    let tree = Tree::new();
    let longest = "n".repeat(255);
    for name in [
        &b"caf\xc3\xa9"[..],
        b"\xff\xfe",
        b"a b",
        b"new\nline",
        b"back\\slash",
        b"%2e%2e",
        b"...",
        b"-rf",
        longest.as_bytes(),
    ] {
        fs::write(tree.path("srv").join(OsStr::from_bytes(name)), name).unwrap();
        run(async {
            let served = Served::anew(Root { hidden: true, ..tree.root() });
            let text = served.text(name).await.unwrap();
            assert_eq!(text, String::from_utf8_lossy(name), "{}", name.escape_ascii());
        });
    }
    run(async {
        let served = Served::anew(tree.root());
        for name in ["n".repeat(256), "n".repeat(4095), "n/".repeat(2047), "n".repeat(100_000)] {
            assert_eq!(served.kind(name).await, Err(Kind::NoFile));
        }
    });
}

#[test]
fn deep_paths_are_found() {
    let tree = Tree::new();
    let deep = format!("{}end", "d/".repeat(500));
    tree.write(&deep, "deep");
    run(async {
        assert_eq!(Served::anew(tree.root()).text(&deep).await.unwrap(), "deep");
        assert_eq!(Served::anew(tree.root()).kind(format!("{deep}/x")).await, Err(Kind::NoFile));
    });
}

#[test]
fn hidden_names_are_shown_only_where_the_root_says() {
    let tree = Tree::new();
    for name in [".git/config", "a/.htpasswd", ".well-known/security.txt", "a/.well-known/x", ".well-known/.x"] {
        tree.write(name, "x");
    }
    run(async {
        let served = Served::anew(tree.root());
        let open = Served::anew(Root { hidden: true, ..tree.root() });
        for (name, expected) in [
            (".git/config", Err(Kind::NoFile)),
            (".git", Err(Kind::NoFile)),
            ("a/.htpasswd", Err(Kind::NoFile)),
            (".well-known/security.txt", Ok(200)),
            ("a/.well-known/x", Err(Kind::NoFile)),
            (".well-known/.x", Err(Kind::NoFile)),
        ] {
            assert_eq!(served.kind(name).await, expected, "{name}");
            if name != ".git" {
                assert_eq!(open.kind(name).await, Ok(200), "{name}");
            }
        }
    });
}

#[test]
fn files_that_may_not_be_read_are_forbidden() {
    use std::os::unix::fs::PermissionsExt as _;
    let tree = Tree::new();
    tree.write("closed", "x");
    tree.write("locked/x", "x");
    let set =
        |name: &str, mode| fs::set_permissions(tree.path("srv").join(name), fs::Permissions::from_mode(mode)).unwrap();
    set("closed", 0);
    set("locked", 0);
    // Who may read everything is refused nothing.
    let is_almighty = fs::File::open(tree.path("srv/closed")).is_ok();
    run(async {
        let served = Served::anew(tree.root());
        for name in ["closed", "locked/x"] {
            let expected = if is_almighty { Ok(200) } else { Err(Kind::FileForbidden) };
            assert_eq!(served.kind(name).await, expected, "{name}");
        }
    });
    set("locked", 0o700);
}

#[test]
fn roots_that_are_not_there_are_problems() {
    let tree = Tree::new();
    tree.write("file", "x");
    let missing = tree.path("missing");
    let own = Root { name: missing.display().to_string().into(), ..root(&missing) };
    let problems = Roots::open(&[tree.root(), root(&missing), root(&tree.path("srv/file")), own]).unwrap_err();
    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let (missing, file) = (missing.display(), tree.path("srv/file"));
    assert_eq!(
        texts,
        [
            format!("weir.toml:3:1: root \"it\": {missing}: No such file or directory"),
            format!("weir.toml:3:1: root \"it\": {}: Not a directory", file.display()),
            format!("weir.toml:3:1: root \"{missing}\": No such file or directory"),
        ]
    );
}

#[test]
fn roots_are_found_by_absolute_paths() {
    let tree = Tree::new();
    tree.write("deep/er/x", "x");
    symlink("srv", tree.path("link")).unwrap();
    let closed = Root { accel: false, ..root(&tree.path("srv/deep/er")) };
    let roots = [root(&tree.path("link")), root(&tree.path("srv/deep")), closed];
    let roots = Roots::open(&roots).unwrap();
    let base = tree.0.to_str().unwrap();
    for (path, among, found) in [
        ("link/a", None, Some((0, "a"))),
        ("link/a/../b//c/", None, Some((0, "a/../b//c/"))),
        ("link//a", None, Some((0, "a"))),
        ("link", None, Some((0, ""))),
        ("link/", None, Some((0, ""))),
        ("srv/a", None, Some((0, "a"))),
        ("srv/deep/a", None, Some((1, "a"))),
        ("srv/deep/a", Some(&[0][..]), Some((0, "deep/a"))),
        ("srv/deep/er/x", None, Some((1, "er/x"))),
        ("srv/deep/er/x", Some(&[2]), None),
        ("srv/deeper", None, Some((0, "deeper"))),
        ("srvx/a", None, None),
        ("other", None, None),
        ("link/a", Some(&[]), None),
    ] {
        let path = format!("{base}/{path}");
        let expected = found.map(|(index, rest): (usize, &str)| (index, rest.as_bytes()));
        assert_eq!(roots.find(path.as_bytes(), among), expected, "{path}");
    }
    assert_eq!(roots.find(b"", None), None);
    assert_eq!(roots.find(b"link/a", None), None);
    let all = Roots::open(&[root("/".as_ref())]).unwrap();
    assert_eq!(all.find(b"/etc/passwd", None), Some((0, &b"etc/passwd"[..])));
    assert_eq!(all.find(b"etc/passwd", None), None);
}
