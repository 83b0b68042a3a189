//! `[listener.NAME]`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::source::Source;
use super::table::{Item, Table};
use super::{Bind, Http2, Http3, Listener, MinRate, Protocols, Retry, value};

/// What a parser below can take at most: the `http` crate refuses targets beyond this.
const LONGEST_TARGET: u64 = 64 << 10;
/// `sun_path` has 108 bytes, the last one zero (unix(7)).
pub(super) const LONGEST_SOCKET_PATH: usize = 107;

const ADDRESS: &str = r#"an address such as "127.0.0.1:8080", "[::1]:8080", ":8080" or "unix:/run/weir.sock""#;

/// HTTP/2 when nobody says anything of it. A body's window is what a fast path of 20 ms carries at 100 Mbit/s; the
/// connection's bounds what one client can make the gateway hold.
const HTTP2: Http2 =
    Http2 { max_streams: 128, stream_window: 256 << 10, connection_window: 1 << 20, max_frame: 16 << 10 };
/// HTTP/3 when nobody says anything of it.
const HTTP3: Http3 = Http3 {
    max_streams: 128,
    stream_window: 256 << 10,
    connection_window: 1 << 20,
    retry: Retry::UnderLoad,
    early_data: false,
    advertise: Some(Duration::from_secs(86_400)),
};

/// All listeners; one at least, and no address twice.
pub(super) fn read_all(top: &Table<'_>) -> Vec<Listener> {
    let tables = top.named("listener");
    if tables.is_empty() {
        top.problem("a listener is required, such as listener.web.bind = \"127.0.0.1:8080\"");
    }
    let mut taken = Vec::new();
    tables.iter().map(|(name, table)| read(name, table, &mut taken)).collect()
}

fn read(name: &str, table: &Table<'_>, taken: &mut Vec<(Bind, String)>) -> Listener {
    let second = Duration::from_secs(1);
    let items = table.required("bind", r#""127.0.0.1:8080""#).map(|item| item.at_least_one()).unwrap_or_default();
    let max_head = size(table, "max-head", 32 << 10, (1 << 10)..=(1 << 20));
    let listener = Listener {
        name: name.into(),
        bind: binds(&items, taken),
        protocols: Protocols { h1: true, h2: true, h3: false },
        tls: None,
        proxy_protocol: Vec::new(),
        max_connections_per_client: None,
        tcp_keep_alive: None,
        min_rate: MinRate { request: 0, response: 0, grace: 5 * second },
        h2: HTTP2,
        h3: HTTP3,
        max_connections: table.count("max-connections", 10_000, 1..=10_000_000) as usize,
        backlog: table.count("backlog", 1024, 1..=65_535),
        head_timeout: table.duration("head-timeout", 10 * second),
        body_timeout: table.duration_or_none("body-timeout", 30 * second),
        idle_timeout: table.duration("idle-timeout", 75 * second),
        write_timeout: table.duration("write-timeout", 60 * second),
        max_head,
        max_target: max_target(table, max_head),
        max_fields: table.count("max-fields", 100, 1..=10_000) as usize,
        max_body: table.item("max-body").and_then(|item| item.size(&(0..=u64::MAX))),
        place: table.place.clone(),
    };
    table.finish();
    listener
}

fn size(table: &Table<'_>, key: &'static str, default: usize, range: std::ops::RangeInclusive<u64>) -> usize {
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

fn binds(items: &[Item<'_>], taken: &mut Vec<(Bind, String)>) -> Vec<Bind> {
    let mut binds = Vec::new();
    for item in items {
        for bind in bind(item) {
            match taken.iter().find(|(other, _)| *other == bind && !is_any_port(other)) {
                Some((_, owner)) => item.problem(format!("{} is bound by {owner} already", write_bind(&bind))),
                None => taken.push((bind.clone(), item.label.clone())),
            }
            binds.push(bind);
        }
    }
    binds
}

const fn is_any_port(bind: &Bind) -> bool {
    matches!(bind, Bind::Tcp(address) if address.port() == 0)
}

/// `:8080` is two addresses: an IPv6 socket takes IPv6 clients alone, whatever the system's default for it is.
fn bind(item: &Item<'_>) -> Vec<Bind> {
    let Some(text) = item.string() else { return Vec::new() };
    if let Some(path) = text.strip_prefix("unix:") {
        return socket_path(item, path).map(Bind::Unix).into_iter().collect();
    }
    if let Some(Ok(port)) = text.strip_prefix(':').map(str::parse) {
        let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        return vec![Bind::Tcp(v4), Bind::Tcp(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))];
    }
    if let Ok(address) = text.parse() {
        return vec![Bind::Tcp(address)];
    }
    let meant = [format!("{text}:80"), format!("[{text}]:80"), format!(":{text}")];
    let parses = |text: &&String| text.strip_prefix(':').map_or(text.parse::<SocketAddr>().is_ok(), is_port);
    let hint = meant.iter().find(parses).map_or_else(String::new, |meant| format!(" (did you mean {meant:?}?)"));
    item.problem(format!("expected {ADDRESS}, found {text:?}{hint}"));
    Vec::new()
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

/// The path of a Unix socket, where it can be one.
pub(super) fn socket_path(item: &Item<'_>, path: &str) -> Option<PathBuf> {
    if path.is_empty() {
        item.problem(r#"the path is missing, such as "unix:/run/weir.sock""#);
        return None;
    }
    let path = Source::resolve(item.source, path);
    if path.as_os_str().len() > LONGEST_SOCKET_PATH {
        let path = path.display();
        item.problem(format!("a Unix socket's path has at most {LONGEST_SOCKET_PATH} bytes, {path} has more"));
    }
    Some(path)
}

/// An address as it is written.
pub(super) fn write_bind(bind: &Bind) -> String {
    match bind {
        Bind::Tcp(address) => address.to_string(),
        Bind::Unix(path) => format!("unix:{}", path.display()),
        Bind::Inherited(name) => format!("systemd:{name}"),
    }
}
