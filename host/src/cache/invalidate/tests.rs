//! Tables of what is invalidated, and of tags.

use super::*;
use crate::cache::testing::{fields, request};

fn urls(method: &str, status: u16, lines: &[(&'static str, &'static str)]) -> Vec<String> {
    let asked = request(method, "/x/a?q=1", &[]);
    let found = targets(&asked, Status::from_u16(status).unwrap(), &fields(lines), &Recipe::default());
    found.urls.iter().map(ToString::to_string).collect()
}

const ITSELF: &str = "http://shop.example/x/a?q=1";

#[test]
fn methods_and_statuses() {
    for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "MKCOL", "PURGE-ALL"] {
        for (status, expected) in
            [(200, true), (204, true), (302, true), (304, true), (404, false), (500, false), (103, false)]
        {
            assert_eq!(!urls(method, status, &[]).is_empty(), expected, "{method} {status}");
        }
        assert_eq!(urls(method, 200, &[]), [ITSELF]);
    }
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "QUERY"] {
        assert_eq!(urls(method, 200, &[("location", "/b")]), [""; 0], "{method}");
    }
}

/// RFC 9111, section 4.4: the same origin only; RFC 3986, section 5.
#[test]
fn locations() {
    for (value, expected) in [
        ("/b", Some("http://shop.example/b")),
        ("b", Some("http://shop.example/x/b")),
        ("../b?c#d", Some("http://shop.example/b?c")),
        ("./b/../c", Some("http://shop.example/x/c")),
        ("?c", Some("http://shop.example/x/a?c")),
        ("http://shop.example/b", Some("http://shop.example/b")),
        ("HTTP://Shop.Example:80/b", Some("http://shop.example/b")),
        ("http://shop.example", Some("http://shop.example/")),
        ("//shop.example/b", Some("http://shop.example/b")),
        ("b?u=http://other.example/", Some("http://shop.example/x/b?u=http://other.example/")),
        ("/b%7e", Some("http://shop.example/b~")),
        ("", None),
        ("#top", None),
        ("https://shop.example/b", None),
        ("http://shop.example:81/b", None),
        ("http://other.example/b", None),
        ("http://shop.example@other.example/b", None),
        ("//other.example/b", None),
        ("mailto:b", None),
        ("b:c", None),
        ("/../../b", None),
        ("/b c", None),
        ("/\\other.example", None),
    ] {
        for name in ["location", "content-location"] {
            let found = urls("POST", 201, &[(name, value)]);
            assert_eq!(found.get(1).map(String::as_str), expected, "{name}: {value}");
            assert_eq!(found[0], ITSELF);
        }
    }
    let both = [("location", "/b"), ("content-location", "/b")];
    assert_eq!(urls("POST", 201, &both).len(), 2);
    assert_eq!(urls("POST", 201, &[("location", "/b"), ("content-location", "/c")]).len(), 3);
    assert_eq!(urls("POST", 201, &[("location", "/b"), ("location", "/c")]), [ITSELF]);
}

/// RFC 9875.
#[test]
fn groups_of_an_origin() {
    let asked = request("POST", "/", &[]);
    let invalidated = |lines: &[(&'static str, &'static str)], method: &str| {
        let asked = request(method, "/", &[]);
        targets(&asked, Status::OK, &fields(lines), &Recipe::default()).tags
    };
    let line = ("cache-group-invalidation", "\"a\", \"b\";x=1");
    let home = origin(asked.scheme, &asked.authority);
    assert_eq!(&*home, "http://shop.example");
    assert_eq!(invalidated(&[line], "POST"), [Tag::group(&home, "a"), Tag::group(&home, "b")]);
    assert_eq!(invalidated(&[line], "GET"), []);
    for broken in ["a", "\"a\", 1", "\"a", "(\"a\")"] {
        assert_eq!(invalidated(&[("cache-group-invalidation", broken)], "POST"), [], "{broken}");
    }
    assert_ne!(Tag::group("http://a", "x"), Tag::group("http://b", "x"));
    assert_ne!(Tag::group("http://a", "x"), Tag::key("http://a x"));
}

#[test]
fn tags_of_a_response() {
    let lines = [
        ("cache-groups", "\"a\", \"b c\""),
        ("surrogate-key", "one two  one"),
        ("surrogate-key", "three"),
        ("cache-tag", "four, five six,,"),
    ];
    let mut expected = vec![Tag::group("o", "a"), Tag::group("o", "b c")];
    expected.extend(["one", "two", "three", "four", "five six"].map(Tag::key));
    expected.sort();
    assert_eq!(tags(&fields(&lines), "o"), Some(expected));
    assert_eq!(tags(&fields(&[("cache-groups", "a")]), "o"), Some(vec![]));
    let accented = Some(vec![Tag::key("b"), Tag::key("caf\u{e9}")]);
    assert_eq!(tags(&fields(&[("surrogate-key", "caf\u{e9} b")]), "o"), accented);
    let long: &'static str = "x".repeat(LONGEST_TAG + 1).leak();
    assert_eq!(tags(&fields(&[("surrogate-key", long)]), "o"), None);
    let many =
        |most: usize| -> &'static str { (0..most).map(|number| format!("k{number} ")).collect::<String>().leak() };
    let of = |most| tags(&fields(&[("surrogate-key", many(most)), ("cache-tag", "k0")]), "o").map(|tags| tags.len());
    assert_eq!((of(MOST_TAGS), of(MOST_TAGS + 1)), (Some(MOST_TAGS), None));
    assert_eq!(Tag::key("a").as_str(), "key a");
}
