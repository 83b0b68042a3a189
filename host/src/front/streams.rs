//! What HTTP/2 and HTTP/3 have in common: rules of heads that their codecs leave to their users, and what clients may do.
//!
//! RFC 9113, section 8, and RFC 9114, section 4, say the same in other words; the former is cited.

use http::request::Parts;
use http::{HeaderMap, header};

use crate::clock::Duration;
use crate::config::{self, MinRate};
use crate::message::{Name, Scheme, host};

/// What clients may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_head: usize,
    pub(super) max_target: usize,
    pub(super) max_fields: usize,
    pub(super) head: Duration,
    pub(super) body: Duration,
    pub(super) write: Duration,
    pub(super) min_rate: MinRate,
}

/// What a line of a head takes beside its name and value, as in HTTP/1: a colon, a space and the line's end.
pub(super) const LINE: usize = 4;

/// Fields of an HTTP/1 connection, which make a message malformed (section 8.2.2).
pub(super) const HOPS: [Name; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    Name::from_static("keep-alive"),
    Name::from_static("proxy-connection"),
];

impl Limits {
    pub(super) const fn of(listener: &config::Listener) -> Self {
        Self {
            max_head: listener.max_head,
            max_target: listener.max_target,
            max_fields: listener.max_fields,
            head: listener.head_timeout,
            body: listener.body_timeout,
            write: listener.write_timeout,
            min_rate: listener.min_rate,
        }
    }
}

/// Takes off what may not stand in an answer, and `TE`, which is a request's.
pub(super) fn strip(fields: &mut HeaderMap) {
    for name in HOPS {
        fields.remove(name);
    }
    fields.remove(header::TE);
}

/// Says how long an answer's body is, where that is known and nobody has said it; the length that is said.
pub(super) fn state_length(head: &mut http::response::Parts, body: &impl http_body::Body) -> Option<u64> {
    if let Some(length) = head.headers.get(header::CONTENT_LENGTH) {
        return length.to_str().ok()?.parse().ok();
    }
    let length = body.size_hint().exact()?;
    head.headers.insert(header::CONTENT_LENGTH, length.into());
    Some(length)
}

/// One host, named once or twice the same (section 8.3.1).
pub(super) fn check_authority(head: &Parts) -> Result<(), &'static str> {
    let mut lines = head.headers.get_all(header::HOST).iter();
    let (named, another) = (lines.next(), lines.next());
    if another.is_some() {
        return Err("Host is there twice");
    }
    let Some(authority) = head.uri.authority() else {
        return named.map(|_| ()).ok_or("neither :authority nor Host is there");
    };
    let asked = host::parse(authority.as_str().as_bytes()).map_err(|_| ":authority is not a host")?;
    let Some(named) = named else { return Ok(()) };
    let named = host::parse(named.as_bytes()).map_err(|_| "Host is not a host")?;
    let scheme = if head.uri.scheme_str() == Some("https") { Scheme::Https } else { Scheme::Http };
    match host::same(&asked, &named, scheme.default_port()) {
        true => Ok(()),
        false => Err(":authority and Host name different hosts"),
    }
}

/// Whether a field has a value that begins or ends with white space, which it must not (section 8.2.1).
pub(super) fn has_padding(fields: &HeaderMap) -> bool {
    fields.values().any(|value| is_padded(value.as_bytes()))
}

pub(super) fn is_padded(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(value.first()) || is_space(value.last())
}

#[cfg(test)]
impl Limits {
    /// For tests that are not about them.
    pub(super) fn any(time: Duration) -> Self {
        let min_rate = MinRate { request: 0, response: 0, grace: Duration::ZERO };
        Self { max_head: 1000, max_target: 100, max_fields: 10, head: time, body: time, write: time, min_rate }
    }
}
