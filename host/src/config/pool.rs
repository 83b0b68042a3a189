//! `[pool.NAME]`: the pool as a whole, put together from what the files beside this one read.

use std::time::Duration;

use super::table::{Item, Table};
use super::whole::Names;
use super::{Fallback, Pool, StatusSet, accel, page};

pub(super) mod address;
pub(super) mod balance;
pub(super) mod base64;
pub(super) mod command;
pub(super) mod failover;
pub(super) mod health;
pub(super) mod member;
mod outlier;
pub(super) mod sticky;
pub(super) mod transport;

use self::health::Templates;
use self::transport::Defaults;

/// A pool, and what of it others ask about.
pub(super) struct Found<'d> {
    pub(super) pool: Pool,
    /// Statuses that routes to it intercept when they do not say themselves.
    pub(super) intercepts: StatusSet,
    /// Where its fallback was written.
    fallback: Option<Item<'d>>,
}

pub(super) fn read<'d>(name: &str, table: &Table<'d>, names: &Names, templates: &Templates<'_>) -> Found<'d> {
    let second = Duration::from_secs(1);
    let items = table.required("member", r#"["http://127.0.0.1:9001"]"#).map(|item| item.at_least_one());
    let intercepts = table.item("intercept-errors").map(|item| page::statuses(&item)).unwrap_or_default();
    let exclusive = table.boolean("exclusive", false);
    let defaults = Defaults::read(table, exclusive);
    let members = member::read_all(&items.unwrap_or_default(), &defaults);
    let sticky = sticky::read(table);
    member::check(table, &members, &defaults, sticky.as_ref());
    let fallback = table.item("fallback");
    let pool = Pool {
        name: name.into(),
        balance: balance::read(table),
        slow_start: table.duration_or_none("slow-start", Duration::ZERO),
        members: members.into_iter().map(|(_, member)| member).collect(),
        sticky,
        retry: table.duration_or_none("retry", 60 * second),
        forced_recovery: table.boolean("forced-recovery", true),
        reprobe: table.duration_or_none("reprobe", 10 * second),
        fail_on_status: table.item("fail-on-status").map(|item| page::statuses(&item)).unwrap_or_default(),
        fail_on_timeout: table.boolean("fail-on-timeout", false),
        failover: failover::read(table),
        fallback: fallback.as_ref().and_then(|item| failover::fallback(item, names)),
        queue: failover::queue(table),
        health: health::read(table, templates, &defaults.tls),
        outlier: outlier::read(table),
        preserve_host: table.boolean("preserve-host", false),
        keepalive: table.boolean("keepalive", true),
        exclusive,
        max_idle_connections: table.count("max-idle-connections", 128, 1..=65_535) as usize,
        connect_timeout: table.duration("connect-timeout", 5 * second),
        read_timeout: table.duration("read-timeout", 60 * second),
        write_timeout: table.duration("write-timeout", 60 * second),
        timeout: table.duration_or_none("timeout", Duration::ZERO),
        idle_timeout: table.duration("idle-timeout", 60 * second),
        tunnel_idle_timeout: table.duration_or_none("tunnel-idle-timeout", 60 * 60 * second),
        address_ttl: table.duration("address-ttl", 60 * second),
        forwarded: table.boolean("forwarded", false),
        accel: table.item("accel").and_then(|item| accel::read(&item, &names.roots)).unwrap_or_default(),
        filters: names.chain(table),
        place: table.place.clone(),
    };
    check(table, &pool);
    table.finish();
    Found { pool, intercepts, fallback }
}

/// Keys that contradict one another.
fn check(table: &Table<'_>, pool: &Pool) {
    if pool.exclusive && !pool.keepalive {
        table.problem("exclusive keeps a connection for its client, keepalive = false keeps none; choose one");
    }
    let limited = |member: &super::Member| member.max_requests.is_some() || member.max_connections.is_some();
    if let Some(item) = table.item("queue").filter(|_| pool.queue.length > 0 && !pool.members.iter().any(limited)) {
        item.problem("does nothing: no member has max-requests or max-connections, so none is ever full");
    }
}

/// Reports pools whose fallbacks lead back to them, each circle once.
pub(super) fn check_fallbacks(found: &[Found<'_>]) {
    let next = |index: usize| match found.get(index)?.pool.fallback {
        Some(Fallback::Pool(next)) => Some(next),
        Some(Fallback::Respond(_)) | None => None,
    };
    for start in 0..found.len() {
        let mut path = vec![start];
        // A path of more steps than there are pools goes in a circle that `start` is not part of.
        while let Some(index) = path.last().and_then(|last| next(*last)).filter(|_| path.len() <= found.len()) {
            path.push(index);
            if index == start {
                break;
            }
        }
        let is_circle = path.len() > 1 && path.last() == Some(&start);
        if is_circle && path.iter().all(|index| *index >= start) {
            let names: Vec<_> = path.iter().filter_map(|index| found.get(*index)).map(|it| &*it.pool.name).collect();
            if let Some(item) = found.get(start).and_then(|it| it.fallback.as_ref()) {
                item.problem(format!("leads back to the pool itself: {}", names.join(" -> ")));
            }
        }
    }
}

/// A token (RFC 9110, section 5.6.2), which names of cookies are as well.
pub(super) fn is_token(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}
