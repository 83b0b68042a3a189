//! The short way to what is at hand (in memory, or in a file that is open), fresh, and all that is wanted: nothing is waited
//! for, and nothing is made that only a fetch would use. Everything else takes the long way, which would find the same.

use super::super::route::Routed;
use super::super::{Answer, Exchange};
use super::entry::Hit;
use super::tell::{self, Done};
use super::{Desk, claims, purge, words};
use crate::cache::lookup::{self, Found};
use crate::clock;
use crate::message::Method;

/// An answer from what is at hand, if it is as simple as that.
pub(in super::super) fn at_once(exchange: &mut Exchange, routed: &mut Routed) -> Option<Answer> {
    let local = exchange.local.clone();
    let (cache, plan) = local.generation.cache(routed.key)?;
    let desk = Desk { local: local.clone(), route: routed.key };
    let is_read = [Method::GET, Method::HEAD].contains(&exchange.facts.request.method);
    let is_ordinary = is_read && !exchange.is_connect && !routed.is_for_tunnel() && !routed.has_body();
    if !is_ordinary || purge::is_asked(exchange, plan) {
        return None;
    }
    let route = desk.plan()?;
    let is_asked = !route.cache_bypass.fields.is_empty() || !route.cache_refresh.fields.is_empty();
    let is_read_further = is_asked || !plan.key.fields.is_empty();
    if is_read_further || claims::may_be(&exchange.facts.request) {
        routed.tell(exchange);
    }
    if desk.is_bypassed(&exchange.facts) || desk.is_refreshed(&exchange.facts) {
        return None;
    }
    let now = clock::wall();
    let objects = cache.store.shelf.at_hand(desk.key(&exchange.facts, None).as_bytes(), now)?;
    let of = |object| Hit::of(object, &cache.knobs);
    let (one, more);
    // Nearly always there is one.
    let hits: &[Hit] = if let [object] = &*objects {
        one = [of(object)?];
        &one
    } else {
        more = objects.iter().map(of).collect::<Option<Vec<_>>>()?;
        &more
    };
    if !hits.iter().all(|hit| hit.stored().selection.is_empty()) {
        routed.tell(exchange);
    }
    let request = &exchange.facts.request;
    let Found::Use { at, is_stale, revalidate: false } = lookup::look(hits, request, now, &cache.knobs) else {
        return None;
    };
    let hit = hits.get(at)?;
    let (mut head, body) = hit.answer(request, now)?;
    exchange.asked = Some(routed.key);
    words::hear(&exchange.facts);
    let done = Done { is_stale, ttl: Some(hit.stored().policy.ttl(now)), ..Done::default() };
    tell::tell(exchange, plan, &mut head.fields, done);
    if objects.len() > 1 {
        cache.store.shelf.used(hit.object);
    }
    Some(Answer { head, body, upstream: hit.stored().version, said: None })
}
