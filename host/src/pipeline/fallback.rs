//! Who serves when a pool cannot: the route's fallback, or else the pool's.

use std::ops::ControlFlow::{self, Break, Continue};

use super::forward::Unserved;
use super::route::{self, Bound};
use super::{Answer, Exchange};
use crate::config::Fallback;

/// Binds the request for another pool, or answers: as the fallback says, or to the failure when there is none.
pub(super) fn find(exchange: &mut Exchange, bound: &mut Bound, unserved: Unserved) -> ControlFlow<Answer> {
    let local = exchange.local.clone();
    let generation = &local.generation;
    // A route's fallback stands for its own pool; pools that come after it have their own.
    let of_route = match bound.is_fallback {
        true => None,
        false => generation.route(bound.key).and_then(|route| route.fallback.as_ref()),
    };
    let fallback = of_route.or_else(|| generation.pool(bound.pool)?.plan.fallback.as_ref());
    match fallback.filter(|_| unserved.is_untouched) {
        None => Break(Answer::of(exchange, &unserved.failure)),
        Some(Fallback::Respond(respond)) => {
            exchange.fail(&unserved.failure);
            Break(route::respond_with(exchange, respond))
        }
        Some(Fallback::Pool(fallback)) => {
            let (id, pool) = (&*exchange.facts.request_id, exchange.facts.pool.as_deref());
            tracing::info!(id, failure = %unserved.failure, pool, "going to the fallback");
            (bound.pool, bound.is_fallback) = (*fallback, true);
            Continue(())
        }
    }
}
