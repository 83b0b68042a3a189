//! `member`: one upstream address after another, and how they fit together.

use std::collections::HashMap;
use std::sync::Arc;

use super::transport::{self, Defaults};
use super::{address, command};
use crate::config::table::{Item, Table};
use crate::config::{Member, MemberAddress, Protocol, Role, State, Sticky, StickyBy, Transport, similar};

pub(in crate::config) const ROLES: [(&str, Role); 3] =
    [("active", Role::Active), ("spare", Role::Spare), ("standby", Role::Standby)];
pub(in crate::config) const STATES: [(&str, State); 5] = [
    ("ok", State::Ok),
    ("disabled", State::Disabled),
    ("stopped", State::Stopped),
    ("draining", State::Draining),
    ("ignore-errors", State::IgnoreErrors),
];

/// A member, and the value it was read from.
pub(super) type Read<'d> = (Item<'d>, Member);

pub(super) fn read_all<'d>(items: &[Item<'d>], defaults: &Defaults<'_>) -> Vec<Read<'d>> {
    let mut members: Vec<Read<'d>> = Vec::new();
    for item in items {
        let Some(member) = member(item, defaults) else { continue };
        let same = |other: &Member| other.address == member.address && other.transport == member.transport;
        if let Some((_, other)) = members.iter().find(|(_, other)| same(other)) {
            let text = format!("{:?} is the same member as {:?}; to give it more, use weight", member.name, other.name);
            item.problem(text);
        } else if members.iter().any(|(_, other)| other.name == member.name) {
            item.problem(format!("two members are called {:?}; give one of them another name", member.name));
        }
        members.push((item.clone(), member));
    }
    members
}

/// What can only be said of all members together.
pub(super) fn check(pool: &Table<'_>, members: &[Read<'_>], defaults: &Defaults<'_>, sticky: Option<&Sticky>) {
    check_routes(members, sticky);
    if !members.is_empty() && members.iter().all(|(_, it)| matches!(it.state, State::Disabled | State::Stopped)) {
        pool.problem("every member is disabled or stopped, so nobody would ever serve");
    }
    if let Some(item) = defaults.tls_item.as_ref().filter(|_| members.iter().all(|(_, it)| it.transport.tls.is_none()))
    {
        item.problem("does nothing: no member's URL begins with https:// or srvs://");
    }
    let by_route = matches!(sticky.map(|sticky| &sticky.by), Some(StickyBy::Route(_)));
    if by_route && members.iter().all(|(_, member)| member.route.is_none()) {
        pool.problem("sticky: no member has a route, such as { url = \"http://127.0.0.1:9001\", route = \"node1\" }");
    }
    check_source(members, defaults);
}

fn check_source(members: &[Read<'_>], defaults: &Defaults<'_>) {
    let (Some(source), Some(source_item)) = (defaults.source, &defaults.source_item) else { return };
    let is_unix = |it: &Member| matches!(it.address, MemberAddress::Unix(_) | MemberAddress::Abstract(_));
    if members.iter().all(|(_, member)| is_unix(member)) {
        source_item.problem("does nothing: every member is a Unix socket");
    }
    for (item, member) in members {
        if let MemberAddress::Tcp(address) = &member.address
            && address.is_ipv4() != source.is_ipv4()
        {
            item.problem(format!(
                "{:?} cannot be reached from source-address {source}: one is IPv4, one IPv6",
                member.name
            ));
        }
    }
}

/// Routes name one member each, lead to one that is there, and can be told from what stands around them.
fn check_routes(members: &[Read<'_>], sticky: Option<&Sticky>) {
    let mut owners: HashMap<&str, &Member> = HashMap::new();
    for (item, member) in members {
        let Some(route) = &member.route else { continue };
        if let Some(other) = owners.get(&**route) {
            item.problem(format!("route {route:?} is that of {:?} already", other.name));
        } else {
            owners.insert(route, member);
        }
        if let Some(StickyBy::Route(by)) = sticky.map(|sticky| &sticky.by)
            && let Some(mark) = [by.separator, by.ranked].into_iter().flatten().find(|mark| route.contains(*mark))
        {
            item.problem(format!("route {route:?} has a {mark:?}, which parts it from other things in sticky values"));
        }
    }
    for (item, member) in members {
        let Some(redirect) = &member.redirect else { continue };
        if member.route.as_ref() == Some(redirect) {
            item.problem(format!("redirect {redirect:?} is the member's own route"));
        } else if !owners.contains_key(&**redirect) {
            let hint = similar::hint(redirect, owners.keys().copied());
            item.problem(format!("redirect {redirect:?}: no member of the pool has that route{hint}"));
        }
    }
}

/// A URL, or a table with one. Everything in the table is looked at, even when the URL is no good.
fn member(item: &Item<'_>, defaults: &Defaults<'_>) -> Option<Member> {
    let is_table = item.is_table();
    let table = if is_table { item.inner_table()? } else { Table::empty(item) };
    let url_item = if is_table { table.required("url", r#""http://127.0.0.1:9001""#) } else { Some(item.clone()) };
    let url = url_item.as_ref().and_then(address::read);
    let name = table.item("name").and_then(|item| name(&item));
    let weight = table.count("weight", 1, 1..=1000);
    let set = u8::try_from(table.count("set", 0, 0..=99)).unwrap_or(0);
    let role = table.choice("role", Role::Active, &ROLES);
    let state = table.choice("state", State::Ok, &STATES);
    let route = table.item("route").and_then(|item| route(&item));
    let redirect = table.item("redirect").and_then(|item| self::route(&item));
    let max_connections = transport::limit(table.item("max-connections")).or(defaults.max_connections);
    let max_requests = transport::limit(table.item("max-requests")).or(defaults.max_requests);
    let each_address = table.boolean("each-address", false);
    let address = url.as_ref().map(|url| &url.address);
    let command = table.item("command").and_then(|item| command::read(&item, address)).map(Arc::new);
    let transport = transport(&table, url.as_ref().map(|url| url.tls), defaults);
    if let Some(item) = table.item("each-address").filter(|_| each_address)
        && !matches!(address, None | Some(MemberAddress::Name(..)))
    {
        item.problem("is for a name that has addresses");
    }
    table.finish();
    let url = url?;
    Some(Member {
        name: name.or_else(|| url_item?.as_str()).unwrap_or_default().into(),
        address: url.address,
        each_address,
        transport: Arc::new(transport),
        host: url.host,
        weight,
        set,
        role,
        state,
        route: route.map(Into::into),
        redirect: redirect.map(Into::into),
        max_connections,
        max_requests,
        command,
        place: item.place.clone(),
    })
}

fn transport(table: &Table<'_>, tls: Option<bool>, defaults: &Defaults<'_>) -> Transport {
    let under_tls = tls.unwrap_or(true);
    let default = if under_tls && defaults.single.is_none() { Protocol::Auto } else { Protocol::Http1 };
    let own = table.item("tls");
    if let Some(item) = own.as_ref().filter(|_| !under_tls) {
        item.problem("does nothing: the member's URL does not begin with https:// or srvs://");
    }
    let settings = own.and_then(|item| transport::tls(&item, &defaults.tls)).unwrap_or_else(|| defaults.tls.clone());
    Transport {
        protocol: transport::protocol(table, defaults.single).or(defaults.protocol).unwrap_or(default),
        tls: under_tls.then_some(settings),
        source: defaults.source,
        proxy_protocol: defaults.proxy_protocol,
        h2: defaults.h2,
    }
}

/// What logs and state call it by.
fn name<'d>(item: &Item<'d>) -> Option<&'d str> {
    let text = item.string()?;
    if text.is_empty() || text.chars().any(char::is_control) {
        item.wrong("a name without control characters");
        return None;
    }
    Some(text)
}

/// A route travels in cookies' values and in queries.
fn route<'d>(item: &Item<'d>) -> Option<&'d str> {
    let text = item.string()?;
    // RFC 6265, section 4.1.1, less what parts parameters and is escaped in queries.
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\%&=#?/+".contains(&byte);
    if text.is_empty() || !text.bytes().all(fits) {
        item.wrong("a route such as \"node1\"");
        return None;
    }
    Some(text)
}
