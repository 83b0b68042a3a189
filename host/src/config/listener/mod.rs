//! `[listener.NAME]`: its sockets, its protocols, its limits.

use std::ops::RangeInclusive;
use std::time::Duration;

pub(super) mod bind;
pub(super) mod protocol;
pub(super) mod tls;

use super::table::{Item, Table};
use super::whole::{self, OFF};
use super::{Bind, Listener, MinRate, Network, value};

/// What a parser below can take at most: the `http` crate refuses targets beyond this.
const LONGEST_TARGET: u64 = 64 << 10;
const MOST_CONNECTIONS: u32 = 10_000_000;
/// `MAX_TCP_KEEPIDLE` and `MAX_TCP_KEEPINTVL` of Linux.
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(32_767);
/// A client that must be faster than this is no slow one.
const FASTEST: u64 = 1 << 30;

/// A listener, and what its TLS still needs.
pub(super) struct Found<'d> {
    pub(super) listener: Listener,
    tls: Option<Item<'d>>,
}

/// All listeners; one at least, and no address twice.
pub(super) fn read_all<'d>(top: &Table<'d>) -> Vec<Found<'d>> {
    let tables = top.named("listener");
    if tables.is_empty() {
        top.problem("a listener is required, such as listener.web.bind = \"127.0.0.1:8080\"");
    }
    let mut taken = Vec::new();
    tables.iter().map(|(name, table)| read(name, table, &mut taken)).collect()
}

impl Found<'_> {
    /// Whether TLS was asked for, well or not.
    pub(super) const fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// To be called when no site has a certificate: whoever came would be turned away.
    pub(super) fn check_certificate(&self) {
        if let Some(item) = self.tls.as_ref().filter(|item| tls::is_bare(item)) {
            item.problem(
                r#"no certificate, neither here nor of a site, such as certificate = { chain = "web.pem", key = "web.key" }"#,
            );
        }
    }
}

fn read<'d>(name: &str, table: &Table<'d>, taken: &mut Vec<(Bind, String)>) -> Found<'d> {
    let second = Duration::from_secs(1);
    let items = table.required("bind", r#""127.0.0.1:8080""#).map(|item| item.at_least_one()).unwrap_or_default();
    let bind = bind::read_all(&items, taken);
    let tls_item = table.item("tls");
    let protocols = protocol::read(table, tls_item.is_some(), &bind);
    let tls = tls_item.as_ref().and_then(|item| tls::read(item, protocols));
    let max_head = size(table, "max-head", 32 << 10, (1 << 10)..=(1 << 20));
    let listener = Listener {
        name: name.into(),
        protocols,
        proxy_protocol: proxy_protocol(table, &bind),
        max_connections: table.count("max-connections", 10_000, 1..=MOST_CONNECTIONS) as usize,
        max_connections_per_client: per_client(table, &bind),
        backlog: table.count("backlog", 1024, 1..=65_535),
        tcp_keep_alive: tcp_keep_alive(table, &bind),
        head_timeout: table.duration("head-timeout", 10 * second),
        body_timeout: table.duration_or_none("body-timeout", 30 * second),
        idle_timeout: table.duration("idle-timeout", 75 * second),
        write_timeout: table.duration("write-timeout", 60 * second),
        min_rate: min_rate(table),
        max_head,
        max_target: max_target(table, max_head),
        max_fields: table.count("max-fields", 100, 1..=10_000) as usize,
        max_body: table.item("max-body").and_then(|item| item.size(&(0..=u64::MAX))),
        h2: protocol::http2(table, protocols),
        h3: protocol::http3(table, protocols, tls.as_ref()),
        bind,
        tls,
        place: table.place.clone(),
    };
    table.finish();
    Found { listener, tls: tls_item }
}

/// `proxy-protocol`. A Unix socket has no client's address to be in the list.
fn proxy_protocol(table: &Table<'_>, binds: &[Bind]) -> Vec<Network> {
    let Some(item) = table.item("proxy-protocol") else { return Vec::new() };
    let items = item.list().unwrap_or_default();
    if !items.is_empty() && is_unix_alone(binds) {
        item.problem("does nothing on Unix sockets: their clients have no address");
    }
    items.iter().filter_map(whole::network).collect()
}

/// `max-connections-per-client`. Nor is there one to count by.
fn per_client(table: &Table<'_>, binds: &[Bind]) -> Option<usize> {
    let item = table.item("max-connections-per-client")?;
    if is_unix_alone(binds) {
        item.problem("does nothing on Unix sockets: their clients have no address");
    }
    item.count(1..=MOST_CONNECTIONS).map(|count| count as usize)
}

fn tcp_keep_alive(table: &Table<'_>, binds: &[Bind]) -> Option<Duration> {
    let keep_alive = seconds_or_off(table, "tcp-keep-alive", None, LONGEST_KEEP_ALIVE);
    if let Some(item) = table.item("tcp-keep-alive").filter(|_| keep_alive.is_some() && is_unix_alone(binds)) {
        item.problem("does nothing on Unix sockets");
    }
    keep_alive
}

fn is_unix_alone(binds: &[Bind]) -> bool {
    !binds.is_empty() && binds.iter().all(|bind| matches!(bind, Bind::Unix(_)))
}

fn min_rate(listener: &Table<'_>) -> MinRate {
    let mut rate = MinRate { request: 0, response: 0, grace: Duration::from_secs(5) };
    if let Some(table) = listener.item("min-rate").and_then(|item| item.inner_table()) {
        let bytes = |item: Option<Item<'_>>| item.and_then(|item| item.size(&(0..=FASTEST))).unwrap_or(0);
        rate = MinRate {
            request: bytes(table.item("request")),
            response: bytes(table.item("response")),
            grace: table.duration("grace", rate.grace),
        };
        table.finish();
    }
    rate
}

fn size(table: &Table<'_>, key: &'static str, default: usize, range: RangeInclusive<u64>) -> usize {
    let size = table.item(key).and_then(|item| item.size(&range));
    size.and_then(|size| usize::try_from(size).ok()).unwrap_or(default)
}

fn max_target(table: &Table<'_>, max_head: usize) -> usize {
    let default = (8 << 10).min(max_head);
    let Some(item) = table.item("max-target") else { return default };
    let Some(size) = item.size(&(64..=LONGEST_TARGET)).and_then(|size| usize::try_from(size).ok()) else {
        return default;
    };
    if size > max_head {
        let most = u64::try_from(max_head).unwrap_or(u64::MAX);
        item.problem(format!("a request target is part of the head: at most max-head, {}", value::write_size(most)));
    }
    size
}

/// Whole seconds, one at least, or `"off"`.
fn seconds_or_off(table: &Table<'_>, key: &'static str, default: Option<Duration>, most: Duration) -> Option<Duration> {
    let Some(item) = table.item(key) else { return default };
    match item.as_str() {
        Some(OFF) => None,
        Some(text) if value::duration(text).is_some() => item.seconds(&(Duration::from_secs(1)..=most)),
        Some(_) | None => {
            item.wrong(r#"a duration such as "30s", "1m" or "1h", or "off""#);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{ClientAuth, Plan, Protocols, Retry, TlsVersion, parse};

    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/golden");
    const CERTIFICATE: &str = "certificate = { chain = \"both.pem\" }";

    fn plan(listener: &str, site: &str) -> Plan {
        let text = format!("[listener.web]\n{listener}\n[site.main]\n{site}\nroute = [{{ respond = {{}} }}]");
        parse(&text, "weir.toml", Path::new(GOLDEN)).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"))
    }

    fn listener(keys: &str) -> Listener {
        Listener::clone(&plan(keys, "").listeners[0])
    }

    #[test]
    fn what_nobody_says_has_a_default() {
        let web = listener("bind = \":80\"");
        assert_eq!(web.protocols, Protocols { h1: true, h2: true, h3: false });
        assert!(web.tls.is_none() && web.proxy_protocol.is_empty() && web.tcp_keep_alive.is_none());
        assert_eq!((web.min_rate.request, web.min_rate.response, web.max_connections_per_client), (0, 0, None));
        assert_eq!((web.h2.max_streams, web.h2.stream_window, web.h2.max_frame), (128, 262_144, 16_384));
        let tls = listener(&format!("bind = \":443\"\ntls = {{ {CERTIFICATE} }}")).tls.unwrap();
        assert_eq!((tls.min_version, tls.max_version), (TlsVersion::Tls12, TlsVersion::Tls13));
        assert_eq!((tls.client, tls.max_handshakes), (ClientAuth::None, 256));
        assert_eq!((tls.handshake_timeout.as_secs(), tls.ticket_rotation.unwrap().as_secs()), (10, 21_600));
        assert_eq!(tls.certificates[0].chain, tls.certificates[0].key);
    }

    #[test]
    fn http3_says_what_differs() {
        let keys = format!(
            "bind = \":443\"\nprotocols = [\"h3\"]\ntls = {{ {CERTIFICATE} }}\n\
             h3 = {{ retry = \"always\", early-data = true, connection-window = \"64KiB\", advertise = \"1h\" }}"
        );
        let web = listener(&keys);
        assert_eq!(web.protocols, Protocols { h1: false, h2: false, h3: true });
        assert_eq!((web.h3.retry, web.h3.early_data), (Retry::Always, true));
        assert_eq!((web.h3.connection_window, web.h3.stream_window), (65_536, 65_536));
        assert_eq!(web.h3.advertise, Some(Duration::from_secs(3600)));
    }

    #[test]
    fn a_sites_certificate_is_enough_for_a_listener() {
        let plan = plan("bind = \":443\"\ntls = {}", &format!("host = [\"*.a.example\", \"*\"]\n{CERTIFICATE}"));
        assert!(plan.listeners[0].tls.as_ref().unwrap().certificates.is_empty());
        assert_eq!(plan.sites[0].certificates.len(), 1);
    }

    #[test]
    fn sockets_that_are_there_already_go_by_their_name() {
        assert_eq!(listener("bind = \"systemd:weir.socket\"").bind, [Bind::Inherited("weir.socket".to_owned())]);
    }

    #[test]
    fn a_staple_may_come_later() {
        let staple = |file: &str| {
            let keys = format!("chain = \"both.pem\", staple = \"{file}\"");
            let tls = listener(&format!("bind = \":443\"\ntls = {{ certificate = {{ {keys} }} }}")).tls.unwrap();
            tls.certificates[0].staple.clone().unwrap()
        };
        assert_eq!((staple("none.der").der.len(), staple("none.der").path), (0, Path::new(GOLDEN).join("none.der")));
        assert!(!staple("key.pem").der.is_empty());
    }
}
