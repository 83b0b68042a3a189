//! `failover`, `queue` and `fallback`: what happens when a member, or every one, could not serve.

use std::time::Duration;

use crate::config::table::{Item, Table};
use crate::config::whole::Names;
use crate::config::{Failover, FailoverOn, Fallback, Queue, page, respond};

const ON: &str = r#""connect", "tls", "reset", "timeout", "bad-response", a status from 400 to 599, "4xx" or "5xx""#;

/// Attempts beyond the first. By default only what certainly reached nobody, or was cut before an answer began.
pub(super) fn read(pool: &Table<'_>) -> Failover {
    let on = FailoverOn { connect: true, tls: true, reset: true, ..FailoverOn::default() };
    let mut failover = Failover {
        attempts: 3,
        on,
        try_timeout: Duration::ZERO,
        budget: 20,
        budget_floor: 10,
        replay_body: 64 << 10,
        non_idempotent: false,
    };
    let Some(table) = pool.item("failover").and_then(|item| item.inner_table()) else { return failover };
    // With more attempts than that, a request is better off with an error page.
    failover.attempts = table.count("attempts", failover.attempts, 1..=20);
    if let Some(item) = table.item("on") {
        failover.on = on_of(&item);
    }
    failover.try_timeout = table.duration_or_none("try-timeout", failover.try_timeout);
    failover.budget = table.count("budget", failover.budget, 0..=1000);
    failover.budget_floor = table.count("budget-floor", failover.budget_floor, 0..=100_000);
    let size = table.item("replay-body").and_then(|item| item.size(&(0..=64 << 20)));
    failover.replay_body = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(failover.replay_body);
    failover.non_idempotent = table.boolean("non-idempotent", failover.non_idempotent);
    table.finish();
    failover
}

/// What is tried again, as it is written.
pub(in crate::config) fn write_on(on: &FailoverOn) -> Vec<String> {
    let words = [
        (on.connect, "connect"),
        (on.tls, "tls"),
        (on.reset, "reset"),
        (on.timeout, "timeout"),
        (on.bad_response, "bad-response"),
    ];
    let words = words.iter().filter(|(is, _)| *is).map(|(_, word)| (*word).to_owned());
    words.chain(page::names(&on.statuses).iter().map(ToString::to_string)).collect()
}

/// Exchanges that wait when every usable member is full.
pub(super) fn queue(pool: &Table<'_>) -> Queue {
    let mut queue = Queue { length: 0, timeout: Duration::from_secs(5) };
    if let Some(table) = pool.item("queue").and_then(|item| item.inner_table()) {
        queue.length = usize::try_from(table.count("length", 0, 0..=1_000_000)).unwrap_or(0);
        queue.timeout = table.duration("timeout", queue.timeout);
        table.finish();
    }
    queue
}

/// A pool by its name, or an answer; of a pool or of a route.
pub(in crate::config) fn fallback(item: &Item<'_>, names: &Names) -> Option<Fallback> {
    if item.is_table() {
        return respond::read(item).map(Fallback::Respond);
    }
    if item.as_str().is_none() {
        item.wrong("the name of a pool, or a table as for respond");
        return None;
    }
    names.pool(item).map(Fallback::Pool)
}

fn on_of(item: &Item<'_>) -> FailoverOn {
    let mut on = FailoverOn::default();
    for item in item.list().unwrap_or_default() {
        let word = match item.as_str() {
            Some("connect") => &mut on.connect,
            Some("tls") => &mut on.tls,
            Some("reset") => &mut on.reset,
            Some("timeout") => &mut on.timeout,
            Some("bad-response") => &mut on.bad_response,
            _ => {
                page::add_status(&item, &mut on.statuses, 400, ON);
                continue;
            }
        };
        if std::mem::replace(word, true) {
            item.problem(format!("{:?} is in the list already", item.as_str().unwrap_or_default()));
        }
    }
    on
}
