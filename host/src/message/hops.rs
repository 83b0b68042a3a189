//! Fields that belong to one connection, not to the message (RFC 9110, section 7.6.1): taken off in both directions. With
//! them goes what an upstream says to its gateway alone (`X-Accel-*`, `X-Sendfile*`), and what somebody says to an upstream
//! in a gateway's name.
//!
//! One look over the names there are; a head that carries none costs nothing more. What `Connection` names goes too, save
//! for fields that say how a message is framed or where it goes: naming those is an attack, and they stay.

use http::header;

use super::{Fields, Name, Value, accel};

/// `Connection` is not a list of tokens, or names more than anybody honest would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadConnection;

/// What the fields said before they were taken off.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hops {
    /// The sender takes trailers: `TE: trailers` (RFC 9110, section 10.1.4).
    pub trailers: bool,
    /// The protocols of `Upgrade`, each with its version if it has one; none when `Connection` does not name the field
    /// (RFC 9110, section 7.8).
    pub upgrade: Vec<Value>,
    /// What was for a gateway, in order: `accel::Said` reads it.
    pub accel: Vec<(Name, Value)>,
}

/// Names one `Connection` may carry; each costs a search, and real ones carry one or two.
const MOST_NAMED: usize = 32;

/// Protocols one `Upgrade` may name before the rest goes unheard; real ones name one.
const MOST_PROTOCOLS: usize = 8;

/// Gone in every message. `Trailer` stays: it belongs to the message. `Proxy-*` credentials are for a proxy that the client
/// was configured with, which a gateway is not. `Proxy` would become `HTTP_PROXY` in a CGI environment.
const HOPS: [Name; 10] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    Name::from_static("keep-alive"),
    Name::from_static("proxy-connection"),
    Name::from_static("http2-settings"),
    Name::from_static("proxy"),
];

/// `Upgrade` among them.
const UPGRADE_BIT: u16 = 1 << 3;

/// Lengths of those names, as bits: most names are told apart by this alone.
const LENGTHS: u32 = 1 << 10 | 1 << 2 | 1 << 17 | 1 << 7 | 1 << 18 | 1 << 19 | 1 << 16 | 1 << 14 | 1 << 5;

/// Fields that `Connection` cannot take away: framing, routing, and what says who the client is. Beside these, everything
/// that begins with `x-forwarded-`.
const KEPT: [Name; 17] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::TRAILER,
    header::CACHE_CONTROL,
    header::EXPECT,
    header::VIA,
    header::FORWARDED,
    header::DATE,
    header::AUTHORIZATION,
    header::COOKIE,
    header::SET_COOKIE,
    Name::from_static("x-real-ip"),
    Name::from_static("x-request-id"),
    // RFC 8470, section 5.1.
    Name::from_static("early-data"),
];

/// Takes the connection's fields off a head. On an error nothing was changed.
pub fn strip(fields: &mut Fields) -> Result<Hops, BadConnection> {
    let mut found = 0_u16;
    let mut is_for_gateway = false;
    for name in fields.names() {
        let text = name.as_str().as_bytes();
        let length = text.len();
        if length < 32 && LENGTHS & (1 << length) != 0 {
            found |= HOPS.iter().position(|hop| hop == name).map_or(0, |position| 1 << position);
        }
        is_for_gateway |= accel::is_for_gateway(text);
    }
    if found == 0 && !is_for_gateway {
        return Ok(Hops::default());
    }
    if found == 1 && !is_for_gateway && is_plain(fields) {
        fields.remove(header::CONNECTION);
        return Ok(Hops::default());
    }
    let named = if found & 1 != 0 { named(fields)? } else { Vec::new() };
    let is_upgrade = found & 1 != 0 && found & UPGRADE_BIT != 0;
    let upgrade = if is_upgrade { protocols(fields) } else { Vec::new() };
    let accel = if is_for_gateway { accel::take(fields) } else { Vec::new() };
    let hops = Hops { trailers: found & 2 != 0 && takes_trailers(fields), upgrade, accel };
    for (position, hop) in HOPS.iter().enumerate() {
        if found & (1 << position) != 0 {
            fields.remove(hop);
        }
    }
    for name in named {
        fields.remove(name);
    }
    Ok(hops)
}

/// Says to an HTTP/1 upstream that trailers are welcome, which takes two fields there.
pub fn welcome_trailers(fields: &mut Fields) {
    fields.set(header::TE, Value::from_static("trailers"));
    fields.set(header::CONNECTION, Value::from_static("te"));
}

/// Says that the connection is to change, or changes, to these protocols (RFC 9110, section 7.8).
pub fn switch(fields: &mut Fields, protocols: &[Value]) {
    let list = protocols.iter().map(Value::as_bytes).collect::<Vec<_>>().join(&b", "[..]);
    if let Ok(list) = Value::from_bytes(&list) {
        fields.set(header::UPGRADE, list);
        fields.set(header::CONNECTION, Value::from_static("Upgrade"));
    }
}

/// A protocol's name, without its version.
#[must_use]
pub fn protocol_name(protocol: &Value) -> &[u8] {
    protocol.as_bytes().split(|&byte| byte == b'/').next().unwrap_or_default()
}

/// Whether `Connection` says but one of the two things that it nearly always says.
fn is_plain(fields: &Fields) -> bool {
    let mut lines = fields.lines(header::CONNECTION);
    let plain = |line: &Value| {
        line.as_bytes().eq_ignore_ascii_case(b"keep-alive") || line.as_bytes().eq_ignore_ascii_case(b"close")
    };
    lines.next().is_some_and(plain) && lines.next().is_none()
}

/// The fields that `Connection` names and that may go. Empty, and without allocation, for `close` and `keep-alive`.
fn named(fields: &Fields) -> Result<Vec<Name>, BadConnection> {
    let mut names = Vec::new();
    let mut count = 0;
    for line in fields.lines(header::CONNECTION) {
        for option in line.as_bytes().split(|&byte| byte == b',') {
            let option = option.trim_ascii();
            if option.is_empty() || option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close")
            {
                continue;
            }
            count += 1;
            let name = Name::from_bytes(option).map_err(|_| BadConnection)?;
            if count > MOST_NAMED {
                return Err(BadConnection);
            }
            if !KEPT.contains(&name) && !name.as_str().starts_with("x-forwarded-") {
                names.push(name);
            }
        }
    }
    Ok(names)
}

/// What `Upgrade` offers, if `Connection` says that it is meant for this hop. What is not a protocol is passed over.
fn protocols(fields: &Fields) -> Vec<Value> {
    let list = |name| fields.lines(name).flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    if !list(header::CONNECTION).any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade")) {
        return Vec::new();
    }
    let protocols = list(header::UPGRADE).map(<[u8]>::trim_ascii).filter(|protocol| is_protocol(protocol));
    protocols.take(MOST_PROTOCOLS).filter_map(|protocol| Value::from_bytes(protocol).ok()).collect()
}

/// Whether a text can be a protocol: a token, or two with a slash between them (RFC 9110, section 7.8).
#[must_use]
pub fn is_protocol(text: &[u8]) -> bool {
    let mut parts = text.split(|&byte| byte == b'/');
    parts.clone().count() <= 2 && parts.all(|part| Name::from_bytes(part).is_ok())
}

fn takes_trailers(fields: &Fields) -> bool {
    let mut codings = fields.lines(header::TE).flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::fields::tests::fields;

    fn left(lines: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut fields = fields(lines);
        strip(&mut fields).unwrap();
        fields.iter().map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn every_hop_is_known_by_its_length() {
        assert!(HOPS.iter().all(|hop| LENGTHS & (1 << hop.as_str().len()) != 0));
    }

    #[test]
    fn hops_go_and_the_rest_stays() {
        for hop in HOPS {
            assert_eq!(
                left(&[("a", "1"), (Box::leak(hop.to_string().into_boxed_str()), "x"), ("b", "2")]),
                ["a", "b"],
                "{hop}"
            );
        }
        assert_eq!(left(&[("trailer", "x"), ("accept", "*/*")]), ["trailer", "accept"]);
    }

    #[test]
    fn what_is_said_to_a_gateway_goes_and_is_kept_beside() {
        let mut fields = fields(&[
            ("x-accel-redirect", "/a"),
            ("connection", "close"),
            ("x-other", "1"),
            ("x-sendfile", "/b"),
            ("x-accel-redirect", "/c"),
        ]);
        let hops = strip(&mut fields).unwrap();
        let kept: Vec<_> = hops.accel.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(kept, [("x-accel-redirect", "/a"), ("x-accel-redirect", "/c"), ("x-sendfile", "/b")]);
        assert_eq!(fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x-other"]);
        assert_eq!(left(&[("x-accel-mapping", "/a=/b"), ("a", "1")]), ["a"], "alone");
        assert_eq!(left(&[("connection", "x-sendfile, b"), ("x-sendfile", "/a"), ("b", "1"), ("c", "2")]), ["c"]);
    }

    #[test]
    fn connection_takes_what_it_names() {
        assert_eq!(
            left(&[
                ("connection", "X-One, ,close"),
                ("connection", "x-two"),
                ("x-one", "1"),
                ("x-two", "2"),
                ("x-three", "3")
            ]),
            ["x-three"]
        );
    }

    #[test]
    fn connection_cannot_take_framing_or_identity() {
        for name in KEPT.iter().map(Name::as_str).chain(["x-forwarded-for", "x-forwarded-host"]) {
            let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
            assert_eq!(left(&[("connection", name), (name, "5")]), [name]);
        }
    }

    #[test]
    fn a_malformed_connection_is_refused_and_nothing_changes() {
        for value in ["a b", "close; x", "\"close\"", "a:b", "@"] {
            let mut fields = fields(&[("connection", value), ("upgrade", "x")]);
            assert_eq!(strip(&mut fields), Err(BadConnection), "{value}");
            assert_eq!(fields.len(), 2);
        }
        let many = vec!["x"; MOST_NAMED + 1].join(",");
        let mut fields = fields(&[]);
        fields.set(header::CONNECTION, many.parse().unwrap());
        assert_eq!(strip(&mut fields), Err(BadConnection));
    }

    #[test]
    fn trailers_are_remembered() {
        for (value, trailers) in [("trailers", true), ("gzip, Trailers", true), ("gzip", false), ("x-trailers", false)]
        {
            let hops = Hops { trailers, ..Hops::default() };
            assert_eq!(strip(&mut fields(&[("te", value), ("connection", "te")])), Ok(hops), "{value}");
        }
    }

    #[test]
    fn an_upgrade_is_remembered_when_connection_names_it() {
        assert_eq!(UPGRADE_BIT, 1 << HOPS.iter().position(|hop| *hop == header::UPGRADE).unwrap());
        let cases: &[(&str, &[&'static str], &[&str])] = &[
            ("upgrade", &["websocket"], &["websocket"]),
            ("keep-alive, UPGRADE", &["WebSocket"], &["WebSocket"]),
            ("upgrade", &["a/1, b ,c/2.0"], &["a/1", "b", "c/2.0"]),
            ("upgrade", &["a", "b"], &["a", "b"]),
            ("upgrade", &["", ",,"], &[]),
            ("upgrade", &["a b, c/, /d, e/f/g, \"h\", ok"], &["ok"]),
            ("keep-alive", &["websocket"], &[]),
            ("x-upgrade", &["websocket"], &[]),
            ("upgrade", &["1,2,3,4,5,6,7,8,9"], &["1", "2", "3", "4", "5", "6", "7", "8"]),
        ];
        for (connection, upgrades, expected) in cases {
            let mut lines = vec![("connection", *connection)];
            lines.extend(upgrades.iter().map(|upgrade| ("upgrade", *upgrade)));
            let mut fields = fields(&lines);
            let hops = strip(&mut fields).unwrap();
            assert_eq!(hops.upgrade, *expected, "{connection} {upgrades:?}");
            assert_eq!(fields.len(), 0);
        }
        let mut alone = fields(&[("upgrade", "websocket")]);
        assert_eq!(strip(&mut alone), Ok(Hops::default()));
    }

    #[test]
    fn a_switch_takes_two_fields() {
        let mut fields = fields(&[]);
        switch(&mut fields, &[Value::from_static("a/1"), Value::from_static("b")]);
        assert_eq!(fields.get(header::CONNECTION).unwrap(), "Upgrade");
        assert_eq!(fields.get(header::UPGRADE).unwrap(), "a/1, b");
        assert_eq!(protocol_name(&Value::from_static("a/1")), b"a");
        assert_eq!(protocol_name(&Value::from_static("b")), b"b");
    }
}
