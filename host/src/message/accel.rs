//! What an upstream says to its gateway beside its answer: that the answer is to come from somewhere else
//! (`X-Accel-Redirect`, `X-Sendfile`), how it is to be sent, how long it may be kept. Pure.
//!
//! Nothing of it is for a client, and none of it is taken from one. What a value leads to is not known here.

use std::fmt;
use std::time::Duration;

use http::uri::PathAndQuery;

use super::{Fields, Name, Value, target};

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// Where the answer is to come from instead.
    pub lead: Option<Lead>,
    /// The charset of the answer's text: a token.
    pub charset: Option<String>,
    /// Bytes of the body that the client may have in a second; zero means as many as it takes.
    pub rate: Option<u64>,
    /// How long the answer may be kept, whatever its own fields say of that: for whoever keeps answers.
    pub expires: Option<Expires>,
}

/// Where an answer is to come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lead {
    /// From the route of this name.
    Route(String),
    /// From a path: a file's, or a target.
    Path(Place),
}

/// A path as an upstream wrote it; begins with a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    written: Value,
    decoded: Vec<u8>,
    /// It is a file, and nobody needs it when it was sent.
    pub is_temporary: bool,
}

/// How long an answer may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expires {
    /// From now on; zero means that it may not be kept.
    After(Duration),
    /// Until so long after the beginning of 1970.
    At(Duration),
}

/// It was said twice, or cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLead(pub &'static str);

/// A path leads out of where it begins, or could be read as if it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsafe;

const REDIRECT: &str = "x-accel-redirect";
const SENDFILE: &str = "x-sendfile";
const TEMPORARY: &str = "x-sendfile-temporary";

/// The longest name of a charset that is taken; registered ones have up to 45 characters.
const LONGEST_CHARSET: usize = 64;

/// Whether a field is for a gateway. A CGI-like upstream takes `_` for `-`, and Rails' `X-Sendfile-Type` is asked of it in
/// this way, so both are the same here.
#[must_use]
pub(crate) fn is_for_gateway(name: &[u8]) -> bool {
    let begins = |other: &[u8]| {
        let same = |(&one, &other): (&u8, &u8)| one == other || (one == b'_' && other == b'-');
        name.len() >= other.len() && name.iter().zip(other).all(same)
    };
    match name {
        [b'x', b'-' | b'_', b'a', ..] => begins(b"x-accel-"),
        [b'x', b'-' | b'_', b's', ..] => begins(SENDFILE.as_bytes()),
        _ => false,
    }
}

/// Takes off what is for a gateway: every line, in order.
pub(super) fn take(fields: &mut Fields) -> Vec<(Name, Value)> {
    let names: Vec<Name> = fields.names().filter(|name| is_for_gateway(name.as_str().as_bytes())).cloned().collect();
    let mut taken = Vec::new();
    for name in names {
        taken.extend(fields.lines(&name).map(|value| (name.clone(), value.clone())));
        fields.remove(name);
    }
    taken
}

/// Takes off what is for a gateway, for whoever may not say such things.
pub fn forget(fields: &mut Fields) {
    if fields.names().any(|name| is_for_gateway(name.as_str().as_bytes())) {
        let _ = take(fields);
    }
}

impl Said {
    /// Reads what `hops::strip` took off. `X-Accel-Redirect` goes before `X-Sendfile`; what says how to send or to keep is
    /// passed over where it cannot be understood, as nginx does it. `X-Accel-Buffering` asks for what is never done.
    ///
    /// # Errors
    /// When it does not say clearly where the answer is to come from: what came beside it is no answer.
    pub fn read(lines: &[(Name, Value)]) -> Result<Self, BadLead> {
        let lead = match lead(lines, REDIRECT)? {
            None => lead(lines, SENDFILE)?.or(lead(lines, TEMPORARY)?),
            redirect => redirect,
        };
        let text = |name| once(lines, name).ok().flatten().and_then(|value| value.to_str().ok());
        Ok(Self {
            lead,
            charset: text("x-accel-charset").filter(|text| is_charset(text)).map(str::to_owned),
            rate: text("x-accel-limit-rate").and_then(rate),
            expires: text("x-accel-expires").and_then(expires),
        })
    }
}

impl fmt::Display for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(name) => write!(f, "@{name}"),
            Self::Path(place) => write!(f, "{}", place.written.as_bytes().escape_ascii()),
        }
    }
}

impl Place {
    fn of(written: &Value, is_temporary: bool) -> Result<Self, BadLead> {
        let decoded = decode(written.as_bytes()).ok_or(BadLead("an escape is not two hexadecimal digits"))?;
        Ok(Self { written: written.clone(), decoded, is_temporary })
    }

    /// The whole of it as a file's path, decoded; nothing stands for a query there. Segments that say nothing are left out:
    /// programs put paths together from parts that have slashes at both ends.
    ///
    /// # Errors
    /// When a segment is `..`, or it holds a NUL.
    pub fn path(&self) -> Result<Vec<u8>, Unsafe> {
        if climbs(&self.decoded) {
            return Err(Unsafe);
        }
        let mut path = Vec::with_capacity(self.decoded.len());
        let segments = self.decoded.split(|&byte| byte == b'/');
        for segment in segments.filter(|segment| !matches!(*segment, b"" | b".")) {
            path.push(b'/');
            path.extend_from_slice(segment);
        }
        if path.is_empty() || self.decoded.ends_with(b"/") || self.decoded.ends_with(b"/.") {
            path.push(b'/');
        }
        Ok(path)
    }

    /// As a path with perhaps a query behind it, in their one spelling. Bytes that should have been escaped are: upstreams
    /// put names of files there as they are.
    ///
    /// # Errors
    /// When a segment of the path is `..`, whichever way it is written.
    pub fn target(&self) -> Result<PathAndQuery, Unsafe> {
        let written = self.written.as_bytes();
        let end = written.iter().position(|&byte| byte == b'?').unwrap_or(written.len());
        let (path, query) = written.split_at(end);
        if decode(path).is_none_or(|path| climbs(&path)) {
            return Err(Unsafe);
        }
        let mut text = String::with_capacity(written.len());
        path.iter().for_each(|&byte| spell(byte, matches!(byte, b'#' | b'?' | b'<' | b'>' | b'`'), &mut text));
        query.iter().for_each(|&byte| spell(byte, matches!(byte, b'#' | b'"' | b'<' | b'>'), &mut text));
        target::parse(&text).map_err(|_| Unsafe)
    }
}

/// The value of a field that may stand there once.
fn once<'a>(lines: &'a [(Name, Value)], name: &str) -> Result<Option<&'a Value>, BadLead> {
    let mut values = lines.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
    let value = values.next();
    if values.next().is_some() { Err(BadLead("it is said more than once")) } else { Ok(value) }
}

fn lead(lines: &[(Name, Value)], name: &str) -> Result<Option<Lead>, BadLead> {
    let Some(value) = once(lines, name)? else { return Ok(None) };
    match value.as_bytes() {
        [b'@', route @ ..] if name != TEMPORARY => {
            let route = decode(route).and_then(|route| String::from_utf8(route).ok());
            Ok(Some(Lead::Route(route.ok_or(BadLead("the route's name is no text"))?)))
        }
        [b'/', ..] => Ok(Some(Lead::Path(Place::of(value, name == TEMPORARY)?))),
        _ => Err(BadLead("it is neither a path nor a route's name")),
    }
}

/// `off` is what nginx's own directives say for zero.
fn rate(text: &str) -> Option<u64> {
    if text.eq_ignore_ascii_case("off") { Some(0) } else { digits(text) }
}

/// Seconds from now, or behind an `@` since 1970; `off` is how nginx's directives say zero.
fn expires(text: &str) -> Option<Expires> {
    match text.strip_prefix('@') {
        Some(text) => digits(text).map(Duration::from_secs).map(Expires::At),
        None if text.eq_ignore_ascii_case("off") => Some(Expires::After(Duration::ZERO)),
        None => digits(text).map(Duration::from_secs).map(Expires::After),
    }
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A token (RFC 9110, section 5.6.2); `off` names none.
fn is_charset(text: &str) -> bool {
    text.len() <= LONGEST_CHARSET && Name::from_bytes(text.as_bytes()).is_ok()
}

fn climbs(path: &[u8]) -> bool {
    path.contains(&0) || path.split(|&byte| byte == b'/').any(|segment| segment == b"..")
}

/// Every escape once; `None` where one is broken.
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => bytes.next().and_then(digit)? << 4 | bytes.next().and_then(digit)?,
            byte => byte,
        });
    }
    Some(out)
}

/// A byte as it stands in a target: escaped where it is none of those that may stand there, or means something there.
fn spell(byte: u8, means_something: bool, out: &mut String) {
    if byte.is_ascii_graphic() && byte != b'\\' && !means_something {
        out.push(char::from(byte));
    } else {
        out.push_str(&format!("%{byte:02X}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[(&'static str, &str)]) -> Vec<(Name, Value)> {
        let line = |&(name, value): &(&'static str, &str)| {
            (Name::from_static(name), Value::from_bytes(value.as_bytes()).unwrap())
        };
        lines.iter().map(line).collect()
    }

    fn place(text: &str) -> Result<Place, BadLead> {
        match Said::read(&lines(&[(REDIRECT, text)]))?.lead {
            Some(Lead::Path(place)) => Ok(place),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn whatever_is_for_a_gateway_is_known_by_its_name() {
        for (name, expected) in [
            ("x-accel-redirect", true),
            ("x-accel-mapping", true),
            ("x-accel-", true),
            ("x-accel-anything", true),
            ("x_accel_redirect", true),
            ("x-accel_limit-rate", true),
            ("x-sendfile", true),
            ("x-sendfile2", true),
            ("x-sendfile-type", true),
            ("x_sendfile_type", true),
            ("x-sendfile-temporary", true),
            ("x-accel", false),
            ("x-accelerate", false),
            ("x-send-file", false),
            ("x-sendfil", false),
            ("x-secret", false),
            ("x-", false),
            ("accept", false),
            ("sec-x-accel-redirect", false),
        ] {
            assert_eq!(is_for_gateway(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_said_once_and_clearly() {
        let path = |text: &str, is_temporary| {
            let written: Value = text.parse().unwrap();
            Ok(Some(Lead::Path(Place { decoded: decode(text.as_bytes()).unwrap(), written, is_temporary })))
        };
        let route = |name: &str| Ok(Some(Lead::Route(name.to_owned())));
        let bad = Err(());
        for (given, expected) in [
            (&[][..], Ok(None)),
            (&[("x-sendfile2", "/a 0-5")], Ok(None)),
            (&[("x-sendfile-type", "X-Accel-Redirect")], Ok(None)),
            (&[(REDIRECT, "/a?b")], path("/a?b", false)),
            (&[(SENDFILE, "/a")], path("/a", false)),
            (&[(SENDFILE, "/a"), (REDIRECT, "/b")], path("/b", false)),
            (&[(SENDFILE, "nonsense"), (REDIRECT, "/b")], path("/b", false)),
            (&[(TEMPORARY, "/a%20b")], path("/a%20b", true)),
            (&[(REDIRECT, "@files")], route("files")),
            (&[(SENDFILE, "@gr%C3%B6%C3%9Fe")], route("größe")),
            (&[(REDIRECT, "/a"), (REDIRECT, "/a")], bad.clone()),
            (&[(SENDFILE, "/a"), (SENDFILE, "/b")], bad.clone()),
            (&[(REDIRECT, "")], bad.clone()),
            (&[(REDIRECT, "a/b")], bad.clone()),
            (&[(REDIRECT, "http://other.example/a")], bad.clone()),
            (&[(REDIRECT, "?a")], bad.clone()),
            (&[(REDIRECT, "/100%")], bad.clone()),
            (&[(REDIRECT, "/%zz")], bad.clone()),
            (&[(REDIRECT, "@%ff")], bad.clone()),
            (&[(TEMPORARY, "@files")], bad.clone()),
        ] {
            let lead = Said::read(&lines(given)).map(|said| said.lead).map_err(|_| ());
            assert_eq!(lead, expected, "{given:?}");
        }
    }

    #[test]
    fn paths_are_decoded_once_and_lead_nowhere_else() {
        for (text, path, target) in [
            ("/a/b.txt", Some("/a/b.txt"), Some("/a/b.txt")),
            ("/a%20b", Some("/a b"), Some("/a%20b")),
            ("/a b", Some("/a b"), Some("/a%20b")),
            ("/größe", Some("/größe"), Some("/gr%C3%B6%C3%9Fe")),
            ("/%67r%C3%B6", Some("/grö"), Some("/gr%C3%B6")),
            ("/a?b=c&d=%2e%2e/../x", Some("/a?b=c&d=../../x"), Some("/a?b=c&d=%2e%2e/../x")),
            ("/a?b c#d", Some("/a?b c#d"), Some("/a?b%20c%23d")),
            ("/a#b", Some("/a#b"), Some("/a%23b")),
            ("/a%3Fb", Some("/a?b"), Some("/a%3Fb")),
            ("/%252e%252e/a", Some("/%2e%2e/a"), Some("/%252e%252e/a")),
            ("//a/./b", Some("/a/b"), Some("/a/b")),
            ("/a//", Some("/a/"), Some("/a/")),
            ("/a/.", Some("/a/"), Some("/a/")),
            ("//", Some("/"), Some("/")),
            ("/.a/b.", Some("/.a/b."), Some("/.a/b.")),
            ("/a...b/..c", Some("/a...b/..c"), Some("/a...b/..c")),
            ("/a\\b", Some("/a\\b"), Some("/a%5Cb")),
            ("/a/../b", None, None),
            ("/..", None, None),
            ("/%2e%2E/etc/passwd", None, None),
            ("/a/..%2fb", None, None),
            ("/a%00b", None, None),
            ("/a/..;x/b", Some("/a/..;x/b"), None),
            ("/a/..\\b", Some("/a/..\\b"), None),
        ] {
            let place = place(text).unwrap();
            let climbs_in_query = text.contains("?b=c");
            let decoded = place.path().ok().map(|path| String::from_utf8(path).unwrap());
            assert_eq!(decoded.as_deref(), path.filter(|_| !climbs_in_query), "{text}");
            assert_eq!(place.target().ok().map(|target| target.to_string()).as_deref(), target, "{text}");
        }
    }

    #[test]
    fn how_to_send_and_to_keep() {
        let after = |seconds| Some(Expires::After(Duration::from_secs(seconds)));
        for (name, value, charset, rate, expires) in [
            ("x-accel-charset", "utf-8", Some("utf-8"), None, None),
            ("x-accel-charset", "a b", None, None, None),
            ("x-accel-charset", "", None, None, None),
            ("x-accel-limit-rate", "1024", None, Some(1024), None),
            ("x-accel-limit-rate", "0", None, Some(0), None),
            ("x-accel-limit-rate", "off", None, Some(0), None),
            ("x-accel-limit-rate", "1k", None, None, None),
            ("x-accel-limit-rate", "+5", None, None, None),
            ("x-accel-limit-rate", "99999999999999999999", None, None, None),
            ("x-accel-expires", "60", None, None, after(60)),
            ("x-accel-expires", "0", None, None, after(0)),
            ("x-accel-expires", "off", None, None, after(0)),
            ("x-accel-expires", "@1700000000", None, None, Some(Expires::At(Duration::from_secs(1_700_000_000)))),
            ("x-accel-expires", "-1", None, None, None),
            ("x-accel-expires", "@", None, None, None),
            ("x-accel-buffering", "no", None, None, None),
        ] {
            let charset = charset.map(str::to_owned);
            let expected = Said { lead: None, charset, rate, expires };
            assert_eq!(Said::read(&lines(&[(name, value)])), Ok(expected), "{name}: {value}");
        }
    }
}
