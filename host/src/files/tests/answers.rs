//! Files as answers: fields, conditions, ranges, codings.

use super::*;
use crate::message::Coding;

const TEXT: &str = "0123456789";
/// The tag of ten bytes that were written at that time, and the time.
const TAG: &str = "\"2ebc98a1.0-a\"";
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn html(name: &str) -> Tree {
    let tree = Tree::new();
    tree.write(name, TEXT);
    tree
}

/// With files read at once, and with extents.
fn both(root: &Root) -> [Served; 2] {
    [16 << 10, 0].map(|small| {
        let plan = config::Files { fresh: ALWAYS, small, ..config::Files::default() };
        Served::of(std::slice::from_ref(root), &plan)
    })
}

#[test]
fn the_whole_file_and_its_head() {
    let tree = html("a.html");
    run(async {
        let root = Root {
            charset: Some("utf-8".to_owned()),
            cache_control: Some(Value::from_static("max-age=60")),
            ..tree.root()
        };
        for served in both(&root) {
            for method in [Method::GET, Method::HEAD] {
                let (head, body) = served.ask(Request::of(method.clone()), b"a.html").await.unwrap();
                assert_eq!(head.status.as_u16(), 200);
                for (name, value) in [
                    ("content-type", "text/html; charset=utf-8"),
                    ("content-length", "10"),
                    ("etag", TAG),
                    ("last-modified", DATE),
                    ("accept-ranges", "bytes"),
                    ("cache-control", "max-age=60"),
                ] {
                    assert_eq!(field(&head, name), Some(value), "{name}");
                }
                assert_eq!(head.fields.len(), 6);
                assert_eq!(read(body).await.unwrap(), if method == Method::GET { TEXT } else { "" });
            }
        }
    });
}

#[test]
fn small_files_are_bytes_and_others_extents() {
    let tree = html("a");
    tree.write("empty", "");
    run(async {
        let [small, large] = both(&tree.root());
        assert!(matches!(small.ask(Request::get(), b"a").await.unwrap().1, Body::Bytes(Some(_))));
        assert!(matches!(large.ask(Request::get(), b"a").await.unwrap().1, Body::Parts(_)));
        for served in [small, large] {
            let (head, body) = served.ask(Request::get(), b"empty").await.unwrap();
            assert_eq!(field(&head, "content-length"), Some("0"));
            assert_eq!(read(body).await.unwrap(), "");
        }
    });
}

#[test]
fn methods_that_files_do_not_know() {
    let tree = html("a");
    run(async {
        let served = Served::anew(tree.root());
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get"] {
            for path in [&b"a"[..], b"nothing"] {
                let answer = served.ask(Request::of(method.parse().unwrap()), path).await;
                assert_eq!(answer.err().unwrap().kind, Kind::MethodNotAllowed, "{method}");
            }
        }
    });
}

#[test]
fn conditions() {
    let tree = html("a");
    run(async {
        let root = Root { cache_control: Some(Value::from_static("max-age=60")), ..tree.root() };
        for served in both(&root) {
            for (name, value, status) in [
                ("if-none-match", TAG, 304),
                ("if-none-match", "\"other\"", 200),
                ("if-none-match", "*", 304),
                ("if-match", TAG, 200),
                ("if-match", "\"other\"", 412),
                ("if-modified-since", DATE, 304),
                ("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT", 200),
                ("if-unmodified-since", DATE, 200),
                ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT", 412),
            ] {
                let (head, body) = served.ask(Request::get().with(name, value), b"a").await.unwrap();
                assert_eq!(head.status.as_u16(), status, "{name}: {value}");
                assert_eq!(read(body).await.unwrap(), if status == 200 { TEXT } else { "" });
                match status {
                    304 => {
                        assert_eq!(field(&head, "etag"), Some(TAG));
                        assert_eq!(field(&head, "cache-control"), Some("max-age=60"));
                        assert!(!head.fields.contains("content-type") && !head.fields.contains("content-length"));
                    }
                    412 => assert_eq!(field(&head, "cache-control"), None),
                    _ => {}
                }
            }
        }
    });
}

#[test]
fn ranges() {
    let tree = html("a.html");
    run(async {
        for served in both(&tree.root()) {
            for (range, status, content_range, text) in [
                ("bytes=0-0", 206, Some("bytes 0-0/10"), "0"),
                ("bytes=3-5", 206, Some("bytes 3-5/10"), "345"),
                ("bytes=7-", 206, Some("bytes 7-9/10"), "789"),
                ("bytes=-2", 206, Some("bytes 8-9/10"), "89"),
                ("bytes=10-", 416, Some("bytes */10"), ""),
                ("bytes=nonsense", 200, None, TEXT),
                ("lines=1-2", 200, None, TEXT),
            ] {
                let (head, body) = served.ask(Request::get().with("range", range), b"a.html").await.unwrap();
                assert_eq!(head.status.as_u16(), status, "{range}");
                assert_eq!(field(&head, "content-range"), content_range, "{range}");
                assert_eq!(field(&head, "content-length"), Some(text.len().to_string().as_str()), "{range}");
                assert_eq!(read(body).await.unwrap(), text, "{range}");
            }
            for (tag, status) in [(TAG, 206), ("\"other\"", 200), (DATE, 206), ("Sun, 06 Nov 1994 08:49:38 GMT", 200)] {
                let request = Request::get().with("range", "bytes=1-1").with("if-range", tag);
                let (head, _) = served.ask(request, b"a.html").await.unwrap();
                assert_eq!(head.status.as_u16(), status, "{tag}");
            }
            let (head, body) =
                served.ask(Request::of(Method::HEAD).with("range", "bytes=1-1"), b"a.html").await.unwrap();
            assert_eq!((head.status.as_u16(), field(&head, "content-length")), (200, Some("10")));
            assert!(matches!(body, Body::Empty));
        }
    });
}

#[test]
fn several_ranges_are_parts() {
    let tree = html("a.html");
    run(async {
        for served in both(&tree.root()) {
            for (given, kind) in [(None, "text/html"), (Some("text/odd"), "text/odd")] {
                let request = Request::get().with("range", "bytes=0-1,-3");
                let request = if let Some(given) = given { request.given("content-type", given) } else { request };
                let (head, body) = served.ask(request, b"a.html").await.unwrap();
                assert_eq!((head.status.as_u16(), field(&head, "content-range")), (206, None));
                let boundary =
                    field(&head, "content-type").unwrap().strip_prefix("multipart/byteranges; boundary=").unwrap();
                let text = read(body).await.unwrap();
                assert_eq!(
                    text,
                    format!(
                        "--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n\
                         --{boundary}\r\nContent-Type: {kind}\r\nContent-Range: bytes 7-9/10\r\n\r\n789\r\n--{boundary}--\r\n"
                    )
                );
                assert_eq!(field(&head, "content-length"), Some(text.len().to_string().as_str()));
            }
        }
    });
}

#[test]
fn what_is_given_stands_in_the_place_of_the_files_own() {
    let tree = html("a.html");
    run(async {
        let root = Root { cache_control: Some(Value::from_static("max-age=60")), ..tree.root() };
        for served in both(&root) {
            let given = || {
                Request::get()
                    .given("content-type", "text/x")
                    .given("cache-control", "no-store")
                    .given("content-disposition", "attachment")
                    .given("set-cookie", "a=1")
                    .given("set-cookie", "b=2")
                    .given("content-length", "99")
                    .given("content-range", "bytes 1-2/3")
            };
            let (head, body) = served.ask(given(), b"a.html").await.unwrap();
            assert_eq!(field(&head, "content-type"), Some("text/x"));
            assert_eq!(field(&head, "cache-control"), Some("no-store"));
            assert_eq!(head.fields.lines("set-cookie").count(), 2);
            assert_eq!((field(&head, "content-length"), field(&head, "content-range")), (Some("10"), None));
            assert_eq!((field(&head, "etag"), read(body).await.unwrap().as_str()), (Some(TAG), TEXT));
            // Validators: all of them are given, or none.
            let (head, _) = served.ask(given().given("etag", "\"mine\""), b"a.html").await.unwrap();
            assert_eq!((field(&head, "etag"), field(&head, "last-modified")), (Some("\"mine\""), None));
            for (name, value, status) in
                [("if-none-match", "\"mine\"", 304), ("if-none-match", TAG, 200), ("if-modified-since", DATE, 200)]
            {
                let request = given().given("etag", "\"mine\"").with(name, value);
                let (head, _) = served.ask(request, b"a.html").await.unwrap();
                assert_eq!(head.status.as_u16(), status, "{name}: {value}");
            }
            let request = given().given("accept-ranges", "none").with("range", "bytes=0-0");
            assert_eq!(served.ask(request, b"a.html").await.unwrap().0.status.as_u16(), 200);
        }
    });
}

#[test]
fn coded_files_beside_files() {
    let tree = html("a.js");
    tree.write("a.js.br", "br");
    tree.write("a.js.gz", "gzip");
    tree.write("alone.js.gz", "gzip");
    tree.write("plain.js", TEXT);
    tree.write("directory.js", TEXT);
    tree.write("directory.js.br/x", "x");
    run(async {
        let precompressed = vec![Coding::Brotli, Coding::Zstd, Coding::Gzip];
        let served = Served::anew(Root { precompressed, ..tree.root() });
        for (path, accepted, coding, text) in [
            ("a.js", Some("gzip, br, zstd"), Some("br"), "br"),
            ("a.js", Some("gzip"), Some("gzip"), "gzip"),
            ("a.js", Some("zstd"), None, TEXT),
            ("a.js", Some("zstd, gzip;q=0.5"), Some("gzip"), "gzip"),
            ("a.js", Some("gzip;q=0, br;q=0"), None, TEXT),
            ("a.js", None, None, TEXT),
            ("plain.js", Some("gzip, br"), None, TEXT),
            ("directory.js", Some("br"), None, TEXT),
        ] {
            let request = Request::get();
            let request =
                if let Some(accepted) = accepted { request.with("accept-encoding", accepted) } else { request };
            let (head, body) = served.ask(request, path.as_bytes()).await.unwrap();
            assert_eq!(field(&head, "content-encoding"), coding, "{path} {accepted:?}");
            assert_eq!(field(&head, "content-type"), Some("text/javascript"));
            assert_eq!(field(&head, "vary"), Some("Accept-Encoding"));
            assert_eq!(field(&head, "content-length"), Some(text.len().to_string().as_str()));
            assert_eq!(read(body).await.unwrap(), text);
        }
        assert_eq!(served.kind("alone.js").await, Err(Kind::NoFile));
        // By its own name it is a file like others.
        let (head, _) = served.ask(Request::get().with("accept-encoding", "gzip"), b"a.js.gz").await.unwrap();
        assert_eq!((field(&head, "content-encoding"), field(&head, "content-type")), (None, Some("application/gzip")));
    });
}

#[test]
fn a_coded_file_has_a_tag_and_ranges_of_its_own() {
    let tree = html("a.js");
    tree.write("a.js.br", "ABCDEFGHIJ");
    run(async {
        let served = Served::anew(Root { precompressed: vec![Coding::Brotli], ..tree.root() });
        let br = || Request::get().with("accept-encoding", "br");
        let tag = "\"2ebc98a1.0-a-br\"";
        let (head, _) = served.ask(br(), b"a.js").await.unwrap();
        assert_eq!(field(&head, "etag"), Some(tag));
        let (head, _) = served.ask(br().with("if-none-match", tag), b"a.js").await.unwrap();
        assert_eq!((head.status.as_u16(), field(&head, "vary")), (304, Some("Accept-Encoding")));
        let (head, _) = served.ask(br().with("if-none-match", TAG), b"a.js").await.unwrap();
        assert_eq!(head.status.as_u16(), 200);
        let (head, body) = served.ask(br().with("range", "bytes=1-2"), b"a.js").await.unwrap();
        assert_eq!((head.status.as_u16(), field(&head, "content-encoding")), (206, Some("br")));
        assert_eq!(read(body).await.unwrap(), "BC");
        // Somebody else's tag, or coding, is of one version of the bytes.
        for (name, value) in [("etag", "\"mine\""), ("content-encoding", "identity")] {
            let (head, body) = served.ask(br().given(name, value), b"a.js").await.unwrap();
            assert_ne!(field(&head, "content-encoding"), Some("br"));
            assert_eq!(field(&head, "vary"), None);
            assert_eq!(read(body).await.unwrap(), TEXT);
        }
        let (head, _) = served.ask(br().given("etag", "W/\"mine\"").given("vary", "Cookie"), b"a.js").await.unwrap();
        assert_eq!(field(&head, "content-encoding"), Some("br"));
        let vary: Vec<_> = head.fields.lines("vary").map(|value| value.to_str().unwrap()).collect();
        assert_eq!(vary, ["Cookie", "Accept-Encoding"]);
    });
}
