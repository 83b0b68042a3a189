//! The variables of access log formats: what they are called, where a record has them, how they are written.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::{Needs, Record, RequestLine, escape, stamp};
use crate::failure::Kind;
use crate::message::{TlsFact, semantics};

/// What a piece of a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variable {
    TimeLocal,
    TimeIso,
    TimeUnix,
    ClientAddress,
    ClientPort,
    Listener,
    Site,
    Route,
    Pool,
    Member,
    RequestLine,
    RequestMethod,
    RequestHost,
    RequestPath,
    RequestQuery,
    RequestScheme,
    RequestVersion,
    RequestId,
    RequestBytes,
    ResponseStatus,
    ResponseBytes,
    Duration,
    DurationConnect,
    DurationFirstByte,
    DurationFilter,
    Attempts,
    Failure,
    Tls(TlsFact),
    RequestField(usize),
    ResponseField(usize),
    Set(usize),
}

/// A value on its way into a line.
pub(super) enum Datum<'a> {
    Unknown,
    Text(&'a [u8]),
    Known(Cow<'a, str>),
    Flag(bool),
    Address(IpAddr),
    Number(u64),
    Seconds(Duration),
    Local(SystemTime),
    Iso(SystemTime),
    Unix(SystemTime),
    Line(&'a RequestLine),
}

impl Variable {
    /// The variable of a name; a field or filter's variable is noted in `needs` and is found again by its index there.
    pub(super) fn named(name: &str, needs: &mut Needs) -> Option<Self> {
        if let Some(field) = name.strip_prefix("request.header.") {
            return Some(Variable::RequestField(place(&mut needs.request_fields, field.parse().ok()?)));
        }
        if let Some(field) = name.strip_prefix("response.header.") {
            return Some(Variable::ResponseField(place(&mut needs.response_fields, field.parse().ok()?)));
        }
        if let Some(variable) = name.strip_prefix("variable.") {
            return Some(Variable::Set(place(&mut needs.variables, variable.to_owned())));
        }
        if let Some(fact) = TlsFact::named(name) {
            return Some(Variable::Tls(fact));
        }
        Some(match name {
            "time.local" => Variable::TimeLocal,
            "time.iso" => Variable::TimeIso,
            "time.unix" => Variable::TimeUnix,
            "client.address" => Variable::ClientAddress,
            "client.port" => Variable::ClientPort,
            "listener" => Variable::Listener,
            "site" => Variable::Site,
            "route" => Variable::Route,
            "pool" => Variable::Pool,
            "member" => Variable::Member,
            "request.line" => Variable::RequestLine,
            "request.method" => Variable::RequestMethod,
            "request.host" => Variable::RequestHost,
            "request.path" => Variable::RequestPath,
            "request.query" => Variable::RequestQuery,
            "request.scheme" => Variable::RequestScheme,
            "request.version" => Variable::RequestVersion,
            "request.id" => Variable::RequestId,
            "request.bytes" => Variable::RequestBytes,
            "response.status" => Variable::ResponseStatus,
            "response.bytes" => Variable::ResponseBytes,
            "duration" => Variable::Duration,
            "duration.connect" => Variable::DurationConnect,
            "duration.first-byte" => Variable::DurationFirstByte,
            "duration.filter" => Variable::DurationFilter,
            "attempts" => Variable::Attempts,
            "failure" => Variable::Failure,
            _ => return None,
        })
    }

    /// Its value in a record.
    pub(super) fn of(self, record: &Record) -> Datum<'_> {
        let request = record.request.as_ref();
        match self {
            Variable::TimeLocal => Datum::Local(record.time),
            Variable::TimeIso => Datum::Iso(record.time),
            Variable::TimeUnix => Datum::Unix(record.time),
            Variable::ClientAddress => record.client.map_or(Datum::Unknown, Datum::Address),
            Variable::ClientPort if record.client_port == 0 => Datum::Unknown,
            Variable::ClientPort => Datum::Number(record.client_port.into()),
            Variable::Listener => Datum::Text(record.listener.as_bytes()),
            Variable::Site => Datum::text(record.site.as_deref()),
            Variable::Route => Datum::text(record.route.as_deref()),
            Variable::Pool => Datum::text(record.pool.as_deref()),
            Variable::Member => Datum::text(record.member.as_deref()),
            Variable::RequestLine => request.map_or(Datum::Unknown, Datum::Line),
            Variable::RequestMethod => Datum::text(request.map(|line| line.method.as_str())),
            Variable::RequestHost => request.map_or(Datum::Unknown, |line| Datum::Text(line.host.as_bytes())),
            Variable::RequestPath => Datum::text(request.map(|line| line.target.path())),
            Variable::RequestQuery => Datum::text(request.and_then(|line| line.target.query())),
            Variable::RequestScheme => Datum::text(request.map(|line| line.scheme.as_str())),
            Variable::RequestVersion => Datum::text(request.map(|line| semantics::version(line.version))),
            Variable::RequestId => Datum::text(Some(record.request_id.as_str()).filter(|id| !id.is_empty())),
            Variable::RequestBytes => Datum::Number(record.request_bytes),
            Variable::ResponseStatus => Datum::Number(record.status.into()),
            Variable::ResponseBytes => Datum::Number(record.response_bytes),
            Variable::Duration => Datum::Seconds(record.total),
            Variable::DurationConnect => record.connect.map_or(Datum::Unknown, Datum::Seconds),
            Variable::DurationFirstByte => record.first_byte.map_or(Datum::Unknown, Datum::Seconds),
            Variable::DurationFilter => Datum::Seconds(record.filter),
            Variable::Attempts => Datum::Number(record.attempts.into()),
            Variable::Failure => Datum::text(record.failure.map(Kind::word)),
            Variable::Tls(TlsFact::Resumed) => {
                record.secured.as_ref().map_or(Datum::Unknown, |secured| Datum::Flag(secured.is_resumed))
            }
            Variable::Tls(fact) => {
                let known = record.secured.as_ref().and_then(|secured| secured.fact(fact));
                known.map_or(Datum::Unknown, Datum::Known)
            }
            Variable::RequestField(index) => Datum::at(&record.request_fields, index),
            Variable::ResponseField(index) => Datum::at(&record.response_fields, index),
            Variable::Set(index) => Datum::at(&record.variables, index),
        }
    }
}

impl<'a> Datum<'a> {
    fn text(text: Option<&'a str>) -> Self {
        text.map_or(Datum::Unknown, |text| Datum::Text(text.as_bytes()))
    }

    fn at<T: AsRef<[u8]>>(values: &'a [Option<T>], index: usize) -> Self {
        values.get(index).and_then(Option::as_ref).map_or(Datum::Unknown, |value| Datum::Text(value.as_ref()))
    }

    /// Appends it for text formats, escaped; `-` when it is not known or empty.
    pub(super) fn write_text(&self, out: &mut Vec<u8>) {
        match self {
            Datum::Unknown | Datum::Text([]) => out.push(b'-'),
            Datum::Text(bytes) => escape::text(bytes, out),
            Datum::Known(text) if text.is_empty() => out.push(b'-'),
            Datum::Known(text) => escape::text(text.as_bytes(), out),
            Datum::Line(line) => {
                escape::text(line.method.as_str().as_bytes(), out);
                out.push(b' ');
                escape::text(line.target.as_str().as_bytes(), out);
                out.push(b' ');
                out.extend_from_slice(semantics::version(line.version).as_bytes());
            }
            Datum::Address(_)
            | Datum::Flag(_)
            | Datum::Number(_)
            | Datum::Seconds(_)
            | Datum::Local(_)
            | Datum::Iso(_)
            | Datum::Unix(_) => {
                self.write_plain(out);
            }
        }
    }

    /// Appends it as a JSON value.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Datum::Unknown => out.extend_from_slice(b"null"),
            Datum::Text(bytes) => escape::json(bytes, out),
            Datum::Known(text) => escape::json(text.as_bytes(), out),
            Datum::Line(_) => {
                let mut text = Vec::new();
                self.write_text(&mut text);
                escape::json(&text, out);
            }
            Datum::Flag(_) | Datum::Number(_) | Datum::Seconds(_) | Datum::Unix(_) => self.write_plain(out),
            Datum::Address(_) | Datum::Local(_) | Datum::Iso(_) => {
                out.push(b'"');
                self.write_plain(out);
                out.push(b'"');
            }
        }
    }

    /// What can hold nothing that would need an escape.
    fn write_plain(&self, out: &mut Vec<u8>) {
        match self {
            Datum::Address(address) => out.extend_from_slice(address.to_string().as_bytes()),
            Datum::Flag(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
            Datum::Number(number) => stamp::digits(*number, 1, out),
            Datum::Seconds(duration) => stamp::seconds(*duration, out),
            Datum::Local(time) => stamp::apache(*time, out),
            Datum::Iso(time) => stamp::iso(*time, out),
            Datum::Unix(time) => stamp::unix(*time, out),
            Datum::Unknown | Datum::Text(_) | Datum::Known(_) | Datum::Line(_) => {}
        }
    }
}

fn place<T: PartialEq>(list: &mut Vec<T>, wanted: T) -> usize {
    list.iter().position(|known| *known == wanted).unwrap_or_else(|| {
        list.push(wanted);
        list.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ACCESS_VARIABLES;

    #[test]
    fn every_variable_of_the_config_is_known() {
        for name in ACCESS_VARIABLES {
            assert!(Variable::named(name, &mut Needs::default()).is_some(), "{name}");
        }
        assert!(Variable::named("nonsense", &mut Needs::default()).is_none());
    }
}
