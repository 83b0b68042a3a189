//! Counters in the text format of Prometheus, version 0.0.4, by its rules for names: base units, `_total` for what only grows.

use std::fmt::Write as _;

use super::Desk;
use super::reply::Reply;
use super::survey::{Seen, survey};
use crate::generation::Outcome;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`
pub(super) async fn page(desk: &Desk) -> Reply {
    let mut text = Exposition::default();
    text.family("weir_build_info", Kind::Gauge, "Always 1; the label says which version runs.");
    text.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family(
        "weir_generation",
        Kind::Gauge,
        "How many configs this process has run with, the current one included.",
    );
    text.sample(&[], desk.current.number());
    caches(&mut text, &survey(&desk.current).await);
    Reply::text_of(TEXT_FORMAT, text.0)
}

fn caches(text: &mut Exposition, seen: &[Seen]) {
    type Number = fn(&Seen, Outcome) -> u64;
    let by_result: [(&str, &str, Number); 2] = [
        (
            "weir_cache_requests_total",
            "Requests that were answered, each once, by what the cache did for them.",
            |seen, outcome| seen.counted.requests(outcome),
        ),
        (
            "weir_cache_bytes_total",
            "Bytes of content that left for their clients, by what the cache did for them.",
            |seen, outcome| seen.counted.bytes(outcome),
        ),
    ];
    for (name, help, number) in by_result {
        text.family(name, Kind::Counter, help);
        for (seen, outcome) in seen.iter().flat_map(|seen| Outcome::ALL.map(|outcome| (seen, outcome))) {
            text.sample(&[("cache", &seen.name), ("result", outcome.word())], number(seen, outcome));
        }
    }
    let of_shelves: [(&str, Kind, &str, fn(&super::survey::Shelf) -> u64); 5] = [
        ("weir_cache_objects", Kind::Gauge, "What is stored; in memory, variants of one thing count once.", |shelf| {
            shelf.count.objects
        }),
        ("weir_cache_size_bytes", Kind::Gauge, "Bytes that what is stored takes.", |shelf| shelf.count.bytes),
        ("weir_cache_capacity_bytes", Kind::Gauge, "Bytes that it may take.", |shelf| shelf.capacity),
        ("weir_cache_evictions_total", Kind::Counter, "Objects that left because others needed their room.", |shelf| {
            shelf.count.evictions
        }),
        ("weir_cache_write_failures_total", Kind::Counter, "Objects that could not be written.", |shelf| {
            shelf.count.failures
        }),
    ];
    for (name, kind, help, number) in of_shelves {
        text.family(name, kind, help);
        for (seen, (place, shelf)) in seen.iter().flat_map(|seen| seen.shelves().map(move |shelf| (seen, shelf))) {
            text.sample(&[("cache", &seen.name), ("shelf", place)], number(shelf));
        }
    }
    let of_all: [(&str, Kind, &str, fn(&Seen) -> u64); 2] = [
        ("weir_cache_flights", Kind::Gauge, "Answers that are being fetched for whoever wants them.", |seen| {
            seen.flights
        }),
        (
            "weir_cache_refreshes_total",
            Kind::Counter,
            "Questions to the origin, behind a client's back, whether something still holds.",
            |seen| seen.counted.refreshes,
        ),
    ];
    for (name, kind, help, number) in of_all {
        text.family(name, kind, help);
        seen.iter().for_each(|seen| text.sample(&[("cache", &seen.name)], number(seen)));
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// A text in the making: families, each with its samples right behind it.
#[derive(Default)]
struct Exposition(String, &'static str);

impl Exposition {
    fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self.1 = name;
    }

    /// Of the family that was begun last.
    fn sample(&mut self, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let _ = match labels.is_empty() {
            true => writeln!(self.0, "{} {value}", self.1),
            false => writeln!(self.0, "{}{{{}}} {value}", self.1, labels.join(",")),
        };
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::survey::Shelf;
    use crate::generation::Counted;
    use crate::shelf::Count;

    #[test]
    fn samples_stand_behind_their_family() {
        let memory = Shelf { count: Count { objects: 3, bytes: 40, evictions: 5, failures: 0 }, capacity: 64 };
        let seen = |name: &str, disk| Seen {
            name: name.into(),
            memory: Some(memory),
            disk,
            is_complete: true,
            flights: 2,
            counted: Counted::default(),
        };
        let mut text = Exposition::default();
        caches(&mut text, &[seen("a", None), seen("b", Some(Shelf { capacity: 1000, ..memory }))]);
        let text = text.0;
        let family = "# HELP weir_cache_capacity_bytes Bytes that it may take.\n\
            # TYPE weir_cache_capacity_bytes gauge\n\
            weir_cache_capacity_bytes{cache=\"a\",shelf=\"memory\"} 64\n\
            weir_cache_capacity_bytes{cache=\"b\",shelf=\"memory\"} 64\n\
            weir_cache_capacity_bytes{cache=\"b\",shelf=\"disk\"} 1000\n";
        assert!(text.contains(family), "{text}");
        assert_eq!(text.matches("# TYPE ").count(), 9);
        assert!(text.ends_with("weir_cache_refreshes_total{cache=\"b\"} 0\n"), "{text}");
        assert_eq!(text.matches("\nweir_cache_requests_total{").count(), 14);
    }

    #[test]
    fn no_value_breaks_out_of_its_label() {
        let mut text = Exposition::default();
        text.family("x", Kind::Gauge, "a\\b\nc");
        text.sample(&[("l", "a\"b\\c\nd")], 1);
        text.sample(&[], 2);
        assert_eq!(text.0, "# HELP x a\\\\b\\nc\n# TYPE x gauge\nx{l=\"a\\\"b\\\\c\\nd\"} 1\nx 2\n");
    }
}
