//! What may stand in `Host`: one host, and perhaps a port.
//!
//! Stricter than RFC 3986, section 3.2.2, on purpose: a registered name is letters, digits and `-._~`. Sub-delimiters
//! and percent-encoding are allowed by the grammar and found in no name that DNS or a certificate can hold, but they
//! would give one host two spellings and would travel into logs, `Forwarded` and pages.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::{Authority, Value};

/// Not one valid host with an optional port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadHost;

/// DNS allows 253 bytes of name (RFC 1035, section 2.3.4); a trailing dot makes one more.
const LONGEST: usize = 254;

/// Reads an authority from bytes.
///
/// A port is `*DIGIT` (RFC 3986, section 3.2.3): an empty one is the same as none and is dropped, a number beyond 65535
/// is refused, and so are more than five digits. Zone identifiers, `IPvFuture` and userinfo are refused.
pub fn parse(bytes: &[u8]) -> Result<Authority, BadHost> {
    take(Value::from_bytes(bytes).map_err(|_| BadHost)?)
}

/// Like `parse`, keeping the field value's own bytes.
pub fn take(text: Value) -> Result<Authority, BadHost> {
    let (host, port) = measure(text.as_bytes())?;
    if port.is_none() && text.len() > host {
        let bare = Value::from_bytes(text.as_bytes().get(..host).unwrap_or_default()).map_err(|_| BadHost)?;
        return Ok(Authority::checked(bare, host, None));
    }
    Ok(Authority::checked(text, host, port))
}

/// Whether `parse` would take these bytes; allocates nothing.
#[must_use]
pub fn is_valid(bytes: &[u8]) -> bool {
    measure(bytes).is_ok()
}

/// The authority of an HTTP/1.0 request that names none (RFC 9112, section 3.2): an empty host, which only the default
/// site answers.
#[must_use]
pub fn absent() -> Authority {
    Authority::checked(Value::from_static(""), 0, None)
}

/// A host as it is compared: lower case (RFC 3986, section 6.2.2.1) and without the dot that makes a DNS name absolute.
#[must_use]
pub fn key(host: &str) -> Cow<'_, str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(host.to_ascii_lowercase());
    }
    Cow::Borrowed(host)
}

/// Whether two authorities name the same host and port; a port that is not given is `default_port`.
#[must_use]
pub fn same(one: &Authority, other: &Authority, default_port: u16) -> bool {
    key(one.host()) == key(other.host()) && one.port().unwrap_or(default_port) == other.port().unwrap_or(default_port)
}

/// How long the host at the beginning is, and its port.
fn measure(bytes: &[u8]) -> Result<(usize, Option<u16>), BadHost> {
    let host = match bytes.first() {
        Some(b'[') => literal(bytes)?,
        Some(_) => name(bytes)?,
        None => return Err(BadHost),
    };
    match bytes.get(host..).unwrap_or_default() {
        [] | [b':'] => Ok((host, None)),
        [b':', digits @ ..] => Ok((host, Some(port(digits)?))),
        _ => Err(BadHost),
    }
}

/// How long the bracketed address at the beginning is.
fn literal(bytes: &[u8]) -> Result<usize, BadHost> {
    let end = bytes.iter().position(|&byte| byte == b']').ok_or(BadHost)?;
    let address = bytes.get(1..end).and_then(|address| str::from_utf8(address).ok()).ok_or(BadHost)?;
    address.parse::<Ipv6Addr>().map_err(|_| BadHost)?;
    Ok(end + 1)
}

/// How long the name at the beginning is. Empty labels are refused: `..` is a path to whoever keeps files by host.
fn name(bytes: &[u8]) -> Result<usize, BadHost> {
    let mut label = 0;
    let mut length = 0;
    for &byte in bytes {
        if IN_LABELS[usize::from(byte)] {
            label += 1;
        } else if byte == b'.' && label > 0 {
            label = 0;
        } else if byte == b':' {
            break;
        } else {
            return Err(BadHost);
        }
        length += 1;
    }
    if length == 0 || length > LONGEST { Err(BadHost) } else { Ok(length) }
}

/// Every request's host is looked at, more than once: one look for each byte.
const IN_LABELS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "below 128")]
        let this = byte as u8;
        table[byte] = matches!(this, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~');
        byte += 1;
    }
    table
};

fn port(digits: &[u8]) -> Result<u16, BadHost> {
    if digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BadHost);
    }
    // Five digits fit.
    let number = digits.iter().fold(0_u32, |number, digit| number * 10 + u32::from(digit - b'0'));
    u16::try_from(number).map_err(|_| BadHost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_taken() {
        for (text, host, port) in [
            ("shop.example", "shop.example", None),
            ("Shop.Example:8080", "Shop.Example", Some(8080)),
            ("shop.example.", "shop.example.", None),
            ("shop.example:", "shop.example", None),
            ("a_b-c~d", "a_b-c~d", None),
            ("127.0.0.1:0", "127.0.0.1", Some(0)),
            ("[::1]", "[::1]", None),
            ("[2001:DB8::7]:443", "[2001:DB8::7]", Some(443)),
            ("[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]", Some(1)),
            ("x:65535", "x", Some(65535)),
        ] {
            let authority = parse(text.as_bytes()).unwrap();
            assert_eq!((authority.host(), authority.port()), (host, port), "{text}");
        }
        assert_eq!(parse(b"shop.example:").unwrap().as_str(), "shop.example");
    }

    #[test]
    fn hosts_that_are_refused() {
        for text in [
            "",
            ":",
            ":80",
            " ",
            "a b",
            "a\tb",
            "a,b",
            "a/b",
            "a\\b",
            "user@a",
            "a?b",
            "a#b",
            "a%41",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:000080",
            "a:+1",
            "a: 80",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:x",
            "[::g]",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "[]",
            ".a",
            "a..b",
            ".",
            "..",
            "a;b",
            "a'b",
            "a<b",
            "caf\u{e9}",
            "a\0",
            "a\r\n",
            "a, a",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(parse(&[b'a'; 255]).is_err());
    }

    #[test]
    fn hosts_are_compared_without_case_and_final_dot() {
        assert_eq!(key("Shop.Example."), "shop.example");
        assert!(matches!(key("shop.example"), Cow::Borrowed(_)));
        let same =
            |one: &str, other: &str| same(&parse(one.as_bytes()).unwrap(), &parse(other.as_bytes()).unwrap(), 80);
        assert!(same("A", "a:80") && !same("a", "a:81") && !same("a", "b"));
    }
}
