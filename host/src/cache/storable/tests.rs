//! Tables of what is stored and what is not.

use super::*;
use crate::cache::testing::{at, date, get, request, response, secs, times};

fn store(asked: &RequestHead, answered: &ResponseHead, knobs: &Knobs) -> Result<Stored, Refusal> {
    storable(asked, answered, times(0), knobs)
}

fn refusal(asked: &RequestHead, status: u16, lines: &[(&'static str, &'static str)], knobs: &Knobs) -> Option<Refusal> {
    store(asked, &response(status, lines), knobs).err()
}

const FRESH: (&str, &str) = ("cache-control", "max-age=100000");

#[test]
fn statuses() {
    let knobs = Knobs::default();
    for status in [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 401, 404, 410, 499, 500, 502, 503, 504, 599] {
        assert_eq!(refusal(&get(&[]), status, &[FRESH], &knobs), None, "{status}");
    }
    for status in [100, 103, 304, 412, 416] {
        assert_eq!(refusal(&get(&[]), status, &[FRESH], &knobs), Some(Refusal::Status), "{status}");
    }
    let modified = ("last-modified", date(-86_400));
    for (status, expected) in [(200, None), (201, Some(Refusal::Unstated)), (404, None), (503, Some(Refusal::Unstated))]
    {
        assert_eq!(refusal(&get(&[]), status, &[modified], &knobs), expected, "{status}");
    }
    assert_eq!(refusal(&get(&[]), 599, &[modified, ("cache-control", "public")], &knobs), None);
    let few = Knobs { statuses: Some(vec![200]), status_ttl: vec![(503, secs(5))], ..Knobs::default() };
    assert_eq!(refusal(&get(&[]), 404, &[FRESH], &few), Some(Refusal::Status));
    let classes = Knobs { statuses: Some(vec![2, 404]), ..Knobs::default() };
    for (status, expected) in [(204, None), (404, None), (410, Some(Refusal::Status)), (301, Some(Refusal::Status))] {
        assert_eq!(refusal(&get(&[]), status, &[FRESH], &classes), expected, "{status}");
    }
    let failures = Knobs { statuses: None, ..few };
    assert_eq!(refusal(&get(&[]), 503, &[], &failures), None);
}

/// RFC 9111, section 3.1.
#[test]
fn trailers_are_not_stored_nor_what_is_nothing_without_them() {
    let knobs = Knobs::default();
    for (kind, expected) in [
        ("application/grpc", Some(Refusal::Trailers)),
        ("application/grpc+proto", Some(Refusal::Trailers)),
        ("application/grpc-web", None),
        ("text/plain", None),
    ] {
        assert_eq!(refusal(&get(&[]), 200, &[FRESH, ("content-type", kind)], &knobs), expected, "{kind}");
    }
    let stored = store(&get(&[]), &response(200, &[FRESH, ("trailer", "x-sum")]), &knobs).unwrap();
    assert!(!stored.head.fields.contains(header::TRAILER));
}

#[test]
fn what_may_have_no_end_is_stored_when_it_says_for_how_long() {
    let knobs = Knobs { default_ttl: Some(secs(10)), ..Knobs::default() };
    for (kind, expected) in [
        ("text/event-stream", Some(Refusal::Unstated)),
        ("Text/Event-Stream; charset=utf-8", Some(Refusal::Unstated)),
        ("multipart/x-mixed-replace; boundary=a", Some(Refusal::Unstated)),
        ("text/plain", None),
    ] {
        assert_eq!(refusal(&get(&[]), 200, &[("content-type", kind)], &knobs), expected, "{kind}");
        assert_eq!(refusal(&get(&[]), 200, &[FRESH, ("content-type", kind)], &knobs), None, "{kind}");
    }
}

#[test]
fn methods() {
    let knobs = Knobs::default();
    for (method, status, lines, expected) in [
        ("GET", 200, &[FRESH][..], None),
        ("HEAD", 200, &[FRESH], Some(Refusal::Method)),
        ("PUT", 200, &[FRESH], Some(Refusal::Method)),
        ("OPTIONS", 200, &[FRESH], Some(Refusal::Method)),
        ("QUERY", 200, &[FRESH], Some(Refusal::Method)),
        ("POST", 200, &[FRESH], Some(Refusal::Method)),
        ("POST", 200, &[FRESH, ("content-location", "http://shop.example/a")], None),
        ("POST", 200, &[FRESH, ("content-location", "/x/../a")], None),
        ("POST", 200, &[FRESH, ("content-location", "a")], None),
        ("POST", 200, &[FRESH, ("content-location", "/b")], Some(Refusal::Method)),
        ("POST", 200, &[FRESH, ("content-location", "/a?b")], Some(Refusal::Method)),
        ("POST", 200, &[FRESH, ("content-location", "https://shop.example/a")], Some(Refusal::Method)),
        ("POST", 404, &[FRESH, ("content-location", "/a")], Some(Refusal::Method)),
        (
            "POST",
            200,
            &[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"), ("content-location", "/a")],
            Some(Refusal::Method),
        ),
    ] {
        assert_eq!(refusal(&request(method, "/a", &[]), status, lines, &knobs), expected, "{method} {lines:?}");
    }
    let queries = Knobs { query: true, ..Knobs::default() };
    assert_eq!(refusal(&request("QUERY", "/a", &[]), 200, &[FRESH], &queries), None);
    for (method, knobs, expected) in [
        ("GET", &knobs, true),
        ("HEAD", &knobs, true),
        ("QUERY", &knobs, false),
        ("QUERY", &queries, true),
        ("POST", &queries, false),
    ] {
        assert_eq!(is_looked_up(&Method::from_bytes(method.as_bytes()).unwrap(), knobs), expected, "{method}");
    }
}

#[test]
fn what_forbids_storing() {
    let knobs = Knobs::default();
    let authorized = ("authorization", "Basic eA==");
    for (asked, line, expected) in [
        (&[][..], "no-store", Some(Refusal::NoStore)),
        (&[], "max-age=10000, no-store", Some(Refusal::NoStore)),
        (&[], "private, max-age=3600", Some(Refusal::Private)),
        (&[], "private=\"set-cookie\", max-age=3600", None),
        (&[("cache-control", "no-store")], "max-age=3600", Some(Refusal::RequestNoStore)),
        (&[("cache-control", "no-cache")], "max-age=3600", None),
        (&[authorized], "max-age=3600", Some(Refusal::Authorization)),
        (&[authorized], "max-age=3600, proxy-revalidate", Some(Refusal::Authorization)),
        (&[authorized], "max-age=3600, public", None),
        (&[authorized], "max-age=3600, must-revalidate", None),
        (&[authorized], "s-maxage=3600", None),
        (&[authorized], "s-maxage=3600, private", Some(Refusal::Private)),
        (&[], "max-age=3600, no-store, must-understand", None),
        (&[], "max-age=3600, must-understand", None),
        (&[], "no-store, must-understand=1", Some(Refusal::NoStore)),
    ] {
        assert_eq!(refusal(&get(asked), 200, &[("cache-control", line)], &knobs), expected, "{asked:?} {line}");
    }
    for line in ["max-age=3600, no-store, must-understand", "max-age=3600, must-understand"] {
        assert_eq!(refusal(&get(&[]), 599, &[("cache-control", line)], &knobs), Some(Refusal::Status), "{line}");
    }
    let open = Knobs { store_private: true, store_no_store: true, ..Knobs::default() };
    let secret = ("cache-control", "private, no-store, max-age=9");
    assert_eq!(refusal(&get(&[("cache-control", "no-store")]), 200, &[secret], &open), None);
    let deaf = Knobs { ignore_request: true, ..Knobs::default() };
    assert_eq!(refusal(&get(&[("cache-control", "no-store")]), 200, &[FRESH], &deaf), None);
    assert_eq!(refusal(&get(&[]), 200, &[FRESH, ("vary", "*")], &knobs), Some(Refusal::Vary));
    let cdn = [("cdn-cache-control", "max-age=10000"), ("cache-control", "no-store")];
    assert_eq!(refusal(&get(&[]), 200, &cdn, &knobs), None);
    let cdn = [("cdn-cache-control", "private"), FRESH, ("expires", date(10_000))];
    assert_eq!(refusal(&get(&[]), 200, &cdn, &knobs), Some(Refusal::Private));
}

#[test]
fn cookies_are_shared_only_by_who_means_it() {
    let cookie = ("set-cookie", "a=b");
    let guessed = ("last-modified", date(-86_400));
    let cases = [
        (Cookies::Stated, &[cookie, FRESH][..], None),
        (Cookies::Stated, &[cookie, guessed], Some(Refusal::Cookie)),
        (Cookies::Stated, &[cookie, guessed, ("cache-control", "no-cache=\"Set-Cookie\"")], None),
        (Cookies::Never, &[cookie, FRESH], Some(Refusal::Cookie)),
        (Cookies::Never, &[FRESH], None),
        (Cookies::Always, &[cookie, guessed], None),
    ];
    for (cookies, lines, expected) in cases {
        let knobs = Knobs { cookies, ..Knobs::default() };
        assert_eq!(refusal(&get(&[]), 200, lines, &knobs), expected, "{cookies:?} {lines:?}");
    }
    let knobs = Knobs { cookies: Cookies::Never, strip: vec![header::SET_COOKIE], ..Knobs::default() };
    assert!(!store(&get(&[]), &response(200, &[cookie, FRESH]), &knobs).unwrap().head.fields.contains("set-cookie"));
}

/// Stale on arrival is worth a place only where a question to the origin can save the content.
#[test]
fn what_is_of_no_use() {
    for (lines, expected) in [
        (&[][..], Some(Refusal::Expired)),
        (&[("etag", "\"a\"")], None),
        (&[("etag", "abc")], None),
        (&[("etag", "\"a")], Some(Refusal::Expired)),
        (&[("cache-control", "no-cache"), ("etag", "W/\"a\"")], None),
        (&[("cache-control", "no-cache")], Some(Refusal::Expired)),
        (&[("cache-control", "max-age=0")], Some(Refusal::Expired)),
        (&[("cache-control", "max-age=0, stale-while-revalidate=5")], None),
        (&[("cache-control", "max-age=0, stale-if-error=5")], None),
        (&[("cache-control", "no-cache, max-age=9, stale-if-error=5")], Some(Refusal::Expired)),
        (&[("cache-control", "max-age=10"), ("age", "10")], Some(Refusal::Expired)),
        (&[("expires", date(-5000)), ("last-modified", date(-100_000))], None),
        (&[("expires", "0")], Some(Refusal::Expired)),
    ] {
        assert_eq!(refusal(&get(&[]), 200, lines, &Knobs::default()), expected, "{lines:?}");
    }
    let knobs = Knobs { store_expired: true, ..Knobs::default() };
    assert_eq!(refusal(&get(&[]), 200, &[("expires", "0")], &knobs), None);
    assert_eq!(refusal(&get(&[]), 200, &[], &knobs), Some(Refusal::Expired));
}

/// RFC 9111, section 3.1.
#[test]
fn fields_that_are_not_stored() {
    let knobs = Knobs { strip: vec![Name::from_static("x-debug")], ..Knobs::default() };
    let lines = [
        ("connection", "a, b"),
        ("a", "1"),
        ("b", "2"),
        ("c", "3"),
        ("keep-alive", "x"),
        ("proxy-authenticate", "x"),
        ("proxy-authentication-info", "x"),
        ("proxy-authorization", "x"),
        ("proxy-connection", "x"),
        ("te", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "x"),
        ("x-debug", "x"),
        ("cache-control", "max-age=9, no-cache=\"d, e\", private=\"f\""),
        ("d", "4"),
        ("f", "6"),
        ("content-md5", "x"),
        ("set-cookie", "a=b"),
    ];
    let stored = store(&get(&[]), &response(200, &lines), &knobs).unwrap();
    let mut names: Vec<&str> = stored.head.fields.names().map(Name::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["c", "cache-control", "content-md5", "date", "set-cookie"]);
    assert_eq!(stored.head.fields.get("date").unwrap(), date(0));
    for (sent, kept) in [("foo", date(0)), (date(-5), date(-5))] {
        let stored = store(&get(&[]), &response(200, &[FRESH, ("date", sent)]), &knobs).unwrap();
        assert_eq!(stored.head.fields.get("date").unwrap(), kept);
    }
    assert!(store(&get(&[]), &response(200, &[FRESH, ("connection", "a b, ,;")]), &knobs).is_ok());
}

#[test]
fn contents_that_are_cut_off_are_not_stored() {
    for (lines, length, expected) in [
        (&[FRESH][..], 7, Ok(())),
        (&[FRESH, ("content-length", "7")], 7, Ok(())),
        (&[FRESH, ("content-length", "7")], 6, Err(Refusal::Incomplete)),
        (&[FRESH, ("content-length", "7")], 8, Err(Refusal::Incomplete)),
        (&[FRESH, ("content-length", "x")], 8, Err(Refusal::Incomplete)),
    ] {
        let mut stored = store(&get(&[]), &response(200, lines), &Knobs::default()).unwrap();
        assert_eq!(stored.finish(length), expected, "{lines:?}");
        assert_eq!(stored.held.is_whole(), expected.is_ok());
    }
    assert!(store(&get(&[]), &response(200, &[FRESH]), &Knobs::default()).unwrap().policy.is_fresh(at(99_999)));
}

/// Every reason has its own token (RFC 9211, section 2.8).
#[test]
fn words_of_refusals() {
    use Refusal::*;
    let all = [
        Method,
        Status,
        RequestNoStore,
        NoStore,
        Private,
        Authorization,
        Vary,
        Cookie,
        Unstated,
        Expired,
        Range,
        Incomplete,
    ];
    let words: std::collections::BTreeSet<_> = all.map(Refusal::word).into_iter().collect();
    assert_eq!(words.len(), all.len());
}
