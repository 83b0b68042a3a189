//! Which route, and what it says.

use std::cell::Cell;
use std::ops::ControlFlow::{self, Break, Continue};
use std::rc::Rc;

use super::arrive::Asked;
use super::limited::Limited;
use super::{Answer, Exchange, Interim, https, tunnel};
use crate::body::{Body, Replay};
use crate::config::{Action, Respond};
use crate::failure::{Failure, Kind};
use crate::generation::RouteKey;
use crate::message::forwarding::{self, Inward};
use crate::message::websocket::Key;
use crate::message::{Facts, Method, ResponseHead, Value, semantics, target};

/// A request that has a route.
pub(super) struct Routed {
    pub(super) key: RouteKey,
    asked: Asked,
}

/// A request that goes to a pool.
pub(super) struct Bound {
    pub(super) key: RouteKey,
    pub(super) pool: usize,
    /// The pool is not the route's own, which could not serve.
    pub(super) is_fallback: bool,
    pub(super) body: Replay,
    pub(super) interim: Rc<dyn Interim>,
    pub(super) expects: bool,
    pub(super) trailers: bool,
    /// Protocols the member may change to.
    pub(super) upgrade: Vec<Value>,
    /// The key of the last attempt, where the gateway shakes hands for a client that has none (RFC 8441, section 5).
    pub(super) handshake: Option<Cell<Key>>,
}

pub(super) fn choose(exchange: &mut Exchange, mut asked: Asked) -> ControlFlow<Answer, Routed> {
    let local = exchange.local.clone();
    let generation = &local.generation;
    let found = generation.routes.find(&exchange.facts.request);
    exchange.site = found.map(|found| found.site);
    if let Some(site) = exchange.site.and_then(|site| generation.site(site)) {
        exchange.facts.site = site.name.clone();
        exchange.record.site = Some(site.name.clone());
    }
    https::redirect(exchange, &asked.peer)?;
    let key = found.and_then(|found| Some(RouteKey { site: found.site, route: found.route? }));
    let Some((key, route)) = key.and_then(|key| Some((key, generation.route(key)?))) else {
        return Answer::broken(exchange, Kind::NoRoute);
    };
    exchange.facts.route = route.name.clone();
    exchange.record.route = Some(route.name.clone());
    tunnel::allow(&mut asked.upgrade, &route.upgrade, &exchange.facts.request, &asked.body);
    if exchange.is_connect && asked.upgrade.is_empty() && matches!(route.action, Action::Pool(_)) {
        // There is no ordinary request to go on with (RFC 9220, section 3).
        return Answer::broken(exchange, Failure::of(Kind::NotImplemented, "the route does not pass this protocol on"));
    }
    let limit = route.max_body.or_else(|| generation.listener(&exchange.client.listener)?.max_body);
    asked.body = match limit_body(exchange, asked.body, limit, asked.length) {
        Ok(body) => body,
        Err(failure) => return Answer::broken(exchange, failure),
    };
    let forwarded = match route.action {
        Action::Pool(pool) => generation.pool(pool).is_some_and(|pool| pool.plan.forwarded),
        Action::Files(_) | Action::Respond(_) | Action::Exclude => false,
    };
    let Facts { request, request_id, secured, .. } = &mut exchange.facts;
    let certificate = secured.as_ref().and_then(|secured| secured.client.as_deref());
    let inward = Inward { peer: &asked.peer, request_id, forwarded, certificate, is_early: asked.is_early };
    forwarding::to_upstream(request, inward);
    Continue(Routed { key, asked })
}

/// Does what the route says; goes on when that is a pool.
pub(super) fn act(exchange: &mut Exchange, routed: Routed) -> ControlFlow<Answer, Bound> {
    let Routed { key, asked } = routed;
    let local = exchange.local.clone();
    let Some(route) = local.generation.route(key) else { return Answer::broken(exchange, Kind::Internal) };
    let pool = match &route.action {
        Action::Pool(pool) => *pool,
        Action::Respond(respond) => return Break(respond_with(exchange, respond)),
        Action::Files(_) | Action::Exclude => return Answer::broken(exchange, Kind::NoRoute),
    };
    let request = &mut exchange.facts.request;
    if let Some(change) = &route.prefix {
        match target::change_prefix(request.target(), &change.from, &change.to) {
            None => {}
            Some(Ok(target)) => request.set_target(target),
            Some(Err(_)) => {
                let detail = "the path is not valid after its prefix was changed";
                return Answer::broken(exchange, Failure::of(Kind::BadTarget, detail));
            }
        }
    }
    let Asked { body, interim, expects, trailers, upgrade, .. } = asked;
    let body = Replay::of(body, local.generation.pool(pool).map_or(0, |pool| pool.replays()));
    let is_websocket = upgrade.iter().any(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let handshake = (exchange.is_connect && is_websocket).then(|| Cell::new(Key::fresh()));
    Continue(Bound { key, pool, is_fallback: false, body, interim, expects, trailers, upgrade, handshake })
}

fn limit_body(exchange: &mut Exchange, body: Body, limit: Option<u64>, length: Option<u64>) -> Result<Body, Failure> {
    if body.is_over() {
        return Ok(Body::Empty);
    }
    let declared = http_body::Body::size_hint(&body).exact().or(length);
    if let (Some(length), Some(most)) = (declared, limit)
        && length > most
    {
        return Err(Failure::of(Kind::BodyTooLarge, format!("{length} bytes declared, {most} allowed")));
    }
    let seen = Rc::new(Cell::new(0));
    exchange.uploaded = Some(seen.clone());
    Ok(Body::stream(Limited::of(body, limit, length, seen)))
}

pub(super) fn respond_with(exchange: &Exchange, respond: &Respond) -> Answer {
    let mut head = ResponseHead::of(respond.status);
    for (name, value) in &respond.fields {
        head.fields.append(name.clone(), value.clone());
    }
    if exchange.facts.request.method == Method::HEAD && semantics::has_body(&Method::GET, respond.status) {
        head.fields.set(http::header::CONTENT_LENGTH, respond.body.len().into());
        return Answer::made(head, bytes::Bytes::new());
    }
    Answer::made(head, respond.body.clone())
}
