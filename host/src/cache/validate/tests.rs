//! Tables of questions to the origin and of what its answers change.

use super::*;
use crate::cache::storable::storable;
use crate::cache::testing::{at, date, fields, get, request, response, secs, times};

fn stored(second: u64, lines: &[(&'static str, &'static str)]) -> Stored {
    let mut all = vec![("cache-control", "max-age=2")];
    all.extend(lines);
    let mut stored = storable(&get(&[]), &response(200, &all), times(second), &Knobs::default()).unwrap();
    stored.finish(10).unwrap();
    stored
}

const OF_A_CLIENT: [(&str, &str); 4] =
    [("if-none-match", "\"client\""), ("if-modified-since", "x"), ("if-range", "\"x\""), ("range", "bytes=0-1")];

fn asked(fields: &Fields) -> (Option<&str>, Option<&str>) {
    let text = |name: &str| fields.get(name).map(|value| value.to_str().unwrap());
    (text("if-none-match"), text("if-modified-since"))
}

/// RFC 9111, section 4.3.1.
#[test]
fn questions() {
    for (lines, tag, modified) in [
        (&[("etag", "\"a\"")][..], Some("\"a\""), None),
        (&[("etag", "W/\"b\""), ("last-modified", date(-9))], Some("W/\"b\""), Some(date(-9))),
        (&[("last-modified", date(-9))], None, Some(date(-9))),
        (&[("etag", "abc")], Some("abc"), None),
        (&[("etag", "\"a"), ("last-modified", "x")], None, None),
        (&[], None, None),
    ] {
        let mut request = fields(&OF_A_CLIENT);
        request.set(Name::from_static("abc"), Value::from_static("123"));
        let has_some = tag.is_some() || modified.is_some();
        assert_eq!(ask(&mut request, &stored(0, lines)), has_some, "{lines:?}");
        assert_eq!(asked(&request), if has_some { (tag, modified) } else { (Some("\"client\""), Some("x")) });
        assert_eq!((request.contains("range"), request.get("abc").unwrap()), (!has_some, &Value::from_static("123")));
    }
}

#[test]
fn questions_about_variants() {
    let all: Vec<Stored> = ["\"a\"", "W/\"b\"", "\"broken", "\"a\""].map(|tag| stored(0, &[("etag", tag)])).into();
    let dated = [stored(0, &[("last-modified", date(-9))])];
    for (variants, lines, expected) in [
        (&all[..], &[][..], Some("\"a\", W/\"b\"")),
        (&all, &OF_A_CLIENT[..1], None),
        (&all, &OF_A_CLIENT[3..], None),
        (&dated, &[], None),
        (&[], &[], None),
    ] {
        let mut request = fields(lines);
        assert_eq!(ask_variants(&mut request, variants), expected.is_some());
        assert!(asked(&request).0 == expected || request.len() == lines.len());
    }
    let many: Vec<Stored> = (0..40).map(|number| stored(0, &[("etag", format!("\"{number}\"").leak())])).collect();
    let mut request = Fields::default();
    ask_variants(&mut request, &many);
    assert_eq!(asked(&request).0.unwrap().split(", ").count(), MOST_TAGS);
    // Of long ones as many as there is room for; what comes first matters most.
    let tag = |letter: &str, length: usize| &*format!("\"{}\"", letter.repeat(length)).leak();
    let long =
        [("a", 900), ("b", LONGEST_TAGS), ("c", 900), ("d", 900), ("e", 9)].map(|(letter, length)| tag(letter, length));
    let variants = long.map(|tag| stored(0, &[("etag", tag), ("last-modified", date(-9))]));
    let mut request = Fields::default();
    assert!(ask_variants(&mut request, &variants));
    assert_eq!(asked(&request).0.unwrap(), [long[0], long[2], long[4]].join(", "));
    let mut request = Fields::default();
    assert!(ask(&mut request, &variants[1]));
    assert_eq!(asked(&request), (None, Some(date(-9))), "no server would read that tag");
}

/// RFC 9111, section 4.3.4.
#[test]
fn what_a_304_is_about() {
    let strong = |second| stored(second, &[("etag", "\"a\""), ("last-modified", date(-9))]);
    let all = [
        strong(0),
        stored(5, &[("etag", "\"b\"")]),
        strong(9),
        stored(3, &[("etag", "W/\"c\"")]),
        stored(4, &[("etag", "\"c\"")]),
    ];
    for (lines, expected) in [
        (&[("etag", "\"a\"")][..], &[0, 2][..]),
        (&[("etag", "\"b\""), ("last-modified", date(-7))], &[1]),
        (&[("etag", "\"x\"")], &[]),
        (&[("etag", "W/\"c\"")], &[4]),
        (&[("etag", "W/\"a\"")], &[2]),
        (&[("etag", "W/\"x\"")], &[]),
        (&[("last-modified", date(-9))], &[]),
        (&[], &[]),
    ] {
        assert_eq!(meant(&all, &response(304, lines)), expected, "{lines:?}");
    }
    for (lines, expected) in [
        (&[][..], true),
        (&[("etag", "\"a\"")], true),
        (&[("etag", "W/\"a\"")], true),
        (&[("etag", "\"b\"")], false),
        (&[("etag", "\"b\""), ("last-modified", date(-9))], false),
        (&[("last-modified", date(-9))], true),
        (&[("last-modified", date(-8))], false),
    ] {
        assert_eq!(is_meant(&all[0], &response(304, lines)), expected, "{lines:?}");
    }
}

/// RFC 9111, section 3.2.
#[test]
fn fields_after_a_304() {
    let before = stored(
        0,
        &[
            ("test-header", "A"),
            ("set-cookie", "a=b"),
            ("content-length", "10"),
            ("content-type", "text/plain"),
            ("age", "1"),
            ("x", "1"),
            ("x", "2"),
        ],
    );
    let lines = [
        ("cache-control", "max-age=3600, no-cache=\"gone\""),
        ("date", date(10)),
        ("content-foo", "B"),
        ("set-cookie", "a=c"),
        ("content-length", "0"),
        ("content-type", "text/html"),
        ("content-encoding", "br"),
        ("content-range", "bytes 0-0/1"),
        ("content-location", "/b"),
        ("x", "3"),
        ("connection", "hop"),
        ("hop", "1"),
        ("gone", "1"),
    ];
    let after = freshen(&before, &get(&[]), &response(304, &lines), times(10), &Knobs::default());
    assert_eq!(after.refusal, None);
    for (name, expected) in [
        ("test-header", Some("A")),
        ("content-foo", Some("B")),
        ("set-cookie", Some("a=c")),
        ("content-length", Some("10")),
        ("content-type", Some("text/plain")),
        ("content-encoding", None),
        ("content-range", None),
        ("content-location", Some("/b")),
        ("x", Some("3")),
        ("hop", None),
        ("gone", None),
        ("age", None),
        ("date", Some(date(10))),
    ] {
        let found = after.stored.head.fields.joined(name).map(|value| String::from_utf8(value).unwrap());
        assert_eq!(found.as_deref(), expected, "{name}");
    }
    let stored = after.stored;
    assert_eq!((stored.policy.lifetime, stored.policy.age(at(12))), (secs(3600), secs(2)));
    assert_eq!((stored.head.status, stored.held), (Status::OK, before.held));
}

#[test]
fn a_304_can_take_the_leave_to_store() {
    let before = stored(0, &[("etag", "\"a\""), ("vary", "foo")]);
    for (lines, expected) in [
        (&[][..], None),
        (&[("cache-control", "no-store")], Some(Refusal::NoStore)),
        (&[("cache-control", "private")], Some(Refusal::Private)),
        (&[("vary", "*")], Some(Refusal::Vary)),
        (&[("cache-control", "no-cache")], None),
    ] {
        let after =
            freshen(&before, &get(&[("foo", "2"), ("bar", "3")]), &response(304, lines), times(9), &Knobs::default());
        assert_eq!(after.refusal, expected, "{lines:?}");
    }
    let after = freshen(
        &before,
        &get(&[("foo", "2"), ("bar", "3")]),
        &response(304, &[("vary", "bar")]),
        times(9),
        &Knobs::default(),
    );
    assert!(after.stored.selection.matches(&fields(&[("bar", "3")])));
    assert!(!after.stored.selection.matches(&fields(&[("foo", "2")])));
    let (one, two) = (fields(&[("foo", "1")]), fields(&[("foo", "2")]));
    let of_two = freshen(
        &before.also_for(&one).unwrap(),
        &get(&[("foo", "2")]),
        &response(304, &[("vary", "Foo")]),
        times(9),
        &Knobs::default(),
    );
    assert!(of_two.stored.selection.matches(&one) && !of_two.stored.selection.matches(&two));
    assert!(of_two.stored.also_for(&two).unwrap().selection.matches(&two));
    // A date that the 304 does not have is when it came.
    assert_eq!(after.stored.head.fields.get("date").unwrap(), date(9));
    let cookies = Knobs { cookies: crate::cache::Cookies::Never, ..Knobs::default() };
    let after = freshen(&before, &get(&[]), &response(304, &[("set-cookie", "a=b")]), times(9), &cookies);
    assert_eq!(after.refusal, Some(Refusal::Cookie));
}

/// RFC 9111, section 4.3.5.
#[test]
fn heads_freshen_what_is_stored() {
    let before = stored(0, &[("etag", "\"a\""), ("last-modified", date(-9)), ("template-a", "1")]);
    let asked = request("HEAD", "/a", &[]);
    for (status, lines, expected) in [
        (200, &[][..], Some(true)),
        (200, &[("etag", "\"a\"")], Some(true)),
        (200, &[("etag", "\"b\"")], Some(false)),
        (200, &[("last-modified", date(-8))], Some(false)),
        (200, &[("content-length", "10")], Some(true)),
        (200, &[("content-length", "11")], Some(false)),
        (410, &[], None),
        (304, &[], None),
    ] {
        let seen = see(&before, &asked, &response(status, lines), times(5), &Knobs::default());
        assert_eq!(seen.map(|seen| matches!(seen, Seen::Update(_))), expected, "{status} {lines:?}");
    }
    let answer = response(200, &[("template-a", "2"), ("cache-control", "max-age=1000")]);
    let Some(Seen::Update(after)) = see(&before, &asked, &answer, times(5), &Knobs::default()) else { panic!() };
    assert_eq!(after.stored.head.fields.get("template-a").unwrap(), "2");
    assert!(after.stored.policy.is_fresh(at(900)) && after.stored.held.is_whole());
}

#[test]
fn failures() {
    for (status, expected) in
        [(500, true), (502, true), (503, true), (504, true), (501, false), (429, false), (200, false)]
    {
        assert_eq!(is_failure(Status::from_u16(status).unwrap()), expected, "{status}");
    }
}
