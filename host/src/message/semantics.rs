//! What methods, statuses and a few fields mean (RFC 9110, RFC 9112).

use http::header;

use super::{Fields, Method, Status, Value, Version};

/// An `Expect` that is not `100-continue` (RFC 9110, section 10.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownExpectation;

/// `Content-Length` is not one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLength;

/// Whether a request changes nothing (RFC 9110, section 9.2.1; `QUERY` by RFC 10008). An unknown method is taken to change
/// something.
#[must_use]
pub fn is_safe(method: &Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE" | "QUERY")
}

/// A version as logs and filters know it, which is how nginx writes it.
#[must_use]
pub const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "-",
    }
}

/// The length that a message says it has. HTTP/1 is asked for one honest line by the gate; where streams frame bodies, it is
/// one all the same, because what goes on may be HTTP/1 again (RFC 9113, section 8.1.1; RFC 9114, section 4.1.2).
pub fn declared_length(fields: &Fields) -> Result<Option<u64>, BadLength> {
    let mut lines = fields.lines(header::CONTENT_LENGTH);
    let Some(line) = lines.next() else { return Ok(None) };
    let digits = line.as_bytes();
    if lines.next().is_some() || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BadLength);
    }
    str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).map(Some).ok_or(BadLength)
}

/// Whether a request may be sent twice (RFC 9110, section 9.2.2).
#[must_use]
pub fn is_idempotent(method: &Method) -> bool {
    is_safe(method) || matches!(method.as_str(), "PUT" | "DELETE")
}

/// Whether the client waits for `100 Continue` before it sends its body. HTTP/1.0 cannot wait: what it expects is ignored.
pub fn expects_continue(version: Version, fields: &Fields) -> Result<bool, UnknownExpectation> {
    let mut expects = false;
    for line in fields.lines(header::EXPECT) {
        if !line.as_bytes().trim_ascii().eq_ignore_ascii_case(b"100-continue") {
            return Err(UnknownExpectation);
        }
        expects = true;
    }
    Ok(expects && version != Version::HTTP_10 && version != Version::HTTP_09)
}

/// Makes one line of the lines that HTTP/2 and HTTP/3 may cut `Cookie` into (RFC 9113, section 8.2.3): everybody else knows
/// but one.
pub fn join_cookies(fields: &mut Fields) {
    if fields.lines(header::COOKIE).nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = fields.lines(header::COOKIE).map(Value::as_bytes).collect();
    if let Ok(whole) = Value::from_bytes(&crumbs.join(&b"; "[..])) {
        fields.set(header::COOKIE, whole);
    }
}

/// Whether a response to this method with this status can have a body, whatever its fields say (RFC 9112, section 6.3).
#[must_use]
pub fn has_body(method: &Method, status: Status) -> bool {
    *method != Method::HEAD
        && !status.is_informational()
        && status != Status::NO_CONTENT
        && status != Status::NOT_MODIFIED
}

/// Whether `Content-Length` and `Transfer-Encoding` may stand in a response with this status (RFC 9110, section 8.6;
/// RFC 9112, section 6.1): not in 1xx and 204. In 304 and to `HEAD`, `Content-Length` tells what `GET` would have got.
#[must_use]
pub fn may_state_length(status: Status) -> bool {
    !status.is_informational() && status != Status::NO_CONTENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods() {
        for (method, safe, idempotent) in [
            ("GET", true, true),
            ("HEAD", true, true),
            ("OPTIONS", true, true),
            ("TRACE", true, true),
            ("QUERY", true, true),
            ("PUT", false, true),
            ("DELETE", false, true),
            ("POST", false, false),
            ("PATCH", false, false),
            ("get", false, false),
            ("PURGE", false, false),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!((is_safe(&method), is_idempotent(&method)), (safe, idempotent), "{method}");
        }
    }

    #[test]
    fn expectations() {
        for (version, value, expected) in [
            (Version::HTTP_11, None, Ok(false)),
            (Version::HTTP_11, Some("100-Continue"), Ok(true)),
            (Version::HTTP_10, Some("100-continue"), Ok(false)),
            (Version::HTTP_11, Some("100-continue, x"), Err(UnknownExpectation)),
            (Version::HTTP_11, Some("tea"), Err(UnknownExpectation)),
            (Version::HTTP_11, Some(""), Err(UnknownExpectation)),
        ] {
            let mut fields = Fields::default();
            if let Some(value) = value {
                fields.set(header::EXPECT, Value::from_static(value));
            }
            assert_eq!(expects_continue(version, &fields), expected, "{value:?}");
        }
    }

    #[test]
    fn lengths() {
        for (lines, expected) in [
            (&[][..], Ok(None)),
            (&["0"], Ok(Some(0))),
            (&["0042"], Ok(Some(42))),
            (&["18446744073709551615"], Ok(Some(u64::MAX))),
            (&["18446744073709551616"], Err(BadLength)),
            (&["5", "5"], Err(BadLength)),
            (&["5, 5"], Err(BadLength)),
            (&["+5"], Err(BadLength)),
            (&["-1"], Err(BadLength)),
            (&[" 5"], Err(BadLength)),
            (&[""], Err(BadLength)),
            (&["0x5"], Err(BadLength)),
        ] {
            let mut fields = Fields::default();
            lines.iter().for_each(|line| fields.append(header::CONTENT_LENGTH, Value::from_static(line)));
            assert_eq!(declared_length(&fields), expected, "{lines:?}");
        }
    }

    #[test]
    fn cookies_are_one_line() {
        for (lines, whole) in [
            (&[][..], None),
            (&["a=1; b=2"], Some("a=1; b=2")),
            (&["a=1", "b=2; c=3", "d=4"], Some("a=1; b=2; c=3; d=4")),
        ] {
            let mut fields = Fields::default();
            lines.iter().for_each(|line| fields.append(header::COOKIE, Value::from_static(line)));
            join_cookies(&mut fields);
            assert_eq!(fields.lines(header::COOKIE).count(), usize::from(whole.is_some()));
            assert_eq!(fields.get(header::COOKIE).map(|cookie| cookie.to_str().unwrap()), whole);
        }
    }

    #[test]
    fn bodies_of_responses() {
        for (method, status, body, length) in [
            (Method::GET, 200, true, true),
            (Method::HEAD, 200, false, true),
            (Method::GET, 204, false, false),
            (Method::GET, 304, false, true),
            (Method::POST, 103, false, false),
            (Method::GET, 205, true, true),
        ] {
            let status = Status::from_u16(status).unwrap();
            assert_eq!((has_body(&method, status), may_state_length(status)), (body, length), "{method} {status}");
        }
    }
}
