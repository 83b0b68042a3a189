//! Asking the origin behind a client's back whether what it got still holds (RFC 5861, section 3).
//!
//! An exchange of its own, without a client: the route's chain does not see it, and it is in no log. One at a time for a key.

use std::rc::Rc;

use bytes::Bytes;

use super::super::route::Routed;
use super::super::{Exchange, Interim, arrive, either, files, passage};
use super::Desk;
use super::entry::Entry;
use super::fetch;
use super::question::{Errand, Question};
use crate::cache::status::Forward;
use crate::clock;
use crate::message::{Fields, Method, Status};

/// Nobody waits for interim answers.
struct Nobody;

/// Begins, unless somebody has already.
pub(super) fn begin(exchange: &Exchange, desk: &Desk, key: Bytes, entry: &Entry, routed: Routed) {
    let Some((cache, _)) = desk.cache() else { return };
    let Some(leader) = cache.store.shelf.flights().lead(&key, clock::now()) else { return };
    cache.store.tally.refresh(exchange.local.thread.number());
    let mut quiet = arrive::unread(&desk.local, &exchange.client, clock::now());
    quiet.is_quiet = true;
    quiet.site = exchange.site;
    let facts = &mut quiet.facts;
    facts.client = exchange.facts.client;
    facts.request_id.clone_from(&exchange.facts.request_id);
    facts.request = exchange.facts.request.clone();
    // A `QUERY` asks with its content again: without it, what comes would be another thing's answer.
    if facts.request.method == Method::HEAD {
        facts.request.method = Method::GET;
    }
    files::forget_conditions(&mut facts.request.fields);
    facts.site.clone_from(&exchange.facts.site);
    facts.route.clone_from(&exchange.facts.route);
    facts.variables.clone_from(&exchange.facts.variables);
    quiet.spent = exchange.spent;
    let routed = routed.without_client(Rc::new(Nobody));
    let question = Question::Whether(entry.clone());
    let (why, leader) = (Forward::Stale, Some(leader));
    let errand = Errand { key, question, why, leader, is_for_all: false, keeps: true };
    let desk = desk.clone();
    tokio::task::spawn_local(async move {
        let answer = either(fetch::fetch(&mut quiet, routed, &desk, errand).await);
        // What is stored is read to its end without anybody.
        passage::give_up(answer.body);
        quiet.is_answered = true;
    });
}

impl Interim for Nobody {
    fn send(&self, _: Status, _: Fields) {}
}
