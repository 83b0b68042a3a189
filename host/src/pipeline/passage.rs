//! An exchange's way through a chain: in on the request side, out on the response side, past the same filters.

use std::ops::ControlFlow::{self, Break, Continue};

use super::{Answer, Exchange, files};
use crate::body::Body;
use crate::chain::{Chain, Step};
use crate::clock::Duration;
use crate::failure::Kind;
use crate::generation::{Generation, RouteKey};
use crate::message::{ResponseHead, accel};
use crate::wasm::Content;

/// A way through a chain.
pub(super) struct Passage {
    which: Which,
    /// Filters that saw the request and will see the answer.
    passed: usize,
}

/// Whose chain it is.
#[derive(Clone, Copy)]
pub(super) enum Which {
    Route(RouteKey),
    Pool(usize),
}

impl Passage {
    /// Through a route's chain, if it has one.
    pub(super) const fn of_route(key: RouteKey) -> Self {
        Self { which: Which::Route(key), passed: 0 }
    }

    /// Through a pool's chain, if it has one.
    pub(super) const fn of_pool(pool: usize) -> Self {
        Self { which: Which::Pool(pool), passed: 0 }
    }

    /// The request side. A filter may answer.
    pub(super) async fn enter(mut self, exchange: &mut Exchange) -> (Self, ControlFlow<Answer, ()>) {
        let local = exchange.local.clone();
        let Some(chain) = self.which.chain(&local.generation) else { return (self, Continue(())) };
        exchange.kept.get_or_insert_with(|| local.instances.exchange(exchange.facts.id));
        // Boxed: an exchange without filters need not carry the room for their calls.
        let called = Box::pin(chain.request(&local.instances, &mut exchange.facts, &mut exchange.spent));
        let (passed, step) = called.await;
        self.passed = passed;
        if passed > 0 && chain.wants_done() {
            exchange.done.push((self.which, passed));
        }
        let flow = match step {
            Ok(Step::Next) => Continue(()),
            Ok(Step::Answer(head, content)) => Break(answered(exchange, head, content).await),
            Err(failure) => Answer::broken(exchange, failure),
        };
        (self, flow)
    }

    /// The response side: the filters that were passed, backwards. A filter may put its own answer in the place of this one.
    pub(super) async fn leave(self, exchange: &mut Exchange, mut answer: Answer) -> Answer {
        if self.passed == 0 {
            return answer;
        }
        let local = exchange.local.clone();
        let Some(chain) = self.which.chain(&local.generation) else { return answer };
        let mut left = self.passed;
        while left > 0 {
            let Answer { head, body, upstream, said } = answer;
            exchange.facts.response = Some(head);
            let (facts, spent) = (&mut exchange.facts, &mut exchange.spent);
            let (before, step) = Box::pin(chain.response(&local.instances, facts, left, spent)).await;
            let head = exchange.facts.response.take();
            answer = match (step, head) {
                (Ok(Step::Next), Some(mut head)) => {
                    accel::forget(&mut head.fields);
                    Answer { head, body, upstream, said }
                }
                (Ok(Step::Next), None) => Answer::of(exchange, &Kind::Internal.into()),
                (Ok(Step::Answer(head, content)), _) => {
                    give_up(body);
                    exchange.outcome = None;
                    answered(exchange, head, content).await
                }
                (Err(failure), _) => {
                    give_up(body);
                    exchange.outcome = None;
                    Answer::of(exchange, &failure)
                }
            };
            left = before;
        }
        answer
    }
}

impl Which {
    pub(super) fn chain(self, generation: &Generation) -> Option<&Chain> {
        match self {
            Which::Route(key) => generation.route_chain(key),
            Which::Pool(pool) => generation.pool_chain(pool),
        }
    }
}

/// What a filter answered, put together. What leads elsewhere is an upstream's to say: a filter names files in its own way.
async fn answered(exchange: &mut Exchange, mut head: ResponseHead, content: Content) -> Answer {
    accel::forget(&mut head.fields);
    match content {
        Content::Bytes(bytes) => Answer::made(head, bytes),
        Content::File { root, path } => Box::pin(files::of_filter(exchange, root, &path, head)).await,
    }
}

/// A body nobody will read is read to its end, within bounds, so that its connection can be used again.
pub(super) fn give_up(mut body: Body) {
    /// More than error pages have; beyond it a new connection costs less.
    const MOST: u64 = 64 << 10;
    /// What is this short is there as soon as its head is, but for a round trip or two. Each byte may be slower than this.
    const LONGEST: Duration = Duration::from_secs(2);
    let hint = http_body::Body::size_hint(&body);
    if body.is_over() || hint.lower() > MOST {
        return;
    }
    tokio::task::spawn_local(tokio::time::timeout(LONGEST, async move {
        let mut read = 0;
        while let Some(Ok(frame)) =
            std::future::poll_fn(|context| http_body::Body::poll_frame(std::pin::Pin::new(&mut body), context)).await
        {
            read += frame.data_ref().map_or(0, |data| data.len() as u64);
            if read > MOST {
                return;
            }
        }
    }));
}
