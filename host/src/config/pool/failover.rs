//! `failover`: what is tried again, and how often.

use std::time::Duration;

use crate::config::table::{Item, Table};
use crate::config::{Failover, FailoverOn, page};

/// The kinds of failure that may be listed, in the order they are written in.
pub(in crate::config) const KINDS: [&str; 5] = ["connect", "tls", "reset", "timeout", "bad-response"];

const EXPECTED: &str =
    r#""connect", "tls", "reset", "timeout", "bad-response", a status from 400 to 599, or "4xx" or "5xx""#;

pub(super) fn read(pool: &Table<'_>) -> Failover {
    let table = pool.item("failover").and_then(|item| item.inner_table());
    let on = FailoverOn { connect: true, tls: true, reset: true, ..FailoverOn::default() };
    let default = Failover {
        attempts: 3,
        on,
        try_timeout: Duration::ZERO,
        budget: 20,
        budget_floor: 10,
        replay_body: 64 << 10,
        non_idempotent: false,
    };
    let Some(table) = table else { return default };
    let replay = table.item("replay-body").and_then(|item| item.size(&(0..=(1 << 30))));
    let failover = Failover {
        attempts: table.count("attempts", default.attempts, 1..=100),
        on: table.item("on").map_or(default.on, |item| kinds(&item)),
        try_timeout: table.duration_or_none("try-timeout", Duration::ZERO),
        budget: table.count("budget", default.budget, 0..=1000),
        budget_floor: table.count("budget-floor", default.budget_floor, 0..=1_000_000),
        replay_body: replay.and_then(|size| usize::try_from(size).ok()).unwrap_or(default.replay_body),
        non_idempotent: table.boolean("non-idempotent", false),
    };
    table.finish();
    failover
}

fn kinds(item: &Item<'_>) -> FailoverOn {
    let mut on = FailoverOn::default();
    for item in item.list().unwrap_or_default() {
        match item.as_str() {
            Some("connect") => on.connect = true,
            Some("tls") => on.tls = true,
            Some("reset") => on.reset = true,
            Some("timeout") => on.timeout = true,
            Some("bad-response") => on.bad_response = true,
            _ => page::add_error(&item, &mut on.statuses, EXPECTED),
        }
    }
    on
}

/// What is listed, as it is written.
pub(in crate::config) fn write(on: &FailoverOn) -> Vec<String> {
    let flags = [on.connect, on.tls, on.reset, on.timeout, on.bad_response];
    let kinds = KINDS.iter().zip(flags).filter(|(_, is_on)| *is_on).map(|(kind, _)| (*kind).to_owned());
    kinds.chain(page::names(&on.statuses).iter().map(ToString::to_string)).collect()
}
