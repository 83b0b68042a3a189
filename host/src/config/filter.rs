//! `[filter.NAME]`: where its code is and what it may use. Its settings are its own business; we only hand them over.

use std::time::Duration;

use super::files::Roots;
use super::table::Table;
use super::{Filter, Instances, Module, OnFailure};

pub(super) const ON_FAILURE: [(&str, OnFailure); 2] = [("closed", OnFailure::Closed), ("open", OnFailure::Open)];
pub(super) const INSTANCES: [(&str, Instances); 2] =
    [("reuse", Instances::Reuse), ("per-request", Instances::PerRequest)];

const MODULE: &str = r#""std:url-rewrite""#;
const DEFAULT_MEMORY: usize = 32 << 20;
/// One page of WebAssembly memory to all that 32 bits can address.
const MEMORY: std::ops::RangeInclusive<u64> = (64 << 10)..=(4 << 30);
/// The gateway's clock for filters ticks in milliseconds; a minute of thread time stops everybody on that thread.
const CPU: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);

pub(super) fn read(name: &str, table: &Table<'_>, roots: &Roots) -> Option<Filter> {
    let module = table.required("module", MODULE).and_then(|item| match item.string()? {
        "" => {
            item.wrong(r#"a path or a filter that comes with the gateway, such as "std:url-rewrite""#);
            None
        }
        text => Some(match text.strip_prefix("std:") {
            Some(standard) => Module::Standard(standard.to_owned()),
            None => Module::File(item.source.resolve(text)),
        }),
    });
    let settings = table.item("settings");
    let (cpu, memory) = limits(table);
    let roots = table.item("roots").map(|item| roots.list(&item)).unwrap_or_default();
    let on_failure = table.choice("on-failure", OnFailure::Closed, &ON_FAILURE);
    let instances = table.choice("instances", Instances::Reuse, &INSTANCES);
    table.finish();
    Some(Filter {
        name: name.into(),
        module: module?,
        settings_place: settings.as_ref().map_or(&table.place, |item| &item.place).clone(),
        settings: match settings {
            None => "{}".to_owned(),
            Some(item) if !item.is_table() => {
                item.wrong("a table");
                return None;
            }
            Some(item) => item.json()?.to_string(),
        },
        cpu,
        memory,
        roots,
        on_failure,
        instances,
        place: table.place.clone(),
    })
}

fn limits(table: &Table<'_>) -> (Duration, usize) {
    let (mut cpu, mut memory) = (Duration::from_millis(10), DEFAULT_MEMORY);
    if let Some(limits) = table.item("limits").and_then(|item| item.inner_table()) {
        cpu = limits.item("cpu").and_then(|item| item.duration(&CPU)).unwrap_or(cpu);
        let size = limits.item("memory").and_then(|item| item.size(&MEMORY));
        memory = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(memory);
        limits.finish();
    }
    (cpu, memory)
}
