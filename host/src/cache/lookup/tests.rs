//! Tables of what is done with what is stored.

use super::*;
use crate::cache::storable::storable;
use crate::cache::testing::{at, get, request, response, times};
use crate::cache::validate;

fn stored(second: u64, asked: &[(&'static str, &'static str)], lines: &[(&'static str, &'static str)]) -> Stored {
    let status = if lines.iter().any(|(name, _)| *name == "content-range") { 206 } else { 200 };
    let mut stored = storable(&get(asked), &response(status, lines), times(second), &Knobs::default()).unwrap();
    stored.finish(5).unwrap();
    stored
}

const FRESH: (&str, &str) = ("cache-control", "max-age=100");

#[test]
fn from_what_is_stored_to_what_is_done() {
    let knobs = Knobs { query: true, ..Knobs::default() };
    let use_it = |at| Found::Use { at, is_stale: false, revalidate: false };
    let fresh = [stored(0, &[], &[FRESH])];
    let varying =
        [stored(0, &[("foo", "1")], &[FRESH, ("vary", "foo")]), stored(1, &[("foo", "2")], &[FRESH, ("vary", "foo")])];
    let part = [stored(0, &[], &[FRESH, ("content-range", "bytes 0-4/10")])];
    let soon = [stored(0, &[], &[("cache-control", "max-age=1, stale-while-revalidate=60")])];
    for (candidates, method, lines, expected) in [
        (&[][..], "GET", &[][..], Found::Nothing(Forward::UriMiss)),
        (&fresh, "GET", &[], use_it(0)),
        (&fresh, "HEAD", &[], use_it(0)),
        (&fresh, "QUERY", &[], use_it(0)),
        (&fresh, "POST", &[], Found::Nothing(Forward::Method)),
        (&fresh, "OPTIONS", &[], Found::Nothing(Forward::Method)),
        (&fresh, "GET", &[("cookie", "a=b"), ("authorization", "x")], use_it(0)),
        (&fresh, "GET", &[("if-match", "\"a\"")], Found::Nothing(Forward::Request)),
        (&fresh, "GET", &[("if-unmodified-since", "x")], Found::Nothing(Forward::Request)),
        (&fresh, "GET", &[("cache-control", "no-store")], Found::Nothing(Forward::Request)),
        // What there is says why the origin is asked, and no more (RFC 9211, section 2.2).
        (&[], "GET", &[("cache-control", "no-store")], Found::Nothing(Forward::UriMiss)),
        (&[], "GET", &[("if-match", "*")], Found::Nothing(Forward::UriMiss)),
        (&varying, "GET", &[("foo", "3"), ("if-match", "*")], Found::Nothing(Forward::Miss)),
        (&part, "GET", &[("if-match", "*")], Found::Nothing(Forward::Partial)),
        (&soon, "GET", &[("if-match", "*")], Found::Nothing(Forward::Stale)),
        (&fresh, "GET", &[("if-match", "*"), ("cache-control", "only-if-cached")], Found::Unavailable),
        (&fresh, "GET", &[("cache-control", "no-cache")], Found::Validate { at: 0, why: Forward::Request }),
        (&fresh, "GET", &[("pragma", "no-cache")], Found::Validate { at: 0, why: Forward::Request }),
        (&fresh, "GET", &[("cache-control", "only-if-cached")], use_it(0)),
        (&fresh, "GET", &[("range", "bytes=0-1")], use_it(0)),
        (&varying, "GET", &[("foo", "1")], use_it(0)),
        (&varying, "GET", &[("foo", "2")], use_it(1)),
        (&varying, "GET", &[("foo", "3")], Found::Nothing(Forward::VaryMiss)),
        (&varying, "GET", &[("foo", "3"), ("cache-control", "only-if-cached")], Found::Unavailable),
        (&part, "GET", &[("range", "bytes=1-2")], use_it(0)),
        (&part, "GET", &[("range", "bytes=4-5")], Found::Complete { at: 0 }),
        (&part, "GET", &[], Found::Complete { at: 0 }),
        (&part, "GET", &[("cache-control", "only-if-cached")], Found::Unavailable),
        (&part, "HEAD", &[], Found::Nothing(Forward::Partial)),
        (&soon, "GET", &[], Found::Use { at: 0, is_stale: true, revalidate: true }),
        (&soon, "GET", &[("cache-control", "max-stale")], Found::Use { at: 0, is_stale: true, revalidate: false }),
        (&soon, "GET", &[("cache-control", "max-age=0")], Found::Validate { at: 0, why: Forward::Stale }),
    ] {
        let asked = request(method, "/a", lines);
        assert_eq!(look(candidates, &asked, at(3), &knobs), expected, "{method} {lines:?}");
    }
    let empty: [Stored; 0] = [];
    assert_eq!(look(&empty, &get(&[("cache-control", "only-if-cached")]), at(0), &knobs), Found::Unavailable);
    let deaf = Knobs { ignore_request: true, ..Knobs::default() };
    assert_eq!(look(&fresh, &get(&[("cache-control", "no-store, no-cache")]), at(3), &deaf), use_it(0));
    assert_eq!(look(&fresh, &get(&[]), at(100), &knobs), Found::Validate { at: 0, why: Forward::Stale });
    let partial = Found::Nothing(Forward::Partial);
    assert_eq!(look(&part, &get(&[]), at(100), &knobs), partial);
    assert_eq!(look(&part, &get(&[("range", "bytes=4-5")]), at(100), &knobs), partial);
    let stale = Found::Validate { at: 0, why: Forward::Stale };
    assert_eq!(look(&part, &get(&[("range", "bytes=0-4")]), at(100), &knobs), stale);
    let mut purged = fresh[0].clone();
    purged.invalidate();
    assert_eq!(look(&[purged], &get(&[]), at(3), &knobs), Found::Validate { at: 0, why: Forward::Stale });
}

/// RFC 9111, section 4.1.
#[test]
fn the_latest_of_those_that_fit() {
    let knobs = Knobs::default();
    let language = [FRESH, ("vary", "accept-language"), ("content-language", "de")];
    let all = [
        stored(1, &[("foo", "1")], &[FRESH, ("vary", "foo")]),
        stored(3, &[("foo", "1"), ("bar", "1")], &[FRESH, ("vary", "foo, bar")]),
        stored(2, &[], &[FRESH, ("vary", "bar")]),
        stored(9, &[("accept-language", "en, de")], &language),
    ];
    for (lines, expected) in [
        (&[("foo", "1")][..], Some(2)),
        (&[("foo", "1"), ("bar", "1")], Some(1)),
        (&[("foo", "1"), ("bar", "2")], Some(0)),
        (&[("bar", "2")], None),
        (&[("bar", "2"), ("accept-language", "fr;q=0.5, de")], Some(3)),
        (&[("bar", "2"), ("accept-language", "de, en")], Some(3)),
        (&[("accept-language", "fr;q=0.5, de")], Some(2)),
    ] {
        assert_eq!(select(&all, &get(lines), &knobs), expected, "{lines:?}");
    }
    let exact = Knobs { languages: false, ..knobs };
    assert_eq!(select(&all, &get(&[("bar", "2"), ("accept-language", "fr;q=0.5, de")]), &exact), None);
}

/// After a `VaryMiss`, one question may list all variants (RFC 9111, section 4.1).
#[test]
fn a_variant_nobody_has_may_be_one_that_is_stored() {
    let stored = |value: &'static str, tag| stored(0, &[("abc", value)], &[FRESH, ("vary", "abc"), ("etag", tag)]);
    let all = [stored("1", "\"a\""), stored("2", "\"b\"")];
    let mut asked = get(&[("abc", "3")]);
    assert_eq!(look(&all, &asked, at(1), &Knobs::default()), Found::Nothing(Forward::VaryMiss));
    assert!(validate::ask_variants(&mut asked.fields, &all));
    assert_eq!(asked.fields.get("if-none-match").unwrap(), "\"a\", \"b\"");
    assert_eq!(validate::meant(&all, &response(304, &[("etag", "\"b\"")])), [1]);
}
