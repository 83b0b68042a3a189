//! `outlier`: what is concluded from the exchanges themselves.

use std::time::Duration;

use crate::config::table::Table;
use crate::config::{Outlier, StatusSet, page};

pub(super) fn read(pool: &Table<'_>) -> Outlier {
    let mut outlier = defaults();
    let Some(table) = pool.item("outlier").and_then(|item| item.inner_table()) else { return outlier };
    outlier.consecutive = table.count("consecutive", outlier.consecutive, 0..=10_000);
    if let Some(item) = table.item("statuses") {
        outlier.statuses = page::statuses(&item);
    }
    outlier.interval = table.duration("interval", outlier.interval);
    outlier.success_rate_deviation = table.count("success-rate-deviation", 0, 0..=100_000);
    // A rate is compared with the others' mean, so there must be others.
    outlier.success_rate_members = table.count("success-rate-members", outlier.success_rate_members, 2..=10_000);
    outlier.success_rate_requests = table.count("success-rate-requests", outlier.success_rate_requests, 1..=1_000_000);
    outlier.base_ejection = table.duration("base-ejection", outlier.base_ejection);
    let longest = table.item("max-ejection");
    outlier.max_ejection = table.duration("max-ejection", outlier.max_ejection.max(outlier.base_ejection));
    if let Some(item) = longest.filter(|_| outlier.max_ejection < outlier.base_ejection) {
        item.problem("is shorter than base-ejection");
    }
    outlier.max_ejected = table.count("max-ejected", outlier.max_ejected, 0..=100);
    outlier.panic_threshold = table.count("panic-threshold", outlier.panic_threshold, 0..=100);
    table.finish();
    outlier
}

fn defaults() -> Outlier {
    Outlier {
        consecutive: 5,
        statuses: StatusSet { exact: vec![502, 503, 504], classes: Vec::new() },
        interval: Duration::from_secs(10),
        success_rate_deviation: 0,
        success_rate_members: 5,
        success_rate_requests: 100,
        base_ejection: Duration::from_secs(30),
        max_ejection: Duration::from_secs(300),
        max_ejected: 50,
        panic_threshold: 0,
    }
}
