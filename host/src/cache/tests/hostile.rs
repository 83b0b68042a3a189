//! Heads that mean harm: whatever stands in them, the rules answer, in time, and never live longer for being broken.

use fastrand::Rng;
use http::header;

use super::world::World;
use crate::cache::fresh::Times;
use crate::cache::key::{Content, Key};
use crate::cache::lookup::look;
use crate::cache::reply::reply;
use crate::cache::storable::storable;
use crate::cache::testing::{at, request, response, times};
use crate::cache::{Cookies, Knobs, Stored, invalidate, partial, validate};
use crate::message::{Fields, Name, Status, Value};

/// Pieces that parsers stumble over, put together at random.
const PIECES: [&[u8]; 40] = [
    b"max-age=",
    b"s-maxage=",
    b"no-store",
    b"no-cache=",
    b"private=\"",
    b"public",
    b"stale-if-error=",
    b"must-understand",
    b"99999999999999999999",
    b"0",
    b"-1",
    b"\"",
    b"\\",
    b",",
    b";",
    b"=",
    b" ",
    b"\t",
    b"*",
    b"bytes ",
    b"bytes=",
    b"0-4",
    b"/10",
    b"/*",
    b"-",
    b"W/\"a\"",
    b"\"a\"",
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"Sunday, 31-Dec-99 23:59:60 GMT",
    b"(",
    b")",
    b":",
    b"?1",
    b"@1",
    b"%\"",
    b"\xff\xe4",
    b"http://shop.example/",
    b"//",
    b"../",
    b"q=0.5",
];

const NAMES: [&str; 24] = [
    "cache-control",
    "cdn-cache-control",
    "weir-cache-control",
    "surrogate-control",
    "pragma",
    "age",
    "date",
    "expires",
    "last-modified",
    "etag",
    "vary",
    "content-range",
    "content-length",
    "content-location",
    "location",
    "cache-groups",
    "surrogate-key",
    "cache-tag",
    "cache-group-invalidation",
    "connection",
    "if-none-match",
    "if-modified-since",
    "range",
    "accept-language",
];

fn scramble(rng: &mut Rng, fields: &mut Fields) {
    for _ in 0..rng.usize(0..8) {
        let pieces: Vec<&[u8]> = (0..rng.usize(0..6)).map(|_| PIECES[rng.usize(0..PIECES.len())]).collect();
        if let Ok(value) = Value::from_bytes(&pieces.concat()) {
            fields.append(Name::from_static(NAMES[rng.usize(0..NAMES.len())]), value);
        }
    }
}

#[test]
fn nothing_panics() {
    let open = Knobs {
        store_private: true,
        store_no_store: true,
        store_expired: true,
        query: true,
        cookies: Cookies::Always,
        ..Knobs::default()
    };
    let mut kept = 0;
    for seed in 0..40_000 {
        let rng = &mut Rng::with_seed(seed);
        let mut asked = request(["GET", "HEAD", "POST", "QUERY"][rng.usize(0..4)], "/a/b?c=d", &[]);
        scramble(rng, &mut asked.fields);
        let mut answer = response([200, 206, 304, 404, 599][rng.usize(0..5)], &[]);
        scramble(rng, &mut answer.fields);
        let knobs = if rng.bool() { open.clone() } else { Knobs::default() };
        let _ = Key::of(&asked, &knobs.key, &[("content", &Content::of(&asked.fields).finish())]);
        let _ = invalidate::targets(&asked, answer.status, &answer.fields, &knobs.key);
        let Ok(mut stored) = storable(&asked, &answer, times(0), &knobs) else { continue };
        let _ = stored.finish(rng.u64(0..12));
        kept += 1;
        assert!(stored.head.fields.get(header::DATE).is_some());
        let mut again = request("GET", "/a/b?c=d", &[]);
        scramble(rng, &mut again.fields);
        let now = at(rng.u64(0..10));
        let _ = look(&[&stored], &again, now, &knobs);
        let _ = reply(&stored, &again, now, seed);
        let _ = (
            partial::rest(&stored),
            partial::combine(&stored, &stored, &knobs),
            validate::ask(&mut again.fields, &stored),
        );
        let late = Times { asked: at(2), answered: at(1) };
        let fresh = validate::freshen(&stored, &again, &answer, late, &knobs);
        let _ = validate::see(&fresh.stored, &again, &answer, late, &knobs);
        let _ = validate::meant(&[&stored], &answer);
        let _ = stored.also_for(&again.fields);
    }
    assert!(kept > 800, "{kept}");
}

/// A clock that is years off on either side makes nothing immortal.
#[test]
fn times_that_cannot_be() {
    let long = [("cache-control", "max-age=99999999999"), ("etag", "\"a\"")];
    for (first, second) in [(0, 4_000_000_000), (4_000_000_000, 0)] {
        let times = Times { asked: at(first), answered: at(second) };
        let stored: Stored =
            storable(&request("GET", "/", &[]), &response(200, &long), times, &Knobs::default()).unwrap();
        let _ = stored.policy.ttl(at(first));
        assert!(stored.policy.age(at(u64::from(u32::MAX) * 2)) <= crate::cache::FOREVER);
    }
}

/// A broken directive after a good one, in every position: it never makes a response storable or longer lived.
#[test]
fn what_is_broken_does_not_help() {
    for broken in ["max-age", "max-age=x", "max-age=\"", "max-age= 9", "foo=\"", "=", "\\", "\"\\", "private=\"x"] {
        for line in
            [format!("no-store, {broken}"), format!("{broken}, no-store"), format!("{broken}, max-age=9, no-store")]
        {
            let answer = response(200, &[("cache-control", line.clone().leak()), ("etag", "\"a\"")]);
            assert!(storable(&request("GET", "/", &[]), &answer, times(0), &Knobs::default()).is_err(), "{line}");
        }
    }
}

/// One client's variants do not take away another's.
#[test]
fn variants_of_a_stranger_stay_apart() {
    let mut world = World::of(Knobs::default());
    let lines = [("cache-control", "max-age=9"), ("vary", "cookie")];
    for (cookie, body) in [("a=1", "one"), ("a=2", "two"), ("a=1, b", "three"), ("a=1,b", "four")] {
        let asked = request("GET", "/", &[("cookie", cookie)]);
        let got = world.exchange(&asked, at(0), &mut |_| Some((response(200, &lines), body.as_bytes().to_vec())));
        assert_eq!((got.head.status, got.body.as_slice()), (Status::OK, body.as_bytes()));
    }
}
