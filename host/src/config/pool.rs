//! `[pool.NAME]` and its members.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use super::table::{Item, Table};
use super::whole::Names;
use super::{
    Balance, Failover, FailoverOn, Member, MemberAddress, Outlier, Pool, Protocol, Queue, Role, State, StatusSet,
    Transport, listener, page,
};
use crate::message::{Value, host};

pub(super) const BALANCE: [(&str, ()); 1] = [("round-robin", ())];

const URL: &str = r#"a URL such as "http://127.0.0.1:9001" or "unix:/run/app.sock""#;
/// What goes over a Unix socket needs a `Host` as well, and has no name of its own.
const UNIX_HOST: &str = "localhost";

/// A pool, and the statuses that routes to it intercept when they do not say themselves.
pub(super) fn read(name: &str, table: &Table<'_>, names: &Names) -> Option<(Pool, StatusSet)> {
    let second = Duration::from_secs(1);
    let items = table.required("member", r#"["http://127.0.0.1:9001"]"#).map(|item| item.at_least_one());
    let intercepts = table.item("intercept-errors").map(|item| page::statuses(&item)).unwrap_or_default();
    let pool = Pool {
        name: name.into(),
        balance: table
            .item("balance")
            .and_then(|item| item.choice(&BALANCE))
            .map_or(Balance::RoundRobin, |()| Balance::RoundRobin),
        slow_start: Duration::ZERO,
        members: members(&items.unwrap_or_default()),
        sticky: None,
        retry: 60 * second,
        forced_recovery: true,
        reprobe: 10 * second,
        fail_on_status: StatusSet::default(),
        fail_on_timeout: false,
        failover: failover(),
        fallback: None,
        queue: Queue { length: 0, timeout: 5 * second },
        health: None,
        outlier: outlier(),
        preserve_host: table.boolean("preserve-host", false),
        keepalive: table.boolean("keepalive", true),
        exclusive: false,
        max_idle_connections: table.count("max-idle-connections", 16, 1..=65_535) as usize,
        connect_timeout: table.duration("connect-timeout", 5 * second),
        read_timeout: table.duration("read-timeout", 60 * second),
        write_timeout: table.duration("write-timeout", 60 * second),
        timeout: table.duration_or_none("timeout", Duration::ZERO),
        idle_timeout: table.duration("idle-timeout", 60 * second),
        tunnel_idle_timeout: 60 * 60 * second,
        address_ttl: 60 * second,
        forwarded: table.boolean("forwarded", false),
        filters: names.chain(table),
        place: table.place.clone(),
    };
    table.finish();
    Some((pool, intercepts))
}

fn members(items: &[Item<'_>]) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for item in items {
        let Some(member) = member(item) else { continue };
        if let Some(other) = members.iter().find(|other| other.address == member.address) {
            let text = format!("{:?} is the same member as {:?}; to give it more, use weight", member.name, other.name);
            item.problem(text);
        }
        members.push(member);
    }
    members
}

fn member(item: &Item<'_>) -> Option<Member> {
    if !item.is_table() {
        return of_url(item, 1);
    }
    let table = item.inner_table()?;
    let url = table.required("url", r#""http://127.0.0.1:9001""#);
    let weight = table.count("weight", 1, 1..=1000);
    table.finish();
    of_url(&url?, weight)
}

fn of_url(item: &Item<'_>, weight: u32) -> Option<Member> {
    let Some(text) = item.as_str() else {
        item.wrong(URL);
        return None;
    };
    let (address, host) = if let Some(path) = text.strip_prefix("unix:").or_else(|| unix_over_http(text)) {
        (MemberAddress::Unix(listener::socket_path(item, path)?), Value::from_static(UNIX_HOST))
    } else {
        over_tcp(item, text)?
    };
    let transport = Arc::new(Transport { protocol: Protocol::Http1, tls: None, source: None, proxy_protocol: None });
    Some(Member {
        name: text.into(),
        address,
        each_address: false,
        transport,
        host,
        weight,
        set: 0,
        role: Role::Active,
        state: State::Ok,
        route: None,
        redirect: None,
        max_connections: None,
        max_requests: None,
        command: None,
        place: item.place.clone(),
    })
}

fn failover() -> Failover {
    let on = FailoverOn { connect: true, tls: true, reset: true, ..FailoverOn::default() };
    Failover {
        attempts: 3,
        on,
        try_timeout: Duration::ZERO,
        budget: 20,
        budget_floor: 10,
        replay_body: 64 << 10,
        non_idempotent: false,
    }
}

fn outlier() -> Outlier {
    Outlier {
        consecutive: 5,
        statuses: StatusSet::default(),
        interval: Duration::from_secs(10),
        success_rate_deviation: 0,
        success_rate_members: 5,
        success_rate_requests: 100,
        base_ejection: Duration::from_secs(30),
        max_ejection: Duration::from_secs(300),
        max_ejected: 10,
        panic_threshold: 0,
    }
}

/// `http://unix:/path`: a slash right after the colon, so a host that is called `unix` can still have a port.
fn unix_over_http(text: &str) -> Option<&str> {
    text.strip_prefix("http://unix:").filter(|path| path.starts_with('/'))
}

fn over_tcp(item: &Item<'_>, text: &str) -> Option<(MemberAddress, Value)> {
    let Some((scheme, rest)) = text.split_once("://") else {
        let hint = if host::parse(text.as_bytes()).is_ok() {
            format!(" (did you mean {:?}?)", format!("http://{text}"))
        } else {
            String::new()
        };
        item.problem(format!("expected {URL}, found {text:?}{hint}"));
        return None;
    };
    match scheme {
        "http" => {}
        "https" => {
            item.problem(format!("{text:?}: TLS to upstreams is not supported yet; use http://"));
            return None;
        }
        _ => {
            item.wrong(URL);
            return None;
        }
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let Some(address) = address(authority) else {
        item.problem(format!("{text:?}: {authority:?} is not an address or a name with a port"));
        return None;
    };
    if !matches!(path, "" | "/") {
        item.problem(format!("{text:?}: a member's URL ends after its port; use replace-prefix on the route"));
    }
    Some((address, Value::from_str(authority).ok()?))
}

fn address(authority: &str) -> Option<MemberAddress> {
    let authority = host::parse(authority.as_bytes()).ok()?;
    let port = authority.port().unwrap_or(80);
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
