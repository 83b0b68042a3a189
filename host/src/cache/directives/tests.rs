//! Tables of how directives are read.

use super::*;
use crate::cache::testing::fields;

const TARGETS: [Name; 2] = [Name::from_static("weir-cache-control"), Name::from_static("cdn-cache-control")];

fn secs(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

fn plain(lines: &[&'static str]) -> Directives {
    let lines: Vec<_> = lines.iter().map(|line| ("cache-control", *line)).collect();
    Directives::of(&fields(&lines), &TARGETS, true)
}

#[test]
fn lifetimes_as_people_write_them() {
    for (lines, expected) in [
        (&["max-age=3600"][..], secs(3600)),
        (&["MaX-aGe=3600"], secs(3600)),
        (&["foobar, max-age=3600"], secs(3600)),
        (&["max-age=003600"], secs(3600)),
        (&["max-age=\"3600\""], secs(3600)),
        (&["max-age=\"36\\00\""], secs(3600)),
        (&["max-age=2147483647"], secs(2_147_483_647)),
        (&["max-age=2147483648"], secs(1 << 31)),
        (&["max-age=2147483649"], secs(1 << 31)),
        (&["max-age=99999999999"], secs(1 << 31)),
        (&["max-age=99999999999999999999999999999999999999"], secs(1 << 31)),
        (&["max-age=-3600"], secs(0)),
        (&["max-age='3600'"], secs(0)),
        (&["max-age=3600.0"], secs(0)),
        (&["max-age=a3600"], secs(0)),
        (&["max-age=3600a"], secs(0)),
        (&["max-age"], secs(0)),
        (&["max-age="], secs(0)),
        (&["max-age =3600"], secs(0)),
        (&["max-age= 3600"], secs(0)),
        (&["max-age=\"3600"], secs(0)),
        (&["max-age=1800, max-age=1"], secs(1800)),
        (&["max-age=1, max-age=1800"], secs(1)),
        (&["max-age=x, max-age=1800"], secs(0)),
        (&["max-age=1800", "max-age=1"], secs(1800)),
        (&["max-age=1", "max-age=1800"], secs(1)),
        (&["extension=\"max-age=3600\", max-age=1"], secs(1)),
        (&["max-age=1, extension=\"max-age=3600\""], secs(1)),
        (&["extension=\"a\\\", max-age=3600\", max-age=1"], secs(1)),
        (&["extension=\"max-age=3600, max-age=1"], secs(1)),
        (&["", ", ,", "max-age=5"], secs(5)),
        (&["x-max-age=5"], None),
        (&["public"], None),
    ] {
        assert_eq!(plain(lines).max_age, expected, "{lines:?}");
    }
    let both = plain(&["max-age=1, S-MAXAGE=\"7\", stale-while-revalidate=8,stale-if-error=x"]);
    assert_eq!((both.max_age, both.s_maxage, both.has_lifetime()), (secs(1), secs(7), true));
    assert_eq!((both.stale_while_revalidate, both.stale_if_error), (secs(8), secs(0)));
}

#[test]
fn what_forbids_is_seen_whatever_stands_around_it() {
    let lines = [
        "no-store",
        "No-StOrE",
        "max-age=1,no-store",
        "foo=\", no-store",
        "no-store=x",
        "no-store =",
        "a=\"b, no-store, c=\"d",
        "a=\"b\\\",no-store",
    ];
    for line in lines {
        assert!(plain(&[line]).no_store, "{line}");
    }
    assert!(!plain(&["a=\"no-store\""]).no_store);
    assert!(plain(&["must-revalidate=1"]).must_revalidate && plain(&["proxy-revalidate"]).proxy_revalidate);
    for (line, public) in [("public", true), ("PUBLIC", true), ("public=yes", false), ("public=", false)] {
        assert_eq!(plain(&[line]).public, public, "{line}");
    }
    let flags = plain(&["must-understand, immutable"]);
    assert!(flags.must_understand && flags.immutable && !flags.is_targeted);
}

#[test]
fn reach_of_no_cache_and_private() {
    let some = |names: &[&'static str]| Reach::Fields(names.iter().map(|name| Name::from_static(name)).collect());
    for (argument, expected) in [
        ("", Reach::Whole),
        ("=\"a\"", some(&["a"])),
        ("=\"A, b ,\"", some(&["a", "b"])),
        ("=a", some(&["a"])),
        ("=\"\"", Reach::Whole),
        ("=\"a b\"", Reach::Whole),
        ("=\"a", Reach::Whole),
        ("= \"a\"", Reach::Whole),
    ] {
        let line: &'static str = format!("no-cache{argument}, private{argument}").leak();
        let found = plain(&[line]);
        assert_eq!((found.no_cache, found.private), (expected.clone(), expected), "{line}");
    }
    assert_eq!(plain(&["no-cache=\"a\"", "max-age=3600, no-cache=\"b\""]).no_cache, some(&["a", "b"]));
    assert_eq!(plain(&["no-cache=\"a\", no-cache"]).no_cache, Reach::Whole);
    assert_eq!(plain(&["no-cache, no-cache=\"a\""]).no_cache, Reach::Whole);
    assert_eq!(plain(&["public"]).no_cache, Reach::Nothing);
}

/// RFC 9213, section 2.
#[test]
fn targeted_fields_come_first_or_not_at_all() {
    for (weir, cdn, max_age, is_targeted) in [
        ("", "", secs(9), false),
        ("", "max-age=3600", secs(3600), true),
        ("max-age=1", "max-age=3600", secs(1), true),
        ("max-age=", "max-age=3600", secs(3600), true),
        ("", "max-age=2147483648", secs(1 << 31), true),
        ("", "max-age=99999999999", secs(1 << 31), true),
        ("", "max-age=0", secs(0), true),
        ("", "foobar, max-age=3600", secs(3600), true),
        ("", "max-age=3600;a=b", secs(3600), true),
        ("", "foo", None, true),
        ("", "private", None, true),
        // What follows does not parse, or has the wrong type: Cache-Control counts.
        ("", "MaX-aGe=3600", secs(9), false),
        ("", "max-age =100", secs(9), false),
        ("", "max-age= 100", secs(9), false),
        ("", "max-age=10000, &&&&&", secs(9), false),
        ("", "max-age=\"10000\"", secs(9), false),
        ("", "max-age=-1", secs(9), false),
        ("", "max-age", secs(9), false),
        ("", "max-age=5, no-store=1", secs(9), false),
        ("", "max-age=5, private=1", secs(9), false),
    ] {
        let lines = [("cache-control", "max-age=9"), ("weir-cache-control", weir), ("cdn-cache-control", cdn)];
        let found = Directives::of(&fields(&lines), &TARGETS, true);
        assert_eq!((found.max_age, found.is_targeted), (max_age, is_targeted), "{weir} | {cdn}");
    }
    let lines = [
        ("cdn-cache-control", "no-store=?0, no-cache"),
        ("cdn-cache-control", "private=\"a\""),
        ("cache-control", "no-store"),
    ];
    let found = Directives::of(&fields(&lines), &TARGETS, true);
    assert!(!found.no_store && found.no_cache == Reach::Whole);
    assert_eq!(found.private.fields(), [Name::from_static("a")]);
    assert!(Directives::of(&fields(&lines), &[], true).no_store);
}

#[test]
fn surrogate_control() {
    for (line, surrogate, max_age, swr, no_store) in [
        ("max-age=600", true, secs(600), None, false),
        ("max-age=600+60, content=\"ESI/1.0\"", true, secs(600), secs(60), false),
        ("no-store", true, None, None, true),
        ("max-age=600;other", true, secs(9), None, false),
        ("content=\"ESI/1.0\"", true, secs(9), None, false),
        ("max-age=600", false, secs(9), None, false),
    ] {
        let lines = [("cache-control", "max-age=9"), ("surrogate-control", line)];
        let found = Directives::of(&fields(&lines), &TARGETS, surrogate);
        let seen = (found.max_age, found.stale_while_revalidate, found.no_store);
        assert_eq!(seen, (max_age, swr, no_store), "{line}");
    }
    let both = [("cdn-cache-control", "max-age=1"), ("surrogate-control", "max-age=2")];
    assert_eq!(Directives::of(&fields(&both), &TARGETS, true).max_age, secs(1));
}

#[test]
fn requests() {
    let empty = RequestDirectives::default();
    for (lines, expected) in [
        (&[][..], empty),
        (&[("cache-control", "nothing-to-see-here"), ("pragma", "foo")], empty),
        (&[("cache-control", "no-cache")], RequestDirectives { no_cache: true, ..empty }),
        (&[("pragma", "no-cache")], RequestDirectives { no_cache: true, ..empty }),
        (&[("pragma", "x, No-Cache")], RequestDirectives { no_cache: true, ..empty }),
        (&[("cache-control", "x"), ("pragma", "no-cache")], empty),
        (
            &[("cache-control", "no-store,only-if-cached")],
            RequestDirectives { no_store: true, only_if_cached: true, ..empty },
        ),
        (&[("cache-control", "max-age=0")], RequestDirectives { max_age: secs(0), ..empty }),
        (&[("cache-control", "max-age=x")], RequestDirectives { max_age: secs(0), ..empty }),
        (&[("cache-control", "max-stale")], RequestDirectives { max_stale: Some(FOREVER), ..empty }),
        (
            &[("cache-control", "max-stale=10, min-fresh=5")],
            RequestDirectives { max_stale: secs(10), min_fresh: secs(5), ..empty },
        ),
        (&[("cache-control", "max-stale=x")], RequestDirectives { max_stale: secs(0), ..empty }),
        (&[("cache-control", "stale-if-error=60")], RequestDirectives { stale_if_error: secs(60), ..empty }),
    ] {
        assert_eq!(RequestDirectives::of(&fields(lines)), expected, "{lines:?}");
    }
}

/// A line of nothing but quotes and backslashes is read in one pass, not in one for each quote.
#[test]
fn hostile_lines_end() {
    for line in ["\"".repeat(60_001), "\\\"".repeat(30_000), "a=\"\\".repeat(20_000), ",".repeat(60_000)] {
        let line: &'static str = line.leak();
        assert_eq!(plain(&[line]), Directives::default());
    }
}
