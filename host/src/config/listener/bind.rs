//! `bind`: addresses, Unix sockets, and sockets that are there already; none twice.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::config::Bind;
use crate::config::source::Source;
use crate::config::table::Item;

/// `sun_path` has 108 bytes, the last one zero (unix(7)).
pub(in crate::config) const LONGEST_SOCKET_PATH: usize = 107;
/// `FDNAME_MAX` of systemd (sd_listen_fds(3)).
const LONGEST_INHERITED: usize = 255;

const ADDRESS: &str =
    r#"an address such as "127.0.0.1:8080", "[::1]:8080", ":8080", "unix:/run/weir.sock" or "systemd:NAME""#;

/// What the items bind; `taken` is what was bound before, and by whom.
pub(super) fn read_all(items: &[Item<'_>], taken: &mut Vec<(Bind, String)>) -> Vec<Bind> {
    let mut binds = Vec::new();
    for item in items {
        for bind in bind(item) {
            match taken.iter().find(|(other, _)| *other == bind && !is_any_port(other)) {
                Some((_, owner)) => item.problem(format!("{} is bound by {owner} already", write(&bind))),
                None => taken.push((bind.clone(), item.label.clone())),
            }
            binds.push(bind);
        }
    }
    binds
}

/// An address as it is written.
pub(in crate::config) fn write(bind: &Bind) -> String {
    match bind {
        Bind::Tcp(address) => address.to_string(),
        Bind::Unix(path) => format!("unix:{}", path.display()),
        Bind::Inherited(name) => format!("systemd:{name}"),
    }
}

/// The path of a Unix socket, where it can be one.
pub(in crate::config) fn socket_path(item: &Item<'_>, path: &str) -> Option<PathBuf> {
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

const fn is_any_port(bind: &Bind) -> bool {
    matches!(bind, Bind::Tcp(address) if address.port() == 0)
}

/// `:8080` is two addresses: an IPv6 socket takes IPv6 clients alone, whatever the system's default for it is.
fn bind(item: &Item<'_>) -> Vec<Bind> {
    let Some(text) = item.string() else { return Vec::new() };
    if let Some(path) = text.strip_prefix("unix:") {
        return socket_path(item, path).map(Bind::Unix).into_iter().collect();
    }
    if let Some(name) = text.strip_prefix("systemd:") {
        return inherited(item, name).map(Bind::Inherited).into_iter().collect();
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

/// What systemd takes as a name: ASCII without control characters and colons.
fn inherited(item: &Item<'_>, name: &str) -> Option<String> {
    let fits = (1..=LONGEST_INHERITED).contains(&name.len());
    if !fits || !name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b':') {
        item.wrong(r#""systemd:" and the FileDescriptorName of a socket unit, such as "systemd:weir.socket""#);
        return None;
    }
    Some(name.to_owned())
}
