//! `PURGE`: forgetting by a request, for addresses that may.
//!
//! The target is what is forgotten; `Weir-Purge` says how much of it and how: `prefix` (all URLs that begin so), `tag=NAME`
//! (also several), `all`, `soft` (it stays, and is stale), separated by commas.

use http::header;

use super::super::{Answer, Exchange};
use crate::cache::invalidate;
use crate::cache::order::{BadOrder, Order, Url};
use crate::config;
use crate::generation::Cache;
use crate::message::{Name, RequestHead, ResponseHead, Status, Value};
use crate::shelf::{Purge, Shelf, Target};

const WEIR_PURGE: Name = Name::from_static("weir-purge");

/// Whether a request is one that this is about.
pub(super) fn is_asked(exchange: &Exchange, plan: &config::Cache) -> bool {
    !plan.purge.is_empty() && exchange.facts.request.method.as_str() == "PURGE"
}

/// The answer to it, when what is forgotten stays forgotten.
pub(super) async fn answer(exchange: &mut Exchange, cache: &Cache, plan: &config::Cache) -> Answer {
    let client = exchange.facts.client;
    if !client.is_some_and(|client| plan.purge.iter().any(|network| network.contains(client))) {
        return Answer::of_status(exchange, Status::FORBIDDEN, "This address may not purge.");
    }
    let order = match order(&exchange.facts.request) {
        Ok(order) => order,
        Err(error) => return Answer::of_status(exchange, Status::BAD_REQUEST, &format!("Weir-Purge: {error}.")),
    };
    let forgotten = cache.forget(&order).await;
    let count = forgotten.count;
    forgotten.written().await;
    tracing::info!(id = &*exchange.facts.request_id, cache = &*plan.name, ?order, count, "purged");
    let mut head = ResponseHead::of(Status::OK);
    head.fields.set(header::CONTENT_TYPE, Value::from_static("text/plain; charset=utf-8"));
    let text = format!("{count}\n");
    head.fields.set(header::CONTENT_LENGTH, Value::from(text.len()));
    Answer::made(head, text.into())
}

fn order(request: &RequestHead) -> Result<Order, BadOrder> {
    let words = request.fields.joined(WEIR_PURGE).unwrap_or_default();
    Order::read(Some(Url::of(request)), &String::from_utf8_lossy(&words))
}

/// Forgets what an answer to an unsafe request makes obsolete; keys of what that was about end so, or say even more.
pub(super) fn invalidate(shelf: &Shelf, targets: &invalidate::Targets, ending: &str, has_extras: bool) {
    for url in &targets.urls {
        shelf.purge(&Target::Key(url.to_string().into()), Purge::Hard);
        if !ending.is_empty() {
            shelf.purge(&Target::Key(format!("{url}{ending}").into()), Purge::Hard);
        }
        if has_extras {
            shelf.purge(&beyond(url), Purge::Hard);
        }
    }
    for tag in &targets.tags {
        shelf.purge(&Target::Tag(tag.as_str().into()), Purge::Hard);
    }
}

/// All of a URL that has more in its key.
fn beyond(url: &str) -> Target {
    Target::Prefix(format!("{url} ").into())
}
