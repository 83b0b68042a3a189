//! A request's head: whether it is an honest request (RFC 9114, section 4.3), in the one form that the pipeline reads.

use http::request::Parts;
use http::uri::{self, PathAndQuery, Uri};
use http::{HeaderMap, header};

use super::frames::Section;
use super::qpack::{Broken, Lines};
use crate::failure::{Failure, Kind};
use crate::front::streams::{self, HOPS, LINE, Limits};
use crate::message::{Method, Name, Value, Version};

/// A request that is one.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) head: Parts,
    /// The protocol that the stream is to become (RFC 9220).
    pub(super) protocol: Option<Value>,
}

/// Why a request does not reach the pipeline.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is no request; the stream is reset (RFC 9114, section 4.1.2).
    Malformed(Failure),
    /// It is more than is taken, and is told so.
    Beyond(Failure, Method),
    /// Nobody can say what it is; the connection ends (RFC 9204, section 2.2).
    Undecodable,
}

/// What stands before the fields (RFC 9114, section 4.3.1).
#[derive(Default)]
struct Line {
    method: Option<Method>,
    scheme: Option<uri::Scheme>,
    authority: Option<uri::Authority>,
    path: Option<PathAndQuery>,
    protocol: Option<Value>,
}

/// A head that is being read.
#[derive(Default)]
struct Reading {
    line: Line,
    fields: HeaderMap,
    /// Crumbs become one line again before anybody sees them who speaks HTTP/1 (RFC 9114, section 4.2.1).
    cookie: Option<Vec<u8>>,
    /// Bytes so far, as an HTTP/1 head would have them.
    length: usize,
}

/// Reads a head from its field section.
pub(super) fn read(section: &Section, limits: &Limits) -> Result<Asked, Refused> {
    let section = match section {
        Section::Whole(section) => section,
        Section::TooLarge(length) => {
            let detail = format!("a field section of {length} bytes");
            return Err(Refused::Beyond(Failure::of(Kind::HeadTooLarge, detail), Method::GET));
        }
    };
    // Longer strings than all of it may be are not worth decoding.
    let mut lines = Lines::of(section, limits.max_head.max(limits.max_target)).map_err(|_| Refused::Undecodable)?;
    let mut reading = Reading::default();
    loop {
        match lines.next() {
            Ok(Some(line)) => reading.take(&line.name, &line.value, limits)?,
            Ok(None) => return reading.finish(),
            Err(Broken::Undecodable) => return Err(Refused::Undecodable),
            Err(Broken::TooLong) => {
                return Err(reading.beyond(Kind::HeadTooLarge, "a line that is longer than max-head".into()));
            }
        }
    }
}

impl Reading {
    fn take(&mut self, name: &[u8], value: &[u8], limits: &Limits) -> Result<(), Refused> {
        match name.strip_prefix(b":") {
            Some(name) if self.fields.is_empty() && self.cookie.is_none() => {
                self.length += value.len();
                if name == b"path" && value.len() > limits.max_target {
                    let text = format!("{} bytes, {} are allowed", value.len(), limits.max_target);
                    return Err(self.beyond(Kind::TargetTooLong, text));
                }
                self.line.take(name, value).map_err(malformed)?;
            }
            Some(_) => return Err(malformed("a pseudo-field behind fields")),
            None => self.field(name, value, limits)?,
        }
        if self.length > limits.max_head {
            return Err(self.beyond(Kind::HeadTooLarge, format!("more than {} bytes", limits.max_head)));
        }
        Ok(())
    }

    fn field(&mut self, name: &[u8], value: &[u8], limits: &Limits) -> Result<(), Refused> {
        self.length += name.len() + value.len() + LINE;
        if name == b"cookie" {
            if streams::is_padded(value) {
                return Err(malformed("a field's value begins or ends with white space"));
            }
            match &mut self.cookie {
                _ if value.is_empty() => {}
                Some(cookie) => cookie.extend([b"; ", value].concat()),
                none => *none = Some(value.to_vec()),
            }
            return Ok(());
        }
        if self.fields.len() >= limits.max_fields {
            return Err(self.beyond(Kind::HeadTooLarge, format!("more than {} fields", limits.max_fields)));
        }
        let name = Name::from_lowercase(name).map_err(|_| malformed("a field's name is not one"))?;
        let value = Value::from_bytes(value).map_err(|_| malformed("a field's value is not one"))?;
        match self.fields.try_append(name, value) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.beyond(Kind::HeadTooLarge, "more fields than a map holds".to_owned())),
        }
    }

    fn beyond(&self, kind: Kind, detail: String) -> Refused {
        Refused::Beyond(Failure::of(kind, detail), self.line.method.clone().unwrap_or_default())
    }

    fn finish(mut self) -> Result<Asked, Refused> {
        if let Some(cookie) = self.cookie.take() {
            let cookie = Value::from_bytes(&cookie).map_err(|_| malformed("a field's value is not one"))?;
            self.fields.append(header::COOKIE, cookie);
        }
        let (mut head, ()) = http::Request::new(()).into_parts();
        let protocol = self.line.protocol.take();
        (head.method, head.uri) = self.line.finish(protocol.is_some()).map_err(malformed)?;
        (head.headers, head.version) = (self.fields, Version::HTTP_3);
        check_fields(&mut head).map_err(malformed)?;
        if head.method != Method::CONNECT || protocol.is_some() {
            streams::check_authority(&head).map_err(|detail| Refused::Malformed(Failure::of(Kind::BadHost, detail)))?;
        }
        Ok(Asked { head, protocol })
    }
}

impl Line {
    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match name {
            b"method" => once(&mut self.method, Method::from_bytes(value).map_err(|_| ":method is not one")?),
            b"scheme" => once(&mut self.scheme, value.try_into().map_err(|_| ":scheme is not one")?),
            b"authority" => once(&mut self.authority, value.try_into().map_err(|_| ":authority is not one")?),
            // The type would drop a fragment without a word.
            b"path" if value.contains(&b'#') => Err(":path has a fragment"),
            b"path" => once(&mut self.path, value.try_into().map_err(|_| ":path is not one")?),
            b"protocol" => once(&mut self.protocol, Value::from_bytes(value).map_err(|_| ":protocol is not one")?),
            _ => Err("a pseudo-field that requests do not have"),
        }
    }

    fn finish(self, is_tunnel: bool) -> Result<(Method, Uri), &'static str> {
        let Self { method, scheme, authority, path, .. } = self;
        let method = method.ok_or("there is no :method")?;
        if is_tunnel && method != Method::CONNECT {
            return Err(":protocol without CONNECT");
        }
        if method == Method::CONNECT && !is_tunnel {
            // RFC 9114, section 4.4.
            return match (scheme, authority, path) {
                (None, Some(authority), None) => Ok((method, authority.into())),
                _ => Err("CONNECT has an :authority and nothing else"),
            };
        }
        let (scheme, path) = (scheme.ok_or("there is no :scheme")?, path.ok_or("there is no :path")?);
        let is_path = path.as_str().starts_with('/') || path == "*" && method == Method::OPTIONS;
        if !is_path {
            return Err(":path does not begin with a slash");
        }
        let mut parts = uri::Parts::default();
        // Without an authority, Host says whose path it is.
        (parts.scheme, parts.authority, parts.path_and_query) =
            (authority.is_some().then_some(scheme), authority, Some(path));
        Ok((method, Uri::from_parts(parts).map_err(|_| "what is asked for is nothing")?))
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err("a pseudo-field is there twice"),
    }
}

fn malformed(detail: &'static str) -> Refused {
    Refused::Malformed(Failure::of(Kind::MalformedRequest, detail))
}

fn check_fields(head: &mut Parts) -> Result<(), &'static str> {
    if HOPS.iter().any(|name| head.headers.contains_key(name)) {
        return Err("a field of a connection");
    }
    // RFC 9114, section 4.2.
    if head.headers.get_all(header::TE).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"trailers")) {
        return Err("TE is something else than trailers");
    }
    if streams::has_padding(&head.headers) {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock::Duration;
    use crate::config::MinRate;

    fn limits() -> Limits {
        let min_rate = MinRate { request: 0, response: 0, grace: Duration::ZERO };
        let (head, body, write) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        Limits { max_head: 200, max_target: 50, max_fields: 3, head, body, write, min_rate }
    }

    /// A section of literals shorter than a length's prefix.
    fn section(lines: &[(&str, &str)]) -> Section {
        let mut bytes = vec![0, 0];
        for (name, value) in lines {
            let long = u8::try_from(name.len()).unwrap().saturating_sub(7);
            match name.len() {
                0..7 => bytes.push(0x20 | u8::try_from(name.len()).unwrap()),
                _ => bytes.extend([0x27, long]),
            }
            bytes.extend(name.as_bytes());
            bytes.push(u8::try_from(value.len()).unwrap());
            bytes.extend(value.as_bytes());
        }
        Section::Whole(Bytes::from(bytes))
    }

    const PLAIN: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "https"), (":authority", "h.example"), (":path", "/a?b")];

    fn with(more: &[(&str, &str)]) -> Result<Asked, Refused> {
        read(&section(&[&PLAIN[..], more].concat()), &limits())
    }

    #[test]
    fn heads_in_the_form_that_the_pipeline_reads() {
        let asked = with(&[("cookie", "a=1"), ("accept", "x"), ("cookie", ""), ("cookie", "b=2")]).unwrap();
        assert_eq!(asked.head.uri, "https://h.example/a?b");
        assert_eq!((asked.head.method, asked.head.version), (Method::GET, Version::HTTP_3));
        assert_eq!(asked.head.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        assert!(asked.protocol.is_none());
        let by_host = read(&section(&[PLAIN[0], PLAIN[1], PLAIN[3], ("host", "h.example")]), &limits()).unwrap();
        assert_eq!(by_host.head.uri, "/a?b");
        let all = [(":method", "OPTIONS"), PLAIN[1], PLAIN[2], (":path", "*")];
        assert_eq!(read(&section(&all), &limits()).unwrap().head.uri.path(), "*");
        let tunnel = [(":method", "CONNECT"), (":protocol", "websocket"), PLAIN[1], PLAIN[2], PLAIN[3]];
        let tunnel = read(&section(&tunnel), &limits()).unwrap();
        assert_eq!((tunnel.protocol.unwrap(), tunnel.head.method), (Value::from_static("websocket"), Method::CONNECT));
        let plain = read(&section(&[(":method", "CONNECT"), (":authority", "h.example:80")]), &limits()).unwrap();
        assert_eq!(plain.head.uri, "h.example:80");
        assert_eq!(with(&[("content-length", "5"), ("content-length", "5")]).unwrap().head.headers.len(), 1);
    }

    #[test]
    fn heads_that_are_none() {
        for more in [
            &[(":path", "/b")][..],
            &[(":what", "x")],
            &[(":status", "200")],
            &[("a", "b"), (":protocol", "x")],
            &[("cookie", "a"), (":protocol", "x")],
            &[(":protocol", "x")],
            &[("Accept", "x")],
            &[("", "x")],
            &[("a b", "x")],
            &[("a", "x\ny")],
            &[("a", " x")],
            &[("a", "x\t")],
            &[("cookie", "x ")],
            &[("upgrade", "x")],
            &[("keep-alive", "x")],
            &[("te", "trailers, gzip")],
            &[("host", "other.example")],
            &[("host", "h.example"), ("host", "h.example")],
            &[("content-length", "")],
            &[("content-length", "-1")],
            &[("content-length", "9223372036854775808")],
            &[("content-length", "1"), ("content-length", "2")],
        ] {
            assert!(matches!(with(more), Err(Refused::Malformed(_))), "{more:?}");
        }
        for lines in [
            &[PLAIN[1], PLAIN[2], PLAIN[3]][..],
            &[PLAIN[0], PLAIN[2], PLAIN[3]],
            &[PLAIN[0], PLAIN[1], PLAIN[3]],
            &[PLAIN[0], PLAIN[1], PLAIN[2]],
            &[PLAIN[0], PLAIN[1], PLAIN[2], (":path", "a")],
            &[PLAIN[0], PLAIN[1], PLAIN[2], (":path", "/a#b")],
            &[PLAIN[0], PLAIN[1], PLAIN[2], (":path", "/a b")],
            &[PLAIN[0], PLAIN[1], (":authority", "me@h.example"), PLAIN[3]],
            &[PLAIN[0], PLAIN[1], (":authority", ""), PLAIN[3]],
            &[(":method", "G T"), PLAIN[1], PLAIN[2], PLAIN[3]],
            &[(":method", "CONNECT"), PLAIN[1], PLAIN[2], PLAIN[3]],
        ] {
            assert!(matches!(read(&section(lines), &limits()), Err(Refused::Malformed(_))), "{lines:?}");
        }
    }

    #[test]
    fn heads_that_are_too_much() {
        let long = "v".repeat(100);
        for (read, expected) in [
            (with(&[("a", &long), ("b", &long)]), Kind::HeadTooLarge),
            (with(&[("a", ""), ("b", ""), ("c", ""), ("d", "")]), Kind::HeadTooLarge),
            (
                read(&section(&[PLAIN[0], PLAIN[1], PLAIN[2], (":path", &format!("/{long}"))]), &limits()),
                Kind::TargetTooLong,
            ),
            (read(&Section::TooLarge(1 << 30), &limits()), Kind::HeadTooLarge),
        ] {
            match read {
                Err(Refused::Beyond(failure, method)) => assert_eq!((failure.kind, method), (expected, Method::GET)),
                other => panic!("{other:?}"),
            }
        }
        let table = Section::Whole(Bytes::from_static(&[0, 0, 0x80]));
        assert!(matches!(read(&table, &limits()), Err(Refused::Undecodable)));
    }
}
