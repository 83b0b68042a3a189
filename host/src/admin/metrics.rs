//! Counters in the text format of Prometheus, version 0.0.4, by its rules for names: base units, `_total` for what only grows.

use std::fmt::Write as _;

use super::Desk;
use super::reply::Reply;
use super::survey::{Seen, Shelf, survey};
use crate::generation::Outcome;

/// What is counted of one kind of thing.
struct Family<F> {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    number: F,
}

type ByResult = Family<fn(&Seen, Outcome) -> u64>;
type ByShelf = Family<fn(&Shelf) -> u64>;
type ByCache = Family<fn(&Seen) -> u64>;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

const BY_RESULT: [ByResult; 2] = [
    Family {
        name: "weir_cache_requests_total",
        kind: Kind::Counter,
        help: "Requests that were answered, each once, by what the cache did for them.",
        number: |seen, outcome| seen.counted.requests(outcome),
    },
    Family {
        name: "weir_cache_bytes_total",
        kind: Kind::Counter,
        help: "Bytes of content that left for their clients, by what the cache did for them.",
        number: |seen, outcome| seen.counted.bytes(outcome),
    },
];

const BY_SHELF: [ByShelf; 8] = [
    Family {
        name: "weir_cache_objects",
        kind: Kind::Gauge,
        help: "What is stored; in memory, variants of one thing count once.",
        number: |shelf| shelf.count.objects,
    },
    Family {
        name: "weir_cache_size_bytes",
        kind: Kind::Gauge,
        help: "Bytes that what is stored takes.",
        number: |shelf| shelf.count.bytes,
    },
    Family {
        name: "weir_cache_capacity_bytes",
        kind: Kind::Gauge,
        help: "Bytes that it may take.",
        number: |shelf| shelf.capacity,
    },
    Family {
        name: "weir_cache_stores_total",
        kind: Kind::Counter,
        help: "Objects that came, from the origin or from the disk into memory.",
        number: |shelf| shelf.count.stores,
    },
    Family {
        name: "weir_cache_evictions_total",
        kind: Kind::Counter,
        help: "Objects that left because others needed their room.",
        number: |shelf| shelf.count.evictions,
    },
    Family {
        name: "weir_cache_purged_total",
        kind: Kind::Counter,
        help: "Objects that were forgotten, or made stale, by an order or by a request that changed them.",
        number: |shelf| shelf.count.purged,
    },
    Family {
        name: "weir_cache_read_failures_total",
        kind: Kind::Counter,
        help: "Objects that could not be read, or were not what had been written.",
        number: |shelf| shelf.count.unread,
    },
    Family {
        name: "weir_cache_write_failures_total",
        kind: Kind::Counter,
        help: "Objects that could not be written.",
        number: |shelf| shelf.count.failures,
    },
];

const BY_CACHE: [ByCache; 3] = [
    Family {
        name: "weir_cache_complete",
        kind: Kind::Gauge,
        help: "1 when all that an earlier run left in the directory can be found, 0 while it is being read.",
        number: |seen| u64::from(seen.is_complete),
    },
    Family {
        name: "weir_cache_flights",
        kind: Kind::Gauge,
        help: "Answers that are being fetched for whoever wants them.",
        number: |seen| seen.flights,
    },
    Family {
        name: "weir_cache_refreshes_total",
        kind: Kind::Counter,
        help: "Questions to the origin, behind a client's back, whether something still holds.",
        number: |seen| seen.counted.refreshes,
    },
];

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
    Reply::text_of(TEXT_FORMAT, text.text)
}

fn caches(text: &mut Exposition, all: &[Seen]) {
    for Family { name, kind, help, number } in BY_RESULT {
        text.family(name, kind, help);
        for (seen, outcome) in all.iter().flat_map(|seen| Outcome::ALL.map(|outcome| (seen, outcome))) {
            text.sample(&[("cache", &seen.name), ("result", outcome.word())], number(seen, outcome));
        }
    }
    for Family { name, kind, help, number } in BY_SHELF {
        text.family(name, kind, help);
        for (seen, (place, shelf)) in all.iter().flat_map(|seen| seen.shelves().map(move |shelf| (seen, shelf))) {
            text.sample(&[("cache", &seen.name), ("shelf", place)], number(shelf));
        }
    }
    for Family { name, kind, help, number } in BY_CACHE {
        text.family(name, kind, help);
        all.iter().for_each(|seen| text.sample(&[("cache", &seen.name)], number(seen)));
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// A text in the making: families, each with its samples right behind it.
#[derive(Default)]
struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self.family = name;
    }

    /// Of the family that was begun last.
    fn sample(&mut self, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let _ = match labels.is_empty() {
            true => writeln!(self.text, "{} {value}", self.family),
            false => writeln!(self.text, "{}{{{}}} {value}", self.family, labels.join(",")),
        };
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Counted;
    use crate::shelf::Count;

    #[test]
    fn samples_stand_behind_their_family() {
        let memory = Shelf { count: Count { objects: 3, bytes: 40, evictions: 5, ..Count::default() }, capacity: 64 };
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
        let text = text.text;
        let family = "# HELP weir_cache_capacity_bytes Bytes that it may take.\n\
            # TYPE weir_cache_capacity_bytes gauge\n\
            weir_cache_capacity_bytes{cache=\"a\",shelf=\"memory\"} 64\n\
            weir_cache_capacity_bytes{cache=\"b\",shelf=\"memory\"} 64\n\
            weir_cache_capacity_bytes{cache=\"b\",shelf=\"disk\"} 1000\n";
        assert!(text.contains(family), "{text}");
        assert_eq!(text.matches("# TYPE ").count(), 13);
        let manual = include_str!("../../ADMIN.md");
        for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = family.split(' ').next().unwrap();
            assert!(manual.contains(&format!("`{name}`")), "{name} is not in the manual");
        }
        assert!(text.ends_with("weir_cache_refreshes_total{cache=\"b\"} 0\n"), "{text}");
        assert_eq!(text.matches("\nweir_cache_requests_total{").count(), 14);
    }

    #[test]
    fn no_value_breaks_out_of_its_label() {
        let mut text = Exposition::default();
        text.family("x", Kind::Gauge, "a\\b\nc");
        text.sample(&[("l", "a\"b\\c\nd")], 1);
        text.sample(&[], 2);
        assert_eq!(text.text, "# HELP x a\\\\b\\nc\n# TYPE x gauge\nx{l=\"a\\\"b\\\\c\\nd\"} 1\nx 2\n");
    }
}
