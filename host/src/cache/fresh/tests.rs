//! Tables of lifetimes, ages and decisions.

use super::*;
use crate::cache::testing::{at, date, response, secs};

/// Answered at second 0, at once.
fn policy(lines: &[(&'static str, &'static str)]) -> Policy {
    policy_of(200, lines, &Knobs::default())
}

fn policy_of(status: u16, lines: &[(&'static str, &'static str)], knobs: &Knobs) -> Policy {
    let head = response(status, lines);
    let directives = Directives::of(&head.fields, &knobs.targets, knobs.surrogate);
    Policy::of(&head, &directives, Times { asked: at(0), answered: at(0) }, knobs)
}

/// RFC 9111, section 4.2.1.
#[test]
fn lifetimes_and_where_they_come_from() {
    let day = secs(86_400);
    for (lines, lifetime, source) in [
        (&[][..], secs(0), Source::Nowhere),
        (&[("cache-control", "max-age=3600")], secs(3600), Source::MaxAge),
        (&[("cache-control", "s-maxage=1, max-age=3600")], secs(1), Source::SharedMaxAge),
        (&[("cache-control", "max-age=0, s-maxage=3600"), ("expires", date(-10))], secs(3600), Source::SharedMaxAge),
        (&[("cache-control", "max-age=3600"), ("expires", "0"), ("date", date(0))], secs(3600), Source::MaxAge),
        (&[("cache-control", "max-age=0"), ("expires", date(3600)), ("date", date(0))], secs(0), Source::MaxAge),
        (&[("expires", date(3600)), ("date", date(0))], secs(3600), Source::Expires),
        (&[("expires", date(3600))], secs(3600), Source::Expires),
        (&[("expires", date(-3600)), ("date", date(0))], secs(0), Source::Expires),
        (&[("expires", date(0)), ("date", date(0))], secs(0), Source::Expires),
        (&[("expires", date(300)), ("date", date(400))], secs(0), Source::Expires),
        (&[("expires", date(10)), ("date", date(-10))], secs(20), Source::Expires),
        (&[("expires", date(10)), ("date", "foo")], secs(10), Source::Expires),
        (&[("expires", "0"), ("last-modified", date(-86_400))], secs(0), Source::Expires),
        (&[("expires", date(5)), ("expires", date(5))], secs(5), Source::Expires),
        (&[("expires", date(5)), ("expires", date(6))], secs(0), Source::Expires),
        (&[("expires", "Sun, 21 Nov 2286 04:46:39 GMT")], FOREVER, Source::Expires),
        (&[("expires", "Thursday, 18-Aug-50 02:01:18 GMT")], secs(749_400_878), Source::Expires),
        (&[("last-modified", date(-86_400)), ("date", date(0))], secs(8640), Source::Heuristic),
        (&[("last-modified", date(-86_400 * 100)), ("date", date(0))], day, Source::Heuristic),
        (&[("last-modified", date(100)), ("date", date(0))], secs(0), Source::Heuristic),
        (&[("last-modified", "x")], secs(0), Source::Nowhere),
        (&[("cdn-cache-control", "max-age=7"), ("cache-control", "s-maxage=9")], secs(7), Source::MaxAge),
        (&[("cdn-cache-control", "public"), ("expires", date(9))], secs(0), Source::Nowhere),
        (&[("weir-ruled", "9"), ("cache-control", "s-maxage=1, max-age=3600")], secs(9), Source::Ruled),
        (&[("weir-ruled", "9"), ("age", "100"), ("expires", "0")], secs(109), Source::Ruled),
        (&[("weir-ruled", "soon"), ("cache-control", "max-age=3600")], secs(3600), Source::MaxAge),
    ] {
        let policy = policy(lines);
        assert_eq!((policy.lifetime, policy.source), (lifetime, source), "{lines:?}");
    }
}

#[test]
fn statuses_that_may_be_guessed_about() {
    let modified = ("last-modified", date(-86_400));
    for (status, guessed) in [
        (200, true),
        (201, false),
        (202, false),
        (203, true),
        (204, true),
        (206, true),
        (300, true),
        (301, true),
        (302, false),
        (308, true),
        (403, false),
        (404, true),
        (405, true),
        (410, true),
        (414, true),
        (501, true),
        (502, false),
        (503, false),
        (504, false),
        (599, false),
    ] {
        let found = |lines: &[(&'static str, &'static str)]| policy_of(status, lines, &Knobs::default()).source;
        assert_eq!(found(&[modified]) == Source::Heuristic, guessed, "{status}");
        assert_eq!(found(&[modified, ("cache-control", "public")]), Source::Heuristic, "{status}");
    }
}

#[test]
fn the_operators_say() {
    let knobs = Knobs {
        default_ttl: Some(secs(60)),
        status_ttl: vec![(4, secs(7)), (404, secs(10)), (403, secs(5))],
        min_ttl: secs(2),
        max_ttl: Some(secs(100)),
        heuristic: super::super::PerMille(500),
        heuristic_cap: secs(50),
        ..Knobs::default()
    };
    for (status, lines, lifetime, source) in [
        (200, &[][..], secs(60), Source::Default),
        (500, &[], secs(0), Source::Nowhere),
        (404, &[("last-modified", date(-86_400))], secs(10), Source::Default),
        (403, &[], secs(5), Source::Default),
        (451, &[], secs(7), Source::Default),
        (403, &[("cache-control", "max-age=7")], secs(7), Source::MaxAge),
        (200, &[("cache-control", "max-age=0")], secs(2), Source::MaxAge),
        (200, &[("cache-control", "max-age=1000")], secs(100), Source::MaxAge),
        (200, &[("expires", date(1000))], secs(100), Source::Expires),
        (200, &[("last-modified", date(-20))], secs(10), Source::Heuristic),
        (200, &[("last-modified", date(-200))], secs(50), Source::Heuristic),
    ] {
        let policy = policy_of(status, lines, &knobs);
        assert_eq!((policy.lifetime, policy.source), (lifetime, source), "{status} {lines:?}");
    }
}

/// RFC 9111, sections 4.2.3 and 5.1.
#[test]
fn ages() {
    for (lines, age) in [
        (&[][..], 0),
        (&[("age", "7200")], 7200),
        (&[("age", " 7200 ")], 7200),
        (&[("age", "abc")], 0),
        (&[("age", "-7200")], 0),
        (&[("age", "7200.0")], 0),
        (&[("age", "7200;foo=bar")], 0),
        (&[("age", "2147483647")], 2_147_483_647),
        (&[("age", "2147483648")], 1 << 31),
        (&[("age", "2147483649")], 1 << 31),
        (&[("age", "99999999999999999999")], 1 << 31),
        (&[("age", "7200, 0")], 7200),
        (&[("age", "0, 7200")], 0),
        (&[("age", "7200"), ("age", "0")], 7200),
        (&[("age", "0"), ("age", "7200")], 0),
        (&[("age", "3600"), ("age", "3600")], 3600),
        (&[("age", ", 5")], 0),
        (&[("date", date(-100))], 100),
        (&[("date", date(100))], 0),
        (&[("date", date(-100)), ("age", "30")], 100),
        (&[("date", date(-10)), ("age", "30")], 30),
        (&[("date", "foo"), ("age", "30")], 30),
    ] {
        assert_eq!(policy(lines).age(at(0)), secs(age), "{lines:?}");
        assert_eq!(policy(lines).age(at(3)), secs((age + 3).min(1 << 31)), "{lines:?}");
    }
    let head = response(200, &[("age", "10"), ("date", date(1))]);
    let times = Times { asked: at(0), answered: at(5) };
    let delayed = Policy::of(&head, &Directives::default(), times, &Knobs::default());
    assert_eq!(delayed.age(at(7)), secs(17));
    assert_eq!(delayed.age(at(0)), secs(15), "a clock that went back makes nothing younger than it came");
    assert_eq!(policy(&[("cache-control", "max-age=10")]).ttl(at(12)), -2);
}

/// What a request may do with a response of `max-age=10` and more, at some age (RFC 9111, sections 4.2.4 and 5.2.1).
#[test]
fn decisions() {
    use Decision::{Fresh, Revalidate, Stale, Unavailable, Validate, ValidateForRequest};
    for (stored, wishes, age, decision) in [
        ("", "", 0, Fresh),
        ("", "", 9, Fresh),
        ("", "", 10, Validate),
        ("", "no-cache", 1, ValidateForRequest),
        ("", "no-cache", 11, Validate),
        ("", "max-age=0", 0, ValidateForRequest),
        ("", "max-age=5", 5, Fresh),
        ("", "max-age=5", 6, ValidateForRequest),
        ("", "max-age=50", 11, Validate),
        ("", "min-fresh=4", 6, Fresh),
        ("", "min-fresh=5", 6, ValidateForRequest),
        ("", "min-fresh=5, max-stale", 11, Validate),
        ("", "max-stale", 1_000_000, Stale),
        ("", "max-stale=3", 13, Stale),
        ("", "max-stale=3", 14, Validate),
        ("", "max-stale=9, max-age=12", 12, Stale),
        ("", "max-stale=9, max-age=12", 13, Validate),
        ("", "only-if-cached", 9, Fresh),
        ("", "only-if-cached", 10, Unavailable),
        ("", "only-if-cached, max-stale=9", 12, Stale),
        ("", "only-if-cached, max-age=0", 2, Unavailable),
        ("no-cache", "", 0, Validate),
        ("no-cache", "max-stale", 0, Validate),
        ("no-cache=\"a\"", "", 0, Fresh),
        ("must-revalidate", "", 9, Fresh),
        ("must-revalidate", "max-stale", 10, Validate),
        ("proxy-revalidate", "max-stale", 10, Validate),
        ("s-maxage=10", "max-stale", 10, Validate),
        ("immutable", "max-age=0", 5, Fresh),
        ("immutable", "no-cache", 5, ValidateForRequest),
        ("immutable", "max-age=0", 10, Validate),
        ("stale-while-revalidate=5", "", 14, Revalidate),
        ("stale-while-revalidate=5", "", 15, Validate),
        ("stale-while-revalidate=5", "max-age=12", 14, Validate),
        ("stale-while-revalidate=5", "only-if-cached", 14, Revalidate),
        ("stale-while-revalidate=5, must-revalidate", "", 14, Validate),
        ("stale-while-revalidate=5, s-maxage=10", "", 14, Revalidate),
        ("stale-while-revalidate=5, no-cache", "", 14, Validate),
    ] {
        let line = format!("max-age=10, {stored}").leak();
        let wished =
            RequestDirectives::of(&crate::cache::testing::fields(&[("cache-control", format!("x, {wishes}").leak())]));
        let policy = policy(&[("cache-control", line)]);
        assert_eq!(policy.decide(&wished, at(age)), decision, "{stored} | {wishes} | {age}");
    }
}

/// RFC 5861, section 4; RFC 9111, section 4.2.4.
#[test]
fn standing_in_for_failures() {
    let knobs = Knobs { stale_if_error: secs(20), ..Knobs::default() };
    for (stored, wishes, age, expected) in [
        ("", "", 5, true),
        ("", "", 29, true),
        ("", "", 30, false),
        ("", "no-cache", 15, false),
        ("", "max-age=0", 15, true),
        ("", "stale-if-error=100", 109, true),
        ("", "stale-if-error=1", 12, false),
        ("stale-if-error=60", "", 69, true),
        ("stale-if-error=60", "", 70, false),
        ("stale-if-error=60", "stale-if-error=100", 80, false),
        ("stale-if-error=1", "", 12, false),
        ("must-revalidate", "", 11, false),
        ("must-revalidate", "min-fresh=9", 5, true),
        ("must-revalidate, stale-if-error=60", "", 11, false),
        ("proxy-revalidate", "", 11, false),
        ("s-maxage=10", "", 11, false),
        ("s-maxage=10", "stale-if-error=60", 11, false),
        ("s-maxage=10, stale-if-error=60", "", 11, true),
        ("no-cache", "", 0, false),
    ] {
        let line = format!("max-age=10, {stored}").leak();
        let wished =
            RequestDirectives::of(&crate::cache::testing::fields(&[("cache-control", format!("x, {wishes}").leak())]));
        let policy = policy(&[("cache-control", line)]);
        assert_eq!(policy.may_stand_in(&wished, at(age), &knobs), expected, "{stored} | {wishes} | {age}");
    }
}

#[test]
fn windows_of_the_operator() {
    let knobs = Knobs { stale_while_revalidate: secs(5), ..Knobs::default() };
    let none = RequestDirectives::default();
    for (line, age, decision) in [
        ("max-age=10", 14, Decision::Revalidate),
        ("max-age=10, stale-while-revalidate=1", 14, Decision::Validate),
        ("max-age=10, s-maxage=10", 14, Decision::Validate),
        ("max-age=10, must-revalidate", 14, Decision::Validate),
    ] {
        let policy = policy_of(200, &[("cache-control", line)], &knobs);
        assert_eq!(policy.decide(&none, at(age)), decision, "{line}");
    }
}

/// What took long to come is old for whoever asks later, and not for who waited for it.
#[test]
fn what_an_answer_took_is_known_apart() {
    for (lines, age, delay, came_fresh) in [
        (&[("cache-control", "max-age=5")][..], 7, 7, true),
        (&[("cache-control", "max-age=5"), ("age", "2")], 9, 7, true),
        (&[("cache-control", "max-age=5"), ("age", "5")], 12, 7, false),
        // By its date it was made when it was asked for.
        (&[("cache-control", "max-age=5"), ("date", date(0))], 7, 0, false),
        (&[("cache-control", "max-age=5"), ("date", date(4))], 7, 4, true),
        (&[("cache-control", "max-age=5"), ("date", date(-100))], 107, 0, false),
        (&[("cache-control", "max-age=5, no-cache")], 7, 7, false),
        (&[], 7, 7, false),
    ] {
        let head = response(200, lines);
        let directives = Directives::of(&head.fields, &[], true);
        let policy = Policy::of(&head, &directives, Times { asked: at(0), answered: at(7) }, &Knobs::default());
        assert_eq!((policy.age, policy.delay, policy.came_fresh()), (secs(age), secs(delay), came_fresh), "{lines:?}");
        assert!(!policy.is_fresh(at(7)));
        let seen = policy.as_it_came();
        assert_eq!((seen.is_fresh(at(7)), seen.age(at(7))), (came_fresh, secs(age - delay)), "{lines:?}");
    }
}
