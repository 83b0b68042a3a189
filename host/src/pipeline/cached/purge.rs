//! `PURGE`: forgetting by a request, for addresses that may.
//!
//! The target is what is forgotten; `Weir-Purge` says how much of it and how: `prefix` (all URLs that begin so), `tag=NAME`
//! (also several), `all`, `soft` (it stays, and is stale), separated by commas.

use http::header;

use super::super::{Answer, Exchange};
use crate::cache::invalidate::{self, Tag};
use crate::cache::key::{Key, Recipe};
use crate::config;
use crate::generation::Cache;
use crate::message::{Name, RequestHead, ResponseHead, Status, Value};
use crate::shelf::{Purge, Shelf, Target};

const WEIR_PURGE: Name = Name::from_static("weir-purge");

/// What a request wants forgotten.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    targets: Vec<Target>,
    how: Purge,
}

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
    let Some(wish) = wish(&exchange.facts.request, &cache.knobs.key) else {
        return Answer::of_status(exchange, Status::BAD_REQUEST, "Weir-Purge is not understood.");
    };
    let purged: Vec<_> = wish.targets.iter().map(|target| cache.store.shelf.purge(target, wish.how)).collect();
    let count: u64 = purged.iter().map(|purged| purged.count).sum();
    for purged in purged {
        purged.written().await;
    }
    tracing::info!(id = &*exchange.facts.request_id, cache = &*plan.name, targets = ?wish.targets, count, "purged");
    let mut head = ResponseHead::of(Status::OK);
    head.fields.set(header::CONTENT_TYPE, Value::from_static("text/plain; charset=utf-8"));
    let text = format!("{count}\n");
    head.fields.set(header::CONTENT_LENGTH, Value::from(text.len()));
    Answer::made(head, text.into())
}

/// Forgets what an answer to an unsafe request makes obsolete.
pub(super) fn invalidate(shelf: &Shelf, targets: &invalidate::Targets, has_extras: bool) {
    for url in &targets.urls {
        shelf.purge(&Target::Key(url.to_string().into()), Purge::Hard);
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

/// `None` where a word is not known.
fn wish(request: &RequestHead, recipe: &Recipe) -> Option<Wish> {
    let key = Key::of(request, recipe, &[]);
    let url = key.url();
    let (mut targets, mut how, mut is_prefix) = (Vec::new(), Purge::Hard, false);
    for line in request.fields.lines(WEIR_PURGE) {
        for word in line.to_str().ok()?.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word.split_once('=').map_or((word, None), |(name, value)| (name.trim(), Some(value.trim()))) {
                ("soft", None) => how = Purge::Soft,
                ("prefix", None) => is_prefix = true,
                ("all", None) => targets.push(Target::All),
                ("tag", Some(tag)) => {
                    let origin = invalidate::origin(request.scheme, &request.authority);
                    targets.push(Target::Tag(Tag::key(tag).as_str().into()));
                    targets.push(Target::Tag(Tag::group(&origin, tag).as_str().into()));
                }
                _ => return None,
            }
        }
    }
    if targets.is_empty() {
        targets = match is_prefix {
            true => vec![Target::Prefix(url.to_owned().into())],
            false => vec![Target::Key(url.to_owned().into()), beyond(url)],
        };
    }
    Some(Wish { targets, how })
}
