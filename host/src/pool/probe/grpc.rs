//! The gRPC health protocol (`grpc.health.v1.Health/Check`), by hand: one field in each of its two messages. Pure.
//!
//! What comes back is read as a hostile message: every length is checked, unknown fields are passed over.

use bytes::Bytes;

use super::check::{Answer, Finding};
use super::fetch::USER_AGENT;
use crate::body::Body;
use crate::clock::Duration;
use crate::message::{Fields, Method, Name, Status, Value, name};

const PATH: &str = "/grpc.health.v1.Health/Check";

/// `HealthCheckResponse.ServingStatus`, by number; 1 passes.
const SERVING_STATUSES: &[&str] = &["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// gRPC's status codes, by number; 0 passes.
const CODES: &[&str] = &[
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A protobuf message of this room is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Broken;

/// The request for a service's health; the empty name stands for the whole server.
pub(super) fn request(service: &str, host: &Value, timeout: Duration) -> http::Request<Body> {
    let mut request = http::Request::new(Body::from(framed(&asked(service))));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static(PATH);
    let fields = request.headers_mut();
    fields.insert(name::HOST, host.clone());
    fields.insert(name::CONTENT_TYPE, Value::from_static("application/grpc"));
    fields.insert(name::TE, Value::from_static("trailers"));
    fields.insert(name::USER_AGENT, USER_AGENT);
    // At most eight digits may be written.
    let milliseconds = timeout.as_millis().min(99_999_999);
    if let Ok(value) = Value::try_from(format!("{milliseconds}m")) {
        fields.insert(Name::from_static("grpc-timeout"), value);
    }
    request
}

/// Whether an answer says that the service serves.
pub(super) fn verdict(answer: &Answer) -> Finding {
    if answer.status != Status::OK {
        return Err(format!("status {}, which is not gRPC", answer.status.as_u16()));
    }
    // An answer without messages has its trailers in its head.
    let code = code(&answer.trailers).or_else(|| code(&answer.fields)).ok_or("the answer has no grpc-status")?;
    if code != 0 {
        return Err(format!("grpc-status {code} {}", named(CODES, code)));
    }
    match unframed(&answer.body).and_then(serving_status) {
        Ok(1) => Ok("SERVING".to_owned()),
        Ok(status) => Err(format!("{} ({status})", named(SERVING_STATUSES, status))),
        Err(Broken) => Err("the answer is not a HealthCheckResponse".to_owned()),
    }
}

fn code(fields: &Fields) -> Option<u64> {
    fields.get("grpc-status")?.to_str().ok()?.parse().ok()
}

fn named(names: &[&'static str], number: u64) -> &'static str {
    usize::try_from(number).ok().and_then(|number| names.get(number)).copied().unwrap_or("unheard of")
}

/// `HealthCheckRequest`: field 1, `service`, a string; left out when empty.
fn asked(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(1 << 3 | 2);
        write_number(service.len() as u64, &mut message);
        message.extend_from_slice(service.as_bytes());
    }
    message
}

/// A message as gRPC sends it: not compressed, its length before it.
fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("the name of a service is no gigabyte");
    [&[0], &length.to_be_bytes()[..], message].concat().into()
}

/// The one message of an answer. Compression was not offered.
fn unframed(body: &[u8]) -> Result<&[u8], Broken> {
    match body.split_first_chunk::<5>() {
        Some(([0, length @ ..], message)) if usize::try_from(u32::from_be_bytes(*length)) == Ok(message.len()) => {
            Ok(message)
        }
        _ => Err(Broken),
    }
}

/// `HealthCheckResponse`: field 1, `status`, a number; 0 when left out, the last one when repeated.
fn serving_status(mut message: &[u8]) -> Result<u64, Broken> {
    let mut status = 0;
    while !message.is_empty() {
        let tag = read_number(&mut message)?;
        match (tag >> 3, tag & 7) {
            (0, _) => return Err(Broken),
            (1, 0) => status = read_number(&mut message)?,
            (_, 0) => drop(read_number(&mut message)?),
            (_, 1) => pass_over(&mut message, 8)?,
            (_, 2) => {
                let length = read_number(&mut message)?;
                pass_over(&mut message, length)?;
            }
            (_, 5) => pass_over(&mut message, 4)?,
            _ => return Err(Broken),
        }
    }
    Ok(status)
}

fn pass_over(message: &mut &[u8], length: u64) -> Result<(), Broken> {
    let length = usize::try_from(length).map_err(|_| Broken)?;
    *message = message.get(length..).ok_or(Broken)?;
    Ok(())
}

/// A number in protobuf's variable length: seven bits a byte, the lowest first.
fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn read_number(message: &mut &[u8]) -> Result<u64, Broken> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().ok_or(Broken)?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, head: Option<&'static str>, body: &[u8], trailer: Option<&'static str>) -> Answer {
        let fields = |code: Option<&'static str>| {
            let mut fields = Fields::default();
            if let Some(code) = code {
                fields.set(Name::from_static("grpc-status"), Value::from_static(code));
            }
            fields
        };
        let status = Status::from_u16(status).unwrap();
        Answer { status, fields: fields(head), body: body.to_vec(), trailers: fields(trailer) }
    }

    #[test]
    fn a_service_is_asked_for_by_name() {
        assert_eq!(framed(&asked("")), &b"\0\0\0\0\0"[..]);
        assert_eq!(framed(&asked("shop")), &b"\0\0\0\0\x06\x0a\x04shop"[..]);
        let long = "x".repeat(300);
        assert_eq!(asked(&long)[..3], [0x0a, 0xac, 0x02]);
        let request = request("shop", &Value::from_static("h"), Duration::from_secs(2));
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, PATH));
        for (name, value) in [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "2000m")] {
            assert_eq!(request.headers()[name], value);
        }
        let patient = super::request("", &Value::from_static("h"), Duration::MAX);
        assert_eq!(patient.headers()["grpc-timeout"], "99999999m");
    }

    #[test]
    fn serving_passes_and_nothing_else() {
        let message = |bytes: &[u8]| framed(bytes);
        for (answer, expected) in [
            (answer(200, None, &message(b"\x08\x01"), Some("0")), Ok("SERVING")),
            (answer(200, Some("0"), &message(b"\x08\x01"), None), Ok("SERVING")),
            (answer(200, None, &message(b""), Some("0")), Err("UNKNOWN (0)")),
            (answer(200, None, &message(b"\x08\x02"), Some("0")), Err("NOT_SERVING (2)")),
            (answer(200, None, &message(b"\x08\x03"), Some("0")), Err("SERVICE_UNKNOWN (3)")),
            (answer(200, None, &message(b"\x08\x2a"), Some("0")), Err("unheard of (42)")),
            (answer(200, Some("5"), b"", None), Err("grpc-status 5 NOT_FOUND")),
            (answer(200, None, &message(b"\x08\x01"), Some("14")), Err("grpc-status 14 UNAVAILABLE")),
            (answer(200, None, b"", Some("99")), Err("grpc-status 99 unheard of")),
            (answer(200, None, &message(b"\x08\x01"), None), Err("the answer has no grpc-status")),
            (answer(200, None, &message(b"\x08\x01"), Some("zero")), Err("the answer has no grpc-status")),
            (answer(503, Some("0"), b"", None), Err("status 503, which is not gRPC")),
            (answer(200, Some("0"), b"", None), Err("the answer is not a HealthCheckResponse")),
        ] {
            let finding = verdict(&answer);
            assert_eq!(finding, expected.map(str::to_owned).map_err(str::to_owned), "{answer:?}");
        }
    }

    #[test]
    fn frames_that_lie_are_broken() {
        for body in [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x03\x08\x01", b"\0\0\0\0\x01\x08\x01", b"\x01\0\0\0\x02\x08\x01"]
        {
            assert_eq!(unframed(body), Err(Broken), "{body:?}");
        }
        assert_eq!(unframed(b"\0\0\0\0\x02\x08\x01"), Ok(&b"\x08\x01"[..]));
    }

    #[test]
    fn messages_are_read_whatever_else_is_in_them() {
        for (message, expected) in [
            (&b""[..], Ok(0)),
            (b"\x08\x01", Ok(1)),
            (b"\x08\x02\x08\x01", Ok(1)),
            (b"\x12\x03abc\x08\x01", Ok(1)),
            (b"\x08\x01\x18\x96\x01", Ok(1)),
            (b"\x11\0\0\0\0\0\0\0\0\x25\0\0\0\0\x08\x01", Ok(1)),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Ok(u64::MAX)),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Err(Broken)),
            (b"\x08", Err(Broken)),
            (b"\x08\x80", Err(Broken)),
            (b"\x12\x04abc", Err(Broken)),
            (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Err(Broken)),
            (b"\x0b", Err(Broken)),
            (b"\0\0", Err(Broken)),
            (b"\x15\0", Err(Broken)),
        ] {
            assert_eq!(serving_status(message), expected, "{message:?}");
        }
    }

    #[test]
    fn numbers_come_back_as_they_went() {
        for number in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            write_number(number, &mut bytes);
            let mut rest = &bytes[..];
            assert_eq!(read_number(&mut rest), Ok(number));
            assert!(rest.is_empty());
        }
    }
}
