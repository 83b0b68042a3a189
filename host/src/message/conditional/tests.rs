//! What conditions come to, and the heads that say so.

use super::*;
use crate::message::fields::tests::fields;

/// Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples.
const THEN: u64 = 784_111_777;
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn validators(etag: &'static str) -> Validators {
    let etag = (!etag.is_empty()).then(|| Value::from_static(etag));
    // Half a second more, which HTTP does not see.
    Validators::of(etag, Some(at(THEN) + Duration::from_millis(500)), at(THEN + 100))
}

#[test]
fn tags() {
    use Outcome::{Failed, NotModified, Perform};
    for (name, value, etag, get, put) in [
        ("if-none-match", r#""a""#, r#""a""#, NotModified, Failed),
        ("if-none-match", r#"W/"a""#, r#""a""#, NotModified, Failed),
        ("if-none-match", r#""a""#, r#"W/"a""#, NotModified, Failed),
        ("if-none-match", r#""b""#, r#""a""#, Perform, Perform),
        ("if-none-match", r#""b", W/"a""#, r#""a""#, NotModified, Failed),
        ("if-none-match", r#" , ,"b",	"a" ,"#, r#""a""#, NotModified, Failed),
        ("if-none-match", r#""x,y", "z""#, r#""x,y""#, NotModified, Failed),
        ("if-none-match", r#""x,"a",y""#, r#""a""#, Perform, Perform),
        ("if-none-match", r#""a, "a""#, r#""a""#, Perform, Perform),
        ("if-none-match", r#""a"#, r#""a""#, Perform, Perform),
        ("if-none-match", r#"w/"a""#, r#""a""#, Perform, Perform),
        ("if-none-match", r#""A""#, r#""a""#, Perform, Perform),
        ("if-none-match", "a", r#""a""#, Perform, Perform),
        ("if-none-match", "a", "a", NotModified, Failed),
        ("if-none-match", "W/a, b", "a", NotModified, Failed),
        ("if-none-match", r#""""#, r#""""#, NotModified, Failed),
        ("if-none-match", "*", r#""a""#, NotModified, Failed),
        ("if-none-match", " * ", "", NotModified, Failed),
        ("if-none-match", r#""b", *"#, r#""a""#, Perform, Perform),
        ("if-none-match", "", r#""a""#, Perform, Perform),
        ("if-none-match", r#""a""#, "", Perform, Perform),
        ("if-match", r#""a""#, r#""a""#, Perform, Perform),
        ("if-match", r#""b" , "a""#, r#""a""#, Perform, Perform),
        ("if-match", r#"W/"a""#, r#""a""#, Failed, Failed),
        ("if-match", r#""a""#, r#"W/"a""#, Failed, Failed),
        ("if-match", r#"W/"a""#, r#"W/"a""#, Failed, Failed),
        ("if-match", "*", r#"W/"a""#, Perform, Perform),
        ("if-match", "*", "", Perform, Perform),
        ("if-match", r#""a""#, "", Failed, Failed),
        ("if-match", "", r#""a""#, Failed, Failed),
        ("if-match", r#""a"#, r#""a""#, Failed, Failed),
    ] {
        let (asked, validators) = (fields(&[(name, value)]), validators(etag));
        for (method, expected) in [(Method::GET, get), (Method::HEAD, get), (Method::PUT, put), (Method::POST, put)] {
            assert_eq!(evaluate(&method, &asked, &validators), expected, "{method} {name}: {value}, of {etag}");
        }
        for method in [Method::OPTIONS, Method::TRACE, Method::CONNECT] {
            assert_eq!(evaluate(&method, &asked, &validators), Perform, "{method}");
        }
    }
}

#[test]
fn dates() {
    use Outcome::{Failed, NotModified, Perform};
    let far = "Fri, 31 Dec 9999 23:59:59 GMT";
    for (name, value, get, put) in [
        ("if-modified-since", DATE, NotModified, Perform),
        ("if-modified-since", LATER, NotModified, Perform),
        ("if-modified-since", far, NotModified, Perform),
        ("if-modified-since", EARLIER, Perform, Perform),
        ("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT", NotModified, Perform),
        ("if-modified-since", "Sunday, 06-Nov-94 08:49:36 GMT", Perform, Perform),
        ("if-modified-since", "Sun Nov  6 08:49:37 1994", NotModified, Perform),
        ("if-modified-since", "Sun Nov  6 08:49:36 1994", Perform, Perform),
        ("if-modified-since", "Mon, 06 Nov 1994 08:49:37 GMT", Perform, Perform),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 CET", Perform, Perform),
        ("if-modified-since", "Tue, 30 Feb 2100 08:49:37 GMT", Perform, Perform),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT; length=3", Perform, Perform),
        ("if-modified-since", "99999999999", Perform, Perform),
        ("if-modified-since", "", Perform, Perform),
        ("if-unmodified-since", DATE, Perform, Perform),
        ("if-unmodified-since", LATER, Perform, Perform),
        ("if-unmodified-since", EARLIER, Failed, Failed),
        ("if-unmodified-since", "Sun Nov  6 08:49:36 1994", Failed, Failed),
        ("if-unmodified-since", "yesterday", Perform, Perform),
    ] {
        let asked = fields(&[(name, value)]);
        for (method, expected) in [(Method::GET, get), (Method::HEAD, get), (Method::DELETE, put)] {
            assert_eq!(evaluate(&method, &asked, &validators("")), expected, "{method} {name}: {value}");
            assert_eq!(evaluate(&method, &asked, &Validators::default()), Perform, "without a date of its own");
        }
    }
}

#[test]
fn several_lines_and_their_order() {
    use Outcome::{Failed, NotModified, Perform};
    let same = ("if-none-match", r#""a""#);
    let other = ("if-none-match", r#""b""#);
    for (lines, expected, stored) in [
        (&[][..], Perform, Perform),
        (&[other, same], NotModified, NotModified),
        (&[other, ("if-none-match", "*")], Perform, Perform),
        (&[("if-match", r#""b""#), ("if-match", r#""a""#)], Perform, Perform),
        (&[("if-match", r#""b""#), same], Failed, NotModified),
        (&[("if-match", r#""a""#), same], NotModified, NotModified),
        (&[("if-match", r#""a""#), ("if-unmodified-since", EARLIER)], Perform, Perform),
        (&[("if-unmodified-since", EARLIER), same], Failed, NotModified),
        (&[("if-unmodified-since", DATE), same], NotModified, NotModified),
        (&[other, ("if-modified-since", LATER)], Perform, Perform),
        (&[("if-none-match", ""), ("if-modified-since", LATER)], Perform, Perform),
        (&[same, ("if-modified-since", EARLIER)], NotModified, NotModified),
        (&[("if-modified-since", LATER), ("if-modified-since", LATER)], Perform, Perform),
        (&[("if-unmodified-since", EARLIER), ("if-unmodified-since", EARLIER)], Perform, Perform),
        (&[("if-unmodified-since", DATE), ("if-modified-since", DATE)], NotModified, NotModified),
    ] {
        let (asked, validators) = (fields(lines), validators(r#""a""#));
        assert_eq!(evaluate(&Method::GET, &asked, &validators), expected, "{lines:?}");
        assert_eq!(evaluate_stored(&Method::GET, &asked, &validators), stored, "{lines:?}, stored");
    }
}

#[test]
fn dates_become_strong_validators_when_their_second_is_over() {
    for (modified, now, expected, settled) in [
        (at(THEN), at(THEN + 1), Some(DATE), true),
        (at(THEN) + Duration::from_millis(999), at(THEN + 1), Some(DATE), true),
        (at(THEN), at(THEN) + Duration::from_millis(999), Some(DATE), false),
        (at(THEN + 500), at(THEN), Some(DATE), false),
        (UNIX_EPOCH, at(THEN), Some("Thu, 01 Jan 1970 00:00:00 GMT"), true),
        (UNIX_EPOCH - Duration::from_secs(1), at(THEN), None, false),
        (at(253_402_300_800), at(300_000_000_000), None, false),
    ] {
        let validators = Validators::of(None, Some(modified), now);
        let written = validators.last_modified();
        assert_eq!((written.as_ref().map(|date| date.to_str().unwrap()), validators.settled), (expected, settled));
    }
    for (sent, settled) in [(DATE, false), (LATER, true), (EARLIER, false), ("soon", false)] {
        let stated = fields(&[("etag", r#""a""#), ("last-modified", DATE), ("date", sent)]);
        let expected = Validators { etag: Some(Value::from_static(r#""a""#)), modified: Some(at(THEN)), settled };
        assert_eq!(Validators::stated(&stated), expected, "{sent}");
    }
    assert_eq!(Validators::stated(&fields(&[("last-modified", "soon")])), Validators::default());
}

#[test]
fn heads() {
    let whole = |etag: bool| {
        let mut head = ResponseHead::of(Status::OK);
        head.fields = fields(&[
            ("date", LATER),
            ("cache-control", "max-age=9"),
            ("expires", LATER),
            ("vary", "a"),
            ("age", "1"),
            ("content-location", "/a"),
            ("set-cookie", "a"),
            ("set-cookie", "b"),
            ("content-security-policy", "c"),
            ("last-modified", DATE),
            ("content-type", "text/html"),
            ("content-length", "5"),
            ("content-range", "x"),
            ("content-encoding", "gzip"),
            ("content-language", "de"),
            ("content-disposition", "inline"),
            ("accept-ranges", "bytes"),
            ("content-digest", "x"),
            ("repr-digest", "x"),
        ]);
        if etag {
            head.fields.set(name::ETAG, Value::from_static(r#""a""#));
        }
        head
    };
    let always = ["content-security-policy", "date", "set-cookie", "vary"];
    let kept = |more: &[&'static str]| {
        let mut all = [&always[..], more].concat();
        all.sort_unstable();
        all
    };
    let about = ["age", "cache-control", "content-location", "expires"];
    for (outcome, etag, status, expected) in [
        (Outcome::NotModified, true, 304, kept(&[&about[..], &["etag"]].concat())),
        (Outcome::NotModified, false, 304, kept(&[&about[..], &["last-modified"]].concat())),
        (Outcome::Failed, true, 412, kept(&["content-length"])),
    ] {
        let head = outcome.head(whole(etag));
        let mut names: Vec<&str> = head.fields.names().map(Name::as_str).collect();
        names.sort_unstable();
        assert_eq!((head.status.as_u16(), names), (status, expected));
        assert_eq!(head.fields.lines("set-cookie").count(), 2);
    }
    assert_eq!(Outcome::Perform.head(whole(true)).fields.len(), whole(true).fields.len());
}

#[test]
fn nothing_that_comes_makes_it_panic() {
    let mut dice = fastrand::Rng::with_seed(13);
    let words: [&[u8]; 12] = [
        b"\"",
        b",",
        b"W/",
        b"*",
        b" ",
        b"\xff",
        b"a",
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-",
        b"Sun Nov  6 ",
        b"94 08:49:37 GMT",
        b"99999999999999999999",
    ];
    let names =
        [name::IF_MATCH, name::IF_NONE_MATCH, name::IF_MODIFIED_SINCE, name::IF_UNMODIFIED_SINCE, name::IF_RANGE];
    for _ in 0..20_000 {
        let mut asked = Fields::default();
        let mut text = || {
            let mut text = Vec::new();
            (0..dice.usize(..6)).for_each(|_| match dice.bool() {
                true => text.extend_from_slice(dice.choice(words).unwrap_or_default()),
                false => text.push(dice.u8(..)),
            });
            Value::from_bytes(&text).unwrap_or(Value::from_static(DATE))
        };
        names.iter().for_each(|name| asked.append(name.clone(), text()));
        let validators = Validators::of(Some(text()), Some(at(THEN)), at(THEN + 1));
        for method in [Method::GET, Method::PUT] {
            let _ = (evaluate(&method, &asked, &validators), validators.allow_ranges(&asked));
        }
    }
}
