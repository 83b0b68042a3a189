//! What a response is stored under: the URL as far as it counts, and what else an operator or a filter adds.
//!
//! `HEAD` is looked up where `GET` is. A `QUERY` has a digest of its content in its key (RFC 10008, section 2.7), because
//! its content is part of what is asked.

use std::fmt::{self, Write as _};

use http::header;
use sha2::{Digest as _, Sha256};

use crate::message::{Authority, Fields, Name, RequestHead, Scheme, host, query};

/// A primary key (RFC 9111, section 2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The URL, and then the rest.
    text: String,
    /// How long the URL is.
    url: usize,
}

/// What keys are made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipe {
    /// `http` and `https` are one.
    pub any_scheme: bool,
    /// All hosts are one.
    pub any_host: bool,
    /// Which parameters of the query count.
    pub query: Query,
    /// Parameters in another order are the same.
    pub sort: bool,
    /// `;jsessionid=..` at the end of the path, and parameters of these names, do not count.
    pub sessions: Vec<String>,
    /// Fields of the request that count.
    pub fields: Vec<Name>,
    /// Cookies that count.
    pub cookies: Vec<String>,
}

/// Which parameters of a query count. A name that ends with `*` stands for all that begin so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Query {
    /// All.
    #[default]
    Whole,
    /// None.
    Nothing,
    /// These.
    Only(Vec<String>),
    /// All but these.
    Without(Vec<String>),
}

/// What is longer beside the URL is in the key as its digest: keys are kept by the thousand, and clients and filters say
/// what stands in them.
const LONGEST_EXTRA: usize = 1024;

/// Of the content of a request, as it comes.
#[derive(Debug, Clone)]
pub struct Content(Sha256);

impl Key {
    /// The key of a request; `parts` are filters', and a `QUERY`'s content.
    #[must_use]
    pub fn of(request: &RequestHead, recipe: &Recipe, parts: &[(&str, &str)]) -> Self {
        let mut text = recipe.url(request.scheme, &request.authority, request.path(), request.query());
        let url = text.len();
        for name in &recipe.fields {
            if let Some(value) = request.fields.joined(name) {
                part(&mut text, "", name.as_str(), &value);
            }
        }
        for name in &recipe.cookies {
            if let Some(value) = cookie(&request.fields, name) {
                part(&mut text, "cookie:", name, value);
            }
        }
        parts.iter().for_each(|(name, value)| part(&mut text, "part:", name, value.as_bytes()));
        if let Some(extra) = text.get(url..).filter(|extra| extra.len() > LONGEST_EXTRA) {
            let digest = format!(" sha256:{}", hex(&Sha256::digest(extra)));
            text.truncate(url);
            text.push_str(&digest);
        }
        Self { text, url }
    }

    /// The URL in it: what is forgotten together when a URL is invalidated or purged.
    #[must_use]
    pub fn url(&self) -> &str {
        self.text.get(..self.url).unwrap_or_default()
    }

    /// All beside the URL, as text; empty as a rule.
    #[must_use]
    pub fn extra(&self) -> &str {
        self.text.get(self.url..).unwrap_or_default()
    }

    /// All of it, as `Display` has it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// All of it, as `Display` has it.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.text.into_bytes()
    }
}

/// As `Cache-Status` and the operator see it: the URL and then, with blanks between, the rest.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Recipe {
    /// The URL as far as it counts: host in lower case, no port that goes without saying.
    #[must_use]
    pub fn url(&self, scheme: Scheme, authority: &Authority, path: &str, query: Option<&str>) -> String {
        let (host, port) = authority.parts();
        let length = host.len() + port.len() + path.len() + query.map_or(0, str::len);
        let mut url = String::with_capacity(16 + length);
        if !self.any_scheme {
            url.push_str(scheme.as_str());
            url.push(':');
        }
        url.push_str("//");
        if !self.any_host {
            url.push_str(&host::key(host));
            match authority.port().filter(|port| *port != scheme.default_port()) {
                None => {}
                // As it is written, unless there is a shorter way to write it.
                Some(_) if !port.starts_with(":0") => url.push_str(port),
                // Writing to a text cannot fail.
                Some(number) => drop(write!(url, ":{number}")),
            }
        }
        self.push_path(&mut url, path);
        match query {
            Some(query) if self.is_whole() => {
                url.push('?');
                url.push_str(query);
            }
            query => {
                if let Some(query) = query.and_then(|query| self.query(query)) {
                    url.push('?');
                    url.push_str(&query);
                }
            }
        }
        url
    }

    /// Without sessions' parameters, and nothing else: what stands behind them says something.
    fn push_path(&self, url: &mut String, path: &str) {
        if self.sessions.is_empty() {
            return url.push_str(path);
        }
        let last = path.rfind('/').unwrap_or(path.len());
        let (before, segment) = path.split_at_checked(last).unwrap_or((path, ""));
        url.push_str(before);
        let is_session = |parameter: &str| {
            let name = parameter.split_once('=').map(|(name, _)| name);
            name.is_some_and(|name| self.sessions.iter().any(|known| known == name))
        };
        for (at, parameter) in segment.split(';').enumerate().filter(|(at, one)| *at == 0 || !is_session(one)) {
            if at > 0 {
                url.push(';');
            }
            url.push_str(parameter);
        }
    }

    /// Whether every parameter counts, where it stands.
    fn is_whole(&self) -> bool {
        self.query == Query::Whole && self.sessions.is_empty() && !self.sort
    }

    fn query(&self, query: &str) -> Option<String> {
        // As origins read them, also those that take blanks off or end a parameter with a semicolon: else one that counts
        // could be hidden from the key in another spelling or in one that does not.
        let name = |parameter: &str| {
            let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
            query::decoded(name).trim_start().to_owned()
        };
        let is_more = |parameter: &str| self.query != Query::Nothing && parameter.contains(';');
        let named = query.split('&').map(|one| (name(one), one));
        let mut kept: Vec<(String, &str)> = named.filter(|(name, one)| self.counts(name) || is_more(one)).collect();
        if self.sort {
            // Stable: the order of values of one name says something.
            kept.sort_by(|one, other| one.0.cmp(&other.0));
        }
        let parameters: Vec<&str> = kept.into_iter().map(|(_, one)| one).collect();
        (!parameters.is_empty()).then(|| parameters.join("&"))
    }

    fn counts(&self, name: &str) -> bool {
        let is_in = |names: &[String]| names.iter().any(|known| stands_for(known, name));
        let by_query = match &self.query {
            Query::Whole => true,
            Query::Nothing => false,
            Query::Only(names) => is_in(names),
            Query::Without(names) => !is_in(names),
        };
        by_query && !self.sessions.iter().any(|known| known == name)
    }
}

impl Content {
    /// Begins with what says how the content is to be read.
    #[must_use]
    pub fn of(fields: &Fields) -> Self {
        let mut digest = Sha256::new();
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE] {
            let value = fields.joined(name).unwrap_or_default();
            let value = value.trim_ascii();
            digest.update(u64::try_from(value.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(value);
        }
        Self(digest)
    }

    /// More of the content.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// A value for `Key::of`'s parts.
    #[must_use]
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A blank begins each part: no URL has one, and values have theirs escaped. The kind ends with a colon, which names of
/// fields do not have, so that a cookie is never taken for a field.
fn part(extra: &mut String, kind: &str, name: &str, value: &[u8]) {
    extra.push(' ');
    extra.push_str(kind);
    for (at, bytes) in [name.as_bytes(), value].into_iter().enumerate() {
        if at == 1 {
            extra.push('=');
        }
        for &byte in bytes {
            if byte.is_ascii_graphic() && byte != b'%' && (at == 1 || byte != b'=') {
                extra.push(char::from(byte));
            } else {
                let _ = write!(extra, "%{byte:02X}");
            }
        }
    }
}

fn cookie<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    cookies(fields, name).next()
}

/// The values of a request's cookies of a name.
pub fn cookies<'a>(fields: &'a Fields, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = fields.lines(header::COOKIE).flat_map(|line| line.as_bytes().split(|&byte| byte == b';'));
    pairs.map(<[u8]>::trim_ascii).filter_map(move |pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

fn stands_for(known: &str, name: &str) -> bool {
    known.strip_suffix('*').map_or(known == name, |beginning| name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::testing::{fields, request};

    fn key(recipe: &Recipe, path: &str) -> String {
        Key::of(&request("GET", path, &[]), recipe, &[]).to_string()
    }

    #[test]
    fn urls_in_keys() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let plain = Recipe::default();
        let only = Recipe { query: Query::Only(texts(&["a", "p*"])), sort: true, ..Recipe::default() };
        let without = Recipe { query: Query::Without(texts(&["utm_*", "b"])), ..Recipe::default() };
        let session = Recipe { sessions: texts(&["sid"]), ..Recipe::default() };
        let nothing = Recipe { query: Query::Nothing, any_host: true, any_scheme: true, ..Recipe::default() };
        for (recipe, path, expected) in [
            (&plain, "/a", "http://shop.example/a"),
            (&plain, "/a?", "http://shop.example/a?"),
            (&plain, "/a?b=2&a=1", "http://shop.example/a?b=2&a=1"),
            (&plain, "/%7Ea", "http://shop.example/~a"),
            (&only, "/a?b=2&p2=x&a=2&a=1&p1", "http://shop.example/a?a=2&a=1&p1&p2=x"),
            (&only, "/a?b=2", "http://shop.example/a"),
            (&without, "/a?b=2&utm_source=x&c=3&bb=4", "http://shop.example/a?c=3&bb=4"),
            (&without, "/a?b=2", "http://shop.example/a"),
            (&session, "/x;sid=1/a;v=2;sid=abc?sid=1&x=2", "http://shop.example/x;sid=1/a;v=2?x=2"),
            (&session, "/a;side=1", "http://shop.example/a;side=1"),
            (&session, "/a;sid=1;admin=1", "http://shop.example/a;admin=1"),
            (&only, "/a?%61=1", "http://shop.example/a?%61=1"),
            (&only, "/a?+a=1", "http://shop.example/a?+a=1"),
            (&only, "/a?b=2;a=1", "http://shop.example/a?b=2;a=1"),
            (&without, "/a?%75tm_x=2&c=3", "http://shop.example/a?c=3"),
            (&without, "/a?b=2;c=1", "http://shop.example/a?b=2;c=1"),
            (&nothing, "/a?b", "///a"),
        ] {
            assert_eq!(key(recipe, path), expected);
        }
        for (name, scheme, expected) in [
            ("SHOP.example.", Scheme::Http, "http://shop.example/"),
            ("shop.example:80", Scheme::Http, "http://shop.example/"),
            ("shop.example:80", Scheme::Https, "https://shop.example:80/"),
            ("[::1]:8080", Scheme::Http, "http://[::1]:8080/"),
        ] {
            let authority = host::parse(name.as_bytes()).unwrap();
            assert_eq!(plain.url(scheme, &authority, "/", None), expected);
        }
    }

    #[test]
    fn methods_and_other_parts() {
        let recipe =
            Recipe { fields: vec![Name::from_static("x-tier")], cookies: vec!["lang".to_owned()], ..Recipe::default() };
        let asked = request("HEAD", "/a", &[("x-tier", "gold = 1"), ("cookie", "l=0; lang=de;langs=x")]);
        let of = |parts: &[(&str, &str)]| Key::of(&asked, &recipe, parts);
        assert_eq!(
            of(&[("device", "phone")]).to_string(),
            "http://shop.example/a x-tier=gold%20=%201 cookie:lang=de part:device=phone"
        );
        assert_eq!(of(&[]).url(), Key::of(&request("GET", "/a", &[]), &recipe, &[]).url());
        assert_ne!(of(&[("a", "b c=d")]), of(&[("a", "b"), ("c", "d")]));
        assert_ne!(of(&[("a=b", "c")]), of(&[("a", "b=c")]));
        assert_ne!(of(&[("a", "%20")]), of(&[("a", " ")]));
        assert_ne!(of(&[("a", "")]), of(&[]));
        assert_ne!(of(&[("a", "\0 \r\n/é")]), of(&[("a", "\0 \r\n/")]));
    }

    #[test]
    fn a_cookie_is_no_field_and_no_part_is_either() {
        let recipe =
            Recipe { fields: vec![Name::from_static("a.b")], cookies: vec!["a.b".to_owned()], ..Recipe::default() };
        let keys = [
            Key::of(&request("GET", "/", &[("a.b", "1")]), &recipe, &[]),
            Key::of(&request("GET", "/", &[("cookie", "a.b=1")]), &recipe, &[]),
            Key::of(&request("GET", "/", &[]), &recipe, &[("a.b", "1")]),
        ];
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2], "{keys:?}");
    }

    #[test]
    fn long_parts_are_digests_and_stay_apart() {
        let long = |last: &str| format!("{}{last}", "\0".repeat(1 << 20));
        let of = |value: &str| Key::of(&request("GET", "/a", &[]), &Recipe::default(), &[("a.b", value)]);
        let (one, other) = (of(&long("1")), of(&long("2")));
        assert_eq!((one.url(), one.extra().len()), ("http://shop.example/a", 1 + 7 + 64));
        assert_ne!(one, other);
        assert_eq!(one, of(&long("1")));
        // Nobody can write a digest in a part's place: a part has a name and `=`.
        assert_ne!(one, Key::of(&request("GET", "/a", &[]), &Recipe::default(), &[(one.extra().trim(), "")]));
    }

    #[test]
    fn contents_of_queries() {
        let digest = |lines: &[(&'static str, &'static str)], chunks: &[&str]| {
            let mut content = Content::of(&fields(lines));
            chunks.iter().for_each(|chunk| content.add(chunk.as_bytes()));
            content.finish()
        };
        let json = [("content-type", "application/json")];
        assert_eq!(digest(&json, &["{\"a\"", ":1}"]), digest(&json, &["{\"a\":1}"]));
        assert_eq!(digest(&json, &[]).len(), 64);
        assert_ne!(digest(&json, &["x"]), digest(&[("content-type", "text/plain")], &["x"]));
        assert_ne!(digest(&json, &["x"]), digest(&json, &["y"]));
        assert_ne!(digest(&[("content-type", "a")], &["b"]), digest(&[("content-encoding", "a")], &["b"]));
        assert_ne!(digest(&[("content-type", "a")], &["b"]), digest(&[], &["ab"]));
    }
}
