//! `PURGE`: forgetting by a request, for addresses that may.
//!
//! The target is the URL that an order is about, `Weir-Purge` has its words (`cache/order.rs`). The answer comes when what is
//! forgotten would stay so over a restart, and says how many objects that were.

use http::header;

use super::super::{Answer, Exchange};
use crate::cache::invalidate;
use crate::cache::order::{Order, Url};
use crate::config;
use crate::generation::Cache;
use crate::message::{Name, ResponseHead, Status, Value};
use crate::shelf::{Label, Leader, Meant, Only, Purge, Shelf, Target};

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
    let request = &exchange.facts.request;
    let words = request.fields.joined(WEIR_PURGE).unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    let order = match Order::read(Some(Url::of(request)), &words) {
        Ok(order) => order,
        Err(error) => return Answer::of_status(exchange, Status::BAD_REQUEST, &format!("Weir-Purge: {error}.")),
    };
    let forgotten = cache.forget(&order).await;
    let count = forgotten.count;
    forgotten.written().await;
    let url = format!("{}://{}{}", request.scheme.as_str(), request.authority.as_str(), request.target());
    tracing::info!(id = &*exchange.facts.request_id, cache = &*plan.name, url, words = &*words, count, "purged");
    let mut head = ResponseHead::of(Status::OK);
    head.fields.set(header::CONTENT_TYPE, Value::from_static("text/plain; charset=utf-8"));
    let text = format!("{count}\n");
    head.fields.set(header::CONTENT_LENGTH, Value::from(text.len()));
    Answer::made(head, text.into())
}

/// Forgets what an answer to an unsafe request makes obsolete; what is stored of that answer itself comes after it. It ends
/// when nobody gets it any more, nor after a restart.
pub(super) async fn invalidate(shelf: &Shelf, targets: &invalidate::Targets, own: Option<(&mut Leader, Label)>) {
    // What more a key has stands behind a blank.
    let urls = targets.urls.iter().map(|url| Target::Stem(url.to_string().into()));
    let tags = targets.tags.iter().map(|tag| Target::Tag(tag.as_str().into()));
    let targets: Vec<Target> = urls.chain(tags).collect();
    let meant = Meant { targets, only: Only::default() };
    let purged = match own {
        Some((leader, label)) => shelf.forget_for(meant, Purge::Hard, (leader, &label)),
        None => shelf.forget(meant, Purge::Hard),
    };
    purged.written().await;
}
