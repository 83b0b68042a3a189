//! `member`: the addresses of a pool, and what is said of each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::transport;
use super::{Defaults, command};
use crate::config::table::{Item, Table};
use crate::config::{Member, MemberAddress, Role, State, listener};
use crate::message::{Value, host};

/// Roles, by the words they are called by.
pub(in crate::config) const ROLES: [(&str, Role); 3] =
    [("active", Role::Active), ("spare", Role::Spare), ("standby", Role::Standby)];

/// States, by the words they are called by.
pub(in crate::config) const STATES: [(&str, State); 5] = [
    ("ok", State::Ok),
    ("disabled", State::Disabled),
    ("stopped", State::Stopped),
    ("draining", State::Draining),
    ("ignore-errors", State::IgnoreErrors),
];

const URL: &str = r#"a URL such as "http://127.0.0.1:9001", "https://app.example" or "unix:/run/app.sock""#;
/// What goes over a Unix socket needs a `Host` as well, and has no name of its own.
const UNIX_HOST: &str = "localhost";
/// A name in the abstract namespace has at most what is left of a socket's address.
const LONGEST_ABSTRACT: usize = 107;

/// Where a URL leads.
struct Lead {
    address: MemberAddress,
    host: Value,
    is_secure: bool,
}

pub(super) fn read_all(items: &[Item<'_>], defaults: &Defaults) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for item in items {
        let Some(member) = member(item, defaults) else { continue };
        if let Some(other) = members.iter().find(|other| other.name == member.name) {
            item.problem(format!(
                "{:?} is the name of another member already; give one of them a name of its own",
                other.name
            ));
        } else if let Some(other) = members.iter().find(|other| is_same(other, &member)) {
            let text = format!("{:?} is the same member as {:?}; to give it more, use weight", member.name, other.name);
            item.problem(text);
        }
        if let Some(other) = members.iter().find(|other| member.route.is_some() && other.route == member.route) {
            item.problem(format!(
                "route {:?} is that of {:?} already",
                member.route.as_deref().unwrap_or_default(),
                other.name
            ));
        }
        members.push(member);
    }
    members
}

fn is_same(one: &Member, other: &Member) -> bool {
    one.address == other.address && one.transport == other.transport
}

/// What the members of a pool say of each other.
pub(in crate::config) fn check_all(table: &Table<'_>, members: &[Member]) {
    for member in members {
        let Some(redirect) = &member.redirect else { continue };
        if !members.iter().any(|other| other.route.as_ref() == Some(redirect)) {
            let text = format!("{}: redirect: no member of the pool has the route {redirect:?}", table.label);
            table.source.report(&member.place, text);
        }
    }
    let is_out = |member: &Member| matches!(member.state, State::Disabled | State::Stopped);
    if !members.is_empty() && members.iter().all(is_out) {
        table.problem("every member is disabled or stopped, so nobody would ever serve");
    }
}

fn member(item: &Item<'_>, defaults: &Defaults) -> Option<Member> {
    if !item.is_table() {
        let lead = lead(item)?;
        return Some(of(item, lead, item.as_str()?, defaults.ways.clone(), defaults));
    }
    let table = item.inner_table()?;
    let url = table.required("url", r#""http://127.0.0.1:9001""#);
    let lead = url.as_ref().and_then(lead);
    let ways = transport::read(&table);
    if ways.has_tls() && lead.as_ref().is_some_and(|lead| !lead.is_secure) {
        table.problem("tls does nothing for a member whose URL is not https://");
    }
    let name = table.string("name").or_else(|| url.as_ref()?.as_str());
    let weight = table.count("weight", 1, 1..=1000);
    let set = table.count("set", 0, 0..=99);
    let role = table.choice("role", Role::Active, &ROLES);
    let state = table.choice("state", State::Ok, &STATES);
    let route = table.item("route").and_then(|item| route_name(&item));
    let redirect = table.item("redirect").and_then(|item| route_name(&item));
    let max_connections = super::limit(&table, "max-connections").or(defaults.max_connections);
    let max_requests = super::limit(&table, "max-requests").or(defaults.max_requests);
    let each_address = table.boolean("each-address", false);
    let command = command::read(&table, lead.as_ref().map(|lead| &lead.address));
    table.finish();
    let lead = lead?;
    if each_address && !matches!(lead.address, MemberAddress::Name(..)) {
        table.problem("each-address is for members that are named, not for addresses");
    }
    let mut member = of(item, lead, name?, ways.or(&defaults.ways), defaults);
    (member.weight, member.set, member.role, member.state) = (weight, u8::try_from(set).unwrap_or(0), role, state);
    (member.route, member.redirect, member.each_address) = (route, redirect, each_address);
    (member.max_connections, member.max_requests, member.command) = (max_connections, max_requests, command);
    Some(member)
}

/// A member of which nothing is said but where it is.
fn of(item: &Item<'_>, lead: Lead, name: &str, ways: transport::Ways, defaults: &Defaults) -> Member {
    Member {
        name: name.into(),
        address: lead.address,
        each_address: false,
        transport: ways.transport(item, lead.is_secure),
        host: lead.host,
        weight: 1,
        set: 0,
        role: Role::Active,
        state: State::Ok,
        route: None,
        redirect: None,
        max_connections: defaults.max_connections,
        max_requests: defaults.max_requests,
        command: None,
        place: item.place.clone(),
    }
}

/// What stands in a cookie or a path.
fn route_name(item: &Item<'_>) -> Option<std::sync::Arc<str>> {
    let text = item.string()?;
    if !super::sticky::is_token(text) || text.len() > 64 {
        item.wrong("a route of at most 64 letters, digits and marks such as \"-\" and \"_\"");
        return None;
    }
    Some(text.into())
}

fn lead(item: &Item<'_>) -> Option<Lead> {
    let Some(text) = item.as_str() else {
        item.wrong(URL);
        return None;
    };
    if let Some((path, is_secure)) = unix(text) {
        let host = Value::from_static(UNIX_HOST);
        let address = match path.strip_prefix('@') {
            Some(name) => MemberAddress::Abstract(abstract_name(item, name)?),
            None => MemberAddress::Unix(listener::socket_path(item, path)?),
        };
        return Some(Lead { address, host, is_secure });
    }
    over_tcp(item, text)
}

/// `unix:/path`, `http://unix:/path` or `https://unix:/path`: a slash (or an `@`) right after the colon, so a host that is
/// called `unix` can still have a port.
fn unix(text: &str) -> Option<(&str, bool)> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Some((path, false));
    }
    let (scheme, path) = text.split_once("://unix:").filter(|(_, path)| path.starts_with(['/', '@']))?;
    matches!(scheme, "http" | "https").then_some((path, scheme == "https"))
}

fn abstract_name(item: &Item<'_>, name: &str) -> Option<Vec<u8>> {
    if name.is_empty() || name.len() > LONGEST_ABSTRACT {
        item.problem(format!("a name in the abstract namespace has from 1 to {LONGEST_ABSTRACT} bytes"));
        return None;
    }
    Some(name.as_bytes().to_vec())
}

fn over_tcp(item: &Item<'_>, text: &str) -> Option<Lead> {
    let Some((scheme, rest)) = text.split_once("://") else {
        let hint = if host::parse(text.as_bytes()).is_ok() {
            format!(" (did you mean {:?}?)", format!("http://{text}"))
        } else {
            String::new()
        };
        item.problem(format!("expected {URL}, found {text:?}{hint}"));
        return None;
    };
    let (is_secure, is_service) = match scheme {
        "http" => (false, false),
        "https" => (true, false),
        "srv" => (false, true),
        "srvs" => (true, true),
        _ => {
            item.wrong(URL);
            return None;
        }
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let address = if is_service { service(authority) } else { address(authority, is_secure) };
    let Some(address) = address else {
        let what = if is_service {
            "the name of a service such as \"_http._tcp.app.example\""
        } else {
            "an address or a name with a port"
        };
        item.problem(format!("{text:?}: {authority:?} is not {what}"));
        return None;
    };
    if !matches!(path, "" | "/") {
        item.problem(format!("{text:?}: a member's URL ends after its port; use replace-prefix on the route"));
    }
    Some(Lead { address, host: Value::from_str(authority).ok()?, is_secure })
}

/// A name of SRV records: labels, the first two of which usually begin with an underscore (RFC 2782).
fn service(name: &str) -> Option<MemberAddress> {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let plain = name.strip_suffix('.').unwrap_or(name);
    (plain.len() <= 253 && plain.contains('.') && plain.split('.').all(is_label))
        .then(|| MemberAddress::Service(plain.to_lowercase()))
}

fn address(authority: &str, is_secure: bool) -> Option<MemberAddress> {
    let authority = host::parse(authority.as_bytes()).ok()?;
    let port = authority.port().unwrap_or(if is_secure { 443 } else { 80 });
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
