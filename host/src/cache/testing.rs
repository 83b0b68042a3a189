//! What the tests of this room are written with.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::date;
use super::fresh::Times;
use crate::message::{Fields, Method, Name, RequestHead, ResponseHead, Scheme, Status, Value, host, target};

/// The wall clock, so many seconds after an instant in November 2026.
pub(super) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_000_000 + seconds)
}

/// A date, so many seconds from that instant.
pub(super) fn date(offset: i64) -> &'static str {
    let far = Duration::from_secs(offset.unsigned_abs());
    let time = if offset < 0 { at(0) - far } else { at(0) + far };
    date::write(time).to_str().unwrap().to_owned().leak()
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Asked and answered in the same instant.
pub(super) fn times(seconds: u64) -> Times {
    Times { asked: at(seconds), answered: at(seconds) }
}

pub(super) fn fields(lines: &[(&'static str, &'static str)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in lines {
        fields.append(Name::from_bytes(name.as_bytes()).unwrap(), Value::from_bytes(value.as_bytes()).unwrap());
    }
    fields
}

pub(super) fn request(method: &str, path: &str, lines: &[(&'static str, &'static str)]) -> RequestHead {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let authority = host::parse(b"shop.example").unwrap();
    let mut head = RequestHead::of(method, Scheme::Http, authority, target::parse(path).unwrap());
    head.fields = fields(lines);
    head
}

pub(super) fn get(lines: &[(&'static str, &'static str)]) -> RequestHead {
    request("GET", "/a", lines)
}

pub(super) fn response(status: u16, lines: &[(&'static str, &'static str)]) -> ResponseHead {
    let mut head = ResponseHead::of(Status::from_u16(status).unwrap());
    head.fields = fields(lines);
    head
}
