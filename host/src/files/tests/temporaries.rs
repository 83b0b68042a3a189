//! Files that are deleted when they were sent.

use std::os::unix::fs::symlink;

use super::*;

fn temporary(tree: &Tree) -> Served {
    Served::anew(Root { temporary: true, ..tree.root() })
}

#[test]
fn deleted_when_the_body_is_gone() {
    let tree = Tree::new();
    let path = tree.path("srv/d/it");
    let served = temporary(&tree);
    run(async {
        for (range, drop_early, expected) in [(None, false, "text"), (None, true, ""), (Some("bytes=1-2"), false, "ex")]
        {
            tree.write("d/it", "text");
            let request = Request::get().temporary();
            let request = if let Some(range) = range { request.with("range", range) } else { request };
            let (_, body) = served.ask(request, b"d/it").await.unwrap();
            assert!(path.exists());
            if drop_early {
                drop(body);
            } else {
                assert_eq!(read(body).await.unwrap(), expected);
            }
            eventually(|| !path.exists()).await;
            assert_eq!(served.kind("d/it").await, Err(Kind::NoFile));
        }
        tree.write("d/it", "");
        drop(served.ask(Request::get().temporary(), b"d/it").await.unwrap());
        eventually(|| !path.exists()).await;
    });
}

#[test]
fn not_deleted_by_answers_without_it() {
    let tree = Tree::new();
    tree.write("it", "text");
    let served = temporary(&tree);
    let plain = Served::anew(tree.root());
    run(async {
        let since = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (request, status) in [
            (Request::of(Method::HEAD).temporary(), 200),
            (Request::get().temporary().with("if-modified-since", since), 304),
            (Request::get().temporary().with("if-match", "\"other\""), 412),
            (Request::get().temporary().with("range", "bytes=4-"), 416),
            (Request::get(), 200),
        ] {
            let (head, body) = served.ask(request, b"it").await.unwrap();
            assert_eq!(head.status.as_u16(), status);
            drop(read(body).await.unwrap());
        }
        // A root that does not allow it.
        let (_, body) = plain.ask(Request::get().temporary(), b"it").await.unwrap();
        assert_eq!(read(body).await.unwrap(), "text");
        // Whatever would have been deleted is by now: work is begun in its order.
        for _ in 0..64 {
            super::super::blocking::run(|| ()).await.unwrap();
        }
        assert_eq!(fs::read(tree.path("srv/it")).unwrap(), b"text");
    });
}

#[test]
fn only_the_very_file_is_deleted() {
    let tree = Tree::new();
    let served = temporary(&tree);
    let path = |name: &str| tree.path("srv").join(name);
    let settle = async || {
        for _ in 0..64 {
            super::super::blocking::run(|| ()).await.unwrap();
        }
    };
    run(async {
        // Another one came in its place.
        tree.write("it", "text");
        let (_, body) = served.ask(Request::get().temporary(), b"it").await.unwrap();
        tree.write("other", "other");
        fs::rename(path("other"), path("it")).unwrap();
        assert_eq!(read(body).await.unwrap(), "text");
        settle().await;
        assert_eq!(fs::read(path("it")).unwrap(), b"other");
        // A link stays, and so does what it leads to.
        symlink("it", path("link")).unwrap();
        let (_, body) = served.ask(Request::get().temporary(), b"link").await.unwrap();
        drop(body);
        settle().await;
        assert!(path("link").exists());
        // Its directory was moved out of the root, and a link to it put there.
        tree.write("d/it", "text");
        let (_, body) = served.ask(Request::get().temporary(), b"d/it").await.unwrap();
        fs::rename(path("d"), tree.path("outside")).unwrap();
        symlink("../outside", path("d")).unwrap();
        drop(body);
        settle().await;
        assert_eq!(fs::read(tree.path("outside/it")).unwrap(), b"text");
    });
}
