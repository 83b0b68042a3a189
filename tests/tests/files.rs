//! Static routes: files as they lie in a directory, over every version of HTTP, with what HTTP says about them.

use std::collections::HashSet;

use weir_tests::{
    Ask, Authority, Client, Config, Door, Gateway, Origin, Place, Response, Signal, Tree, Version, Visitor, byte_at,
    curl, eventually, weir,
};

/// 2001-09-09 01:46:40 UTC.
const THEN: u64 = 1_000_000_000;
const THEN_SAID: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

const LISTENER: &str = "[listener.web]\nbind = \"127.0.0.1:0\"\n";

/// A gateway that serves a tree by the root `www`, with more lines for that and for the site's only route.
fn serves(tree: &Tree, root: &str, route: &str) -> Gateway {
    Gateway::start(&config(tree, root, route))
}

fn config(tree: &Tree, root: &str, route: &str) -> Config {
    let text = format!(
        "{LISTENER}[files]\nrevalidate = \"50ms\"\n[root.www]\npath = \"{{tree}}\"\n{root}\n\
        [site.all]\n[[site.all.route]]\nroot = \"www\"\n{route}\n"
    );
    Config::text(&text).fill("tree", &tree.path(""))
}

fn head(client: &mut Client, target: &str) -> Response {
    client.request("HEAD", target, &[], b"")
}

#[test]
fn a_file_comes_whole_and_head_says_the_same_of_it() {
    let tree = Tree::fresh();
    tree.file("a.txt", "hello\n").dated("a.txt", THEN).file("sub/page.html", "<p>page").counted("big.bin", 3_000_001);
    let gateway = serves(&tree, "", "");
    let mut client = gateway.client();
    for (target, length, kind) in [
        ("/a.txt", 6, "text/plain; charset=utf-8"),
        ("/sub/page.html", 7, "text/html; charset=utf-8"),
        ("/big.bin", 3_000_001, "application/octet-stream"),
    ] {
        let whole = client.get(target);
        assert_eq!((whole.expect(200).body.len(), whole.field("content-type").as_str()), (length, kind), "{target}");
        assert_eq!(whole.field("content-length"), length.to_string());
        assert_eq!(whole.field("accept-ranges"), "bytes");
        assert!(!whole.fields.has("content-range") && !whole.fields.has("content-encoding"), "{whole}");
        let told = head(&mut client, target);
        assert_eq!((told.expect(200).body.len(), told.framing), (0, weir_tests::Framing::Nothing));
        for name in ["content-type", "content-length", "etag", "last-modified", "accept-ranges"] {
            assert_eq!(told.field(name), whole.field(name), "{name} of {target}");
        }
    }
    assert_eq!(client.get("/a.txt").field("last-modified"), THEN_SAID);
    assert_eq!(client.get("/a.txt?v=1&x=../..").expect(200).text(), "hello\n");
    let big = client.get("/big.bin").body;
    assert!(big.iter().zip(0..).all(|(byte, offset)| *byte == byte_at(offset)), "its bytes are others");
}

#[test]
fn sizes_around_what_is_small_and_what_is_read_at_once() {
    let tree = Tree::fresh();
    let sizes = [0, 1, 4095, 4096, 4097, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 131_072, 1 << 20];
    for size in sizes {
        tree.counted(&format!("{size}.bin"), size);
    }
    for small in ["0", "1", "4096", "16KiB", "64KiB"] {
        let files = format!("[files]\nsmall = \"{small}\"\n");
        let config = Config::text(&format!("{LISTENER}{files}[site.all]\nroute = [{{ root = \"{{tree}}\" }}]\n"));
        let gateway = Gateway::start(&config.fill("tree", &tree.path("")));
        let mut client = gateway.client();
        // Twice, because the second one is answered by an open file.
        for size in sizes.into_iter().chain(sizes) {
            let response = client.get(&format!("/{size}.bin"));
            assert_eq!(response.expect(200).body.len() as u64, size, "{size} where {small} is small");
            let mut bytes = response.body.iter().zip(0..);
            assert!(bytes.all(|(byte, offset)| *byte == byte_at(offset)), "{size} where {small} is small");
            if size > 1 {
                let (first, last) = (size / 2, size - 1);
                let part = client.ask(&format!("/{size}.bin"), &[("Range", &format!("bytes={first}-"))]);
                assert_eq!(part.expect(206).field("content-range"), format!("bytes {first}-{last}/{size}"));
                let mut bytes = part.body.iter().zip(first..);
                assert!(bytes.all(|(byte, offset)| *byte == byte_at(offset)), "half of {size} where {small} is small");
                assert_eq!(part.body.len() as u64, size - first);
            }
        }
    }
}

#[test]
fn types_by_extension() {
    let tree = Tree::fresh();
    let table = [
        ("a.html", "text/html; charset=utf-8"),
        ("a.htm", "text/html; charset=utf-8"),
        ("A.HTML", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.csv", "text/csv; charset=utf-8"),
        ("a.png", "image/png"),
        ("a.jpg", "image/jpeg"),
        ("a.jpeg", "image/jpeg"),
        ("a.bmp", "image/bmp"),
        ("a.webp", "image/webp"),
        ("a.avif", "image/avif"),
        ("a.wasm", "application/wasm"),
        ("a.pdf", "application/pdf"),
        ("a.woff2", "font/woff2"),
        ("a.mp4", "video/mp4"),
        ("a.mp3", "audio/mpeg"),
        ("a.zip", "application/zip"),
        ("a.webmanifest", "application/manifest+json"),
        ("a.tar.unknown-to-all", "application/x-own"),
        ("a.b.own", "text/x-own; charset=utf-8"),
        ("a.OWN", "text/x-own; charset=utf-8"),
        ("said.spoken", "text/x-spoken; charset=iso-8859-1"),
        ("overridden.gif", "image/x-better"),
        ("none", "application/x-own"),
        ("html", "application/x-own"),
        ("ends-with-a-dot.", "application/x-own"),
    ];
    table.iter().for_each(|(name, _)| _ = tree.file(name, "x"));
    let own = "content-types = { own = \"text/x-own\", spoken = \"text/x-spoken; charset=iso-8859-1\", gif = \"image/x-better\" }";
    let gateway = serves(&tree, &format!("{own}\ndefault-type = \"application/x-own\""), "");
    let mut client = gateway.client();
    let wrong: Vec<String> = table
        .iter()
        .map(|(name, kind)| (name, kind, client.get(&format!("/{name}")).field("content-type")))
        .filter(|(_, kind, found)| !found.eq_ignore_ascii_case(kind))
        .map(|(name, kind, found)| format!("{name} is {found}, not {kind}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_charset_is_said_of_texts_alone_and_may_be_left_out() {
    let tree = Tree::fresh();
    tree.file("a.txt", "x").file("a.png", "x").file("a.svg", "<svg/>");
    for (line, text) in [
        ("", "text/plain; charset=utf-8"),
        ("charset = \"iso-8859-1\"", "text/plain; charset=iso-8859-1"),
        ("charset = \"off\"", "text/plain"),
    ] {
        let gateway = serves(&tree, line, "");
        assert_eq!(gateway.get("/a.txt").field("content-type"), text);
        assert_eq!(gateway.get("/a.png").field("content-type"), "image/png");
        assert!(gateway.get("/a.svg").field("content-type").starts_with("image/svg+xml"));
    }
}

#[test]
fn cache_control_is_what_the_root_says() {
    let tree = Tree::fresh();
    tree.file("a.txt", "x").file("index.html", "x").directory("sub");
    let gateway = serves(&tree, "", "");
    assert!(!gateway.get("/a.txt").fields.has("cache-control"));
    let gateway = serves(&tree, "cache-control = \"public, max-age=31536000, immutable\"", "");
    for target in ["/a.txt", "/"] {
        assert_eq!(
            gateway.get(target).expect(200).fields.all("cache-control"),
            ["public, max-age=31536000, immutable"]
        );
    }
    let etag = gateway.get("/a.txt").field("etag");
    let unchanged = gateway.client().ask("/a.txt", &[("If-None-Match", &etag)]);
    // RFC 9110, section 15.4.5: what a 200 would have said of caching, a 304 says too.
    assert_eq!(unchanged.expect(304).field("cache-control"), "public, max-age=31536000, immutable");
    // Of what is not there nobody may believe for a year that it is not there.
    assert!(
        !gateway.get("/b.txt").expect(404).fields.get("cache-control").is_some_and(|said| said.contains("max-age"))
    );
}

#[test]
fn an_index_stands_for_its_directory() {
    let tree = Tree::fresh();
    tree.file("index.html", "home").file("sub/index.html", "sub").file("other/default.htm", "other");
    tree.directory("bare").directory("odd/index.html").file("both/default.htm", "2nd").file("both/index.html", "1st");
    let gateway = serves(&tree, "index = [\"index.html\", \"default.htm\"]", "");
    for (target, text) in [("/", "home"), ("/sub/", "sub"), ("/other/", "other"), ("/both/", "1st")] {
        let response = gateway.get(target);
        assert_eq!(response.expect(200).text(), text);
        assert_eq!(response.field("content-type"), "text/html; charset=utf-8");
        assert!(response.fields.has("etag") && response.fields.has("last-modified"));
    }
    for (target, status) in [("/bare/", 403), ("/odd/", 403), ("/not-there/", 404), ("/index.html/", 404)] {
        gateway.get(target).expect(status);
    }
    let gateway = serves(&tree, "index = []", "");
    gateway.get("/").expect(403);
    gateway.get("/index.html").expect(200);
}

#[test]
fn a_directory_without_its_slash_is_moved_to_the_path_the_client_knows() {
    let tree = Tree::fresh();
    tree.file("sub/index.html", "sub").file("with space/index.html", "x").file("gr\u{fc}n/index.html", "x");
    tree.file("pub/sub/index.html", "sub").file("https:/evil.example/index.html", "x").directory("bare");
    let table = [
        ("", "/sub", Some("/sub/")),
        ("", "/sub?a=1&b=%2F", Some("/sub/?a=1&b=%2F")),
        ("", "/sub?", Some("/sub/?")),
        ("", "/with%20space", Some("/with%20space/")),
        ("", "/gr%c3%bcn", Some("/gr%C3%BCn/")),
        ("", "//sub", Some("/sub/")),
        ("", "/./sub/../sub", Some("/sub/")),
        ("path = \"/files\"\nstrip-prefix = true", "/files/sub", Some("/files/sub/")),
        ("path = \"/files\"\nstrip-prefix = true", "/files/sub?x", Some("/files/sub/?x")),
        ("path = \"/files\"\nreplace-prefix = \"/pub\"", "/files/sub", Some("/files/sub/")),
        ("path = \"/files\"\nstrip-prefix = true", "/files", Some("/files/")),
    ];
    for (route, target, location) in table {
        let gateway = serves(&tree, "", route);
        for method in ["GET", "HEAD"] {
            let response = gateway.client().request(method, target, &[], b"");
            assert!([301, 308].contains(&response.status), "{target} of {route:?}: {response}");
            let found = response.field("location");
            // An address of the client's own may stand before the path.
            let path = found.strip_prefix("http://any.example").unwrap_or(&found);
            let same = path == location.expect("it is moved")
                || path.strip_suffix('?') == location.and_then(|l| l.strip_suffix('?'));
            assert!(same || Some(path) == location.map(|location| location.trim_end_matches('?')), "{target}: {found}");
            assert!(!path.starts_with("//"), "{target} leads to another host: {found}");
        }
    }
    // A path that a route is for alone has no other one with a slash.
    let gateway = serves(&tree, "", "exact = \"/home\"\nreplace-prefix = { from = \"/home\", to = \"/sub/\" }");
    assert_eq!(gateway.get("/home").expect(200).text(), "sub");
}

#[test]
fn directories_are_listed_where_the_root_says_so_and_names_do_no_harm() {
    let tree = Tree::fresh();
    let hostile = [
        "<script>alert(1)</script>.txt",
        "\"onmouseover=\"x\".txt",
        "'quoted'.txt",
        "a&amp;b.txt",
        "with space.txt",
        "per%2e%2ecent.txt",
        "hash#?query.txt",
        "gr\u{fc}n.txt",
        "javascript:alert(1)",
        "new\nline.txt",
        "back\\slash.txt",
        "{curly}.txt",
        "plus+plus.txt",
        "semi;colon.txt",
        "-dash",
        "~tilde",
        "https:colon",
    ];
    for name in hostile {
        tree.file(&format!("listed/{name}"), "x");
    }
    tree.file("listed/sub/x", "x")
        .file("listed/.hidden", "x")
        .file("index/index.html", "index")
        .file("listed/b.txt", "12345");
    tree.link("listed/out", "/etc/passwd").pipe("listed/pipe");
    let gateway = serves(&tree, "listing = true\nsymlinks = \"deny\"", "");
    let page = gateway.get("/listed/");
    assert!(page.expect(200).field("content-type").starts_with("text/html; charset=utf-8"), "{page}");
    let text = page.text();
    for raw in ["<script>", "\"onmouseover", "href=\"javascript:", ".hidden", "new\nline", "{tree}"] {
        assert!(!text.contains(raw), "{raw:?} in {text}");
    }
    assert!(!text.contains(&tree.path("")), "the page tells where the tree lies: {text}");
    assert!(text.contains("sub/"), "{text}");
    // Each link leads to its file.
    let links: Vec<&str> = text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let mut reached = HashSet::new();
    for link in links.iter().filter(|link| !link.starts_with("..")) {
        let link = link.replace("&amp;", "&").replace("&#39;", "'").replace("&#x27;", "'");
        let path = link.strip_prefix("/listed/").or(link.strip_prefix("./")).unwrap_or(&link);
        let response = gateway.get(&format!("/listed/{path}"));
        assert!(response.status == 200, "{link}: {response}");
        reached.insert(path.to_owned());
    }
    assert!(reached.len() >= hostile.len() + 2, "{reached:?} of {text}");
    // What an index stands for is not listed, and what is not listed stays so.
    assert_eq!(gateway.get("/index/").text(), "index");
    gateway.get("/listed/out").expect(404);
    serves(&tree, "", "").get("/listed/").expect(403);
}

#[test]
fn a_listing_is_json_for_who_wants_that() {
    let tree = Tree::fresh();
    tree.file("listed/b \"quoted\" \u{fc}.txt", "12345").file("listed/sub/x", "x").file("listed/a.txt", "");
    tree.dated("listed/a.txt", THEN).file("listed/.hidden", "x");
    let gateway = serves(&tree, "listing = true", "");
    let told = gateway.client().ask("/listed/", &[("Accept", "application/json")]);
    assert!(told.expect(200).field("content-type").starts_with("application/json"), "{told}");
    let vary = told.field("vary").to_ascii_lowercase();
    assert!(vary.contains("accept") && !vary.contains("accept-encoding,"), "{told}");
    let entries = told.json();
    let entries = entries.as_array().or_else(|| entries["entries"].as_array()).expect("a list").clone();
    let named = |name: &str| {
        let found = entries.iter().find(|entry| entry["name"].as_str() == Some(name));
        found.unwrap_or_else(|| panic!("no {name} in {entries:?}")).clone()
    };
    assert_eq!(entries.len(), 3, "{entries:?}");
    assert_eq!(named("b \"quoted\" \u{fc}.txt")["size"].as_u64(), Some(5));
    assert_eq!(named("a.txt")["size"].as_u64(), Some(0));
    assert!(named("a.txt").to_string().contains("2001"), "{:?}", named("a.txt"));
    assert!(entries.iter().any(|entry| entry["name"].as_str().is_some_and(|name| name.trim_end_matches('/') == "sub")));
    // Both are there under one path, so each says so.
    assert!(gateway.get("/listed/").field("vary").to_ascii_lowercase().contains("accept"));
}

#[test]
fn codings_that_lie_beside_a_file() {
    let tree = Tree::fresh();
    tree.file("app.js", "the plain one").file("app.js.br", "br").file("app.js.gz", "gzip").file("app.js.zst", "zstd");
    tree.file("only-gz.css", "plain")
        .file("only-gz.css.gz", "gzip")
        .file("none.txt", "plain")
        .file("lonely.txt.gz", "gzip");
    tree.file("index.html", "home").file("index.html.br", "home, br").directory("odd.txt.gz").file("odd.txt", "plain");
    tree.file("out.txt", "plain").link("out.txt.br", "/etc/passwd").pipe("pipe.txt.br").file("pipe.txt", "plain");
    let gateway = serves(&tree, "precompressed = [\"br\", \"zstd\", \"gzip\"]", "");
    let table = [
        ("/app.js", "br, gzip, zstd", "br"),
        ("/app.js", "gzip, zstd", "zstd"),
        ("/app.js", "gzip", "gzip"),
        ("/app.js", "GZIP", "gzip"),
        ("/app.js", "x-gzip", "gzip"),
        ("/app.js", "br;q=0.1, gzip;q=0.9", "gzip"),
        ("/app.js", "br;q=0, gzip", "gzip"),
        ("/app.js", "gzip;q=0", ""),
        ("/app.js", "identity", ""),
        ("/app.js", "", ""),
        ("/app.js", "deflate", ""),
        ("/app.js", "br;q=0, *", "zstd"),
        ("/app.js", "*;q=0, gzip", "gzip"),
        ("/app.js", "brr, gzipp", ""),
        ("/only-gz.css", "br, zstd, gzip", "gzip"),
        ("/only-gz.css", "br", ""),
        ("/none.txt", "br, gzip", ""),
        ("/odd.txt", "gzip", ""),
        ("/out.txt", "br", ""),
        ("/pipe.txt", "br", ""),
        ("/", "br", "br"),
    ];
    let mut client = gateway.client();
    let mut wrong = Vec::new();
    for (target, accepts, coding) in table {
        let fields = if accepts.is_empty() { vec![] } else { vec![("Accept-Encoding", accepts)] };
        let response = client.ask(target, &fields);
        let found = response.fields.get("content-encoding").unwrap_or_default();
        let vary = response.fields.get("vary").unwrap_or_default().to_ascii_lowercase();
        if (response.status, found.as_str()) != (200, coding) || !vary.contains("accept-encoding") {
            wrong.push(format!("{target} for {accepts:?}: not {coding:?}, Vary {vary:?}: {response}"));
        }
        if !coding.is_empty() && !response.text().contains(coding) || response.text().contains("root:") {
            wrong.push(format!("{target} for {accepts:?}: not the bytes of {coding:?}: {response}"));
        }
        let kind = response.fields.get("content-type").unwrap_or_default();
        if target == "/app.js" && kind != "text/javascript; charset=utf-8" {
            wrong.push(format!("{target} for {accepts:?} is {kind}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Each has its own validators (RFC 9110, section 8.8.3.3), and its own ranges.
    let coded = client.ask("/app.js", &[("Accept-Encoding", "br")]);
    let plain = client.get("/app.js");
    assert_ne!(coded.field("etag"), plain.field("etag"));
    client.ask("/app.js", &[("Accept-Encoding", "br"), ("If-None-Match", &coded.field("etag"))]).expect(304);
    client.ask("/app.js", &[("Accept-Encoding", "br"), ("If-None-Match", &plain.field("etag"))]).expect(200);
    let unchanged = client.ask("/app.js", &[("If-None-Match", &plain.field("etag"))]);
    assert!(unchanged.expect(304).field("vary").to_ascii_lowercase().contains("accept-encoding"));
    let part = client.ask("/app.js", &[("Accept-Encoding", "gzip"), ("Range", "bytes=1-2")]);
    assert_eq!((part.expect(206).text().as_str(), part.field("content-range").as_str()), ("zi", "bytes 1-2/4"));
    assert_eq!(part.field("content-encoding"), "gzip");
    // A file that only exists coded is not the file.
    client.ask("/lonely.txt", &[("Accept-Encoding", "gzip")]).expect(404);
    // Asked for by its own name it is what it is.
    let own = client.ask("/app.js.gz", &[("Accept-Encoding", "gzip")]);
    assert_eq!((own.expect(200).text().as_str(), own.fields.get("content-encoding")), ("gzip", None));
    // Without the key, nobody looks beside files.
    let gateway = serves(&tree, "", "");
    let plain = gateway.client().ask("/app.js", &[("Accept-Encoding", "br, gzip")]);
    assert_eq!((plain.text().as_str(), plain.fields.has("vary")), ("the plain one", false));
}

#[test]
fn names_that_begin_with_a_dot_are_there_only_where_the_root_says_so() {
    let tree = Tree::fresh();
    tree.file(".env", "KEY=1").file(".git/config", "x").file("sub/.x/y", "x").file("...", "x").file("a.b", "x");
    tree.file(".well-known/security.txt", "x").file(".well-known/.hidden", "x").file("sub/.well-known/x", "x");
    let gateway = serves(&tree, "", "");
    for target in ["/.env", "/.git/config", "/.git/", "/sub/.x/y", "/...", "/%2eenv", "/.git"] {
        gateway.get(target).expect(404);
    }
    gateway.get("/a.b").expect(200);
    // What a site says of itself is meant to be seen (RFC 8615), at its top.
    gateway.get("/.well-known/security.txt").expect(200);
    gateway.get("/.well-known/.hidden").expect(404);
    gateway.get("/sub/.well-known/x").expect(404);
    let gateway = serves(&tree, "hidden = true", "");
    for target in ["/.env", "/.git/config", "/sub/.x/y", "/...", "/.well-known/security.txt"] {
        gateway.get(target).expect(200);
    }
}

#[test]
fn files_are_read_and_nothing_else() {
    let tree = Tree::fresh();
    tree.file("a.txt", "x").directory("bare");
    let gateway = serves(&tree, "", "");
    for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND", "TRACE", "get"] {
        for target in ["/a.txt", "/"] {
            let response = gateway.client().request(method, target, &[], b"");
            let allow = response.fields.get("allow").unwrap_or_default();
            let told = allow.contains("GET") && allow.contains("HEAD") && !allow.contains("POST");
            // TRACE may be refused before anybody looks for a file (RFC 9110, section 9.3.8).
            assert!(
                response.status == 405 && told || method == "TRACE" && response.status >= 400,
                "{method}: {response}"
            );
        }
    }
    let upload = gateway.client().request("PUT", "/a.txt", &[], b"something else");
    assert_eq!(upload.expect(405).status, 405);
    assert_eq!(gateway.get("/a.txt").text(), "x");
    let options = gateway.client().request("OPTIONS", "/a.txt", &[], b"");
    assert!([200, 204, 405].contains(&options.status) && options.field("allow").contains("GET"), "{options}");
    // A body that nobody asked for does not become the next request.
    let mut client = gateway.client();
    client.request("GET", "/a.txt", &[], b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n").expect(200);
    client.get("/a.txt").expect(200);
}

#[test]
fn odd_names_are_found_by_their_escapes() {
    let tree = Tree::fresh();
    let long = "x".repeat(255);
    let table = [
        ("with space.txt", "/with%20space.txt"),
        ("per%cent.txt", "/per%25cent.txt"),
        ("per%20cent.txt", "/per%2520cent.txt"),
        ("plus+plus.txt", "/plus+plus.txt"),
        ("plus+plus.txt", "/plus%2Bplus.txt"),
        ("semi;colon.txt", "/semi;colon.txt"),
        ("semi;colon.txt", "/semi%3bcolon.txt"),
        ("gr\u{fc}n.txt", "/gr%C3%BCn.txt"),
        ("\u{4e2d}\u{6587}", "/%E4%B8%AD%E6%96%87"),
        ("\u{1f980}", "/%F0%9F%A6%80"),
        ("question?.txt", "/question%3F.txt"),
        ("hash#.txt", "/hash%23.txt"),
        ("quote\".txt", "/quote%22.txt"),
        ("back\\slash", "/back%5Cslash"),
        ("new\nline", "/new%0Aline"),
        ("tab\t", "/tab%09"),
        ("colon:at@", "/colon:at@"),
        ("(brackets)[square]{curly}", "/(brackets)%5Bsquare%5D%7Bcurly%7D"),
        ("-rf", "/-rf"),
        ("con.txt", "/con.txt"),
        ("nul", "/nul"),
        (&long, &format!("/{long}")),
        ("a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p"),
    ];
    for (name, _) in table {
        tree.file(name, name);
    }
    let gateway = serves(&tree, "", "");
    let mut client = gateway.client();
    for (name, target) in table {
        assert_eq!(client.get(target).expect(200).text(), name, "{target}");
    }
    for (target, status) in [
        // A slash that is escaped parts nothing, and no name has one.
        ("/a%2Fb%2Fc%2Fd", 404),
        ("/with+space.txt", 404),
        ("/semi", 404),
        ("/gr%FCn.txt", 404),
        ("/%00", 400),
        ("/with%20space.txt%00.html", 400),
        ("/per%cent.txt", 200),
        ("/per%zzcent.txt", 400),
        (&format!("/{}", "x".repeat(256)), 404),
        (&format!("/{}", "x".repeat(5000)), 404),
        (&format!("/{}", "a/".repeat(2500)), 404),
    ] {
        let mut client = gateway.client();
        let response = client.get(target);
        // `%ce` is an escape, of half a character.
        let status = if target == "/per%cent.txt" { 404 } else { status };
        assert_eq!(response.status, status, "{}: {response}", &target[..target.len().min(60)]);
    }
    assert_eq!(gateway.log_count("panicked"), 0);
}

#[test]
fn what_is_not_there_gets_the_sites_page() {
    let tree = Tree::fresh();
    tree.file("a.txt", "x").directory("bare");
    let text = format!(
        "{LISTENER}[site.all]\nerror-page = {{ 404 = {{ body = \"gone fishing\" }}, 403 = {{ body = \"keep out\" }}, 405 = {{ body = \"read only\" }}, \
        416 = {{ body = \"out of range\" }} }}\n[[site.all.route]]\nroot = \"{{tree}}\"\n"
    );
    let config = Config::text(&text).fill("tree", &tree.path(""));
    let gateway = Gateway::start(&config.access_log("${response.status} ${failure}"));
    for (method, target, status, page) in [
        ("GET", "/b.txt", 404, "gone fishing"),
        ("GET", "/a.txt/b", 404, "gone fishing"),
        ("GET", "/bare/", 403, "keep out"),
        ("POST", "/a.txt", 405, "read only"),
    ] {
        let response = gateway.client().request(method, target, &[], b"");
        assert_eq!(response.expect(status).text(), page, "{target}");
        assert!(response.field("content-type").starts_with("text/html"));
        for name in ["etag", "last-modified", "accept-ranges", "content-range", "content-encoding"] {
            assert!(!response.fields.has(name), "{name} in {response}");
        }
    }
    head(&mut gateway.client(), "/b.txt").expect(404);
    let lines = gateway.access_lines(5);
    assert_eq!(lines, ["404 no-file", "404 no-file", "403 file-forbidden", "405 method-not-allowed", "404 no-file"]);
}

#[test]
fn the_same_through_every_door() {
    let (tree, authority) = (Tree::fresh(), Authority::found());
    tree.counted("small.bin", 1000).counted("big.bin", 2_000_000).file("empty.txt", "").file("sub/index.html", "sub");
    tree.file("a.txt", "0123456789").dated("a.txt", THEN).file("a.txt.gz", "gzip").directory("bare");
    let text = "[listener.web]\nbind = \"127.0.0.1:0\"\n[listener.secure]\nbind = \"127.0.0.1:0\"\n\
        protocols = [\"h1\", \"h2\", \"h3\"]\ntls.certificate = { chain = \"web.pem\", key = \"web.key\" }\n\
        [root.www]\npath = \"{tree}\"\nprecompressed = [\"gzip\"]\nlisting = true\n[site.all]\nroute = [{ root = \"www\" }]\n";
    let config = Config::text(text).fill("tree", &tree.path("")).identity("web", &authority.certify("any.example"));
    let gateway = Gateway::start(&config);
    let (web, secure) = (gateway.addr("web"), gateway.addr("secure"));
    let visitor = Visitor::trusting(&authority);
    let doors = [
        Door::clear(Version::H1, &web),
        Door::secure(Version::H1, &secure, &visitor),
        Door::clear(Version::H2, &web),
        Door::secure(Version::H2, &secure, &visitor),
        Door::secure(Version::H3, &secure, &visitor),
    ];
    let etag = gateway.get("/a.txt").field("etag");
    let asks = [
        (200, Ask::get("/a.txt")),
        (200, Ask::get("/a.txt").field("accept-encoding", "gzip")),
        (200, Ask::method("HEAD", "/a.txt")),
        (200, Ask::get("/empty.txt")),
        (200, Ask::get("/small.bin")),
        (200, Ask::get("/big.bin")),
        (200, Ask::method("HEAD", "/big.bin")),
        (206, Ask::get("/big.bin").field("range", "bytes=100000-1700000")),
        (206, Ask::get("/big.bin").field("range", "bytes=-1")),
        (206, Ask::get("/big.bin").field("range", "bytes=0-9,1000000-1900000")),
        (416, Ask::get("/big.bin").field("range", "bytes=2000000-")),
        (200, Ask::get("/empty.txt").field("range", "bytes=0-")),
        (304, Ask::get("/a.txt").field("if-none-match", &etag)),
        (412, Ask::get("/a.txt").field("if-match", "\"other\"")),
        (200, Ask::get("/sub/")),
        (200, Ask::get("/bare/")),
        (404, Ask::get("/nothing")),
        (405, Ask::post("/a.txt", "x")),
    ];
    for (status, ask) in asks {
        let mut first: Option<(Vec<String>, Vec<u8>)> = None;
        for door in &doors {
            let response = door.ask(&ask);
            let at = format!("{} {} {:?} over {:?}", ask.method, ask.target, ask.fields, door.version);
            assert_eq!((response.status, response.cut.as_deref()), (status, None), "{at}");
            let mut body = response.body.clone();
            let mut fields: Vec<String> = response
                .fields
                .0
                .iter()
                .map(|(name, value)| format!("{}: {value}", name.to_ascii_lowercase()))
                .filter(|line| {
                    !["date:", "alt-svc:", "connection:", "x-request-id:"].iter().any(|own| line.starts_with(own))
                })
                .collect();
            fields.sort();
            if let Some(boundary) = response.fields.get("content-type").and_then(|kind| boundary(&kind)) {
                // Each answer may have a boundary of its own.
                body = split(&body, boundary.as_bytes()).join(&b"BOUNDARY"[..]);
                fields.iter_mut().for_each(|line| *line = line.replace(&boundary, "BOUNDARY"));
            }
            if status >= 400 {
                body.clear();
                fields.retain(|line| !line.starts_with("content-length"));
            }
            match &first {
                None => first = Some((fields, body)),
                Some((expected, bytes)) => {
                    assert_eq!(&fields, expected, "{at}");
                    assert!(&body == bytes, "{at}: {} other bytes, not {}", body.len(), bytes.len());
                }
            }
        }
    }
}

fn boundary(kind: &str) -> Option<String> {
    Some(kind.split_once("boundary=")?.1.trim_matches('"').to_owned())
}

fn split<'a>(bytes: &'a [u8], by: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(by.len()).position(|window| window == by) {
        pieces.push(&rest[..at]);
        rest = &rest[at + by.len()..];
    }
    pieces.push(rest);
    pieces
}

#[test]
fn filters_of_a_route_see_files_as_they_see_everything() {
    let tree = Tree::fresh();
    tree.file("new/a.txt", "a").counted("new/big.bin", 500_000);
    let filters = "[filter.paths]\nmodule = \"{paths}\"\nsettings.rule = [\n\
        { match = \"^/old/(.*)$\", to = \"/new/$1\" }, { match = \"^/gone$\", answer = \"gone\" },\n\
        { match = \"^/out$\", to = \"/../etc/passwd\" } ]\n\
        [filter.fields]\nmodule = \"{fields}\"\nsettings.response = [\n\
        { action = \"set\", name = \"X-Status\", value = \"${response.status}\" },\n\
        { action = \"remove\", name = \"ETag\" } ]\n";
    let config = config(&tree, "", &format!("filters = [\"paths\", \"fields\"]\n{filters}"))
        .fill("paths", "std:url-rewrite")
        .fill("fields", "std:header-rules");
    let gateway = Gateway::start(&config);
    for (target, status, length) in [("/old/a.txt", 200, 1), ("/old/big.bin", 200, 500_000), ("/new/a.txt", 200, 1)] {
        let response = gateway.get(target);
        assert_eq!(response.expect(status).body.len(), length, "{target}");
        assert_eq!(response.field("x-status"), "200");
        assert!(!response.fields.has("etag"), "{response}");
    }
    let part = gateway.client().ask("/old/big.bin", &[("Range", "bytes=5-9")]);
    assert_eq!((part.expect(206).body.len(), part.field("x-status").as_str()), (5, "206"));
    gateway.get("/gone").expect(410);
    let out = gateway.get("/out");
    assert!(out.status >= 400 && !out.text().contains("root:"), "{out}");
}

#[test]
fn a_root_that_is_not_there_is_a_problem_before_the_start() {
    let tree = Tree::fresh();
    tree.file("a.txt", "x");
    for (path, what) in [("{tree}/missing", "missing"), ("{tree}/a.txt", "a.txt")] {
        let place = Place::fresh();
        let path = path.replace("{tree}", &tree.path(""));
        place.write(
            "weir.toml",
            format!("{LISTENER}[root.www]\npath = \"{path}\"\n[site.all]\nroute = [{{ root = \"www\" }}]\n"),
        );
        let run = weir(&place, &["run", "-c", "weir.toml"]);
        assert_ne!(run.code, Some(0));
        assert!(run.all().contains(what) && run.all().contains("www"), "{}", run.all());
        assert!(run.all().contains("weir.toml:"), "no place: {}", run.all());
        let check = weir(&place, &["check", "-c", "weir.toml"]);
        assert!(check.code != Some(0) && check.all().contains(what), "{}", check.all());
    }
}

#[test]
fn a_reload_adds_and_takes_roots_and_a_bad_one_changes_nothing() {
    let (one, two) = (Tree::fresh(), Tree::fresh());
    one.file("a.txt", "one");
    two.file("a.txt", "two").file("b.txt", "b");
    let gateway = serves(&one, "", "");
    assert_eq!(gateway.get("/a.txt").text(), "one");
    let reload = |config: &Config, word: &str| {
        let before = gateway.log_count(word);
        gateway.rewrite_config(config);
        gateway.signal(Signal::Reload);
        eventually(word, || (gateway.log_count(word) > before).then_some(()));
    };
    reload(&config(&two, "listing = true", ""), "\"reloaded\"");
    let mut client = gateway.client();
    assert_eq!(client.get("/a.txt").text(), "two");
    assert_eq!(client.get("/b.txt").text(), "b");
    client.get("/").expect(200);
    // The same root by the same name, somewhere else: nothing of the old one is served from what was open.
    reload(&config(&one, "", ""), "\"reloaded\"");
    assert_eq!(gateway.get("/a.txt").text(), "one");
    gateway.get("/b.txt").expect(404);
    let descriptors = gateway.descriptors();
    for _ in 0..5 {
        reload(&config(&two, "", ""), "\"reloaded\"");
        assert_eq!(gateway.get("/a.txt").text(), "two");
        reload(&config(&one, "", ""), "\"reloaded\"");
        assert_eq!(gateway.get("/a.txt").text(), "one");
    }
    eventually("old roots and their files are closed", || (gateway.descriptors() <= descriptors + 4).then_some(()));
    let missing = Tree::fresh();
    let gone = config(&missing, "", "");
    drop(missing);
    gateway.rewrite_config(&gone);
    gateway.signal(Signal::Reload);
    gateway.logged("No such file");
    assert_eq!(gateway.get("/a.txt").text(), "one");
}

#[test]
fn a_gateway_without_roots_serves_no_file() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).route("path = \"/app\""));
    gateway.get("/weir.toml").expect(404);
    gateway.get("/etc/passwd").expect(404);
}

#[test]
fn curl_resumes_asks_for_what_is_new_and_takes_codings() {
    let tree = Tree::fresh();
    tree.counted("www/big.bin", 3_000_000).counted("part.bin", 3_000_000).cut("part.bin", 1_234_567);
    tree.file("www/a.txt", "hello hello hello").dated("www/a.txt", THEN).file("www/a.txt.gz", GZIPPED);
    let text = format!(
        "{LISTENER}[root.www]\npath = \"{{tree}}/www\"\nprecompressed = [\"gzip\"]\n[site.all]\nroute = [{{ root = \"www\" }}]\n"
    );
    let gateway = Gateway::start(&Config::text(&text).fill("tree", &tree.path("")));
    let url = |target: &str| format!("http://{}{target}", gateway.addr("web"));
    let out = tree.path("part.bin");
    assert_eq!(curl(&["-C", "-", "-o", &out, &url("/big.bin")]).code, Some(0));
    let whole = std::fs::read(&out).expect("it is there");
    assert!(whole.len() == 3_000_000 && whole.iter().zip(0..).all(|(byte, offset)| *byte == byte_at(offset)));
    // There is nothing more to have: curl says so, and not that it went wrong.
    let again = curl(&["-C", "-", "-o", &out, "-w", "%{http_code}", &url("/big.bin")]);
    assert_eq!(again.out, "416", "{again:?}");
    let since = |when: &str| curl(&["-z", when, "-w", "%{http_code}", &url("/a.txt")]).out;
    assert_eq!(
        (since("Mon, 10 Sep 2001 00:00:00 GMT").as_str(), since("Sat, 08 Sep 2001 00:00:00 GMT").as_str()),
        ("304", "hello hello hello200")
    );
    assert_eq!(curl(&["--compressed", "-H", "Accept-Encoding: gzip", &url("/a.txt")]).out, "hello hello hello");
    let coded = curl(&["-H", "Accept-Encoding: gzip", "-o", &tree.path("coded"), &url("/a.txt")]);
    assert_eq!((coded.code, std::fs::read(tree.path("coded")).expect("it is there")), (Some(0), GZIPPED.to_vec()));
    assert_eq!(curl(&["-r", "0-4", &url("/a.txt")]).out, "hello");
    let old = curl(&["--http1.0", "-i", &url("/a.txt")]).out;
    assert!(old.contains("200 OK") && old.ends_with("\r\n\r\nhello hello hello"), "{old}");
}

/// `printf 'hello hello hello' | gzip -n`.
const GZIPPED: [u8; 28] =
    [31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 203, 72, 205, 201, 201, 87, 200, 64, 144, 0, 128, 136, 249, 229, 17, 0, 0, 0];

#[test]
fn downloads_that_are_given_up_leave_nothing_open() {
    let tree = Tree::fresh();
    tree.counted("big.bin", 32 << 20).file("a.txt", "x");
    let gateway = serves(&tree, "", "");
    gateway.get("/a.txt").expect(200);
    let before = gateway.descriptors();
    for round in 0..3 {
        let mut clients: Vec<Client> = (0..100).map(|_| gateway.client()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            let range = if number % 2 == 0 { "" } else { "Range: bytes=0-9,1000000-30000000\r\n" };
            client.send(format!("GET /big.bin HTTP/1.1\r\nHost: x\r\n{range}\r\n"));
            client.response_head();
        }
        clients.into_iter().for_each(Client::reset);
        eventually("connections are closed", || (gateway.descriptors() <= before + 2).then_some(()));
        gateway.get("/a.txt").expect(200);
        assert_eq!(gateway.log_count("panicked"), 0, "round {round}");
    }
}

#[test]
fn names_that_are_no_text_are_files_like_others() {
    let tree = Tree::fresh();
    tree.directory("d");
    let name = std::os::unix::ffi::OsStrExt::from_bytes(b"no\xfftext\x80.txt");
    std::fs::write(std::path::Path::new(&tree.path("d")).join::<&std::ffi::OsStr>(name), "bytes")
        .expect("it is a name");
    let gateway = serves(&tree, "listing = true", "");
    assert_eq!(gateway.get("/d/no%FFtext%80.txt").expect(200).text(), "bytes");
    let page = gateway.get("/d/").expect(200).text();
    assert!(page.contains("no%FFtext%80.txt"), "{page}");
    let told = gateway.client().ask("/d/", &[("Accept", "application/json")]);
    assert!(told.expect(200).json().to_string().contains("text"), "{told}");
}

#[test]
fn a_directory_of_very_many_is_listed_in_part_and_holds_up_nobody() {
    let tree = Tree::fresh();
    tree.directory("many").file("a.txt", "x");
    for number in 0..12_000 {
        std::fs::File::create(tree.path(&format!("many/file-{number:05}-with-a-name-of-some-length"))).expect("room");
    }
    let gateway = serves(&tree, "listing = true", "");
    let mut asked = gateway.client();
    asked.send("GET /many/ HTTP/1.1\r\nHost: x\r\n\r\n");
    gateway.get("/a.txt").expect(200);
    let page = asked.response();
    let links = page.expect(200).text().matches("href=").count();
    assert!((9_000..=10_100).contains(&links), "{links} links");
}

#[test]
fn paths_that_lead_nowhere_are_not_kept_without_end() {
    let tree = Tree::fresh();
    tree.file("a.txt", "x");
    let gateway = Gateway::start(&config(&tree, "", "").tables("[log]\nlevel = \"info\"\nformat = \"json\""));
    let mut client = gateway.client();
    client.get("/a.txt").expect(200);
    let filler = "x".repeat(200);
    let mut ask = |from: usize, to: usize| {
        for number in from..to {
            client.get(&format!("/{filler}/{filler}/{filler}/{number}")).expect(404);
        }
    };
    ask(0, 3000);
    let before = gateway.rss_kib();
    ask(3000, 9000);
    let grown = gateway.rss_kib().saturating_sub(before);
    assert!(grown < 2048, "{grown} KiB for six thousand paths more");
}
