//! Request targets: the four forms of RFC 9112, section 3.2, and the one spelling of a path that everybody above sees.
//!
//! A path is normalised once, before anything is matched, and what is matched is what the upstream gets. What could be
//! read in two ways is refused, not guessed at. `CONFIG.md` has the rules as the operator reads them.

use http::Uri;
use http::uri::PathAndQuery;

use super::{Authority, Method, host};

/// Why a target is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadTarget {
    /// The path or query is not valid, or can be read in more than one way; says how.
    Path(&'static str),
    /// The target's authority is not a host, or `Host` names another one.
    Host,
    /// `CONNECT`: there is no tunnel here.
    Connect,
}

/// Reads a request target together with the `Host` that came beside it: whom and what is asked for.
///
/// In absolute-form the target's authority replaces `Host` (RFC 9112, section 3.2.2), but where the two name different
/// hosts the request is refused: somebody before or behind us would believe the other one. Without either, the authority
/// is `host::absent()`; that HTTP/1.1 requires `Host` is the caller's to enforce.
pub fn read(method: &Method, uri: &Uri, named: Option<Authority>) -> Result<(Authority, PathAndQuery), BadTarget> {
    if *method == Method::CONNECT {
        return Err(BadTarget::Connect);
    }
    let target = uri.path_and_query().cloned().ok_or(BadTarget::Path("the target has no path"))?;
    let authority = match (uri.scheme_str(), uri.authority()) {
        (None, None) => named.unwrap_or_else(host::absent),
        (Some(scheme), Some(authority)) => {
            let default_port = match scheme {
                "http" => 80,
                "https" => 443,
                _ => return Err(BadTarget::Path("the target's scheme is neither http nor https")),
            };
            let asked = host::parse(authority.as_str().as_bytes()).map_err(|_| BadTarget::Host)?;
            if named.is_some_and(|named| !host::same(&asked, &named, default_port)) {
                return Err(BadTarget::Host);
            }
            asked
        }
        (None, Some(_)) | (Some(_), None) => return Err(BadTarget::Path("the target does not begin with a slash")),
    };
    if target.as_str() == "*" && *method == Method::OPTIONS {
        return Ok((authority, target));
    }
    Ok((authority, normalise(target)?))
}

/// The one spelling of a path and query; costs nothing when they have it already.
pub fn normalise(target: PathAndQuery) -> Result<PathAndQuery, BadTarget> {
    check_query(target.query().unwrap_or_default().as_bytes())?;
    // Behind an authority the path may be absent before a query.
    if is_plain(target.path().as_bytes()) && target.as_str().starts_with('/') {
        return Ok(target);
    }
    let mut text = path(target.path().as_bytes())?;
    if let Some(query) = target.query() {
        text.push('?');
        text.push_str(query);
    }
    PathAndQuery::try_from(text).map_err(|_| BadTarget::Path("the target is not valid"))
}

/// Reads a path and query that did not come through a parser: what a filter sets, what a config says.
pub fn parse(text: &str) -> Result<PathAndQuery, BadTarget> {
    if !text.starts_with('/') {
        return Err(BadTarget::Path("the path does not begin with a slash"));
    }
    // The parser beneath would drop a fragment without a word.
    if text.contains('#') {
        return Err(BadTarget::Path("the target holds a fragment"));
    }
    let (raw, query) = text.split_once('?').map_or((text, None), |(raw, query)| (raw, Some(query)));
    let mut text = path(raw.as_bytes())?;
    if let Some(query) = query {
        check_query(query.as_bytes())?;
        text.push('?');
        text.push_str(query);
    }
    PathAndQuery::try_from(text).map_err(|_| BadTarget::Path("the target is not valid"))
}

/// Exchanges the beginning of a normalised path, at a segment boundary; `None` where `from` is not its beginning.
///
/// `from` with or without a final slash means the same, save that with it the bare path is not matched. The result is
/// normalised again, so a filter's or a config's `to` cannot smuggle in a second spelling.
pub fn change_prefix(target: &PathAndQuery, from: &str, to: &str) -> Option<Result<PathAndQuery, BadTarget>> {
    if !under(target.path(), from) {
        return None;
    }
    let rest = target.path().strip_prefix(from.strip_suffix('/').unwrap_or(from))?;
    let mut text = String::with_capacity(to.len() + target.as_str().len() + 1);
    if !to.starts_with('/') {
        text.push('/');
    }
    text.push_str(to);
    if rest.starts_with('/') {
        text.truncate(text.trim_end_matches('/').len());
        text.push_str(rest);
    }
    if let Some(query) = target.query() {
        text.push('?');
        text.push_str(query);
    }
    Some(parse(&text))
}

/// Whether a path is `prefix` or below it: `/api` has `/api` and `/api/x`, not `/apix`; `/api/` has only what is below.
#[must_use]
pub fn under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
}

/// Whether a path stands as it is: no escape, no empty segment, no segment that begins with a dot (so none is `..`).
fn is_plain(path: &[u8]) -> bool {
    let mut last = b' ';
    for &byte in path {
        if !PLAIN[usize::from(byte)] || (last == b'/' && (byte == b'/' || byte == b'.')) {
            return false;
        }
        last = byte;
    }
    path.first() == Some(&b'/')
}

/// `pchar` of RFC 3986 without the escape, and the slash.
const fn is_plain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&'..=b',' | b':' | b';' | b'=' | b'@')
}

/// `is_plain_byte` of every byte.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "below 128")]
        let this = byte as u8;
        table[byte] = is_plain_byte(this);
        byte += 1;
    }
    table
};

/// `unreserved` of RFC 3986: the same thing whether it is escaped or not (section 6.2.2.2).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Escapes first, then empty segments, then dot segments.
fn path(raw: &[u8]) -> Result<String, BadTarget> {
    let spelled = spell(raw)?;
    let mut out = String::with_capacity(spelled.len());
    let mut segments = spelled.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "" | "." if last => out.push('/'),
            "" | "." => {}
            ".." => {
                let parent = out.rfind('/').ok_or(BadTarget::Path("the path climbs above its root"))?;
                out.truncate(parent);
                if last {
                    out.push('/');
                }
            }
            _ if is_hidden_dots(segment) => {
                return Err(BadTarget::Path("a dot segment hides behind a parameter or an encoded slash"));
            }
            _ => {
                out.push('/');
                out.push_str(segment);
            }
        }
    }
    Ok(out)
}

/// Every escape in its one spelling: decoded where that changes nothing, upper case elsewhere.
fn spell(raw: &[u8]) -> Result<String, BadTarget> {
    if raw.first() != Some(&b'/') {
        return Err(BadTarget::Path("the path does not begin with a slash"));
    }
    let mut out = String::with_capacity(raw.len() + 8);
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let decoded = bytes.next().and_then(hex).zip(bytes.next().and_then(hex));
                let (high, low) = decoded.ok_or(BadTarget::Path("an escape is not two hexadecimal digits"))?;
                match high << 4 | low {
                    0 => return Err(BadTarget::Path("the path holds a NUL")),
                    byte if is_unreserved(byte) => out.push(char::from(byte)),
                    byte => escape(byte, &mut out),
                }
            }
            byte if is_plain_byte(byte) => out.push(char::from(byte)),
            // Browsers send these raw; they have no meaning of their own in a path (RFC 3986, section 2).
            b'"' | b'[' | b']' | b'^' | b'{' | b'|' | b'}' => escape(byte, &mut out),
            b'\\' => return Err(BadTarget::Path("the path holds a backslash")),
            _ => return Err(BadTarget::Path("the path holds a byte that must be escaped")),
        }
    }
    Ok(out)
}

/// Whether some decoder further on would see `.` or `..`: cut at encoded slashes and at parameters, a piece is one.
fn is_hidden_dots(segment: &str) -> bool {
    if !segment.contains('.') || !segment.contains(['%', ';']) {
        return false;
    }
    let mut pieces = segment.split("%2F").flat_map(|piece| piece.split("%5C"));
    pieces.any(|piece| matches!(piece.split(';').next(), Some("." | "..")))
}

fn check_query(query: &[u8]) -> Result<(), BadTarget> {
    let visible = query.iter().all(|&byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>'));
    if visible { Ok(()) } else { Err(BadTarget::Path("the query holds a byte that must be escaped")) }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn escape(byte: u8, out: &mut String) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    out.push('%');
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_their_one_spelling() {
        for (raw, spelled) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("/%41%7e%2D", "/A~-"),
            ("/%3a%3B%c3%a9", "/%3A%3B%C3%A9"),
            ("/a/./b/../c", "/a/c"),
            ("/a/%2e/b/%2E%2e/c", "/a/c"),
            ("/a/.%2e/b", "/b"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/.", "/"),
            ("//a///b//", "/a/b/"),
            ("/a//../b", "/b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/...", "/a/..."),
            ("/a%2fb", "/a%2Fb"),
            ("/a%5cb", "/a%5Cb"),
            ("/@scope%2Fpackage", "/@scope%2Fpackage"),
            ("/a;v=1/b;jsessionid=2", "/a;v=1/b;jsessionid=2"),
            ("/a.b;c", "/a.b;c"),
            ("/{a}|\"b\"", "/%7Ba%7D%7C%22b%22"),
            ("/%252e%252e/", "/%252e%252e/"),
            ("/a?b=%zz&c=%00&d=/../x", "/a?b=%zz&c=%00&d=/../x"),
            ("/a/../b?", "/b?"),
            ("/100%25", "/100%25"),
        ] {
            let parsed = parse(raw).unwrap();
            assert_eq!(parsed.as_str(), spelled, "{raw}");
            assert_eq!(parse(spelled).unwrap(), parsed, "{raw} twice");
            assert_eq!(normalise(raw.parse().unwrap()).unwrap(), parsed, "{raw} by the parser");
        }
    }

    #[test]
    fn paths_that_are_refused() {
        for raw in [
            "",
            "a",
            "*",
            "?",
            "/..",
            "/../a",
            "/a/../..",
            "/%2e%2e/",
            "/a/%2E%2E/../..",
            "/%00",
            "/a%00b",
            "/\0",
            "/a\tb",
            "/a b",
            "/a\r\nb",
            "/caf\u{e9}",
            "/a\\b",
            "/..\\a",
            "/%",
            "/%4",
            "/%zz",
            "/%4g",
            "/a#b",
            "/a?b#c",
            "/a?b c",
            "/a?\u{e9}",
            "/a/..%2fb",
            "/a/%2e%2e%2fb",
            "/..%5cb",
            "/a%2f..",
            "/a%2F.%2Fb",
            "/a/..;/b",
            "/a/.;x/b",
            "/..;a=b",
            "/x%2f..;y",
            "/a?\u{7f}",
            "/<a>",
            "/`a",
            "/a?<",
            "/a?\"",
        ] {
            assert!(parse(raw).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn forms_of_targets() {
        let read = |method: &str, uri: &str, named: Option<&str>| {
            let named = named.map(|named| host::parse(named.as_bytes()).unwrap());
            let (authority, target) = read(&method.parse().unwrap(), &uri.parse().unwrap(), named)?;
            Ok((authority.as_str().to_owned(), target.as_str().to_owned()))
        };
        let taken = |authority: &str, target: &str| Ok((authority.to_owned(), target.to_owned()));
        assert_eq!(read("GET", "/a", Some("h")), taken("h", "/a"));
        assert_eq!(read("GET", "/a", None), taken("", "/a"));
        assert_eq!(read("GET", "http://H:80/a/../b?c", Some("h")), taken("H:80", "/b?c"));
        assert_eq!(read("GET", "https://h", None), taken("h", "/"));
        assert_eq!(read("OPTIONS", "*", Some("h")), taken("h", "*"));
        assert_eq!(read("OPTIONS", "http://h/", Some("h")), taken("h", "/"));
        for method in ["OPTIONS", "GET"] {
            assert_eq!(read(method, "http://h?q", Some("h")), taken("h", "/?q"));
        }
        for (method, uri, named, why) in [
            ("GET", "http://other/", Some("h"), Some(BadTarget::Host)),
            ("GET", "http://h:81/", Some("h"), Some(BadTarget::Host)),
            ("GET", "http://me@h/", Some("h"), Some(BadTarget::Host)),
            ("CONNECT", "h:443", Some("h:443"), Some(BadTarget::Connect)),
            ("GET", "h:443", Some("h"), None),
            ("GET", "ftp://h/", Some("h"), None),
            ("GET", "*", Some("h"), None),
        ] {
            let refused = read(method, uri, named).unwrap_err();
            assert!(why.is_none_or(|why| why == refused), "{method} {uri}: {refused:?}");
        }
    }

    #[test]
    fn prefixes_change_at_segments() {
        for (raw, from, to, changed) in [
            ("/api/x?q", "/api", "", Some("/x?q")),
            ("/api", "/api", "", Some("/")),
            ("/api", "/api", "/v2", Some("/v2")),
            ("/api/", "/api", "/v2", Some("/v2/")),
            ("/api/x", "/api/", "/", Some("/x")),
            ("/api/x", "/api/", "/v2", Some("/v2/x")),
            ("/api/x", "/api", "/v2/", Some("/v2/x")),
            ("/api/", "/api/", "", Some("/")),
            ("/x", "/", "/v2", Some("/v2/x")),
            ("/x", "", "/v2", Some("/v2/x")),
            ("/apix", "/api", "/v2", None),
            ("/api", "/api/", "/v2", None),
            ("/x", "/api", "/v2", None),
        ] {
            let result = change_prefix(&raw.parse().unwrap(), from, to).map(|changed| changed.unwrap().to_string());
            assert_eq!(result.as_deref(), changed, "{raw} {from} {to}");
        }
        assert!(change_prefix(&"/a/x".parse().unwrap(), "/a", "/../b").unwrap().is_err());
    }
}
