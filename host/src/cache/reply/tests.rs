//! Tables of answers from the store.

use super::*;
use crate::cache::Knobs;
use crate::cache::storable::storable;
use crate::cache::testing::{at, date, get, request, response, times};

fn stored(status: u16, length: u64, lines: &[(&'static str, &'static str)]) -> Stored {
    let mut all = vec![("cache-control", "max-age=3600")];
    all.extend(lines);
    let mut stored = storable(&get(&[]), &response(status, &all), times(0), &Knobs::default()).unwrap();
    stored.finish(length).unwrap();
    stored
}

/// Status, `Content-Range`, bytes from the store.
type Seen = (u16, Option<String>, Vec<(u64, u64)>);

fn seen(stored: &Stored, asked: &RequestHead) -> Option<Seen> {
    let Reply { head, pieces } = reply(stored, asked, at(3), 0)?;
    // A refusal is nobody's stored response, and has no age.
    assert!(head.status == Status::RANGE_NOT_SATISFIABLE || head.fields.get("age").unwrap() == "3");
    let range = head.fields.get("content-range").map(|range| range.to_str().unwrap().to_owned());
    let bytes = pieces.iter().filter_map(|piece| match piece {
        Piece::Range(range) => Some((range.first, range.last)),
        Piece::Text(_) => None,
    });
    Some((head.status.as_u16(), range, bytes.collect()))
}

/// RFC 9111, section 4.3.2.
#[test]
fn clients_conditions() {
    let fresh = stored(200, 10, &[("etag", "\"abcdef\""), ("last-modified", date(-5000))]);
    let weak = stored(200, 10, &[("etag", "W/\"abcdef\"")]);
    let plain = stored(200, 10, &[]);
    let dated = stored(200, 10, &[("last-modified", date(-3000))]);
    let missing = stored(404, 10, &[("etag", "\"abcdef\"")]);
    for (stored, lines, status) in [
        (&fresh, &[("if-none-match", "\"abcdef\"")][..], 304),
        (&fresh, &[("if-none-match", "\"abcdef\", \"1234\", \"5678\"")], 304),
        (&fresh, &[("if-none-match", "\"1234\", \"abcdef\", \"5678\"")], 304),
        (&fresh, &[("if-none-match", "\"1234\", \"5678\", \"abcdef\"")], 304),
        (&fresh, &[("if-none-match", "*")], 304),
        (&fresh, &[("if-none-match", "\"1234\"")], 200),
        (&fresh, &[("if-none-match", "\"abcdef\""), ("if-modified-since", date(-10_000))], 304),
        (&fresh, &[("if-none-match", "\"x\""), ("if-modified-since", date(0))], 200),
        (&weak, &[("if-none-match", "W/\"abcdef\"")], 304),
        (&dated, &[("if-modified-since", date(-3000))], 304),
        (&dated, &[("if-modified-since", date(-2000))], 304),
        (&dated, &[("if-modified-since", date(-4000))], 200),
        (&dated, &[("if-modified-since", "x")], 200),
        // Without `Last-Modified`, `Date` is what counts: who has an older one gets the content.
        (&plain, &[("if-modified-since", date(0))], 304),
        (&plain, &[("if-modified-since", date(-3000))], 200),
        (&missing, &[("if-none-match", "\"abcdef\"")], 404),
    ] {
        assert_eq!(seen(stored, &get(lines)).unwrap().0, status, "{lines:?}");
    }
}

/// RFC 9110, section 15.4.5.
#[test]
fn fields_of_a_304() {
    let lines = [
        ("etag", "\"a\""),
        ("last-modified", date(-50)),
        ("content-type", "text/plain"),
        ("content-length", "10"),
        ("content-encoding", "gzip"),
        ("content-location", "/b"),
        ("vary", "foo"),
        ("expires", date(50)),
        ("date", date(0)),
        ("x-other", "1"),
        ("surrogate-control", "max-age=5"),
        ("weir-cache-control", "max-age=50"),
        ("cdn-cache-control", "max-age=9"),
    ];
    let reply = reply(&stored(200, 10, &lines), &get(&[("if-none-match", "\"a\"")]), at(3), 0).unwrap();
    let mut names: Vec<&str> = reply.head.fields.names().map(Name::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["age", "cache-control", "cdn-cache-control", "content-location", "date", "etag", "expires", "vary", "x-other"]
    );
    assert_eq!(reply.head.fields.get("date").unwrap(), date(0));
    assert!(reply.pieces.is_empty());
}

#[test]
fn ranges_of_what_is_whole() {
    let whole = stored(200, 11, &[("etag", "\"a\"")]);
    for (lines, expected) in [
        (&[][..], (200, None, vec![(0, 10)])),
        (&[("range", "bytes=0-1")], (206, Some("bytes 0-1/11"), vec![(0, 1)])),
        (&[("range", "bytes=1-")], (206, Some("bytes 1-10/11"), vec![(1, 10)])),
        (&[("range", "bytes=-1")], (206, Some("bytes 10-10/11"), vec![(10, 10)])),
        (&[("range", "bytes=0-0,5-6")], (206, None, vec![(0, 0), (5, 6)])),
        (&[("range", "bytes=11-")], (416, Some("bytes */11"), vec![])),
        (&[("range", "items=0-1")], (200, None, vec![(0, 10)])),
        (&[("range", "bytes=0-1"), ("if-range", "\"a\"")], (206, Some("bytes 0-1/11"), vec![(0, 1)])),
        (&[("range", "bytes=0-1"), ("if-range", "\"b\"")], (200, None, vec![(0, 10)])),
        (&[("range", "bytes=0-1"), ("if-none-match", "\"a\"")], (304, None, vec![])),
    ] {
        let (status, range, bytes) = expected;
        assert_eq!(seen(&whole, &get(lines)), Some((status, range.map(str::to_owned), bytes)), "{lines:?}");
    }
    let missing = stored(404, 11, &[]);
    assert_eq!(seen(&missing, &get(&[("range", "bytes=0-1")])), Some((404, None, vec![(0, 10)])));
    let empty = stored(204, 0, &[]);
    assert!(!reply(&empty, &get(&[]), at(0), 0).unwrap().head.fields.contains("content-length"));
    let head = reply(&whole, &request("HEAD", "/a", &[("range", "bytes=0-1")]), at(0), 0).unwrap();
    assert_eq!((head.head.status, head.pieces.len()), (Status::OK, 0));
    assert_eq!(head.head.fields.get("content-length").unwrap(), "11");
}

/// RFC 9111, section 3.3. The first part is one that miscounts itself, as the public tests of caches have it.
#[test]
fn ranges_of_what_is_not_whole() {
    let miscounted = stored(206, 5, &[("content-range", "bytes 4-9/10")]);
    let honest = stored(206, 5, &[("content-range", "bytes 0-4/10"), ("etag", "\"a\"")]);
    for (stored, lines, expected) in [
        (&miscounted, &[("range", "bytes=-5")][..], Some((206, Some("bytes 4-8/9"), vec![(4, 8)]))),
        (&miscounted, &[("range", "bytes=6-8")], Some((206, Some("bytes 6-8/9"), vec![(6, 8)]))),
        (&miscounted, &[("range", "bytes=6-")], Some((206, Some("bytes 6-8/9"), vec![(6, 8)]))),
        (&miscounted, &[("range", "bytes=-1")], Some((206, Some("bytes 8-8/9"), vec![(8, 8)]))),
        (&miscounted, &[("range", "bytes=3-5")], None),
        (&miscounted, &[], None),
        (&honest, &[("range", "bytes=1-3")], Some((206, Some("bytes 1-3/10"), vec![(1, 3)]))),
        (&honest, &[("range", "bytes=0-0,4-4")], Some((206, None, vec![(0, 0), (4, 4)]))),
        (&honest, &[("range", "bytes=1-5")], None),
        (&honest, &[("range", "bytes=-5")], None),
        (&honest, &[("range", "bytes=10-")], Some((416, Some("bytes */10"), vec![]))),
        (&honest, &[("range", "bytes=1-3"), ("if-range", "\"b\"")], None),
        (&honest, &[("if-none-match", "\"a\"")], Some((304, None, vec![]))),
        (&honest, &[], None),
    ] {
        let expected = expected.map(|(status, range, bytes)| (status, range.map(str::to_owned), bytes));
        assert_eq!(is_answered(stored, &get(lines)), expected.is_some(), "{lines:?}");
        assert_eq!(seen(stored, &get(lines)), expected, "{lines:?}");
    }
}
