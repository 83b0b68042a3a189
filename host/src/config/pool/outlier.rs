//! `outlier`: what is concluded from the exchanges themselves.

use std::time::Duration;

use crate::config::table::Table;
use crate::config::{Outlier, StatusSet, page};

pub(super) fn read(pool: &Table<'_>) -> Outlier {
    let (second, percent) = (Duration::from_secs(1), 0..=100);
    let statuses = StatusSet { exact: vec![502, 503, 504], classes: Vec::new() };
    let default = Outlier {
        consecutive: 5,
        statuses,
        interval: 10 * second,
        success_rate_deviation: 0,
        success_rate_members: 5,
        success_rate_requests: 100,
        base_ejection: 30 * second,
        max_ejection: 300 * second,
        max_ejected: 50,
        panic_threshold: 0,
    };
    let Some(item) = pool.item("outlier") else { return default };
    let Some(table) = item.inner_table() else { return default };
    let outlier = Outlier {
        consecutive: table.count("consecutive", default.consecutive, 0..=1_000_000),
        statuses: table.item("statuses").map_or(default.statuses, |item| page::statuses(&item)),
        interval: table.duration("interval", default.interval),
        success_rate_deviation: table.count("success-rate-deviation", 0, 0..=100_000),
        success_rate_members: table.count("success-rate-members", default.success_rate_members, 2..=100_000),
        success_rate_requests: table.count("success-rate-requests", default.success_rate_requests, 1..=100_000_000),
        base_ejection: table.duration("base-ejection", default.base_ejection),
        max_ejection: table.duration("max-ejection", default.max_ejection),
        max_ejected: table.count("max-ejected", default.max_ejected, percent.clone()),
        panic_threshold: table.count("panic-threshold", 0, percent),
    };
    if outlier.max_ejection < outlier.base_ejection {
        table.problem("max-ejection is shorter than base-ejection");
    }
    table.finish();
    outlier
}
