//! The life of one exchange, phase by phase. The only room that knows the order.
//!
//! Each phase takes what the phase before made and goes on with its own, or breaks off with an answer. What a filter was
//! shown on the way in, it is shown on the way out, whoever made the answer.

mod answer;
mod arrive;
mod attempt;
mod exchange;
mod fallback;
mod finish;
mod forward;
mod https;
mod intercept;
mod limited;
mod passage;
mod route;
#[cfg(test)]
mod tests;
mod tunnel;

use std::ops::ControlFlow::{self, Break, Continue};

pub use self::answer::Answer;
pub use self::arrive::{Arrived, Client, Interim, request_id};
use self::exchange::Exchange;
pub use self::exchange::refused;
pub use self::finish::Outgoing;
use self::passage::Passage;
use self::route::{Bound, Routed};
pub use self::tunnel::Tunnel;

/// Serves one exchange. Dropping the future gives it up; it is logged either way.
pub async fn serve(arrived: Arrived) -> http::Response<Outgoing> {
    let (mut exchange, request) = arrived.begin();
    let answer = either(live(&mut exchange, request).await);
    finish::finish(exchange, answer)
}

async fn live(exchange: &mut Exchange, request: arrive::Request) -> ControlFlow<Answer, Answer> {
    let asked = arrive::check(exchange, request)?;
    let routed = route::choose(exchange, asked)?;
    let (edge, entered) = Passage::of_route(routed.key).enter(exchange).await;
    let answer = match entered {
        Break(answer) => answer,
        Continue(()) => either(act(exchange, routed).await),
    };
    Continue(edge.leave(exchange, answer).await)
}

/// What the route says, between its chain's two sides.
async fn act(exchange: &mut Exchange, routed: Routed) -> ControlFlow<Answer, Answer> {
    let bound = route::act(exchange, routed)?;
    Continue(origin(exchange, bound).await)
}

/// To the bound pool, between its chain's two sides; to its fallback when nobody there can serve.
async fn origin(exchange: &mut Exchange, bound: Bound) -> Answer {
    let (origin, entered) = Passage::of_pool(bound.pool).enter(exchange).await;
    let answer = match entered {
        Break(answer) => answer,
        Continue(()) => match forward::forward(exchange, &bound).await {
            Ok(answer) => intercept::intercept(exchange, bound.key, answer),
            Err(unserved) => match fallback::find(exchange, bound, unserved) {
                Break(answer) => answer,
                Continue(bound) => Box::pin(self::origin(exchange, bound)).await,
            },
        },
    };
    origin.leave(exchange, answer).await
}

fn either(flow: ControlFlow<Answer, Answer>) -> Answer {
    match flow {
        Break(answer) | Continue(answer) => answer,
    }
}
