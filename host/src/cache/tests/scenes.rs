//! Scenes between a client, the cache and an origin. Where http-tests/cache-tests has a test that asks the same, the scene
//! has its name.

use super::world::{Got, World, text};
use crate::cache::testing::{at, date, request, response};
use crate::cache::{Cookies, Knobs};
use crate::message::{RequestHead, Status};

type Lines<'a> = &'a [(&'static str, &'static str)];

/// Where a client's answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// The store, and the origin was not asked.
    Store,
    /// The origin, which was asked without a condition of the cache's.
    Origin,
    /// The store, after the origin was asked about the tag.
    Tag,
    /// The store, after the origin was asked about the date.
    Date,
}

/// A first answer, three seconds, and a second request: where is its answer from?
fn second(knobs: &Knobs, asked: Lines<'_>, status: u16, answered: Lines<'_>, again: Lines<'_>) -> From {
    let mut world = World::of(knobs.clone());
    step(&mut world, 0, &request("GET", "/a", asked), status, answered, "first");
    let got = step(&mut world, 3, &request("GET", "/a", again), status, answered, "second");
    from(&got)
}

/// One exchange; the origin says 304 to whoever asks about what it would send.
fn step(world: &mut World, second: u64, asked: &RequestHead, status: u16, lines: Lines<'_>, body: &str) -> Got {
    world.exchange(asked, at(second), &mut |asked| {
        let full = response(status, lines);
        let same = |condition: &str, field: &str| {
            let condition = asked.fields.get(condition);
            condition.is_some() && condition == full.fields.get(field)
        };
        if same("if-none-match", "etag") || same("if-modified-since", "last-modified") {
            return Some((response(304, lines), Vec::new()));
        }
        Some((full, body.as_bytes().to_vec()))
    })
}

fn from(got: &Got) -> From {
    match got.asked.first() {
        None => From::Store,
        Some(asked) if got.body != b"first" => {
            assert_eq!(asked.fields.get("range"), None);
            From::Origin
        }
        Some(asked) if asked.fields.contains("if-none-match") => From::Tag,
        Some(_) => From::Date,
    }
}

#[test]
fn freshness_by_cache_control() {
    for (name, lines, expected) in [
        ("freshness-none", &[][..], From::Origin),
        ("freshness-max-age", &[("cache-control", "max-age=3600")], From::Store),
        ("freshness-max-age-stale", &[("cache-control", "max-age=2"), ("date", date(0))], From::Origin),
        ("freshness-max-age-0", &[("cache-control", "max-age=0")], From::Origin),
        ("freshness-max-age-max", &[("cache-control", "max-age=2147483648")], From::Store),
        ("freshness-max-age-max-plus", &[("cache-control", "max-age=99999999999")], From::Store),
        ("freshness-max-age-age", &[("cache-control", "max-age=3600"), ("age", "7200")], From::Origin),
        ("freshness-max-age-date", &[("cache-control", "max-age=3600"), ("date", date(-7200))], From::Origin),
        ("freshness-max-age-expires", &[("cache-control", "max-age=3600"), ("expires", date(-7200))], From::Store),
        ("freshness-max-age-expires-invalid", &[("cache-control", "max-age=3600"), ("expires", "0")], From::Store),
        ("freshness-max-age-0-expires", &[("cache-control", "max-age=0"), ("expires", date(3600))], From::Origin),
        ("freshness-max-age-extension", &[("cache-control", "foobar, max-age=3600")], From::Store),
        ("freshness-max-age-negative", &[("cache-control", "max-age=-3600")], From::Origin),
        ("freshness-s-maxage-shared", &[("cache-control", "s-maxage=3600")], From::Store),
        ("shared-longer", &[("cache-control", "max-age=3600, s-maxage=1")], From::Origin),
        ("shared-longer-multiple", &[("cache-control", "max-age=3600"), ("cache-control", "s-maxage=1")], From::Origin),
        ("shared-shorter-expires", &[("expires", date(-10)), ("cache-control", "max-age=0, s-maxage=9")], From::Store),
        (
            "freshness-max-age-ignore-quoted",
            &[("cache-control", "extension=\"max-age=3600\", max-age=1")],
            From::Origin,
        ),
        ("freshness-max-age-leading-zero", &[("cache-control", "max-age=003600")], From::Store),
        ("freshness-max-age-single-quoted", &[("cache-control", "max-age='3600'")], From::Origin),
        ("age-parse-nonnumeric", &[("cache-control", "max-age=3600"), ("age", "abc")], From::Store),
        ("age-parse-large", &[("cache-control", "max-age=3600"), ("age", "2147483648")], From::Origin),
        ("age-parse-suffix", &[("cache-control", "max-age=3600"), ("age", "7200, 0")], From::Origin),
        ("age-parse-prefix-twoline", &[("cache-control", "max-age=3600"), ("age", "0"), ("age", "7200")], From::Store),
        ("cdn-max-age", &[("cdn-cache-control", "max-age=3600")], From::Store),
        ("cdn-max-age-age", &[("cdn-cache-control", "max-age=3600"), ("age", "7200")], From::Origin),
        ("cdn-max-age-expires", &[("cdn-cache-control", "max-age=3600"), ("expires", date(-9))], From::Store),
        ("cdn-max-age-0-expires", &[("cdn-cache-control", "max-age=0"), ("expires", date(9))], From::Origin),
        ("cdn-long-cc", &[("cdn-cache-control", "max-age=1"), ("cache-control", "max-age=3600")], From::Origin),
        ("cdn-fresh-cc-nostore", &[("cdn-cache-control", "max-age=9"), ("cache-control", "no-store")], From::Store),
        ("cdn-invalid", &[("cdn-cache-control", "max-age=9, &&&"), ("cache-control", "no-store")], From::Origin),
        ("cdn-wrong-type", &[("cdn-cache-control", "max-age=\"9\""), ("cache-control", "no-store")], From::Origin),
        ("cdn-private", &[("cdn-cache-control", "private"), ("cache-control", "max-age=9")], From::Origin),
    ] {
        assert_eq!(second(&Knobs::default(), &[], 200, lines, &[]), expected, "{name}");
    }
}

#[test]
fn freshness_by_dates() {
    for (name, lines, expected) in [
        ("freshness-expires-future", &[("expires", date(3600)), ("date", date(0))][..], From::Store),
        ("freshness-expires-past", &[("expires", date(-3600)), ("date", date(0))], From::Origin),
        ("freshness-expires-present", &[("expires", date(0)), ("date", date(0))], From::Origin),
        ("freshness-expires-old-date", &[("expires", date(300)), ("date", date(400))], From::Origin),
        ("freshness-expires-invalid", &[("expires", "0"), ("date", date(0))], From::Origin),
        ("freshness-expires-invalid-date", &[("expires", date(10)), ("date", "foo")], From::Store),
        ("slow-date", &[("date", date(-10)), ("expires", date(10)), ("age", "25")], From::Origin),
        ("fast-date", &[("date", date(10)), ("expires", date(20)), ("age", "15")], From::Origin),
        ("freshness-expires-rfc850", &[("expires", "Thursday, 18-Aug-50 02:01:18 GMT")], From::Store),
        ("freshness-expires-ansi-c", &[("expires", "Thu Aug  8 02:01:18 2050")], From::Store),
        ("freshness-expires-wrong-case-tz", &[("expires", "Thu, 18 Aug 2050 02:01:18 gMT")], From::Store),
        ("freshness-expires-invalid-utc", &[("expires", "Thu, 18 Aug 2050 02:01:18 UTC")], From::Origin),
        ("heuristic", &[("last-modified", date(-86_400)), ("date", date(0))], From::Store),
        ("heuristic-delta-5", &[("last-modified", date(-5)), ("date", date(0))], From::Date),
        ("freshness-expires-past, with a date", &[("expires", date(-9)), ("last-modified", date(-9))], From::Date),
    ] {
        assert_eq!(second(&Knobs::default(), &[], 200, lines, &[]), expected, "{name}");
    }
    for (status, fresh) in
        [(201, false), (202, false), (203, true), (204, true), (403, false), (404, true), (503, false)]
    {
        let expected = if fresh { From::Store } else { From::Origin };
        let lines = [("last-modified", date(-86_400)), ("date", date(0))];
        let again = second(&Knobs::default(), &[], status, &lines, &[]);
        assert_eq!(again, expected, "heuristic-{status}");
    }
}

#[test]
fn directives_of_responses_and_requests() {
    let tag = ("etag", "\"abcd\"");
    let fresh = ("cache-control", "max-age=100");
    for (name, lines, again, expected) in [
        ("cc-resp-private-shared", &[("cache-control", "private, max-age=3600")][..], &[][..], From::Origin),
        (
            "cc-resp-no-store-fresh",
            &[("cache-control", "max-age=9, no-store"), ("expires", date(9))],
            &[],
            From::Origin,
        ),
        ("cc-resp-no-cache", &[("cache-control", "max-age=9, no-cache")], &[], From::Origin),
        ("cc-resp-no-cache-revalidate", &[("cache-control", "no-cache"), tag], &[], From::Tag),
        ("cc-resp-no-cache-revalidate-fresh", &[("cache-control", "max-age=9, no-cache"), tag], &[], From::Tag),
        ("cc-resp-must-revalidate-fresh", &[("cache-control", "max-age=9, must-revalidate"), tag], &[], From::Store),
        ("cc-resp-must-revalidate-stale", &[("cache-control", "max-age=2, must-revalidate"), tag], &[], From::Tag),
        ("status-200-must-understand", &[("cache-control", "max-age=9, no-store, must-understand")], &[], From::Store),
        ("ccreq-ma0", &[fresh], &[("cache-control", "max-age=0")], From::Origin),
        ("ccreq-magreaterage", &[fresh, ("age", "18")], &[("cache-control", "max-age=10")], From::Origin),
        ("ccreq-max-stale", &[("cache-control", "max-age=2")], &[("cache-control", "max-stale=9")], From::Store),
        ("ccreq-min-fresh-age", &[fresh, ("age", "50")], &[("cache-control", "min-fresh=60")], From::Origin),
        ("ccreq-no-cache-lm", &[fresh, ("last-modified", date(-9))], &[("cache-control", "no-cache")], From::Date),
        ("ccreq-no-cache-etag", &[fresh, tag], &[("cache-control", "no-cache")], From::Tag),
        ("ccreq-no-store", &[fresh], &[("cache-control", "no-store")], From::Origin),
        ("pragma-response-no-cache", &[fresh, ("pragma", "no-cache")], &[], From::Store),
        ("pragma-request-extension", &[fresh], &[("pragma", "x")], From::Store),
        ("other-set-cookie", &[fresh, ("set-cookie", "a=b")], &[], From::Store),
        ("other-cookie", &[fresh], &[("cookie", "a=b")], From::Store),
        ("conditional-etag-weak-generate-weak", &[("cache-control", "max-age=2"), ("etag", "W/\"a\"")], &[], From::Tag),
    ] {
        assert_eq!(second(&Knobs::default(), &[], 200, lines, again), expected, "{name}");
    }
    let credentials = [("authorization", "FOO")];
    for (name, line, expected) in [
        ("other-authorization", "max-age=3600", From::Origin),
        ("other-authorization-public", "max-age=3600, public", From::Store),
        ("other-authorization-must-revalidate", "max-age=3600, must-revalidate", From::Store),
        ("other-authorization-smaxage", "s-maxage=3600", From::Store),
    ] {
        assert_eq!(second(&Knobs::default(), &credentials, 200, &[("cache-control", line)], &[]), expected, "{name}");
    }
    let knobs = Knobs { cookies: Cookies::Never, ..Knobs::default() };
    assert_eq!(second(&knobs, &[], 200, &[fresh, ("set-cookie", "a=b")], &[]), From::Origin);
    for status in [203, 299, 301, 302, 307, 400, 404, 410, 499, 500, 502, 503, 504, 599] {
        assert_eq!(second(&Knobs::default(), &[], status, &[fresh], &[]), From::Store, "status-{status}-fresh");
        let stale = [("expires", date(-5000)), ("date", date(0))];
        assert_eq!(second(&Knobs::default(), &[], status, &stale, &[]), From::Origin, "status-{status}-stale");
    }
    let got = World::of(Knobs::default()).exchange(
        &request("GET", "/", &[("cache-control", "only-if-cached")]),
        at(0),
        &mut |_| None,
    );
    assert_eq!((got.head.status, got.asked.len()), (Status::GATEWAY_TIMEOUT, 0), "ccreq-oic");
}

#[test]
fn an_origin_that_fails() {
    let stored = |line: &'static str, answer: Option<u16>, wishes: Lines<'_>| {
        let mut world = World::of(Knobs::default());
        step(&mut world, 0, &request("GET", "/a", &[]), 200, &[("cache-control", line)], "first");
        let got = world.exchange(&request("GET", "/a", wishes), at(3), &mut |_| {
            answer.map(|status| (response(status, &[]), Vec::new()))
        });
        (got.head.status.as_u16(), text(&got.head.fields, "age"))
    };
    let age = || Some("3".to_owned());
    for (name, line, expected) in [
        ("stale-close", "max-age=2", (200, age())),
        ("stale-sie-close", "max-age=2, stale-if-error=60", (200, age())),
        ("stale-close-must-revalidate", "max-age=2, must-revalidate", (502, None)),
        ("stale-close-proxy-revalidate", "max-age=2, proxy-revalidate", (502, None)),
        ("stale-close-no-cache", "max-age=2, no-cache", (502, None)),
        ("stale-close-s-maxage=2", "max-age=2, s-maxage=2", (502, None)),
    ] {
        assert_eq!(stored(line, None, &[]), expected, "{name}");
    }
    for status in [500, 502, 503, 504] {
        assert_eq!(stored("max-age=2", Some(status), &[]), (200, age()), "stale-{status}");
        assert_eq!(stored("max-age=2, must-revalidate", Some(status), &[]), (status, None));
    }
    assert_eq!(stored("max-age=2", Some(404), &[]), (404, None));
    assert_eq!(stored("max-age=2", Some(503), &[("cache-control", "no-cache")]), (503, None));
}

#[test]
fn validation_behind_the_client() {
    let mut world = World::of(Knobs::default());
    let get = request("GET", "/a", &[]);
    let lines = [("cache-control", "max-age=1, stale-while-revalidate=4"), ("etag", "\"abc\"")];
    step(&mut world, 0, &get, 200, &lines, "first");
    let changed = [("cache-control", "no-cache"), ("etag", "\"def\"")];
    let got = step(&mut world, 3, &get, 200, &changed, "second");
    assert_eq!((got.body.as_slice(), got.asked.len()), (&b"first"[..], 0), "stale-while-revalidate");
    assert_eq!(got.behind[0].fields.get("if-none-match").unwrap(), "\"abc\"");
    let got = step(&mut world, 6, &get, 200, &changed, "third");
    assert_eq!(got.body, b"second");
    assert_eq!(got.asked[0].fields.get("if-none-match").unwrap(), "\"def\"", "stale-while-revalidate-window");
    let mut world = World::of(Knobs::default());
    step(&mut world, 0, &get, 200, &lines, "first");
    assert_eq!(from(&step(&mut world, 5, &get, 200, &[], "second")), From::Origin, "the window is over");
}

#[test]
fn unsafe_requests() {
    let fresh: Lines<'_> = &[("cache-control", "max-age=100")];
    for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"] {
        for (status, gone) in [(200, true), (303, true), (500, false), (404, false)] {
            let mut world = World::of(Knobs::default());
            for path in ["/a", "/loc", "/cl", "/other"] {
                step(&mut world, 0, &request("GET", path, &[]), 200, fresh, "first");
            }
            let lines = [("location", "loc"), ("content-location", "http://shop.example/cl")];
            step(&mut world, 1, &request(method, "/a", &[]), status, &lines, "done");
            for (path, hit) in [("/a", true), ("/loc", true), ("/cl", true), ("/other", false)] {
                let got = step(&mut world, 2, &request("GET", path, &[]), 200, fresh, "second");
                let expected = if hit && gone { From::Origin } else { From::Store };
                assert_eq!(from(&got), expected, "invalidate-{method} {status} {path}");
            }
        }
    }
    let mut world = World::of(Knobs::default());
    let lines = [("cache-control", "max-age=3600"), ("content-location", "/a")];
    step(&mut world, 0, &request("POST", "/a", &[]), 200, &lines, "first");
    assert_eq!(
        from(&step(&mut world, 3, &request("GET", "/a", &[]), 200, &lines, "second")),
        From::Store,
        "method-POST"
    );
    assert_eq!(from(&step(&mut world, 4, &request("POST", "/a", &[]), 200, &[], "third")), From::Origin);
    let grouped = [("cache-control", "max-age=3600"), ("cache-groups", "\"menu\"")];
    step(&mut world, 0, &request("GET", "/b", &[]), 200, &grouped, "first");
    step(&mut world, 1, &request("POST", "/c", &[]), 200, &[("cache-group-invalidation", "\"menu\"")], "done");
    assert_eq!(from(&step(&mut world, 2, &request("GET", "/b", &[]), 200, &[], "second")), From::Origin);
}

#[test]
fn variants_side_by_side() {
    let mut world = World::of(Knobs::default());
    let lines = [("cache-control", "max-age=5000"), ("vary", "Foo")];
    let get = |value: &'static str| request("GET", "/a", &[("foo", value)]);
    step(&mut world, 0, &get("1"), 200, &lines, "first");
    assert_eq!(from(&step(&mut world, 0, &get("2"), 200, &lines, "second")), From::Origin);
    assert_eq!(step(&mut world, 0, &get("1"), 200, &lines, "third").body, b"first", "vary-invalidate");
    assert_eq!(step(&mut world, 0, &get("2"), 200, &lines, "third").body, b"second");
    let mut world = World::of(Knobs::default());
    let tagged = [("cache-control", "max-age=5000"), ("vary", "Foo"), ("etag", "\"one\"")];
    step(&mut world, 0, &get("1"), 200, &tagged, "first");
    let got = step(&mut world, 0, &get("2"), 200, &tagged, "second");
    assert_eq!((from(&got), got.body.as_slice()), (From::Tag, &b"first"[..]), "conditional-etag-vary-headers-mismatch");
    for value in ["1", "2"] {
        assert_eq!(from(&step(&mut world, 1, &get(value), 200, &[], "third")), From::Store, "{value}");
    }
}

#[test]
fn a_client_with_a_copy_of_its_own() {
    let mut world = World::of(Knobs::default());
    let lines = [("cache-control", "max-age=2"), ("last-modified", date(-3000))];
    step(&mut world, 0, &request("GET", "/a", &[]), 200, &lines, "first");
    let got = step(&mut world, 3, &request("GET", "/a", &[("if-modified-since", date(-3000))]), 200, &lines, "second");
    assert_eq!((got.head.status, got.asked.len()), (Status::NOT_MODIFIED, 1), "conditional-lm-stale");
    let got = step(&mut world, 4, &request("GET", "/a", &[("if-modified-since", date(-2000))]), 200, &lines, "third");
    assert_eq!((got.head.status, got.asked.len()), (Status::NOT_MODIFIED, 0), "conditional-lm-fresh-earlier");
    let got = step(&mut world, 4, &request("GET", "/b", &[("if-none-match", "\"x\"")]), 200, &[], "third");
    assert_eq!(got.asked[0].fields.get("if-none-match").unwrap(), "\"x\"", "conditional-etag-forward");
}

#[test]
fn parts_and_the_whole() {
    let mut world = World::of(Knobs::default());
    let get = |range: &'static str| request("GET", "/a", &[("range", range)]);
    let part = |range: &'static str| {
        [("cache-control", "max-age=3600"), ("content-range", range), ("etag", "\"a\""), ("a", "1")]
    };
    step(&mut world, 0, &get("bytes=0-4"), 206, &part("bytes 0-4/10"), "01234");
    let got = step(&mut world, 1, &get("bytes=1-3"), 206, &[], "");
    assert_eq!(
        (got.body.as_slice(), got.asked.len()),
        (&b"123"[..], 0),
        "partial-store-partial-reuse-partial-byterange"
    );
    // The rest is asked for under the tag, and what comes back is put together.
    let got = step(&mut world, 2, &request("GET", "/a", &[]), 206, &part("bytes 5-9/10"), "56789");
    assert_eq!(got.asked[0].fields.get("range").unwrap(), "bytes=5-");
    assert_eq!(got.asked[0].fields.get("if-range").unwrap(), "\"a\"");
    assert_eq!((got.head.status, got.body.as_slice()), (Status::OK, &b"0123456789"[..]));
    assert_eq!(text(&got.head.fields, "content-length").as_deref(), Some("10"));
    let got = step(&mut world, 3, &get("bytes=-2"), 200, &[], "");
    assert_eq!((got.body.as_slice(), got.asked.len()), (&b"89"[..], 0));
    assert_eq!(text(&got.head.fields, "a").as_deref(), Some("1"), "partial-use-stored-headers");
    // Another version: nothing is put together.
    let mut world = World::of(Knobs::default());
    step(&mut world, 0, &get("bytes=0-4"), 206, &part("bytes 0-4/10"), "01234");
    let got = step(
        &mut world,
        1,
        &request("GET", "/a", &[]),
        200,
        &[("cache-control", "max-age=9"), ("etag", "\"b\"")],
        "abc",
    );
    assert_eq!((got.body.as_slice(), got.asked.len()), (&b"abc"[..], 1));
    assert_eq!(step(&mut world, 2, &get("bytes=0-1"), 200, &[], "").body, b"ab");
}

#[test]
fn heads_pass_and_freshen() {
    let mut world = World::of(Knobs::default());
    let lines = [("cache-control", "max-age=2"), ("template-a", "1")];
    step(&mut world, 0, &request("GET", "/a", &[]), 200, &lines, "first");
    assert_eq!(from(&step(&mut world, 1, &request("HEAD", "/a", &[]), 200, &[], "")), From::Store);
    let newer = [("cache-control", "max-age=1000"), ("template-a", "2")];
    let got = step(&mut world, 3, &request("HEAD", "/a", &[]), 200, &newer, "");
    assert_eq!(got.asked.len(), 1, "head-writethrough");
    let got = step(&mut world, 4, &request("GET", "/a", &[]), 200, &[], "second");
    assert_eq!(
        (from(&got), text(&got.head.fields, "template-a").as_deref()),
        (From::Store, Some("2")),
        "head-200-update"
    );
    step(&mut world, 1500, &request("HEAD", "/a", &[]), 200, &[("content-length", "99")], "");
    assert_eq!(from(&step(&mut world, 1501, &request("GET", "/a", &[]), 200, &[], "third")), From::Origin);
}

#[test]
fn keys_ages_and_dates() {
    let mut world = World::of(Knobs::default());
    let lines = [("expires", date(3600)), ("date", date(0)), ("age", "30")];
    step(&mut world, 0, &request("GET", "/a?b", &[]), 200, &lines, "first");
    let got = step(&mut world, 3, &request("GET", "/a?b", &[]), 200, &lines, "second");
    let field = |name: &str| text(&got.head.fields, name).unwrap();
    assert_eq!((from(&got), field("age").as_str()), (From::Store, "33"), "other-age-update-expires");
    assert_eq!((field("date").as_str(), field("expires").as_str()), (date(0), date(3600)), "other-date-update-expires");
    assert_eq!(
        from(&step(&mut world, 3, &request("GET", "/a?c", &[]), 200, &lines, "x")),
        From::Origin,
        "query-args-different"
    );
    assert_eq!(from(&step(&mut world, 3, &request("GET", "/a", &[]), 200, &lines, "x")), From::Origin);
}
