//! A request's head, beyond what the codec looks at: whether it is an honest request, in the one form that the pipeline reads.

use http::header;
use http::request::Parts;

use super::link::Limits;
use crate::failure::{Failure, Kind};
use crate::message::{Method, Name, Scheme, Value, host};

/// Why a request does not reach the pipeline.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is no request; the stream is reset (RFC 9114, section 4.1.2).
    Malformed(Failure),
    /// It is more than is taken, and is told so.
    Beyond(Failure),
}

/// What a line of a head takes beside its name and value, as in HTTP/1: a colon, a space and the line's end.
const LINE: usize = 4;

/// Fields of an HTTP/1 connection (RFC 9114, section 4.2).
const HOPS: [Name; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    Name::from_static("keep-alive"),
    Name::from_static("proxy-connection"),
];

/// Checks a head, and brings it into the one form that the pipeline reads; the protocol that the stream is to become.
pub(super) fn read(head: &mut Parts, limits: &Limits) -> Result<Option<Value>, Refused> {
    let malformed = |detail| Refused::Malformed(Failure::of(Kind::MalformedRequest, detail));
    let protocol = head.extensions.remove::<h3::ext::Protocol>();
    join_cookies(head);
    measure(head, limits)?;
    check_fields(head).map_err(malformed)?;
    let path = head.uri.path();
    let is_tunnel = protocol.is_some();
    if head.method != Method::CONNECT || is_tunnel {
        if !path.starts_with('/') && !(path == "*" && head.method == Method::OPTIONS) {
            return Err(malformed(":path does not begin with a slash"));
        }
        check_authority(head).map_err(|detail| Refused::Malformed(Failure::of(Kind::BadHost, detail)))?;
    }
    protocol
        .map(|protocol| Value::from_str(protocol.as_str()).map_err(|_| malformed(":protocol is not a field's value")))
        .transpose()
}

/// Crumbs become one line again before anybody sees them who speaks HTTP/1 (RFC 9114, section 4.2.1).
fn join_cookies(head: &mut Parts) {
    let crumbs: Vec<_> = head.headers.get_all(header::COOKIE).iter().map(Value::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(whole) = Value::from_bytes(&crumbs.join(&b"; "[..])) {
        head.headers.insert(header::COOKIE, whole);
    }
}

/// The same measure as an HTTP/1 head has.
fn measure(head: &Parts, limits: &Limits) -> Result<(), Refused> {
    let beyond = |kind, detail: String| Err(Refused::Beyond(Failure::of(kind, detail)));
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.max_target {
        return beyond(Kind::TargetTooLong, format!("{target} bytes, {} are allowed", limits.max_target));
    }
    if head.headers.len() > limits.max_fields {
        let text = format!("{} fields, {} are allowed", head.headers.len(), limits.max_fields);
        return beyond(Kind::HeadTooLarge, text);
    }
    let authority = head.uri.authority().map_or(0, |authority| authority.as_str().len());
    let lines = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + LINE).sum::<usize>();
    let length = head.method.as_str().len() + target + authority + lines;
    if length > limits.max_head {
        return beyond(Kind::HeadTooLarge, format!("{length} bytes, {} are allowed", limits.max_head));
    }
    Ok(())
}

fn check_fields(head: &mut Parts) -> Result<(), &'static str> {
    if HOPS.iter().any(|name| head.headers.contains_key(name)) {
        return Err("a field of a connection");
    }
    // RFC 9114, section 4.2.
    if head.headers.get_all(header::TE).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"trailers")) {
        return Err("TE is something else than trailers");
    }
    if head.headers.values().any(|value| is_padded(value.as_bytes())) {
        return Err("a field's value begins or ends with white space");
    }
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(length) = lengths.next().cloned() else { return Ok(()) };
    // RFC 9110, section 8.6.
    let is_number = !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit);
    if !is_number || length.to_str().ok().and_then(|length| length.parse::<i64>().ok()).is_none() {
        return Err("Content-Length is not a length");
    }
    if lengths.any(|other| *other != length) {
        return Err("Content-Length is there twice");
    }
    head.headers.insert(header::CONTENT_LENGTH, length);
    Ok(())
}

/// One host, named once or twice the same (RFC 9114, section 4.3.1).
fn check_authority(head: &Parts) -> Result<(), &'static str> {
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

fn is_padded(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(value.first()) || is_space(value.last())
}
