//! Which route, and what it says.

use std::cell::Cell;
use std::ops::ControlFlow::{self, Break, Continue};
use std::rc::Rc;

use http::uri::PathAndQuery;

use super::arrive::Asked;
use super::limited::Limited;
use super::{Answer, Exchange, Interim, https, tunnel};
use crate::body::{Body, Replay};
use crate::config::{Action, PathMatch, PrefixChange, Respond};
use crate::failure::{Failure, Kind};
use crate::generation::RouteKey;
use crate::message::forwarding::{self, Inward, Peer};
use crate::message::websocket::Key;
use crate::message::{Facts, Method, ResponseHead, Value, semantics, target};

/// A request that has a route.
pub(super) struct Routed {
    pub(super) key: RouteKey,
    asked: Asked,
    /// `Forwarded` was written, or is to be.
    is_forwarded: bool,
    /// The request says who the client is.
    is_told: bool,
}

/// What a route leads to.
pub(super) enum Goal {
    Pool(Bound),
    Files(Place),
}

/// Where a request's file is.
pub(super) struct Place {
    pub(super) root: usize,
    /// The request's path before the route changed its beginning.
    pub(super) known_as: PathAndQuery,
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
    /// The target before the route changed its beginning, if it did.
    pub(super) before: Option<PathAndQuery>,
    peer: Peer,
    is_forwarded: bool,
}

impl Routed {
    /// Whether it asks for another protocol.
    pub(super) fn is_for_tunnel(&self) -> bool {
        !self.asked.upgrade.is_empty()
    }

    /// Whether there is a body, or may be.
    pub(super) fn has_body(&self) -> bool {
        !self.asked.body.is_over()
    }

    /// Its body, to be read before it goes on; `None` if the client waits for a word before it sends it.
    pub(super) fn take_body(&mut self) -> Option<Body> {
        (!self.asked.expects).then(|| std::mem::take(&mut self.asked.body))
    }

    /// What was read of it, and the rest.
    pub(super) fn put_body(&mut self, body: Body) {
        self.asked.body = body;
    }

    /// Writes into the request what upstreams and filters read of its client, if that was not done. Late, because an answer
    /// that is at hand needs nothing of it.
    pub(super) fn tell(&mut self, exchange: &mut Exchange) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let Facts { request, request_id, secured, .. } = &mut exchange.facts;
        let certificate = secured.as_ref().and_then(|secured| secured.client.as_deref());
        let Asked { peer, is_early, .. } = &self.asked;
        let inward = Inward { peer, request_id, forwarded: self.is_forwarded, certificate, is_early: *is_early };
        forwarding::to_upstream(request, inward);
    }

    /// The same way for a request of the gateway's own, whose body, if it has one, is here already.
    pub(super) fn without_client(mut self, interim: Rc<dyn Interim>) -> Self {
        let asked = &mut self.asked;
        (asked.interim, asked.expects, asked.length) = (interim, false, None);
        self
    }
}

pub(super) fn choose(exchange: &mut Exchange, mut asked: Asked) -> ControlFlow<Answer, Routed> {
    let local = exchange.local.clone();
    let generation = &local.generation;
    let found = generation.routes.find(&exchange.facts.request);
    exchange.site = found.map(|found| found.site);
    if let Some(site) = exchange.site.and_then(|site| generation.site(site)) {
        exchange.facts.site = site.name.clone();
    }
    if exchange.is_logged() {
        exchange.record.site = exchange.site.map(|_| exchange.facts.site.clone());
    }
    https::redirect(exchange, &asked.peer)?;
    let key = found.and_then(|found| Some(RouteKey { site: found.site, route: found.route? }));
    let Some((key, route)) = key.and_then(|key| Some((key, generation.route(key)?))) else {
        return Answer::broken(exchange, Kind::NoRoute);
    };
    exchange.facts.route = route.name.clone();
    if exchange.is_logged() {
        exchange.record.route = Some(route.name.clone());
    }
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
    let mut routed = Routed { key, asked, is_forwarded: wants_forwarded(exchange, key), is_told: false };
    if !route.filters.is_empty() {
        routed.tell(exchange);
    }
    Continue(routed)
}

/// The route for a request that was bound for a pool and is redirected; without the body that the pool got, and as nothing
/// but a request to read. The upstream is told of the client already.
pub(super) fn again(exchange: &mut Exchange, key: RouteKey, bound: Bound) -> Result<Routed, Failure> {
    let local = exchange.local.clone();
    let Some(route) = local.generation.route(key) else { return Err(Kind::Internal.into()) };
    if exchange.is_connect && matches!(route.action, Action::Pool(_)) {
        return Err(Failure::of(Kind::NotImplemented, "a change of the protocol is not led elsewhere"));
    }
    exchange.facts.route = route.name.clone();
    let Bound { interim, peer, trailers, mut is_forwarded, .. } = bound;
    if !is_forwarded && wants_forwarded(exchange, key) {
        forwarding::add_forwarded(&mut exchange.facts.request, &peer);
        is_forwarded = true;
    }
    let body = Body::Empty;
    let asked =
        Asked { body, interim, peer, expects: false, trailers, upgrade: Vec::new(), is_early: false, length: None };
    Ok(Routed { key, asked, is_forwarded, is_told: true })
}

fn wants_forwarded(exchange: &Exchange, key: RouteKey) -> bool {
    let generation = &exchange.local.generation;
    match generation.route(key).map(|route| &route.action) {
        Some(Action::Pool(pool)) => generation.pool(*pool).is_some_and(|pool| pool.plan.forwarded),
        Some(Action::Files(_) | Action::Respond(_) | Action::Exclude) | None => false,
    }
}

/// Does what the route says; goes on when that is a pool, or files.
pub(super) fn act(exchange: &mut Exchange, mut routed: Routed) -> ControlFlow<Answer, Goal> {
    let local = exchange.local.clone();
    let Some(route) = local.generation.route(routed.key) else { return Answer::broken(exchange, Kind::Internal) };
    let pool = match &route.action {
        Action::Pool(pool) => {
            routed.tell(exchange);
            *pool
        }
        Action::Files(root) => {
            let mut known_as = exchange.facts.request.target().clone();
            change_prefix(exchange, route.prefix.as_ref())?;
            let target = exchange.facts.request.target();
            // With another slash at its end, a path that a route is for alone would be nobody's.
            if matches!(route.path, PathMatch::Exact(_)) && target.path().ends_with('/') {
                known_as = target.clone();
            }
            return Continue(Goal::Files(Place { root: *root, known_as }));
        }
        Action::Respond(respond) => return Break(respond_with(exchange, respond)),
        Action::Exclude => return Answer::broken(exchange, Kind::NoRoute),
    };
    let before = change_prefix(exchange, route.prefix.as_ref())?;
    let Routed { key, asked, is_forwarded, .. } = routed;
    let Asked { body, interim, peer, expects, trailers, upgrade, .. } = asked;
    let body = Replay::of(body, local.generation.pool(pool).map_or(0, |pool| pool.replays()));
    let is_websocket = upgrade.iter().any(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let handshake = (exchange.is_connect && is_websocket).then(|| Cell::new(Key::fresh()));
    let is_fallback = false;
    Continue(Goal::Pool(Bound {
        key,
        pool,
        is_fallback,
        body,
        interim,
        expects,
        trailers,
        upgrade,
        handshake,
        before,
        peer,
        is_forwarded,
    }))
}

/// Changes the beginning of the target's path; what it was before, where it changed.
fn change_prefix(exchange: &mut Exchange, change: Option<&PrefixChange>) -> ControlFlow<Answer, Option<PathAndQuery>> {
    let Some(change) = change else { return Continue(None) };
    let request = &mut exchange.facts.request;
    match target::change_prefix(request.target(), &change.from, &change.to) {
        None => Continue(None),
        Some(Ok(target)) => {
            let before = request.target().clone();
            request.set_target(target);
            Continue(Some(before))
        }
        Some(Err(_)) => {
            let detail = "the path is not valid after its prefix was changed";
            Answer::broken(exchange, Failure::of(Kind::BadTarget, detail))
        }
    }
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
