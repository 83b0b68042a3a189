//! Which fields come back from the store, and which a 304 changes, for every field that http-tests/cache-tests has.

use super::world::{World, head, text};
use crate::cache::Knobs;
use crate::cache::testing::{at, request, response};

/// What a cache does with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// It is stored, and a 304 changes it.
    Changed,
    /// It is stored, and describes what is stored: a 304 does not change it.
    Same,
    /// It is not stored.
    Never,
}

const FIELDS: [(&str, &str, &str, Kept); 29] = [
    ("test-header", "one", "two", Kept::Changed),
    ("x-test-header", "one", "two", Kept::Changed),
    ("content-foo", "one", "two", Kept::Changed),
    ("x-content-foo", "one", "two", Kept::Changed),
    ("cache-control", "max-age=2", "max-age=3600", Kept::Changed),
    ("connection", "x-a", "x-b", Kept::Never),
    ("content-encoding", "gzip", "br", Kept::Same),
    ("content-length", "5", "1", Kept::Same),
    ("content-location", "/foo", "/bar", Kept::Changed),
    ("content-md5", "rL0Y20zC+Fzt72VPzMSk2A==", "N7UdGUp1E+RbVvZSTy1R8g==", Kept::Changed),
    ("content-security-policy", "default-src 'self'", "default-src 'none'", Kept::Changed),
    ("content-type", "text/plain", "text/html", Kept::Same),
    ("clear-site-data", "cache", "cookies", Kept::Changed),
    ("etag", "\"tag\"", "\"tag\"", Kept::Changed),
    ("expires", "Fri, 01 Jan 2038 01:01:01 GMT", "Mon, 11 Jan 2038 11:11:11 GMT", Kept::Changed),
    ("keep-alive", "timeout=1", "timeout=2", Kept::Never),
    ("proxy-authenticate", "a", "b", Kept::Never),
    ("proxy-authentication-info", "a", "b", Kept::Never),
    ("proxy-authorization", "a", "b", Kept::Never),
    ("proxy-connection", "a", "b", Kept::Never),
    ("public-key-pins", "one", "two", Kept::Changed),
    ("set-cookie", "a=b", "a=c", Kept::Changed),
    ("set-cookie2", "a=b", "a=c", Kept::Changed),
    ("te", "a", "b", Kept::Never),
    ("transfer-encoding", "a", "b", Kept::Never),
    ("upgrade", "a", "b", Kept::Never),
    ("x-frame-options", "deny", "sameorigin", Kept::Changed),
    ("x-xss-protection", "1", "1; mode=block", Kept::Changed),
    ("cdn-cache-control", "max-age=2", "max-age=3600", Kept::Changed),
];

#[test]
fn fields_come_back_and_change_as_they_may() {
    for (name, one, two, kept) in FIELDS {
        let lines = |value: &str| {
            let mut lines = vec![(name.to_owned(), value.to_owned())];
            if name != "cache-control" {
                lines.push(("cache-control".to_owned(), "max-age=2".to_owned()));
            }
            if name != "etag" {
                lines.push(("etag".to_owned(), "\"tag\"".to_owned()));
            }
            lines
        };
        let get = request("GET", "/a", &[]);
        let mut world = World::of(Knobs::default());
        world.exchange(&get, at(0), &mut |_| Some((head(200, &lines(one)), b"01234".to_vec())));
        let field = |world: &mut World, second, value: &str| {
            let got = world.exchange(&get, at(second), &mut |asked| {
                assert!(asked.fields.contains("if-none-match"), "{name}");
                Some((head(304, &lines(value)), Vec::new()))
            });
            assert_eq!(got.body, b"01234", "{name}");
            text(&got.head.fields, name)
        };
        let stored = (kept != Kept::Never).then(|| one.to_owned());
        assert_eq!(field(&mut world, 1, one), stored, "{name} stored");
        let freshened = if kept == Kept::Changed { Some(two.to_owned()) } else { stored };
        let second = if name == "expires" { 4 } else { 3 };
        assert_eq!(field(&mut world, second, two), freshened, "{name} from a 304");
        assert_eq!(field(&mut world, second + 1, two), freshened, "{name} after a 304");
    }
}

/// A field that a 304 does not have stays.
#[test]
fn fields_that_a_304_omits() {
    let get = request("GET", "/a", &[]);
    let mut world = World::of(Knobs::default());
    let first =
        [("cache-control", "max-age=2"), ("last-modified", "Wed, 01 Jan 2020 00:00:00 GMT"), ("test-header", "A")];
    world.exchange(&get, at(0), &mut |_| Some((response(200, &first), b"x".to_vec())));
    let got = world.exchange(&get, at(3), &mut |asked| {
        assert_eq!(asked.fields.get("if-modified-since").unwrap(), "Wed, 01 Jan 2020 00:00:00 GMT");
        Some((response(304, &first[1..2]), Vec::new()))
    });
    assert_eq!(text(&got.head.fields, "test-header").as_deref(), Some("A"));
}
