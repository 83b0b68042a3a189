//! What a gateway must know of gRPC over HTTP/2: which requests are its, how much time they have, and how they are told
//! that something went wrong, because clients of gRPC read trailers where others read a status.

use std::time::Duration;

use http::header;

use super::{Fields, Name, ResponseHead, Status, Value};

const STATUS: Name = Name::from_static("grpc-status");
const MESSAGE: Name = Name::from_static("grpc-message");
const TIMEOUT: Name = Name::from_static("grpc-timeout");

/// Longest time that `grpc-timeout` can name is eight digits of hours.
const MOST_DIGITS: usize = 8;

/// Whether a request or an answer is one of gRPC: `application/grpc`, with a message format or without. `application/grpc-web` is not:
/// it has its trailers in its body.
#[must_use]
pub fn is_one(fields: &Fields) -> bool {
    const KIND: &[u8] = b"application/grpc";
    let Some(kind) = fields.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().trim_ascii()) else { return false };
    let is_named = kind.get(..KIND.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(KIND));
    is_named && matches!(kind.get(KIND.len()), None | Some(b'+' | b';' | b' '))
}

/// The time that a client gives its call, from now on; `None` when it says nothing that can be read.
#[must_use]
pub fn timeout(fields: &Fields) -> Option<Duration> {
    let mut lines = fields.lines(TIMEOUT);
    let (unit, digits) = lines.next().filter(|_| lines.next().is_none())?.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > MOST_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count: u64 = str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

/// Makes an error answer one that clients of gRPC understand: its trailers alone, as its head. What else it said stays,
/// but for what described its body.
pub fn tell(head: &mut ResponseHead, sentence: &str) {
    let code = code(head.status);
    head.status = Status::OK;
    for name in [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::X_CONTENT_TYPE_OPTIONS] {
        head.fields.remove(name);
    }
    head.fields.set(header::CONTENT_TYPE, Value::from_static("application/grpc"));
    head.fields.set(STATUS, Value::from(code));
    if let Ok(message) = Value::from_str(&escaped(sentence)) {
        head.fields.set(MESSAGE, message);
    }
}

/// The trailers of an answer whose time was over before its end.
#[must_use]
pub fn overdue(sentence: &str) -> Fields {
    let mut head = ResponseHead::of(Status::GATEWAY_TIMEOUT);
    tell(&mut head, sentence);
    head.fields.remove(header::CONTENT_TYPE);
    head.fields
}

/// Whether an answer says already how the call ended.
#[must_use]
pub fn is_told(head: &ResponseHead) -> bool {
    head.fields.contains(STATUS)
}

/// The code that a client would conclude from a status (gRPC's `http-grpc-status-mapping.md`), save that 504, which says
/// here that time ran out, is `DEADLINE_EXCEEDED`.
const fn code(status: Status) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 => 14,
        504 => 4,
        _ => 2,
    }
}

/// Percent-encoded as `Status-Message` is: all but printable ASCII, and `%` itself.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::fields::tests::fields;

    #[test]
    fn requests_are_known_by_their_content_type() {
        for (kind, expected) in [
            (Some("application/grpc"), true),
            (Some("application/grpc+proto"), true),
            (Some("Application/GRPC; charset=x"), true),
            (Some("application/grpc-web"), false),
            (Some("application/grpc-web+proto"), false),
            (Some("application/grpcx"), false),
            (Some("application/json"), false),
            (Some("app"), false),
            (None, false),
        ] {
            let request = kind.map_or_else(Fields::default, |kind| fields(&[("content-type", kind)]));
            assert_eq!(is_one(&request), expected, "{kind:?}");
        }
    }

    #[test]
    fn timeouts() {
        for (said, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("100m", Some(Duration::from_millis(100))),
            ("5u", Some(Duration::from_micros(5))),
            ("7n", Some(Duration::from_nanos(7))),
            ("0S", Some(Duration::ZERO)),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("123456789S", None),
            ("1s", None),
            ("S", None),
            ("-1S", None),
            ("1 S", None),
            ("1", None),
            ("", None),
        ] {
            assert_eq!(timeout(&fields(&[("grpc-timeout", said)])), expected, "{said:?}");
        }
        assert_eq!(timeout(&fields(&[("grpc-timeout", "1S"), ("grpc-timeout", "2S")])), None);
        assert_eq!(timeout(&Fields::default()), None);
    }

    #[test]
    fn statuses_become_codes() {
        for (status, code) in [
            (400, "13"),
            (401, "16"),
            (403, "7"),
            (404, "12"),
            (429, "14"),
            (502, "14"),
            (503, "14"),
            (504, "4"),
            (413, "2"),
            (500, "2"),
        ] {
            let mut head = ResponseHead::of(Status::from_u16(status).unwrap());
            head.fields = fields(&[("content-length", "5"), ("content-type", "text/html"), ("x-request-id", "id")]);
            tell(&mut head, "It is 5 % \u{e9}\n.");
            assert!(is_told(&head) && head.status == Status::OK);
            assert_eq!(head.fields.get("grpc-status").unwrap(), code, "{status}");
            assert_eq!(head.fields.get("grpc-message").unwrap(), "It is 5 %25 %C3%A9%0A.");
            assert_eq!(head.fields.get("content-type").unwrap(), "application/grpc");
            assert_eq!(head.fields.get("x-request-id").unwrap(), "id");
            assert!(!head.fields.contains("content-length"));
        }
    }
}
