//! Filters that answer with files, through the real gateway: whole, in parts, on conditions, and not at all.

use std::os::unix::fs::symlink;

use weir_tests::{Config, Gateway, Origin, Response, behaviour, filter_file};

const SPRING: &str = "0123456789 the spring edition";
const SORRY: &str = "we are sorry";

/// The example: a cookie chooses the edition, a page stands for the server's failures.
fn editions(origin: &Origin, roots: &str) -> Gateway {
    let settings = r#"{ root = "pages", cookie = "edition", editions = ["spring"], sorry = "sorry.html" }"#;
    let config = Config::to(origin)
        .file("pages/spring/a b.html", SPRING)
        .file("pages/spring/index.html", "index")
        .file("pages/sorry.html", SORRY)
        .file("secret/a.txt", "secret")
        .tables("[root.pages]\npath = \"./pages\"\n[root.secret]\npath = \"./secret\"")
        .tables(&format!("[filter.editions]\nmodule = \"{{editions}}\"\nroots = {roots}\nsettings = {settings}"))
        .fill("editions", &filter_file("editions").display().to_string())
        .route("filters = [\"editions\"]");
    Gateway::start(&config)
}

fn spring(gateway: &Gateway, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
    let fields = [&[("Cookie", "edition=spring")], fields].concat();
    gateway.client().request(method, target, &fields, b"")
}

/// The misbehaving filter with one root of two; `deed` is what it is told to do.
fn told(gateway: &Gateway, deed: &str) -> Response {
    gateway.client().ask("/", &[("X-Hostile", deed)])
}

fn hostile(origin: &Origin) -> Gateway {
    let config = Config::to(origin)
        .file("pages/a.txt", "a page")
        .file("pages/.hidden", "hidden")
        .file("secret/a.txt", "secret")
        .tables("[root.pages]\npath = \"./pages\"\n[root.secret]\npath = \"./secret\"")
        .route("filters = [\"hostile\"]")
        .tables("[filter.hostile]\nmodule = \"{hostile}\"\nroots = [\"pages\"]")
        .fill("hostile", &filter_file("hostile").display().to_string())
        .access_log("${response.status} ${failure}");
    Gateway::start(&config)
}

#[test]
fn a_filters_file_is_answered_like_any_file() {
    let origin = Origin::start();
    let gateway = editions(&origin, "[\"pages\"]");
    let whole = spring(&gateway, "GET", "/a%20b.html?x", &[]);
    assert_eq!((whole.status, whole.text().as_str()), (200, SPRING));
    assert_eq!(whole.field("content-length"), SPRING.len().to_string());
    assert_eq!(whole.field("content-type"), "text/html; charset=utf-8");
    assert_eq!(whole.field("vary"), "cookie", "a field of the filter's");
    assert_eq!(whole.field("accept-ranges"), "bytes");
    let (etag, modified) = (whole.field("etag"), whole.field("last-modified"));
    let head = spring(&gateway, "HEAD", "/a%20b.html", &[]);
    assert_eq!((head.status, head.field("content-length")), (200, SPRING.len().to_string()));
    assert_eq!(spring(&gateway, "GET", "/", &[]).expect(200).text(), "index");
    for (fields, status, body) in [
        ([("Range", "bytes=3-5"), ("X-Any", "")], 206, "345"),
        ([("Range", "bytes=-7"), ("If-Range", &etag)], 206, "edition"),
        ([("Range", "bytes=0-1"), ("If-Range", "\"other\"")], 200, SPRING),
        ([("If-None-Match", &etag), ("X-Any", "")], 304, ""),
        ([("If-Modified-Since", &modified), ("X-Any", "")], 304, ""),
        ([("If-Match", "\"other\""), ("Range", "bytes=0-1")], 412, ""),
        ([("Range", "bytes=1000-"), ("X-Any", "")], 416, ""),
    ] {
        let answer = spring(&gateway, "GET", "/a%20b.html", &fields);
        assert_eq!(answer.status, status, "{fields:?}: {answer}");
        if status < 400 {
            assert_eq!(answer.text(), body, "{fields:?}");
        }
    }
    spring(&gateway, "GET", "/nothing.html", &[]).expect(404);
    assert_eq!(origin.requests().len(), 0, "no upstream was asked");
    assert!(!gateway.get("/a").expect(200).fields.has("vary"), "without the cookie it is");
}

#[test]
fn a_filter_without_the_root_is_told_and_says_so() {
    let origin = Origin::start();
    for roots in ["[]", "[\"secret\"]"] {
        let gateway = editions(&origin, roots);
        spring(&gateway, "GET", "/a%20b.html", &[]).expect(500);
        gateway.logged("is not among my `roots`");
    }
}

#[test]
fn no_path_leads_out_of_the_root() {
    let origin = Origin::start();
    let gateway = hostile(&origin);
    let place = gateway.place();
    symlink(place.join("secret"), place.join("pages/out")).expect("the test's own directory is writable");
    symlink("/etc/passwd", place.join("pages/passwd")).expect("the test's own directory is writable");
    for (file, status, body) in [
        ("pages a.txt", 200, Some("a page")),
        ("secret a.txt", 418, Some("the config does not grant this root to the filter")),
        ("nowhere a.txt", 418, Some("the config does not grant this root to the filter")),
        ("pages ../secret/a.txt", 418, Some("this is no path beneath a root")),
        ("pages x/../a.txt", 418, Some("this is no path beneath a root")),
        ("pages /etc/passwd", 418, Some("this is no path beneath a root")),
        ("pages ./a.txt", 418, Some("this is no path beneath a root")),
        // Nothing is decoded: these are names of files that are not there.
        ("pages %2e%2e/secret/a.txt", 404, None),
        ("pages a%2etxt", 404, None),
        ("pages .hidden", 404, None),
        ("pages out/a.txt", 404, None),
        ("pages passwd", 404, None),
    ] {
        let answer = told(&gateway, &format!("file {file}"));
        assert_eq!(answer.status, status, "{file}: {answer}");
        if let Some(body) = body {
            assert_eq!(answer.text(), body, "{file}");
        }
        assert!(!answer.text().contains("secret") && !answer.text().contains("root:"), "{file}: {answer}");
    }
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn a_file_that_is_not_the_answer_costs_the_exchange() {
    let origin = Origin::start();
    let gateway = hostile(&origin);
    for (number, deed) in ["file-next", "file-edits", "file-body", "file-204"].iter().enumerate() {
        for side in ["", "response:"] {
            told(&gateway, &format!("{side}{deed}")).expect(503);
        }
        let lines = gateway.access_lines(2 * number + 2);
        assert!(lines.iter().all(|line| line == "503 filter-verdict"), "{deed}: {lines:?}");
    }
    gateway.logged("it names a file and does not answer");
}

#[test]
fn on_the_response_side_a_file_stands_in_the_place_of_the_response() {
    let origin = Origin::start();
    origin.on("/broken", behaviour::answers(502, "a server's own words, longer than the page"));
    let gateway = editions(&origin, "[\"pages\"]");
    for method in ["GET", "POST", "HEAD"] {
        let fields = [("Range", "bytes=0-1"), ("If-Match", "\"other\"")];
        let answer = gateway.client().request(method, "/broken", &fields, b"");
        assert_eq!(answer.status, 502, "{method}: {answer}");
        assert_eq!(answer.field("cache-control"), "no-store", "{method}");
        assert_eq!(answer.field("content-length"), SORRY.len().to_string(), "{method}");
        assert_eq!(answer.text(), if method == "HEAD" { "" } else { SORRY }, "{method}");
    }
    assert_eq!(origin.count("/broken"), 3);
    let mut client = gateway.client();
    client.get("/fine").expect(200);
    client.get("/broken").expect(502);
    client.get("/fine").expect(200);
}

#[test]
fn filters_before_see_what_the_file_became() {
    let rules = r#"settings = { response = [
        { action = "set", name = "X-Seen", value = "${response.status}" },
        { action = "remove", name = "ETag" } ] }"#;
    let origin = Origin::start();
    origin.on("/broken", behaviour::answers(502, "broken"));
    let settings = r#"{ root = "pages", cookie = "edition", editions = ["spring"], sorry = "sorry.html" }"#;
    let config = Config::to(&origin)
        .file("pages/spring/a.html", SPRING)
        .file("pages/sorry.html", SORRY)
        .tables("[root.pages]\npath = \"./pages\"")
        .tables(&format!("[filter.editions]\nmodule = \"{{editions}}\"\nroots = [\"pages\"]\nsettings = {settings}"))
        .tables(&format!("[filter.rules]\nmodule = \"std:header-rules\"\n{rules}"))
        .route("filters = [\"rules\", \"editions\"]")
        .fill("editions", &filter_file("editions").display().to_string());
    let gateway = Gateway::start(&config);
    for (target, fields, seen) in [
        ("/a.html", &[("Cookie", "edition=spring")][..], "200"),
        ("/a.html", &[("Cookie", "edition=spring"), ("Range", "bytes=0-1")], "206"),
        ("/gone.html", &[("Cookie", "edition=spring")], "404"),
        ("/broken", &[], "502"),
    ] {
        let answer = gateway.client().ask(target, fields);
        assert_eq!((answer.status.to_string().as_str(), answer.field("x-seen").as_str()), (seen, seen), "{target}");
        assert!(!answer.fields.has("etag"), "{target}: {answer}");
    }
}
