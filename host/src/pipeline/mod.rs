//! The life of one exchange, phase by phase. The only room that knows the order.
//!
//! Each phase takes what the phase before made and goes on with its own, or breaks off with an answer. What a filter was
//! shown on the way in, it is shown on the way out, whoever made the answer.

mod accel;
mod answer;
mod arrive;
mod attempt;
mod cached;
mod exchange;
mod fallback;
mod files;
mod finish;
mod forward;
mod https;
mod intercept;
mod limited;
mod passage;
mod rate;
mod route;
#[cfg(test)]
mod tests;
mod tunnel;

use std::future::Future;
use std::ops::ControlFlow::{self, Break, Continue};
use std::pin::Pin;
use std::task::{Context, Poll};

use self::accel::Way;
pub use self::answer::Answer;
pub use self::arrive::{Arrived, Client, Interim, request_id};
use self::exchange::Exchange;
pub use self::exchange::refused;
pub use self::finish::Outgoing;
use self::passage::Passage;
use self::route::{Bound, Goal, Routed};
pub use self::tunnel::Tunnel;
use crate::message::accel::Said;

/// An exchange that is being served: what nobody has to be waited for is answered already, in place.
pub enum Serving {
    /// Answered; `None` once the answer was taken.
    Done(Option<http::Response<Outgoing>>),
    /// On its way. Boxed, because what it is in would otherwise carry the room for it.
    Going(Pin<Box<dyn Future<Output = http::Response<Outgoing>>>>),
}

/// Serves one exchange. Dropping what comes back gives it up; it is logged either way.
#[must_use]
pub fn serve(arrived: Arrived) -> Serving {
    let (mut exchange, request) = arrived.begin();
    let routed = match begin(&mut exchange, request) {
        Break(answer) => return Serving::Done(Some(finish::finish(exchange, answer))),
        Continue(routed) => routed,
    };
    Serving::Going(Box::pin(async move {
        let answer = edge(&mut exchange, routed).await;
        finish::finish(exchange, answer)
    }))
}

/// As far as it goes without waiting: up to a route's chain, or to what its cache has at hand.
fn begin(exchange: &mut Exchange, request: arrive::Request) -> ControlFlow<Answer, Routed> {
    let asked = arrive::check(exchange, request)?;
    let mut routed = route::choose(exchange, asked)?;
    if exchange.local.generation.route_chain(routed.key).is_none()
        && let Some(answer) = cached::at_once(exchange, &mut routed)
    {
        return Break(answer);
    }
    Continue(routed)
}

/// A route, between its chain's two sides.
async fn edge(exchange: &mut Exchange, routed: Routed) -> Answer {
    let route = routed.key;
    let (edge, entered) = Passage::of_route(route).enter(exchange).await;
    let answer = match entered {
        Break(answer) => answer,
        Continue(()) => either(act(exchange, routed).await),
    };
    let said = exchange.facts.variables.len();
    let answer = edge.leave(exchange, answer).await;
    cached::note_late_words(exchange, route, said);
    answer
}

/// What the route says, from its cache or through it, if it has one.
async fn act(exchange: &mut Exchange, mut routed: Routed) -> ControlFlow<Answer, Answer> {
    let generation = &exchange.local.generation;
    if generation.cache(routed.key).is_none() {
        return uncached(exchange, routed).await;
    }
    // Without a chain, `begin` has looked.
    if generation.route_chain(routed.key).is_some()
        && let Some(answer) = cached::at_once(exchange, &mut routed)
    {
        return Continue(answer);
    }
    Box::pin(cached::act(exchange, routed)).await
}

/// What the route says.
async fn uncached(exchange: &mut Exchange, routed: Routed) -> ControlFlow<Answer, Answer> {
    let mut bound = match route::act(exchange, routed)? {
        Goal::Pool(bound) => bound,
        // Boxed, like everything beside the way to a pool and back: every exchange would carry the room for it otherwise.
        Goal::Files(place) => return Continue(Box::pin(files::of_route(exchange, place)).await),
    };
    let mut answer = origin(exchange, &mut bound).await;
    Continue(match answer.said.take() {
        None => answer,
        Some(said) => Box::pin(heed(exchange, bound, *said, answer)).await,
    })
}

/// What an upstream says beside its answer; that may lead to a file, or once more from `route`.
async fn heed(exchange: &mut Exchange, bound: Bound, said: Said, answer: Answer) -> Answer {
    let (turn, way) = match accel::turn(exchange, bound, said, answer) {
        Break(answer) => return answer,
        Continue(turn) => turn,
    };
    let answer = match way {
        Way::File(file) => files::of_upstream(exchange, file).await,
        Way::Route(routed) => edge(exchange, routed).await,
        Way::Nowhere(failure) => Answer::of(exchange, &failure),
    };
    turn.end(exchange, answer)
}

/// To the bound pool, between its chain's two sides; to its fallback when nobody there can serve.
async fn origin(exchange: &mut Exchange, bound: &mut Bound) -> Answer {
    let (origin, entered) = Passage::of_pool(bound.pool).enter(exchange).await;
    let answer = match entered {
        Break(answer) => answer,
        Continue(()) => match forward::forward(exchange, bound).await {
            Ok(answer) => intercept::intercept(exchange, bound.key, answer),
            Err(unserved) => match fallback::find(exchange, bound, unserved) {
                Break(answer) => answer,
                Continue(()) => Box::pin(self::origin(exchange, bound)).await,
            },
        },
    };
    origin.leave(exchange, answer).await
}

impl Future for Serving {
    type Output = http::Response<Outgoing>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Done(response) => response.take().map_or(Poll::Pending, Poll::Ready),
            Self::Going(going) => going.as_mut().poll(context),
        }
    }
}

fn either(flow: ControlFlow<Answer, Answer>) -> Answer {
    match flow {
        Break(answer) | Continue(answer) => answer,
    }
}
