//! `[pool.NAME]`: what a pool is as a whole; its members and its tables have files of their own.

mod balance;
mod command;
mod failover;
mod health;
mod member;
mod outlier;
mod sticky;
mod transport;

use std::time::Duration;

pub(super) use self::balance::write as write_balance;
pub(super) use self::health::{Templates, templates};
pub(super) use self::member::{ROLES, STATES};
pub(super) use self::sticky::{SAME_SITE, is_token};
pub(super) use self::transport::{PROTOCOLS, PROXY};
use super::source::Source;
use super::table::Table;
use super::whole::Names;
use super::{Fallback, Pool, Protocol, Queue, StatusSet, page, respond};

/// What members get from their pool unless they say otherwise.
struct Defaults {
    ways: transport::Ways,
    max_connections: Option<usize>,
    max_requests: Option<usize>,
}

/// A pool, and the statuses that routes to it intercept when they do not say themselves.
pub(super) fn read(
    name: &str,
    table: &Table<'_>,
    names: &Names,
    templates: &Templates<'_>,
) -> Option<(Pool, StatusSet)> {
    let second = Duration::from_secs(1);
    let items = table.required("member", r#"["http://127.0.0.1:9001"]"#).map(|item| item.at_least_one());
    let balance = balance::read(table);
    let defaults = Defaults {
        ways: transport::read(table),
        max_connections: limit(table, "max-connections"),
        max_requests: limit(table, "max-requests"),
    };
    let members = member::read_all(&items.unwrap_or_default(), &defaults);
    let intercepts = table.item("intercept-errors").map(|item| page::statuses(&item)).unwrap_or_default();
    let pool = Pool {
        name: name.into(),
        balance,
        slow_start: table.duration_or_none("slow-start", Duration::ZERO),
        sticky: sticky::read(table, &members),
        members,
        retry: table.duration_or_none("retry", 60 * second),
        forced_recovery: table.boolean("forced-recovery", true),
        reprobe: table.duration_or_none("reprobe", 10 * second),
        fail_on_status: table.item("fail-on-status").map(|item| page::statuses(&item)).unwrap_or_default(),
        fail_on_timeout: table.boolean("fail-on-timeout", false),
        failover: failover::read(table),
        fallback: fallback(table, names),
        queue: queue(table),
        health: health::of_pool(table, templates),
        outlier: outlier::read(table),
        preserve_host: table.boolean("preserve-host", false),
        keepalive: table.boolean("keepalive", true),
        exclusive: table.boolean("exclusive", false),
        max_idle_connections: table.count("max-idle-connections", 16, 1..=65_535) as usize,
        connect_timeout: table.duration("connect-timeout", 5 * second),
        read_timeout: table.duration("read-timeout", 60 * second),
        write_timeout: table.duration("write-timeout", 60 * second),
        timeout: table.duration_or_none("timeout", Duration::ZERO),
        idle_timeout: table.duration("idle-timeout", 60 * second),
        tunnel_idle_timeout: table.duration_or_none("tunnel-idle-timeout", 3600 * second),
        address_ttl: table.duration("address-ttl", 60 * second),
        forwarded: table.boolean("forwarded", false),
        filters: names.chain(table),
        place: table.place.clone(),
    };
    member::check_all(table, &pool.members);
    check(table, &pool);
    table.finish();
    Some((pool, intercepts))
}

/// `fallback`: a pool's name, or an answer.
pub(super) fn fallback(table: &Table<'_>, names: &Names) -> Option<Fallback> {
    let item = table.item("fallback")?;
    match item.as_str() {
        Some(_) => names.pool(&item).map(Fallback::Pool),
        None if item.is_table() => respond::read(&item).map(Fallback::Respond),
        None => {
            item.wrong(r#"a pool's name, or an answer such as { status = 503, body = "closed" }"#);
            None
        }
    }
}

/// Reports every circle of fallbacks: a request would never come to its end in it.
pub(super) fn check_fallbacks(source: &Source<'_>, pools: &[Pool]) {
    for (start, pool) in pools.iter().enumerate() {
        let mut way = vec![start];
        let mut next = target(pool);
        while let Some(index) = next.filter(|index| !way.contains(index)) {
            way.push(index);
            next = pools.get(index).and_then(target);
        }
        if next == Some(start) {
            let names: Vec<_> =
                way.iter().chain([&start]).filter_map(|index| Some(&*pools.get(*index)?.name)).collect();
            let text = format!("pool {:?}: the fallbacks go round in a circle: {}", pool.name, names.join(" -> "));
            source.report(&pool.place, text);
        }
    }
}

const fn target(pool: &Pool) -> Option<usize> {
    match &pool.fallback {
        Some(Fallback::Pool(index)) => Some(*index),
        Some(Fallback::Respond(_)) | None => None,
    }
}

fn limit(table: &Table<'_>, key: &'static str) -> Option<usize> {
    table.item(key)?.count(1..=1_000_000).map(|most| most as usize)
}

fn queue(table: &Table<'_>) -> Queue {
    let (length, timeout) = (0, Duration::from_secs(5));
    let Some(table) = table.item("queue").and_then(|item| item.inner_table()) else { return Queue { length, timeout } };
    let queue =
        Queue { length: table.count("length", 0, 0..=1_000_000) as usize, timeout: table.duration("timeout", timeout) };
    table.finish();
    queue
}

/// What contradicts itself.
fn check(table: &Table<'_>, pool: &Pool) {
    let is_h2 = |protocol| matches!(protocol, Protocol::Http2);
    let speaks_h2 = pool.members.iter().any(|member| is_h2(member.transport.protocol));
    if pool.exclusive && speaks_h2 {
        table
            .problem("exclusive and protocol = \"h2\" exclude each other: many exchanges share a connection of HTTP/2");
    }
    if pool.exclusive && !pool.keepalive {
        table.problem("exclusive needs keepalive: there is no connection to keep for a client without it");
    }
    let is_full = pool.members.iter().any(|member| member.max_connections.is_some() || member.max_requests.is_some());
    if pool.queue.length > 0 && !is_full {
        table.problem("queue does nothing without max-requests or max-connections: no member is ever full");
    }
}
