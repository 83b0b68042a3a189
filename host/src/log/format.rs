//! From a record to a line: combined, JSON or the operator's own template, all three a list of pieces made once.
//!
//! Every value goes through `escape`, so nobody who sends a request can write a line of their own.

use super::Record;
use super::variable::Variable;
use crate::config::AccessFormat;
use crate::message::Name;

/// Apache's combined format but for the size, which is `-` when no byte was sent (`%b`).
const COMBINED: &str = "${client.address} - - [${time.local}] \"${request.line}\" ${response.status} \
    ${response.bytes} \"${request.header.referer}\" \"${request.header.user-agent}\"";

/// The keys of the JSON format and their variables. A key is its variable's name with `_` for `.` and `-`, and `time`.
/// Keys are only ever added. Durations are seconds; what is not known is `null`.
const JSON: &[(&str, &str)] = &[
    ("time", "time.iso"),
    ("client_address", "client.address"),
    ("client_port", "client.port"),
    ("listener", "listener"),
    ("site", "site"),
    ("route", "route"),
    ("pool", "pool"),
    ("member", "member"),
    ("request_method", "request.method"),
    ("request_scheme", "request.scheme"),
    ("request_host", "request.host"),
    ("request_path", "request.path"),
    ("request_query", "request.query"),
    ("request_version", "request.version"),
    ("request_id", "request.id"),
    ("request_bytes", "request.bytes"),
    ("response_status", "response.status"),
    ("response_bytes", "response.bytes"),
    ("duration", "duration"),
    ("duration_connect", "duration.connect"),
    ("duration_first_byte", "duration.first-byte"),
    ("duration_filter", "duration.filter"),
    ("attempts", "attempts"),
    ("failure", "failure"),
    ("referer", "request.header.referer"),
    ("user_agent", "request.header.user-agent"),
    ("tls_version", "tls.version"),
    ("tls_cipher", "tls.cipher"),
    ("tls_sni", "tls.sni"),
    ("tls_alpn", "tls.alpn"),
    ("tls_resumed", "tls.resumed"),
    ("tls_client_sha256", "tls.client.sha256"),
    ("tls_client_subject", "tls.client.subject"),
];

/// A shape of access log lines.
#[derive(Debug)]
pub struct Format {
    pieces: Vec<Piece>,
    needs: Needs,
    style: Style,
}

/// What a format says that is copied for its sake alone.
#[derive(Debug, Default)]
pub struct Needs {
    /// Fields of the request.
    pub request_fields: Vec<Name>,
    /// Fields of the response.
    pub response_fields: Vec<Name>,
    /// What filters set.
    pub variables: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Text,
    Combined,
    Json,
}

#[derive(Debug)]
enum Piece {
    Literal(Box<[u8]>),
    Variable(Variable),
}

impl Format {
    /// The format that a plan asks for; `None` when nothing is logged.
    #[must_use]
    pub fn of(format: &AccessFormat) -> Option<Self> {
        match format {
            AccessFormat::Off => None,
            AccessFormat::Combined => Some(Self::template(COMBINED, Style::Combined)),
            AccessFormat::Json => Some(Self::json()),
            AccessFormat::Custom(template) => Some(Self::template(template, Style::Text)),
        }
    }

    /// What must be copied into a record for this format.
    #[must_use]
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Appends the record's line, its line break included.
    pub fn write(&self, record: &Record, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text),
                Piece::Variable(variable) => self.write_value(*variable, record, out),
            }
        }
        out.push(b'\n');
    }

    fn write_value(&self, variable: Variable, record: &Record, out: &mut Vec<u8>) {
        let datum = variable.of(record);
        match self.style {
            Style::Json => datum.write_json(out),
            Style::Combined if variable == Variable::ResponseBytes && record.response_bytes == 0 => out.push(b'-'),
            Style::Combined | Style::Text => datum.write_text(out),
        }
    }

    fn template(template: &str, style: Style) -> Self {
        let mut format = Self { pieces: Vec::new(), needs: Needs::default(), style };
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, after)) = after.split_once('}') else { break };
            match Variable::named(name, &mut format.needs) {
                Some(variable) => {
                    format.literal(before);
                    format.pieces.push(Piece::Variable(variable));
                }
                None => format.literal(&format!("{before}${{{name}}}")),
            }
            rest = after;
        }
        format.literal(rest);
        format
    }

    fn json() -> Self {
        let mut format = Self { pieces: Vec::new(), needs: Needs::default(), style: Style::Json };
        let mut before = '{';
        for (key, name) in JSON {
            format.literal(&format!("{before}\"{key}\":"));
            format.pieces.extend(Variable::named(name, &mut format.needs).map(Piece::Variable));
            before = ',';
        }
        format.literal("}");
        format
    }

    /// Line breaks of a template would make two lines of one.
    fn literal(&mut self, text: &str) {
        let text: Vec<u8> = text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }).collect();
        if !text.is_empty() {
            self.pieces.push(Piece::Literal(text.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use super::super::RequestLine;
    use super::*;
    use crate::failure::Kind;
    use crate::message::secured::tests::secured;
    use crate::message::{Method, Scheme, Value, Version};

    fn record(format: &Format) -> Record {
        let mut record = Record::begin("web".into(), SystemTime::UNIX_EPOCH + Duration::new(951_827_696, 7_008_000));
        record.client = Some(Ipv4Addr::new(192, 0, 2, 7).into());
        record.client_port = 4711;
        record.request = Some(RequestLine {
            method: Method::GET,
            scheme: Scheme::Http,
            host: Value::from_static("shop.example"),
            target: "/a%20\"b?x=1".parse().unwrap(),
            version: Version::HTTP_11,
        });
        record.status = 200;
        record.request_bytes = 3;
        record.response_bytes = 2326;
        record.total = Duration::from_micros(1234);
        record.first_byte = Some(Duration::from_millis(1));
        record.site = Some("shop".into());
        record.attempts = 1;
        record.request_id = "id-1".into();
        let value = |name: &Name| (name == "user-agent").then(|| Value::from_bytes(b"evil \"\\\xff agent").unwrap());
        record.request_fields = format.needs().request_fields.iter().map(value).collect();
        record.response_fields = format.needs().response_fields.iter().map(value).collect();
        record.variables = format.needs().variables.iter().map(|name| (name == "a").then(|| "x\ny".into())).collect();
        record
    }

    fn line(format: &AccessFormat, change: impl FnOnce(&mut Record)) -> String {
        let format = Format::of(format).unwrap();
        let mut record = record(&format);
        change(&mut record);
        let mut out = Vec::new();
        format.write(&record, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn off_is_nothing() {
        assert!(Format::of(&AccessFormat::Off).is_none());
    }

    #[test]
    fn combined() {
        assert_eq!(
            line(&AccessFormat::Combined, |_| ()),
            "192.0.2.7 - - [29/Feb/2000:12:34:56 +0000] \"GET /a%20\\\"b?x=1 HTTP/1.1\" 200 2326 \"-\" \
             \"evil \\\"\\\\\\xff agent\"\n"
        );
        let bare = |record: &mut Record| {
            record.client = None;
            record.request = None;
            record.status = 400;
            record.response_bytes = 0;
            record.request_fields.clear();
        };
        assert_eq!(line(&AccessFormat::Combined, bare), "- - - [29/Feb/2000:12:34:56 +0000] \"-\" 400 - \"-\" \"-\"\n");
    }

    #[test]
    fn json_has_stable_keys_numbers_and_nulls() {
        let text = line(&AccessFormat::Json, |record| record.failure = Some(Kind::ResponseTimeout));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(text.lines().count(), 1);
        let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, JSON.iter().map(|(key, _)| *key).collect::<Vec<_>>());
        assert_eq!(value["time"], "2000-02-29T12:34:56.007008Z");
        assert_eq!(value["client_port"], 4711);
        assert_eq!(value["response_status"], 200);
        assert_eq!(value["duration"], 0.001_234);
        assert_eq!(value["duration_connect"], serde_json::Value::Null);
        assert_eq!(value["duration_first_byte"], 0.001);
        assert_eq!(value["pool"], serde_json::Value::Null);
        assert_eq!(value["request_query"], "x=1");
        assert_eq!(value["user_agent"], "evil \"\\\u{fffd} agent");
        assert_eq!(value["failure"], "response-timeout");
        assert_eq!(value["tls_version"], serde_json::Value::Null);
        let text = line(&AccessFormat::Json, |record| record.secured = Some(Arc::new(secured(false))));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["tls_version"], &value["tls_resumed"]), (&"TLSv1.3".into(), &false.into()));
        assert_eq!(value["tls_client_subject"], serde_json::Value::Null);
    }

    #[test]
    fn what_is_known_of_tls() {
        let template = "${tls.version} ${tls.sni} ${tls.resumed} ${tls.client.subject} ${tls.client.names}";
        for (known, expected) in [
            (None, "- - - - -"),
            (Some(secured(false)), "TLSv1.3 shop.example false - -"),
            (Some(secured(true)), "TLSv1.3 shop.example false CN=alice alice.example, urn:a\\\\,b\\\\\\\\"),
        ] {
            let line = line(&AccessFormat::Custom(template.into()), |record| record.secured = known.map(Arc::new));
            assert_eq!(line, format!("{expected}\n"));
        }
    }

    #[test]
    fn custom_templates() {
        for (template, expected) in [
            ("${response.status}", "200"),
            ("a ${response.status}b", "a 200b"),
            ("$ {x} ${unknown} ${open", "$ {x} ${unknown} ${open"),
            ("two\nlines", "two lines"),
            ("${client.address}:${client.port} ${listener}", "192.0.2.7:4711 web"),
            ("${request.line}|${request.path}|${request.query}", "GET /a%20\\\"b?x=1 HTTP/1.1|/a%20\\\"b|x=1"),
            (
                "${duration} ${duration.connect} ${duration.first-byte} ${duration.filter}",
                "0.001234 - 0.001000 0.000000",
            ),
            ("${time.unix} ${time.iso}", "951827696.007008 2000-02-29T12:34:56.007008Z"),
            ("${request.bytes} ${response.bytes} ${attempts} ${failure} ${pool}", "3 2326 1 - -"),
            ("${variable.a} ${variable.b}", "x\\ny -"),
            ("${request.header.User-Agent}/${response.header.x}", "evil \\\"\\\\\\xff agent/-"),
            ("${request.header.bad name}", "${request.header.bad name}"),
        ] {
            assert_eq!(line(&AccessFormat::Custom(template.into()), |_| ()), format!("{expected}\n"), "{template}");
        }
    }

    #[test]
    fn a_field_named_twice_is_copied_once() {
        let format = Format::of(&AccessFormat::Custom("${request.header.a} ${request.header.A}".into())).unwrap();
        assert_eq!(format.needs().request_fields, ["a"]);
    }
}
