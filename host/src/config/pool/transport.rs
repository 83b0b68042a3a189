//! How members are spoken to: version of HTTP, TLS, local address, PROXY protocol.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::base64;
use crate::config::table::{Item, Table};
use crate::config::{Pem, Protocol, ProxyVersion, UpstreamHttp2, UpstreamTls, pem};
use crate::message::host;

pub(in crate::config) const PROTOCOLS: [(&str, Protocol); 3] =
    [("http/1.1", Protocol::Http1), ("h2", Protocol::Http2), ("auto", Protocol::Auto)];
pub(in crate::config) const PROXY_VERSIONS: [(&str, ProxyVersion); 2] =
    [("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)];

/// What stands before a pin: the digest that it is made with.
pub(in crate::config) const PIN: &str = "sha256/";

/// TLS when nobody says anything of it.
pub(super) const PLAIN_TLS: UpstreamTls =
    UpstreamTls { server_name: None, verify: true, ca: None, certificate: None, pins: Vec::new() };

/// What a pool says for all its members.
pub(super) struct Defaults<'d> {
    pub(super) protocol: Option<Protocol>,
    pub(super) tls: UpstreamTls,
    /// Where it was written.
    pub(super) tls_item: Option<Item<'d>>,
    pub(super) source: Option<IpAddr>,
    pub(super) source_item: Option<Item<'d>>,
    pub(super) proxy_protocol: Option<ProxyVersion>,
    pub(super) h2: UpstreamHttp2,
    /// Why a connection belongs to one client alone, if it does.
    pub(super) single: Option<&'static str>,
    pub(super) max_connections: Option<usize>,
    pub(super) max_requests: Option<usize>,
}

impl<'d> Defaults<'d> {
    pub(super) fn read(pool: &Table<'d>, exclusive: bool) -> Self {
        let tls_item = pool.item("tls");
        let source_item = pool.item("source-address");
        let proxy_protocol = pool.item("proxy-protocol").and_then(|item| item.choice(&PROXY_VERSIONS));
        let single = match (exclusive, proxy_protocol) {
            (true, _) => Some("exclusive"),
            (false, Some(_)) => Some("proxy-protocol"),
            (false, None) => None,
        };
        Self {
            protocol: protocol(pool, single),
            tls: tls_item.as_ref().and_then(|item| tls(item, &PLAIN_TLS)).unwrap_or(PLAIN_TLS),
            tls_item,
            source: source_item.as_ref().and_then(source),
            source_item,
            proxy_protocol,
            h2: pool.item("h2").and_then(|item| http2(&item)).unwrap_or(UpstreamHttp2::USUAL),
            single,
            max_connections: limit(pool.item("max-connections")),
            max_requests: limit(pool.item("max-requests")),
        }
    }
}

/// `max-connections` or `max-requests`.
pub(super) fn limit(item: Option<Item<'_>>) -> Option<usize> {
    item.and_then(|item| item.count(1..=1_000_000)).and_then(|limit| usize::try_from(limit).ok())
}

/// `h2`.
fn http2(item: &Item<'_>) -> Option<UpstreamHttp2> {
    /// RFC 9113, section 6.9.2: what every connection begins with, and section 6.9.1.
    const WINDOW: RangeInclusive<u64> = 65_535..=(1 << 31) - 1;
    let table = item.inner_table()?;
    let usual = UpstreamHttp2::USUAL;
    let window = table.item("stream-window").and_then(|item| item.size(&WINDOW));
    let http2 = UpstreamHttp2 {
        max_streams: table.count("max-streams", usual.max_streams, 1..=100_000),
        stream_window: window.and_then(|size| u32::try_from(size).ok()).unwrap_or(usual.stream_window),
    };
    table.finish();
    Some(http2)
}

/// `protocol`. A connection that belongs to one client alone cannot be shared, which is all that HTTP/2 would be for.
pub(super) fn protocol(table: &Table<'_>, single: Option<&str>) -> Option<Protocol> {
    let item = table.item("protocol")?;
    let protocol = item.choice(&PROTOCOLS)?;
    if let Some(key) = single.filter(|_| protocol != Protocol::Http1) {
        item.problem(format!("with {key} a connection belongs to one client, so it is \"http/1.1\""));
    }
    Some(protocol)
}

/// A `tls` table: what it does not say is taken from `base`.
pub(super) fn tls(item: &Item<'_>, base: &UpstreamTls) -> Option<UpstreamTls> {
    let table = item.inner_table()?;
    let tls = UpstreamTls {
        server_name: table.item("server-name").and_then(|item| server_name(&item)).or_else(|| base.server_name.clone()),
        verify: table.boolean("verify", base.verify),
        ca: table.item("ca").and_then(|item| pem::read(&item, pem::CERTIFICATE)).or_else(|| base.ca.clone()),
        certificate: certificate(&table).or_else(|| base.certificate.clone()),
        pins: table.item("pins").map_or_else(|| base.pins.clone(), |item| pins(&item)),
    };
    if let Some(item) = table.item("ca").filter(|_| !tls.verify) {
        item.problem("does nothing with verify = false");
    }
    table.finish();
    Some(tls)
}

/// The local address of connections.
fn source(item: &Item<'_>) -> Option<IpAddr> {
    let address = item.string()?.parse::<IpAddr>().ok();
    if address.is_none() {
        item.wrong(r#"an address such as "127.0.0.2" or "::1""#);
    }
    address
}

fn server_name(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    match host::parse(text.as_bytes()) {
        Ok(name) if name.port().is_none() => Some(host::key(name.host()).into_owned()),
        Ok(_) | Err(_) => {
            item.wrong("a host without a port, such as \"app.internal\"");
            None
        }
    }
}

/// `certificate` and `key`, neither without the other.
fn certificate(table: &Table<'_>) -> Option<(Pem, Pem)> {
    match (table.item("certificate"), table.item("key")) {
        (Some(certificate), Some(key)) => {
            let (certificate, key) = (pem::read(&certificate, pem::CERTIFICATE), pem::read(&key, pem::PRIVATE_KEY));
            Some((certificate?, key?))
        }
        (Some(one), None) => {
            one.problem("a certificate needs its key, such as key = \"client.key\"");
            None
        }
        (None, Some(one)) => {
            one.problem("a key needs its certificate, such as certificate = \"client.pem\"");
            None
        }
        (None, None) => None,
    }
}

fn pins(item: &Item<'_>) -> Vec<[u8; 32]> {
    item.list().unwrap_or_default().iter().filter_map(pin).collect()
}

fn pin(item: &Item<'_>) -> Option<[u8; 32]> {
    let text = item.string()?;
    let pin = text.strip_prefix(PIN).and_then(base64::decode).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    if pin.is_none() {
        item.wrong("\"sha256/\" and 32 bytes in base64 (44 characters)");
    }
    pin
}
