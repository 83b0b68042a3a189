//! Pages about caches.

use serde_json::{Map, Value, json};

use super::Desk;
use super::question::{Question, Word};
use super::reply::Reply;
use super::survey::{Seen, Shelf, survey};
use crate::cache::order::{BadOrder, Order, Url};
use crate::generation::{Generation, Outcome};

/// `GET /caches`
pub(super) async fn all(desk: &Desk) -> Reply {
    let seen = survey(&desk.current).await;
    Reply::json(&json!({ "caches": seen.iter().map(told).collect::<Vec<_>>() }))
}

/// `GET /caches/{cache}`
pub(super) async fn one(desk: &Desk, name: &str) -> Reply {
    match survey(&desk.current).await.iter().find(|seen| *seen.name == *name) {
        Some(seen) => Reply::json(&told(seen)),
        None => unknown(&desk.current.load(), name),
    }
}

/// `POST /caches/{cache}/purge`, and without a name in all of them.
pub(super) async fn purge(desk: &Desk, question: &Question, name: Option<&str>) -> Reply {
    let words = match question.words() {
        Ok(words) => words,
        Err(reply) => return reply,
    };
    let said = said(&words);
    let order = match order(words) {
        Ok(order) => order,
        Err(bad) => return Reply::bad(format!("purge: {bad}")),
    };
    let generation = desk.current.load();
    if let Some(name) = name.filter(|name| !generation.caches().any(|(_, plan)| *plan.name == **name)) {
        return unknown(&generation, name);
    }
    let (mut total, mut each) = (0, Vec::new());
    for (cache, plan) in generation.caches().filter(|(_, plan)| name.is_none_or(|name| *plan.name == *name)) {
        let forgotten = cache.forget(&order).await;
        let count = forgotten.count;
        forgotten.written().await;
        tracing::info!(cache = &*plan.name, words = said, count, "purged by the operator");
        total += count;
        each.push(json!({ "name": &*plan.name, "objects": count }));
    }
    Reply::json(&json!({ "objects": total, "caches": each }))
}

fn unknown(generation: &Generation, name: &str) -> Reply {
    let known: Vec<_> = generation.caches().map(|(_, plan)| &*plan.name).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Reply::nowhere(format!("cache {name:?} is not defined; known caches: {known}"))
}

/// `url` is what the other words are about.
fn order(words: Vec<Word>) -> Result<Order, BadOrder> {
    let (urls, words): (Vec<_>, Vec<_>) = words.into_iter().partition(|(name, _)| name == URL);
    let url = match urls.as_slice() {
        [] => None,
        // Whoever names a URL does not mean everything.
        [_] if words.iter().any(|(name, _)| name == "all") => return Err(BadOrder::Both("all", URL)),
        [(_, url)] => Some(Url::parse(url.as_deref().unwrap_or_default())?),
        [..] => return Err(BadOrder::Both(URL, "another url")),
    };
    Order::of(url, words)
}

/// Words as a log has them.
fn said(words: &[Word]) -> String {
    let word = |(name, value): &Word| value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}={value}"));
    words.iter().map(word).collect::<Vec<_>>().join(", ")
}

const URL: &str = "url";

fn told(seen: &Seen) -> Value {
    let by_outcome = |of: fn(&Seen, Outcome) -> u64| -> Map<String, Value> {
        Outcome::ALL.into_iter().map(|outcome| (outcome.word().to_owned(), of(seen, outcome).into())).collect()
    };
    json!({
        "name": &*seen.name,
        "memory": seen.memory.as_ref().map(shelf),
        "disk": seen.disk.as_ref().map(shelf),
        "complete": seen.is_complete,
        "flights": seen.flights,
        "requests": by_outcome(|seen, outcome| seen.counted.requests(outcome)),
        "bytes": by_outcome(|seen, outcome| seen.counted.bytes(outcome)),
        "refreshes": seen.counted.refreshes,
    })
}

fn shelf(shelf: &Shelf) -> Value {
    let Shelf { count, capacity } = shelf;
    json!({
        "objects": count.objects,
        "bytes": count.bytes,
        "capacity": capacity,
        "stores": count.stores,
        "evictions": count.evictions,
        "purged": count.purged,
        "read_failures": count.unread,
        "write_failures": count.failures,
    })
}
