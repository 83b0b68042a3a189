//! Pools written out, every default filled in: what the pool's members share is written with each of them.

use std::collections::BTreeSet;

use super::keys::Keys;
use super::{Writer, condition, files, key, list, path_text, respond_table, text, value_text};
use crate::config::pool::{address, balance, base64, failover, health, member, sticky, transport};
use crate::config::value::{write_duration, write_size};
use crate::config::{
    Balance, Check, Command, Failover, Fallback, Health, HttpCheck, Member, Outlier, Plan, Pool, StatusSet, Sticky,
    StickyBy, StickyInsert, StickyLearn, StickyRoute, UpstreamTls, page, whole,
};
use crate::message::{Method, Name, Value};

pub(super) fn write(out: &mut Writer, plan: &Plan, pool: &Pool) {
    out.section(&format!("[pool.{}]", key(&pool.name)));
    out.key("balance", balance_value(&pool.balance));
    out.duration("slow-start", pool.slow_start);
    out.key(
        "member",
        format!("[\n{}]", pool.members.iter().map(|it| format!("  {},\n", member_value(it))).collect::<String>()),
    );
    if let Some(first) = pool.members.first() {
        if let Some(source) = first.transport.source {
            out.text("source-address", &source.to_string());
        }
        if let Some(version) = first.transport.proxy_protocol {
            out.word("proxy-protocol", &transport::PROXY_VERSIONS, version);
        }
        let mut h2 = Keys::default();
        h2.key("max-streams", first.transport.h2.max_streams);
        h2.text("stream-window", &write_size(u64::from(first.transport.h2.stream_window)));
        out.key("h2", h2.table());
    }
    out.key("exclusive", pool.exclusive);
    let mut queue = Keys::default();
    queue.key("length", pool.queue.length);
    queue.text("timeout", &write_duration(pool.queue.timeout));
    out.key("queue", queue.table());
    write_errors(out, pool);
    if let Some(fallback) = &pool.fallback {
        out.key("fallback", fallback_value(plan, fallback));
    }
    if let Some(sticky) = &pool.sticky {
        out.key("sticky", sticky_value(sticky));
    }
    if let Some(health) = &pool.health {
        out.key("health", health_value(health));
    }
    out.key("outlier", outlier_value(&pool.outlier));
    out.key("preserve-host", pool.preserve_host);
    out.key("keepalive", pool.keepalive);
    out.key("max-idle-connections", pool.max_idle_connections);
    out.duration("connect-timeout", pool.connect_timeout);
    out.duration("read-timeout", pool.read_timeout);
    out.duration("write-timeout", pool.write_timeout);
    out.duration("timeout", pool.timeout);
    out.duration("idle-timeout", pool.idle_timeout);
    out.duration("tunnel-idle-timeout", pool.tunnel_idle_timeout);
    out.duration("address-ttl", pool.address_ttl);
    out.key("forwarded", pool.forwarded);
    out.key("accel", files::accel_value(plan, &pool.accel));
    out.key("filters", plan.chain(&pool.filters));
}

/// A pool's name or an answer.
pub(super) fn fallback_value(plan: &Plan, fallback: &Fallback) -> String {
    match fallback {
        Fallback::Pool(index) => text(plan.pools.get(*index).map_or("", |pool| &pool.name)),
        Fallback::Respond(respond) => respond_table(respond),
    }
}

fn write_errors(out: &mut Writer, pool: &Pool) {
    out.duration("retry", pool.retry);
    out.key("forced-recovery", pool.forced_recovery);
    out.duration("reprobe", pool.reprobe);
    out.key("fail-on-status", statuses(&pool.fail_on_status));
    out.key("fail-on-timeout", pool.fail_on_timeout);
    out.key("failover", failover_value(&pool.failover));
}

fn balance_value(balance: &Balance) -> String {
    let mut keys = Keys::default();
    keys.word("method", &balance::WORDS, &balance::method(balance));
    if let Balance::Hash(hash) = balance {
        keys.text("key", &balance::write_key(&hash.key));
        keys.word("table", &balance::TABLES, &hash.table);
        keys.some("load-factor", hash.load_factor);
    }
    keys.table()
}

fn member_value(member: &Member) -> String {
    let mut keys = Keys::default();
    keys.text("url", &address::write(&member.address, &member.host, member.transport.tls.is_some()));
    keys.text("name", &member.name);
    keys.key("weight", member.weight);
    keys.key("set", member.set);
    keys.word("role", &member::ROLES, &member.role);
    keys.word("state", &member::STATES, &member.state);
    keys.some("route", member.route.as_deref().map(text));
    keys.some("redirect", member.redirect.as_deref().map(text));
    keys.some("max-connections", member.max_connections);
    keys.some("max-requests", member.max_requests);
    keys.key("each-address", member.each_address);
    keys.word("protocol", &transport::PROTOCOLS, &member.transport.protocol);
    keys.some("tls", member.transport.tls.as_ref().map(tls_value));
    keys.some("command", member.command.as_deref().map(command_value));
    keys.table()
}

fn tls_value(tls: &UpstreamTls) -> String {
    let mut keys = Keys::default();
    keys.some("server-name", tls.server_name.as_deref().map(text));
    keys.key("verify", tls.verify);
    keys.some("ca", tls.ca.as_ref().map(|pem| path_text(&pem.path)));
    if let Some((certificate, key)) = &tls.certificate {
        keys.key("certificate", path_text(&certificate.path));
        keys.key("key", path_text(&key.path));
    }
    keys.key("pins", list(tls.pins.iter().map(|pin| text(&format!("{}{}", transport::PIN, base64::encode(pin))))));
    keys.table()
}

fn command_value(command: &Command) -> String {
    let mut keys = Keys::default();
    let mut environment = Keys::default();
    command.environment.iter().for_each(|(name, value)| environment.text(&text(name), value));
    keys.key("argv", list(command.argv.iter().map(|word| text(word))));
    keys.key("environment", environment.table());
    keys.key("inherit-environment", command.inherit_environment);
    keys.some("user", command.user);
    keys.some("group", command.group);
    keys.some("directory", command.directory.as_deref().map(path_text));
    keys.text("start-timeout", &write_duration(command.start_timeout));
    keys.text("stop-timeout", &write_duration(command.stop_timeout));
    keys.table()
}

fn failover_value(failover: &Failover) -> String {
    let mut keys = Keys::default();
    keys.key("attempts", failover.attempts);
    keys.key("on", list(failover::write_on(&failover.on).iter().map(|word| text(word))));
    keys.text("try-timeout", &write_duration(failover.try_timeout));
    keys.key("budget", failover.budget);
    keys.key("budget-floor", failover.budget_floor);
    keys.text("replay-body", &write_size(failover.replay_body as u64));
    keys.key("non-idempotent", failover.non_idempotent);
    keys.table()
}

fn sticky_value(sticky: &Sticky) -> String {
    let mut keys = Keys::default();
    match &sticky.by {
        StickyBy::Route(route) => route_keys(&mut keys, route),
        StickyBy::Insert(insert) => keys.key("insert", insert_value(insert)),
        StickyBy::Learn(learn) => keys.key("learn", learn_value(learn)),
    }
    keys.word("fallback", &sticky::FALLBACKS, &sticky.fallback);
    keys.table()
}

fn route_keys(keys: &mut Keys, route: &StickyRoute) {
    let mark = |mark: Option<char>| mark.map_or_else(|| text(whole::OFF), |mark| text(&mark.to_string()));
    if !route.cookies.is_empty() {
        keys.key("cookie", list(route.cookies.iter().map(|cookie| text(cookie))));
    }
    keys.some("parameter", route.parameter.as_deref().map(text));
    keys.key("separator", mark(route.separator));
    keys.key("ranked", mark(route.ranked));
}

fn insert_value(insert: &StickyInsert) -> String {
    let mut keys = Keys::default();
    keys.text("name", &insert.name);
    keys.text("path", &insert.path);
    keys.some("domain", insert.domain.as_deref().map(text));
    keys.some("max-age", insert.max_age.map(|age| text(&write_duration(age))));
    keys.key("secure", insert.secure);
    keys.key("http-only", insert.http_only);
    keys.word("same-site", &sticky::SAME_SITES, &insert.same_site);
    keys.some("secret", insert.secret.as_deref().map(text));
    keys.table()
}

fn learn_value(learn: &StickyLearn) -> String {
    let mut keys = Keys::default();
    keys.text("cookie", &learn.cookie);
    keys.some("parameter", learn.parameter.as_deref().map(text));
    keys.text("timeout", &write_duration(learn.timeout));
    keys.key("capacity", learn.capacity);
    keys.table()
}

fn health_value(health: &Health) -> String {
    let mut keys = Keys::default();
    match &health.check {
        Check::Tcp => keys.text("check", "tcp"),
        Check::Http(check) => http_keys(&mut keys, check),
        Check::Grpc(service) => {
            keys.text("check", "grpc");
            keys.text("service", service);
        }
    }
    keys.text("interval", &write_duration(health.interval));
    keys.text("timeout", &write_duration(health.timeout));
    keys.key("passes", health.passes);
    keys.key("fails", health.fails);
    keys.some("port", health.port);
    keys.some("tls", health.tls.as_ref().map(|tls| tls.as_ref().map_or_else(|| "false".to_owned(), tls_value)));
    keys.key("gate", health.gate);
    keys.table()
}

fn http_keys(keys: &mut Keys, check: &HttpCheck) {
    keys.text("check", "http");
    keys.text("method", Method::as_str(&check.method));
    keys.text("path", &check.path);
    keys.some("host", check.host.as_ref().map(value_text));
    keys.key("fields", fields_value(&check.fields));
    if let Some(protocol) = &check.protocol {
        keys.word("protocol", &health::PROTOCOLS, protocol);
    }
    keys.key("expect-status", statuses(&check.expect));
    let expected = check.expect_fields.iter().map(|field| condition(field.name.as_str(), &field.test));
    keys.key("expect-fields", list(expected));
    keys.some("expect-body", check.expect_body.as_ref().map(|regex| text(regex.as_str())));
    keys.some("reject-body", check.reject_body.as_ref().map(|regex| text(regex.as_str())));
}

/// Fields by name, in the order of their first lines.
pub(super) fn fields_value(fields: &[(Name, Value)]) -> String {
    let mut keys = Keys::default();
    let mut seen = BTreeSet::new();
    for (name, _) in fields.iter().filter(|(name, _)| seen.insert(name.as_str())) {
        let values = fields.iter().filter(|(other, _)| other == name).map(|(_, value)| value_text(value));
        keys.key(&text(name.as_str()), list(values));
    }
    keys.table()
}

fn outlier_value(outlier: &Outlier) -> String {
    let mut keys = Keys::default();
    keys.key("consecutive", outlier.consecutive);
    keys.key("statuses", statuses(&outlier.statuses));
    keys.text("interval", &write_duration(outlier.interval));
    keys.key("success-rate-deviation", outlier.success_rate_deviation);
    keys.key("success-rate-members", outlier.success_rate_members);
    keys.key("success-rate-requests", outlier.success_rate_requests);
    keys.text("base-ejection", &write_duration(outlier.base_ejection));
    keys.text("max-ejection", &write_duration(outlier.max_ejection));
    keys.key("max-ejected", outlier.max_ejected);
    keys.key("panic-threshold", outlier.panic_threshold);
    keys.table()
}

fn statuses(set: &StatusSet) -> String {
    list(page::names(set).iter().map(|status| text(status)))
}
