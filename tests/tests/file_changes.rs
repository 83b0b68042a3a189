//! Files that change while they are open, and while they are sent.

use std::time::{Duration, Instant};

use weir_tests::{Client, Config, Framing, Gateway, PATIENCE, Signal, Tree, byte_at, eventually};

/// How long the gateway believes what it knows of a file.
const FRESH: Duration = Duration::from_millis(200);

fn serves(tree: &Tree, files: &str) -> Gateway {
    let text = format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\n[files]\n{files}\n\
        [root.www]\npath = \"{{tree}}\"\nprecompressed = [\"gzip\"]\nlisting = true\nindex = [\"index.html\"]\n\
        [site.all]\nroute = [{{ root = \"www\" }}]\n"
    );
    Gateway::start(&Config::text(&text).fill("tree", &tree.path("")))
}

/// Waits until a file is what it should be, and says whether that took longer than it may.
#[track_caller]
fn seen(gateway: &Gateway, target: &str, what: &str, status: u16, text: &str) {
    let start = Instant::now();
    eventually(what, || {
        let mut client = gateway.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        // A file that was cut breaks off as long as it is believed to be longer.
        let response = client.try_response().ok().filter(|response| response.cut.is_none())?;
        // Half of the one and half of the other would be neither.
        let length = response.fields.get("content-length").and_then(|length| length.parse().ok());
        assert_eq!(length.unwrap_or(response.body.len()), response.body.len(), "{response}");
        (response.status == status && (status != 200 || response.text() == text)).then_some(())
    });
    assert!(start.elapsed() < FRESH + Duration::from_secs(15), "{what}: after {:?}", start.elapsed());
}

#[test]
fn changes_are_seen_once_what_is_known_is_old() {
    for (files, what) in [
        ("revalidate = \"200ms\"", "open files"),
        ("revalidate = \"200ms\"\nsmall = 0", "open files, none kept in memory"),
        ("open = 0", "no open files"),
        ("revalidate = \"0s\"", "files looked at each time"),
        ("revalidate = \"200ms\"\nopen = 2", "fewer open files than there are"),
    ] {
        let tree = Tree::fresh();
        for name in
            ["replaced", "rewritten", "deleted", "grown", "cut", "becomes-directory", "app.js", "sub/index.html"]
        {
            tree.file(name, "before").dated(name, 1_000_000_000);
        }
        tree.counted("large", 100_000);
        let gateway = serves(&tree, files);
        let mut etags = Vec::new();
        for name in ["replaced", "rewritten", "deleted", "grown", "cut", "becomes-directory", "app.js"] {
            let response = gateway.get(&format!("/{name}"));
            assert_eq!(response.expect(200).text(), "before", "{what}");
            etags.push((name, response.field("etag")));
        }
        assert_eq!(gateway.get("/sub/").text(), "before");
        gateway.get("/later").expect(404);
        gateway.get("/large").expect(200);
        tree.replace("replaced", "after!")
            .file("rewritten", "after!")
            .remove("deleted")
            .file("grown", "before and after");
        tree.cut("cut", 3).remove("becomes-directory").file("becomes-directory/x", "x").file("later", "now");
        tree.file("app.js.gz", "gzip").replace("sub/index.html", "after").replace("large", "small");
        seen(&gateway, "/replaced", what, 200, "after!");
        seen(&gateway, "/rewritten", what, 200, "after!");
        seen(&gateway, "/deleted", what, 404, "");
        seen(&gateway, "/grown", what, 200, "before and after");
        seen(&gateway, "/cut", what, 200, "bef");
        seen(&gateway, "/becomes-directory/x", what, 200, "x");
        seen(&gateway, "/later", what, 200, "now");
        seen(&gateway, "/sub/", what, 200, "after");
        seen(&gateway, "/large", what, 200, "small");
        for (name, etag) in etags.iter().filter(|(name, _)| ["replaced", "rewritten", "grown", "cut"].contains(name)) {
            assert_ne!(&gateway.get(&format!("/{name}")).field("etag"), etag, "{name}: {what}");
            gateway.client().ask(&format!("/{name}"), &[("If-None-Match", etag)]).expect(200);
        }
        let coded = || gateway.client().ask("/app.js", &[("Accept-Encoding", "gzip")]);
        eventually("a sibling is found", || coded().fields.has("content-encoding").then_some(()));
        tree.remove("app.js.gz").file("deleted", "again");
        eventually("a sibling is gone", || (coded().text() == "before").then_some(()));
        seen(&gateway, "/deleted", what, 200, "again");
    }
}

#[test]
fn a_change_that_keeps_length_and_date_is_another_version() {
    let tree = Tree::fresh();
    tree.file("a.txt", "before").dated("a.txt", 1_000_000_000);
    let gateway = serves(&tree, "revalidate = \"50ms\"");
    let before = gateway.get("/a.txt");
    // Another file by a rename, and its date set back: an inode of its own, and a change of its own (inode(7)).
    tree.replace("a.txt", "after!").dated("a.txt", 1_000_000_000);
    seen(&gateway, "/a.txt", "the other file", 200, "after!");
    assert_ne!(before.text(), gateway.get("/a.txt").text());
}

#[test]
fn what_is_known_holds_for_as_long_as_the_config_says() {
    let tree = Tree::fresh();
    tree.file("a.txt", "before");
    let gateway = serves(&tree, "revalidate = \"1h\"");
    gateway.get("/a.txt").expect(200);
    tree.replace("a.txt", "after!");
    assert_eq!(gateway.get("/a.txt").text(), "before");
}

#[test]
fn open_files_are_bounded_and_those_that_are_gone_are_closed() {
    let tree = Tree::fresh();
    for number in 0..300 {
        tree.file(&format!("{number}"), "x").counted(&format!("large-{number}"), 100_000);
    }
    let gateway = serves(&tree, "open = 20\nrevalidate = \"50ms\"");
    let before = gateway.descriptors();
    let mut client = gateway.client();
    for number in 0..300 {
        client.get(&format!("/{number}")).expect(200);
        client.get(&format!("/large-{number}")).expect(200);
        client.get(&format!("/missing-{number}")).expect(404);
    }
    let open = gateway.descriptors() - before;
    assert!(open <= 30, "{open} more descriptors than before");
    assert_eq!(client.get("/7").expect(200).text(), "x");
}

#[test]
fn open_files_leave_descriptors_for_clients() {
    let tree = Tree::fresh();
    for number in 0..200 {
        tree.counted(&format!("{number}"), 20_000);
    }
    let text = "threads = 2\ncache-directory = \"off\"\n[listener.web]\nbind = \"127.0.0.1:0\"\n\
        [site.all]\nroute = [{ root = \"{tree}\" }]\n";
    let few = "import os, resource, sys\n\
        resource.setrlimit(resource.RLIMIT_NOFILE, (160, 160))\n\
        os.execv(sys.argv[1], sys.argv[1:])";
    let gateway = Gateway::become_by(&Config::text(text).fill("tree", &tree.path("")), few);
    // On several connections, so that every thread has some of them.
    let mut clients: Vec<Client> = (0..8).map(|_| gateway.client()).collect();
    for (number, client) in (0..200).flat_map(|number| [number, 199 - number]).zip((0..8).cycle()) {
        assert_eq!(clients[client].get(&format!("/{number}")).expect(200).body.len(), 20_000);
    }
    assert!(gateway.descriptors() < 120, "{} of 160 are open", gateway.descriptors());
    gateway.get("/7").expect(200);
}

#[test]
fn a_file_that_is_deleted_or_replaced_while_it_is_sent_is_sent_to_its_end() {
    const LENGTH: u64 = 32 << 20;
    for change in ["delete", "replace", "rename"] {
        let tree = Tree::fresh();
        tree.counted("big.bin", LENGTH);
        let gateway = serves(&tree, "revalidate = \"10ms\"");
        let mut client = Client::connect_narrow(&gateway.addr("web"));
        client.send("GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response_head().0, 200);
        match change {
            "delete" => _ = tree.remove("big.bin"),
            "replace" => _ = tree.replace("big.bin", "small"),
            _ => _ = tree.rename("big.bin", "other.bin"),
        }
        // Asked for by others, too, so that what is open is looked at again.
        eventually("the change is seen", || {
            let response = gateway.client().request("HEAD", "/big.bin", &[], b"");
            (response.fields.get("content-length") != Some(LENGTH.to_string())).then_some(())
        });
        let (mut offset, mut same) = (0, true);
        while offset < LENGTH {
            let piece = client.some().expect("bytes");
            assert!(!piece.is_empty(), "{change}: the end after {offset}");
            same = same && piece.iter().zip(offset..).all(|(byte, offset)| *byte == byte_at(offset));
            offset += piece.len() as u64;
        }
        assert!(same && offset == LENGTH, "{change}: other bytes");
    }
}

#[test]
fn a_file_that_grows_while_it_is_sent_ends_where_it_was_said_to_end() {
    const LENGTH: u64 = 16 << 20;
    let tree = Tree::fresh();
    tree.counted("big.bin", LENGTH).file("a.txt", "after");
    let gateway = serves(&tree, "revalidate = \"10ms\"");
    let mut client = Client::connect_narrow(&gateway.addr("web"));
    client.send("GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response_head().0, 200);
    tree.cut("big.bin", LENGTH * 2);
    assert_eq!(client.drain(Framing::Length(LENGTH)).expect("all of it"), LENGTH);
    assert_eq!(client.get("/a.txt").expect(200).text(), "after");
}

#[test]
fn a_link_that_is_turned_to_another_release_is_seen_as_soon_as_files_are() {
    let tree = Tree::fresh();
    for release in ["one", "two"] {
        let at = |name: &str| format!("{release}/{name}");
        tree.file(&at("a.txt"), release)
            .file(&at("sub/index.html"), release)
            .file(&at(&format!("only-{release}")), release);
    }
    tree.link("current", "one").link("next", "two");
    for files in ["revalidate = \"200ms\"", "revalidate = \"0s\"", "open = 0\nrevalidate = \"200ms\""] {
        let text = format!(
            "[listener.web]\nbind = \"127.0.0.1:0\"\n[files]\n{files}\n[site.all]\nroute = [{{ root = \"{}\" }}]\n",
            tree.path("current")
        );
        let gateway = Gateway::start(&Config::text(&text));
        assert_eq!(gateway.get("/a.txt").expect(200).text(), "one");
        assert_eq!(gateway.get("/sub/").expect(200).text(), "one");
        gateway.get("/only-one").expect(200);
        tree.exchange("current", "next");
        seen(&gateway, "/a.txt", files, 200, "two");
        seen(&gateway, "/sub/", files, 200, "two");
        seen(&gateway, "/only-one", files, 404, "");
        seen(&gateway, "/only-two", files, 200, "two");
        // A root may be away for a while.
        tree.rename("current", "away");
        eventually("nothing is there", || (gateway.get("/a.txt").status >= 400).then_some(()));
        tree.rename("away", "current");
        seen(&gateway, "/a.txt", files, 200, "two");
        tree.exchange("current", "next");
        seen(&gateway, "/a.txt", files, 200, "one");
    }
}

#[test]
fn downloads_outlive_the_config_that_they_began_with_and_a_shutdown_waits_for_them() {
    const LENGTH: u64 = 16 << 20;
    let (tree, other) = (Tree::fresh(), Tree::fresh());
    tree.counted("big.bin", LENGTH);
    other.file("a.txt", "other");
    let config = |tree: &Tree| {
        let text = "shutdown-timeout = \"20s\"\n[listener.web]\nbind = \"127.0.0.1:0\"\n[site.all]\nroute = [{ root = \"{tree}\" }]\n";
        Config::text(text).fill("tree", &tree.path(""))
    };
    let mut gateway = Gateway::start(&config(&tree));
    let begin = |gateway: &Gateway| {
        let mut client = Client::connect_narrow(&gateway.addr("web"));
        client.send("GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response_head().0, 200);
        client
    };
    let mut first = begin(&gateway);
    gateway.rewrite_config(&config(&other));
    gateway.signal(Signal::Reload);
    gateway.logged("\"reloaded\"");
    gateway.get("/big.bin").expect(404);
    assert_eq!(gateway.get("/a.txt").expect(200).text(), "other");
    assert_eq!(first.drain(Framing::Length(LENGTH)).expect("all of it"), LENGTH);
    gateway.rewrite_config(&config(&tree));
    gateway.signal(Signal::Reload);
    eventually("it is there again", || {
        (gateway.client().request("HEAD", "/big.bin", &[], b"").status == 200).then_some(())
    });
    let mut second = begin(&gateway);
    gateway.signal(Signal::Terminate);
    gateway.logged("draining");
    assert_eq!(second.drain(Framing::Length(LENGTH)).expect("all of it"), LENGTH);
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
}
