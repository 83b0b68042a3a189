//! Tables of parts and how they come together.

use std::time::Duration;

use super::*;
use crate::cache::storable::storable;
use crate::cache::testing::{date, fields, get, response, times};
use crate::cache::{Knobs, Stored};

fn range(first: u64, last: u64) -> Range {
    Range { first, last }
}

fn part(content_range: &'static str, length: u64, lines: &[(&'static str, &'static str)]) -> Stored {
    let mut all = vec![("cache-control", "max-age=3600"), ("content-range", content_range)];
    all.extend(lines);
    let mut stored = storable(&get(&[]), &response(206, &all), times(0), &Knobs::default()).unwrap();
    stored.finish(length).unwrap();
    stored
}

#[test]
fn content_ranges() {
    for (text, expected) in [
        ("bytes 0-4/10", Some((0, 4, 10))),
        ("Bytes 4-9/10", Some((4, 9, 10))),
        ("bytes 0-0/1", Some((0, 0, 1))),
        ("bytes 0-4/*", None),
        ("bytes */10", None),
        ("bytes 5-4/10", None),
        ("bytes 5-10/10", None),
        ("items 0-4/10", None),
        ("bytes=0-4/10", None),
        ("bytes 0-4", None),
        ("bytes 0-/10", None),
        ("bytes +0-4/10", None),
        ("bytes 0-99999999999999999999/999999999999999999999", None),
        ("", None),
    ] {
        let found = ContentRange::of(&fields(&[("content-range", text)]));
        let expected = expected.map(|(first, last, complete)| ContentRange { range: range(first, last), complete });
        assert_eq!(found, expected, "{text}");
    }
    assert_eq!(ContentRange::of(&fields(&[("content-type", "multipart/byteranges; boundary=x")])), None);
    let twice = fields(&[("content-range", "bytes 0-4/10"), ("content-range", "bytes 0-4/10")]);
    assert_eq!(ContentRange::of(&twice), None);
}

#[test]
fn what_a_part_brings() {
    for (text, length, expected) in [
        ("bytes 0-4/10", 5, Some((0, 4, 10, true))),
        ("bytes 5-9/10", 5, Some((5, 9, 10, true))),
        // It says that it runs to the end, and it is complete: then it does.
        ("bytes 4-9/10", 5, Some((4, 8, 9, false))),
        ("bytes 4-9/10", 7, Some((4, 10, 11, false))),
        ("bytes 0-4/10", 4, None),
        ("bytes 0-4/10", 6, None),
        ("bytes 0-4/10", 0, None),
    ] {
        let held = Held::part(&fields(&[("content-range", text)]), length);
        let seen = held.map(|held| (held.ranges[0].first, held.ranges[0].last, held.complete, held.is_exact));
        assert_eq!(seen, expected, "{text} {length}");
    }
    let (nothing, empty) = (Held::nothing(), Held::whole(0));
    assert!(!nothing.is_whole() && empty.is_whole() && Held::whole(1).is_whole());
    assert!(!nothing.has(range(0, 0)) && !empty.has(range(0, 0)) && Held::whole(5).has(range(0, 4)));
}

#[test]
fn pieces_grow_together() {
    let held = |list: &[(u64, u64)]| Held::read(list.iter().map(|&(a, b)| range(a, b)).collect(), 10, true);
    for (one, other, both, gap) in [
        (&[(0, 4)][..], &[(5, 9)][..], &[(0, 9)][..], None),
        (&[(0, 4)], &[(3, 6)], &[(0, 6)], Some((7, 9))),
        (&[(5, 9)], &[(7, 8)], &[(5, 9)], Some((0, 4))),
        (&[(0, 1)], &[(8, 9)], &[(0, 1), (8, 9)], Some((2, 7))),
        (&[(0, 1)], &[(4, 5)], &[(0, 1), (4, 5)], None),
        (&[(2, 3)], &[(5, 6)], &[(2, 3), (5, 6)], None),
        (&[(0, 1), (4, 5)], &[(1, 8)], &[(0, 8)], Some((9, 9))),
    ] {
        let (one, other, both) = (held(one).unwrap(), held(other).unwrap(), held(both).unwrap());
        assert_eq!(one.with(&other), Some(both.clone()));
        assert_eq!(other.with(&one), Some(both.clone()));
        assert_eq!(both.gap(), gap.map(|(first, last)| range(first, last)), "{both:?}");
        assert_eq!(both.is_whole(), both.ranges() == [range(0, 9)]);
    }
    assert_eq!(held(&[(0, 1)]).unwrap().with(&Held::whole(11)), None);
    for wrong in [&[(4, 5), (0, 1)][..], &[(0, 4), (4, 5)], &[(0, 10)], &[(3, 2)]] {
        assert_eq!(held(wrong), None, "{wrong:?}");
    }
    let many: Vec<(u64, u64)> = (0..20).map(|at| (at * 3, at * 3)).collect();
    let pieces = |many: &[(u64, u64)]| Held::read(many.iter().map(|&(a, b)| range(a, b)).collect(), 100, true).unwrap();
    assert_eq!(pieces(&many[..10]).with(&pieces(&many[10..])), None);
    let miscounted = Held::part(&fields(&[("content-range", "bytes 4-9/10")]), 5).unwrap();
    assert_eq!(miscounted.with(&Held::whole(9)), None);
}

#[test]
fn what_is_missing_is_asked_for_under_a_strong_validator() {
    let old = ("last-modified", date(-100));
    for (content_range, length, lines, expected) in [
        ("bytes 0-4/10", 5, &[("etag", "\"a\"")][..], Some(("bytes=5-", "\"a\""))),
        ("bytes 5-9/10", 5, &[("etag", "\"a\"")], Some(("bytes=0-4", "\"a\""))),
        ("bytes 0-4/10", 5, &[old], Some(("bytes=5-", date(-100)))),
        ("bytes 0-4/10", 5, &[("last-modified", date(0))], None),
        ("bytes 0-4/10", 5, &[old, ("etag", "W/\"a\"")], None),
        ("bytes 0-4/10", 5, &[("etag", "a")], None),
        ("bytes 0-4/10", 5, &[], None),
        ("bytes 2-4/10", 3, &[("etag", "\"a\"")], None),
        ("bytes 0-9/10", 10, &[("etag", "\"a\"")], None),
        ("bytes 4-9/10", 5, &[("etag", "\"a\"")], None),
    ] {
        let found = rest(&part(content_range, length, lines));
        let found = found.as_ref().map(|rest| (rest.range.to_str().unwrap(), rest.validator.to_str().unwrap()));
        assert_eq!(found, expected, "{content_range} {lines:?}");
    }
}

/// RFC 9111, section 3.4.
#[test]
fn parts_are_combined_under_one_strong_validator() {
    let tag = ("etag", "\"a\"");
    let knobs = Knobs::default();
    let first = part("bytes 0-4/10", 5, &[tag, ("a", "1"), ("b", "1"), ("age", "100"), ("content-length", "5")]);
    let last = part("bytes 5-9/10", 5, &[tag, ("a", "2"), ("c", "2"), ("content-length", "5")]);
    let both = combine(&first, &last, &knobs).unwrap();
    assert!(both.held.is_whole());
    assert_eq!(both.head.status, Status::OK);
    for (name, value) in [("a", "2"), ("b", "1"), ("c", "2"), ("content-length", "10")] {
        assert_eq!(both.head.fields.get(name).unwrap(), value, "{name}");
    }
    assert!(!both.head.fields.contains("content-range") && !both.head.fields.contains("age"));
    assert_eq!((both.policy.age, both.policy.lifetime), (Duration::ZERO, Duration::from_secs(3600)));
    let middle = combine(&first, &part("bytes 4-6/10", 3, &[tag]), &knobs).unwrap();
    assert_eq!((middle.head.status, middle.held.ranges()), (Status::PARTIAL_CONTENT, &[range(0, 6)][..]));
    for other in [
        part("bytes 5-9/10", 5, &[("etag", "\"b\"")]),
        part("bytes 5-9/10", 5, &[("etag", "W/\"a\"")]),
        part("bytes 5-9/10", 5, &[]),
        part("bytes 5-9/11", 5, &[tag]),
        part("bytes 5-9/10", 4, &[tag]),
    ] {
        assert!(combine(&first, &other, &knobs).is_none(), "{other:?}");
    }
    let weak = part("bytes 0-4/10", 5, &[("etag", "W/\"a\"")]);
    assert!(combine(&weak, &weak, &knobs).is_none());
    let mut elsewhere = last.clone();
    elsewhere.selection = crate::cache::vary::Selection::of(&fields(&[("vary", "a")]), &fields(&[])).unwrap();
    assert!(combine(&first, &elsewhere, &knobs).is_none());
}
