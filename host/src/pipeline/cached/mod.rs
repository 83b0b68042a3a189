//! A route's cache: an answer from what is stored, or from the origin and stored on its way.
//!
//! What may be stored and used is decided by the rules in `cache/`, where it lies is `shelf/`'s business; here is the order.
//! Requests for the same thing wait for the first of them, as long as there is hope that its answer is for them too.

mod at_once;
mod card;
mod case;
mod claims;
mod confirm;
mod content;
mod entry;
mod fetch;
mod flight;
mod join;
mod keep;
mod purge;
mod question;
mod refresh;
mod tee;
mod tell;
mod words;

use std::borrow::Cow;
use std::ops::ControlFlow::{self, Break, Continue};
use std::rc::Rc;

use bytes::Bytes;

pub(super) use self::at_once::at_once;
use self::content::Content;
use self::entry::Entry;
use self::flight::{Hope, Turn};
use self::question::{Errand, Question};
use self::tell::Done;
use super::route::Routed;
use super::{Answer, Exchange};
use crate::cache::key::{self, Key};
use crate::cache::lookup::{self, Found};
use crate::cache::status::Forward;
use crate::cache::storable;
use crate::clock;
use crate::config::{self, CacheWhen};
use crate::generation::{Cache, Local, Outcome, RouteKey};
use crate::message::{Facts, RequestHead, Status, query};

/// The cache of an exchange's route.
#[derive(Clone)]
struct Desk {
    local: Rc<Local>,
    route: RouteKey,
}

/// What a request asks for.
struct Asked {
    /// Where that is found.
    key: Bytes,
    /// It goes past the cache.
    is_bypassed: bool,
}

/// What tells a route's answers from those of others in a key.
const ROUTE: &str = "route";

/// What the content of a `QUERY` is called in a key.
const CONTENT: &str = "content";

/// How often somebody waits for others before it asks itself.
const MOST_WAITS: usize = 2;

/// Answers from the cache of the route, or through it.
pub(super) async fn act(exchange: &mut Exchange, mut routed: Routed) -> ControlFlow<Answer, Answer> {
    let desk = Desk { local: exchange.local.clone(), route: routed.key };
    let (Some((cache, plan)), false) = (desk.cache(), routed.is_for_tunnel() || exchange.is_connect) else {
        return super::uncached(exchange, routed).await;
    };
    routed.tell(exchange);
    if purge::is_asked(exchange, plan) {
        return Break(purge::answer(exchange, cache, plan).await);
    }
    (exchange.asked, exchange.has_waited) = (Some(desk.route), false);
    words::hear(&exchange.facts);
    let Asked { key, is_bypassed } = desk.read(exchange, &mut routed).await?;
    if is_bypassed {
        let (question, why) = (Question::Whole, Forward::Bypass);
        let errand = Errand { key, question, why, leader: None, is_for_all: false, keeps: false };
        return fetch::fetch(exchange, routed, &desk, errand).await;
    }
    if desk.is_refreshed(&exchange.facts) && storable::is_looked_up(&exchange.facts.request.method, &cache.knobs) {
        let question = Question::Whole.for_all(&exchange.facts.request);
        let errand = Errand { key, question, why: Forward::Bypass, leader: None, is_for_all: true, keeps: true };
        return fetch::fetch(exchange, routed, &desk, errand).await;
    }
    serve(exchange, routed, &desk, cache, key).await
}

/// From what is stored, from what somebody else fetches, or from the origin.
async fn serve(
    exchange: &mut Exchange,
    routed: Routed,
    desk: &Desk,
    cache: &Cache,
    key: Bytes,
) -> ControlFlow<Answer, Answer> {
    let shelf = &cache.store.shelf;
    let (mut waits, mut waited, since) = (0, None, clock::wall());
    let mut entries = entry::at_hand(shelf, &key, since, &cache.knobs);
    loop {
        let found = look(exchange, cache, &key, &mut entries).await;
        let found = flight::as_it_came(found, &mut entries, &exchange.facts.request, &cache.knobs, since);
        if let Found::Use { at, is_stale, revalidate } = found
            && let Some(entry) = entries.get(at)
            && let Some(answer) = hit(exchange, desk, entry, is_stale || revalidate, waited)
        {
            if entries.len() > 1 {
                shelf.used(&entry.object);
            }
            if revalidate {
                refresh::begin(exchange, desk, key, entry, routed);
            }
            return Continue(answer);
        }
        if matches!(found, Found::Unavailable) {
            return Break(unavailable(exchange));
        }
        let (question, why) = Question::of(&found, &entries, &exchange.facts.request);
        let hope = match waits < MOST_WAITS {
            true => Hope::of(desk, &key, &exchange.facts.request, &question, why, &entries),
            false => Hope::default(),
        };
        let turn = flight::turn(exchange, desk, hope, why).await;
        waited = exchange.has_waited.then_some(why);
        let (question, leader, is_for_all) = match turn {
            Turn::Answer(answer) => return Continue(answer),
            Turn::Again => {
                waits += 1;
                entries = entry::at_hand(shelf, &key, clock::wall(), &cache.knobs);
                continue;
            }
            Turn::Lead(leader, is_for_all) => {
                // Between looking and boarding somebody may have come back with it, also to a file that is not open yet.
                let newest = entry::find(shelf, &key, clock::wall(), &cache.knobs).await;
                let found = lookup::look(&newest, &exchange.facts.request, clock::wall(), &cache.knobs);
                if matches!(found, Found::Use { .. }) {
                    leader.stored();
                    waits += 1;
                    entries = newest;
                    continue;
                }
                match is_for_all {
                    true => (question.for_all(&exchange.facts.request), Some(leader), true),
                    false => (question, Some(leader), false),
                }
            }
            Turn::Alone => (question, None, false),
            Turn::Failed(failure) => match fetch::told(exchange, desk, &key, &question, why, failure) {
                Some(answer) => return Continue(answer),
                None => (question, None, false),
            },
        };
        let errand = Errand { key, question, why, leader, is_for_all, keeps: true };
        return fetch::fetch(exchange, routed, desk, errand).await;
    }
}

/// What there is for a request: among what is at hand, and where that does not do, on all shelves.
async fn look(exchange: &Exchange, cache: &Cache, key: &Bytes, entries: &mut Vec<Entry>) -> Found {
    let request = &exchange.facts.request;
    let found = lookup::look(entries, request, clock::wall(), &cache.knobs);
    if matches!(found, Found::Use { .. } | Found::Nothing(Forward::Method)) {
        return found;
    }
    *entries = entry::find(&cache.store.shelf, key, clock::wall(), &cache.knobs).await;
    lookup::look(entries, request, clock::wall(), &cache.knobs)
}

impl Desk {
    /// The cache; a route has one, or it is not asked.
    fn cache(&self) -> Option<(&Cache, &config::Cache)> {
        self.local.generation.cache(self.route)
    }

    fn key(&self, facts: &Facts, content: Option<&str>) -> Key {
        let Some((cache, plan)) = self.cache() else { return Key::of(&facts.request, &Default::default(), &[]) };
        let mut parts = words::parts(&facts.variables, &plan.key.variables);
        parts.extend(claims::of(&facts.request, &plan.key));
        parts.extend(self.local.generation.apart(self.route).map(|apart| (ROUTE, apart)));
        parts.extend(content.map(|content| (CONTENT, content)));
        Key::of(&facts.request, &cache.knobs.key, &parts)
    }

    /// What is asked for. The content of a `QUERY` is read for that.
    async fn read(&self, exchange: &mut Exchange, routed: &mut Routed) -> ControlFlow<Answer, Asked> {
        let is_query = self.cache().is_some_and(|(_, plan)| plan.query);
        let mut is_bypassed = self.is_bypassed(&exchange.facts);
        let mut digest = None;
        match exchange.facts.request.method.as_str() {
            // What these say in a body is in no key; a server that heeds it would answer everybody as it answered one.
            "GET" | "HEAD" => is_bypassed |= routed.has_body(),
            "QUERY" if is_query && !is_bypassed => {
                // Who waits to be told to go on is told by the upstream.
                is_bypassed = true;
                if let Some(body) = routed.take_body() {
                    let content = match Content::read(body, &exchange.facts.request.fields).await {
                        Ok(content) => content,
                        Err(failure) => return Answer::broken(exchange, failure),
                    };
                    is_bypassed = content.digest.is_none();
                    digest = content.digest;
                    routed.put_body(content.body);
                }
            }
            _ => {}
        }
        let key = self.key(&exchange.facts, digest.as_deref()).into_bytes();
        Continue(Asked { key: key.into(), is_bypassed })
    }

    fn is_bypassed(&self, facts: &Facts) -> bool {
        words::is_bypass(&facts.variables)
            || self.plan().is_some_and(|route| is_meant(&route.cache_bypass, &facts.request))
    }

    fn is_refreshed(&self, facts: &Facts) -> bool {
        self.plan().is_some_and(|route| is_meant(&route.cache_refresh, &facts.request))
    }

    fn plan(&self) -> Option<&config::Route> {
        self.local.generation.route(self.route)
    }
}

/// Whether any of the conditions holds.
fn is_meant(when: &CacheWhen, request: &RequestHead) -> bool {
    when.fields.iter().any(|condition| condition.test.holds_for(request.fields.lines(&condition.name)))
        || when
            .query
            .iter()
            .any(|condition| condition.test.holds(query::values(request.query().unwrap_or_default(), &condition.name)))
        || when.cookies.iter().any(|condition| {
            let values = key::cookies(&request.fields, &condition.name);
            condition.test.holds(values.map(|value| Cow::Borrowed(str::from_utf8(value).unwrap_or("\u{fffd}"))))
        })
}

/// Tells what the route's filters said of an answer to its cache when it was too late.
pub(super) fn note_late_words(exchange: &Exchange, route: RouteKey, before: usize) {
    if exchange.facts.variables.len() > before && exchange.local.generation.cache(route).is_some() {
        words::too_late(exchange, before);
    }
}

/// An answer from what is stored; who has waited until it was got it of another one's asking (RFC 9211, section 2.6).
fn hit(exchange: &mut Exchange, desk: &Desk, entry: &Entry, is_stale: bool, waited: Option<Forward>) -> Option<Answer> {
    let (_, plan) = desk.cache()?;
    let now = clock::wall();
    let (mut head, body) = entry.answer(&exchange.facts.request, now)?;
    let ttl = Some(entry.stored().policy.ttl(now));
    let done = Done { forward: waited, is_collapsed: waited.is_some(), is_stale, ttl, ..Done::default() };
    tell::tell(exchange, plan, &mut head.fields, done);
    Some(Answer { head, body, upstream: entry.stored().version, said: None })
}

/// RFC 9111, section 5.2.1.7. It was not forwarded and is no hit, so `Cache-Status` has no word for it.
fn unavailable(exchange: &mut Exchange) -> Answer {
    exchange.outcome = Some(Outcome::Unavailable);
    Answer::of_status(exchange, Status::GATEWAY_TIMEOUT, "This is not stored, and nothing else was wanted.")
}
