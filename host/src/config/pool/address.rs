//! Where a member is: its URL, and nothing that could be asked of it there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::MemberAddress;
use crate::config::listener::bind;
use crate::config::table::Item;
use crate::message::{Value, host};

const URL: &str = r#"a URL such as "http://127.0.0.1:9001" or "unix:/run/app.sock""#;
/// What goes over a Unix socket needs a `Host` as well, and has no name of its own.
const UNIX_HOST: &str = "localhost";

/// A member's URL, taken apart.
pub(super) struct Url {
    pub(super) address: MemberAddress,
    /// The `Host` that it stands for.
    pub(super) host: Value,
    /// Whether it asks for TLS.
    pub(super) tls: bool,
}

/// Reads a member's URL.
pub(super) fn read(item: &Item<'_>) -> Option<Url> {
    let Some(text) = item.as_str() else {
        item.wrong(URL);
        return None;
    };
    if let Some(path) = text.strip_prefix("unix:") {
        return over_unix(item, path, false);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let hint = if host::parse(text.as_bytes()).is_ok() {
            format!(" (did you mean {:?}?)", format!("http://{text}"))
        } else {
            String::new()
        };
        item.problem(format!("expected {URL}, found {text:?}{hint}"));
        return None;
    };
    let tls = matches!(scheme, "https" | "srvs");
    match scheme {
        "http" | "https" => match rest.strip_prefix("unix:").filter(|path| path.starts_with(['/', '@'])) {
            // A slash right after the colon, so a host that is called `unix` can still have a port.
            Some(path) => over_unix(item, path, tls),
            None => over_tcp(item, text, rest, tls),
        },
        "srv" | "srvs" => service(item, text, rest, tls),
        _ => {
            item.wrong(URL);
            None
        }
    }
}

/// A member's URL as it would be written; it reads back to the same address, host and TLS.
pub(in crate::config) fn write(address: &MemberAddress, host: &Value, tls: bool) -> String {
    let http = if tls { "https" } else { "http" };
    match address {
        MemberAddress::Unix(path) if tls => format!("https://unix:{}", path.display()),
        MemberAddress::Unix(path) => format!("unix:{}", path.display()),
        MemberAddress::Abstract(name) if tls => format!("https://unix:@{}", String::from_utf8_lossy(name)),
        MemberAddress::Abstract(name) => format!("unix:@{}", String::from_utf8_lossy(name)),
        MemberAddress::Service(name) if tls => format!("srvs://{name}"),
        MemberAddress::Service(name) => format!("srv://{name}"),
        MemberAddress::Tcp(_) | MemberAddress::Name(..) => format!("{http}://{}", host.to_str().unwrap_or_default()),
    }
}

fn over_unix(item: &Item<'_>, path: &str, tls: bool) -> Option<Url> {
    let address = match path.strip_prefix('@') {
        Some(name) if name.is_empty() || name.len() > bind::LONGEST_SOCKET_PATH => {
            item.problem(format!("an abstract socket's name has 1 to {} bytes", bind::LONGEST_SOCKET_PATH));
            return None;
        }
        Some(name) => MemberAddress::Abstract(name.as_bytes().to_vec()),
        None => MemberAddress::Unix(bind::socket_path(item, path)?),
    };
    Some(Url { address, host: Value::from_static(UNIX_HOST), tls })
}

fn over_tcp(item: &Item<'_>, text: &str, rest: &str, tls: bool) -> Option<Url> {
    let authority = authority(item, text, rest)?;
    let Some(address) = address(authority, if tls { 443 } else { 80 }) else {
        item.problem(format!("{text:?}: {authority:?} is not an address or a name with a port"));
        return None;
    };
    Some(Url { address, host: Value::from_str(authority).ok()?, tls })
}

/// The name of SRV records. Who is asked for, and whom a certificate must name, is the domain that was configured, not
/// the targets that a name server tells (RFC 6125, section 6.2.1).
fn service(item: &Item<'_>, text: &str, rest: &str, tls: bool) -> Option<Url> {
    let name = authority(item, text, rest)?;
    let domain = name.split('.').skip_while(|label| label.starts_with('_')).collect::<Vec<_>>().join(".");
    match (address(name, 80), address(&domain, 80)) {
        (Some(MemberAddress::Name(key, _)), Some(MemberAddress::Name(..))) if !name.contains(':') => {
            let address = MemberAddress::Service(key);
            Some(Url { address, host: Value::from_str(host::key(&domain).as_ref()).ok()?, tls })
        }
        _ => {
            let text = format!("{text:?}: expected a name of SRV records without a port, such as");
            item.problem(format!("{text} \"srv://_http._tcp.app.example\""));
            None
        }
    }
}

/// What stands between scheme and path; the path must not be there.
fn authority<'t>(item: &Item<'_>, text: &str, rest: &'t str) -> Option<&'t str> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    if !matches!(path, "" | "/") {
        item.problem(format!("{text:?}: a member's URL ends after its port; use replace-prefix on the route"));
    }
    Some(authority)
}

fn address(authority: &str, default_port: u16) -> Option<MemberAddress> {
    let authority = host::parse(authority.as_bytes()).ok()?;
    let port = authority.port().unwrap_or(default_port);
    let host = host::key(authority.host());
    if port == 0 {
        return None;
    }
    if let Some(literal) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Ipv6Addr = literal.parse().ok()?;
        return Some(MemberAddress::Tcp((IpAddr::V6(address), port).into()));
    }
    // A last label of digits alone makes it an IPv4 address, or a mistyped one; no such name exists (RFC 3696, section 2).
    if host.rsplit('.').next()?.bytes().all(|byte| byte.is_ascii_digit()) {
        let address: Ipv4Addr = host.parse().ok()?;
        return Some(MemberAddress::Tcp((IpAddr::V4(address), port).into()));
    }
    Some(MemberAddress::Name(host.into_owned(), port))
}
