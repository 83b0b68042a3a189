//! What one line of a head or a trailer section may be, each judged on its own.
//!
//! No state: bytes in, their parts or a refusal out.

use memchr::memchr;

use crate::failure::Kind;
use crate::message::host;

/// The longest registered method, `UPDATEREDIRECTREF`, has 17 bytes.
pub(super) const MAX_METHOD: usize = 32;

/// What of a request line matters to the gate.
pub(super) struct RequestLine {
    pub(super) is_1_0: bool,
    /// `OPTIONS` with a URI that has neither path nor query.
    pub(super) is_of_server: bool,
}

/// Reads `METHOD SP target SP HTTP/1.x`. A line cut short is judged by what is there.
pub(super) fn request_line(line: &[u8], max_target: usize) -> Result<RequestLine, (Kind, &'static str)> {
    let malformed = |detail| Err((Kind::MalformedRequest, detail));
    let method = line.iter().take(MAX_METHOD + 1).take_while(|&&byte| is_token(byte)).count();
    let (method, rest) = line.split_at(method);
    let Some(rest) = rest.strip_prefix(b" ") else {
        return malformed("the request line does not begin with a method and a space");
    };
    if method.is_empty() || method.len() > MAX_METHOD {
        return malformed("the method is not a token");
    }
    let length = memchr(b' ', rest).unwrap_or(rest.len());
    if length > max_target {
        return Err((Kind::TargetTooLong, "the target is longer than max-target"));
    }
    let (target, version) = rest.split_at(length);
    if target.is_empty() || target.iter().any(u8::is_ascii_control) {
        return malformed("the request line does not have one target between two spaces");
    }
    let is_1_0 = match version {
        b" HTTP/1.1" => false,
        b" HTTP/1.0" => true,
        [b' ', b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            return Err((Kind::VersionUnsupported, "neither HTTP/1.1 nor HTTP/1.0"));
        }
        _ => return malformed("the request line does not end with a version"),
    };
    if method == b"CONNECT" {
        return Err((Kind::NotImplemented, "CONNECT"));
    }
    if !is_spelled(target) {
        return Err((Kind::BadTarget, "the target holds a byte that must be escaped"));
    }
    if target.first() == Some(&b'/') || (target == b"*" && method == b"OPTIONS") {
        return Ok(RequestLine { is_1_0, is_of_server: false });
    }
    match authority(target) {
        Some(authority) if host::is_valid(authority) => {
            let is_bare = target.ends_with(authority);
            Ok(RequestLine { is_1_0, is_of_server: is_bare && method == b"OPTIONS" })
        }
        Some(_) => Err((Kind::BadHost, "the target's authority is not a host")),
        None => Err((Kind::BadTarget, "the target is neither a path nor an http URI")),
    }
}

/// Whether a target holds visible ASCII only, and nothing that the parser beneath refuses in a path or a query.
fn is_spelled(target: &[u8]) -> bool {
    let path = memchr(b'?', target).unwrap_or(target.len());
    let (path, query) = target.split_at(path);
    let is_fine = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'<' | b'>');
    path.iter().all(|&byte| is_fine(byte) && byte != b'`') && query.iter().all(|&byte| is_fine(byte) && byte != b'"')
}

/// The authority of a target in absolute-form (RFC 9112, section 3.2.2).
fn authority(target: &[u8]) -> Option<&[u8]> {
    let behind = |scheme: &[u8]| {
        let (begin, rest) = target.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let rest = behind(b"http://").or_else(|| behind(b"https://"))?;
    rest.split(|byte| matches!(byte, b'/' | b'?')).next()
}

/// A field line's name and its value without the whitespace around it (RFC 9112, section 5).
pub(super) fn split(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let length = line.iter().take_while(|&&byte| is_token(byte)).count();
    let (name, rest) = line.split_at(length);
    match (name, rest) {
        ([], [b' ' | b'\t', ..]) => Err("a field line begins with whitespace"),
        ([], _) => Err("a field has no name"),
        (_, [b' ' | b'\t', ..]) => Err("whitespace stands before a field's colon"),
        (name, [b':', value @ ..]) => {
            if value.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)) {
                Ok((name, trim(value)))
            } else {
                Err("a control byte in a field's value")
            }
        }
        _ => Err("a field's name is not a token"),
    }
}

/// Without the spaces and tabs around it. The standard library's `trim_ascii` would take form feeds too.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether a name is `other`, or would be where `_` and `-` are the same and case does not count.
pub(super) fn looks_like(name: &[u8], other: &[u8]) -> bool {
    let same = |(&one, &other): (&u8, &u8)| one.eq_ignore_ascii_case(&other) || (one == b'_' && other == b'-');
    name.len() == other.len() && name.iter().zip(other).all(same)
}

/// Whether a `Transfer-Encoding` is well-formed but names a coding we do not know, with `chunked` at most as the last.
pub(super) fn names_other_codings(value: &[u8]) -> bool {
    let mut codings = value.split(|&byte| byte == b',').map(trim).rev();
    let last = codings.next().unwrap_or_default();
    let mut others = codings.peekable();
    let last_is_chunked = last.eq_ignore_ascii_case(b"chunked");
    let is_other = |coding: &[u8]| {
        !coding.is_empty()
            && coding.iter().all(|&byte| is_token(byte))
            && !coding.to_ascii_lowercase().ends_with(b"chunked")
    };
    (is_other(last) || (last_is_chunked && others.peek().is_some())) && others.all(is_other)
}

/// `tchar` of RFC 9110, section 5.6.2.
const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "below 128")]
        let sign = byte as u8;
        table[byte] = sign.is_ascii_alphanumeric()
            || matches!(
                sign,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    table
};
