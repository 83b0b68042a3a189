//! `[site.NAME]`: its hosts, its pages, its routes.

use std::net::Ipv4Addr;

use super::table::{Item, Table};
use super::whole::Names;
use super::{Certificate, Site, StatusSet, https, listener, page, pem, reach, route};
use crate::message::host;

/// What a site is the answer for: these hosts, and whatever no other site names.
struct Hosts {
    named: Vec<String>,
    default: bool,
}

/// All sites, and which of them answers for hosts that none of them names.
pub(super) fn read_all(
    top: &Table<'_>,
    names: &Names,
    intercepts: &[StatusSet],
    listeners: &[listener::Found<'_>],
) -> (Vec<Site>, Option<usize>) {
    let secured = listeners.iter().any(listener::Found::has_tls);
    let tables = top.named("site");
    if tables.is_empty() {
        top.problem("a site is required, such as site.main.route = [{ pool = \"app\" }]");
    }
    let mut taken: Vec<(String, String)> = Vec::new();
    let mut default: Option<usize> = None;
    let mut sites = Vec::new();
    for (index, (name, table)) in tables.iter().enumerate() {
        let hosts = hosts(table, &mut taken);
        match default.and_then(|index| tables.get(index)) {
            Some((other, _)) if hosts.default => {
                table.problem(format!("site {other:?} is the default site already; name this one's hosts"));
            }
            _ if hosts.default => default = Some(index),
            _ => {}
        }
        sites.push(read(name, table, hosts.named, names, intercepts, secured));
    }
    if !tables.iter().any(|(_, table)| table.item("certificate").is_some()) {
        listeners.iter().for_each(listener::Found::check_certificate);
    }
    (sites, default)
}

fn read(
    name: &str,
    table: &Table<'_>,
    hosts: Vec<String>,
    names: &Names,
    intercepts: &[StatusSet],
    secured: bool,
) -> Site {
    let list = table.item("route").map(|item| item.list().ok_or(()));
    if list.as_ref().is_none_or(|list| list.as_ref().is_ok_and(Vec::is_empty)) {
        table.problem("has no routes, so it would answer everything with 404");
    }
    let items = list.and_then(Result::ok).unwrap_or_default();
    let routes: Vec<_> = items.iter().filter_map(|item| route::read(item, names, intercepts)).collect();
    reach::check(table.source, &routes);
    let site = Site {
        name: name.into(),
        preserve_server: table.boolean("preserve-server", false),
        via: table.boolean("via", false),
        certificates: certificates(table, &hosts, secured),
        https_redirect: https::redirect(table, secured),
        hsts: https::hsts(table, secured),
        hosts,
        error_pages: page::read_all(table),
        routes,
        place: table.place.clone(),
    };
    table.finish();
    site
}

/// A client is given these when it names one of the hosts, and it can only name names (RFC 6066, section 3).
fn certificates(table: &Table<'_>, hosts: &[String], secured: bool) -> Vec<Certificate> {
    if let Some(item) = table.item("certificate") {
        if !secured {
            item.problem("does nothing: no listener has tls");
        } else if hosts.iter().all(|host| is_address(host)) {
            item.problem("does nothing: the site names no host; give the certificate to the listener's tls");
        }
    }
    pem::certificates(table)
}

fn hosts(table: &Table<'_>, taken: &mut Vec<(String, String)>) -> Hosts {
    let Some(item) = table.item("host") else { return Hosts { named: Vec::new(), default: true } };
    let mut hosts = Hosts { named: Vec::new(), default: false };
    for item in item.at_least_one() {
        if item.as_str() == Some("*") {
            hosts.default = true;
            continue;
        }
        let Some(host) = host_name(&item) else { continue };
        match taken.iter().find(|(other, _)| *other == host) {
            Some((_, owner)) => item.problem(format!("{host:?} belongs to {owner} already")),
            None => taken.push((host.clone(), table.label.clone())),
        }
        hosts.named.push(host);
    }
    hosts
}

/// A host as requests are compared with it: lower case, without a port.
fn host_name(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    let (wildcard, name) = text.strip_prefix("*.").map_or(("", text), |name| ("*.", name));
    if !text.is_ascii() {
        item.problem(format!("{text:?}: write names that are not ASCII in their xn-- form"));
        return None;
    }
    let Ok(authority) = host::parse(name.as_bytes()) else {
        item.wrong(r#"a host such as "shop.example", "*.shop.example" or "*""#);
        return None;
    };
    if authority.port().is_some() {
        let bare = format!("{wildcard}{}", host::key(authority.host()));
        item.problem(format!("{text:?}: a host has no port here (did you mean {bare:?}?)"));
        return None;
    }
    let key = host::key(authority.host());
    if is_address(&key) && !wildcard.is_empty() {
        item.problem(format!("{text:?}: an address has no names below it"));
    }
    Some(format!("{wildcard}{key}"))
}

fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok()
}
