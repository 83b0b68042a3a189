//! The filters of a route or pool, in order: request side down, response side up.
//!
//! A filter's changes are applied all at once after its call, or not at all. What a filter's failure means for the
//! exchange is decided here, by the filter's `on-failure`.

mod apply;

use self::apply::apply;
use crate::clock::{self, Duration};
use crate::config::OnFailure;
use crate::failure::{Blame, Failure};
use crate::message::{Facts, ResponseHead};
use crate::wasm::{CallFailure, Content, Filter, Instances, Side, Verdict};

/// Filters in order.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    links: Vec<Link>,
}

/// A filter in a chain.
#[derive(Debug, Clone)]
pub struct Link {
    /// Which.
    pub filter: Filter,
    /// What its failure means.
    pub on_failure: OnFailure,
}

/// What comes after a side of a chain.
#[derive(Debug)]
pub enum Step {
    /// The exchange goes on.
    Next,
    /// A filter answered.
    Answer(ResponseHead, Content),
}

/// What filters cost an exchange, summed over its chains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Time.
    pub time: Duration,
    /// Filters that failed and were passed over: what they would have said is not known.
    pub failures: u32,
}

impl Chain {
    /// A chain of these.
    #[must_use]
    pub const fn of(links: Vec<Link>) -> Self {
        Self { links }
    }

    /// Whether there is no filter.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// How many filters.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether a filter wants to know when an exchange is over.
    #[must_use]
    pub fn wants_done(&self) -> bool {
        self.links.iter().any(|link| link.filter.hooks().done)
    }

    /// The request side. The number is how many filters the request passed: `response` and `done` take it. A filter that
    /// answers itself is not among them, nor is one that failed closed. Cancellation safe: `facts` stay whole.
    pub async fn request(
        &self,
        instances: &Instances,
        facts: &mut Facts,
        spent: &mut Spent,
    ) -> (usize, Result<Step, Failure>) {
        for (passed, link) in self.links.iter().enumerate() {
            if !link.filter.hooks().request {
                continue;
            }
            let since = clock::now();
            let verdict = instances.request(&link.filter, facts).await;
            spent.time += clock::now().saturating_duration_since(since);
            match verdict {
                Ok(Verdict::Next) => {}
                Ok(Verdict::Edits(edits)) => apply(edits, Side::Request, facts),
                Ok(Verdict::Respond { status, fields, content }) => {
                    return (passed, Ok(Step::Answer(ResponseHead { status, fields }, content)));
                }
                Err(failure) => match link.failed(failure, spent) {
                    Ok(()) => {}
                    Err(failure) => return (passed, Err(failure)),
                },
            }
        }
        (self.links.len(), Ok(Step::Next))
    }

    /// The response side, backwards over the first `passed` filters; `facts.response` must be there. When a filter
    /// replaces the response, the number is how many filters before it have to see what it answered: whoever puts that
    /// together calls once more for them. After a failure nobody has to. Cancellation safe: `facts` stay whole.
    pub async fn response(
        &self,
        instances: &Instances,
        facts: &mut Facts,
        passed: usize,
        spent: &mut Spent,
    ) -> (usize, Result<Step, Failure>) {
        for (before, link) in self.links.iter().enumerate().take(passed).rev() {
            if !link.filter.hooks().response {
                continue;
            }
            let since = clock::now();
            let verdict = instances.response(&link.filter, facts).await;
            spent.time += clock::now().saturating_duration_since(since);
            match verdict {
                Ok(Verdict::Next) => {}
                Ok(Verdict::Edits(edits)) => apply(edits, Side::Response, facts),
                Ok(Verdict::Respond { status, fields, content }) => {
                    return (before, Ok(Step::Answer(ResponseHead { status, fields }, content)));
                }
                Err(failure) => match link.failed(failure, spent) {
                    Ok(()) => {}
                    Err(failure) => return (0, Err(failure)),
                },
            }
        }
        (0, Ok(Step::Next))
    }

    /// Tells the first `passed` filters that want to know that the exchange is over. What goes wrong is in the log only:
    /// there is nobody left to answer.
    pub async fn done(&self, instances: &Instances, facts: &mut Facts, passed: usize, spent: &mut Spent) {
        for link in self.links.iter().take(passed).filter(|link| link.filter.hooks().done) {
            let since = clock::now();
            let _ = instances.done(&link.filter, facts).await;
            spent.time += clock::now().saturating_duration_since(since);
        }
    }
}

impl Link {
    /// What a failure means; the room below has written it into the log.
    fn failed(&self, failure: CallFailure, spent: &mut Spent) -> Result<(), Failure> {
        debug_assert_eq!(failure.kind.blame(), Blame::Filter);
        match self.on_failure {
            OnFailure::Open => {
                spent.failures += 1;
                Ok(())
            }
            OnFailure::Closed => Err(failure.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::failure::Kind;
    use crate::wasm::tests::{NEXT, block_on, edit, engine, facts, module, plan};
    use crate::wasm::{Engine, Instances};

    /// A filter that traps at `/!` and otherwise sets `x-b` to `1`.
    fn setter(engine: &Engine) -> Filter {
        let data = r#"(data (i32.const 5000) "x-b") (data (i32.const 5016) "1")"#;
        let good = format!("{} {NEXT}", edit(3, 1));
        engine.load("setter", &module("unreachable", &good, data), &plan(config::Instances::Reuse), &[]).unwrap()
    }

    /// A filter that answers 204.
    fn answerer(engine: &Engine) -> Filter {
        let good = "(i32.store (i32.const 4096) (i32.const 2)) (i32.store16 (i32.const 4100) (i32.const 204)) (i32.const 4096)";
        engine.load("answerer", &module("nop", good, ""), &plan(config::Instances::Reuse), &[]).unwrap()
    }

    fn link(filter: &Filter, on_failure: OnFailure) -> Link {
        Link { filter: filter.clone(), on_failure }
    }

    #[test]
    fn edits_are_applied_and_an_answer_ends_the_way_down() {
        let engine = engine();
        let (setter, answerer) = (setter(&engine), answerer(&engine));
        let own = Instances::of(&engine);
        let chain = Chain::of(vec![
            link(&setter, OnFailure::Closed),
            link(&answerer, OnFailure::Closed),
            link(&setter, OnFailure::Closed),
        ]);
        block_on(async {
            let (mut facts, mut spent) = (facts("/"), Spent::default());
            let (passed, step) = chain.request(&own, &mut facts, &mut spent).await;
            assert_eq!(passed, 1, "only the first was passed");
            assert!(matches!(step, Ok(Step::Answer(head, _)) if head.status.as_u16() == 204));
            assert_eq!(facts.request.fields.get("x-b").unwrap(), "1");
            assert!(spent.time > Duration::ZERO);
        });
    }

    #[test]
    fn on_failure_decides_what_a_trap_costs() {
        let engine = engine();
        let setter = setter(&engine);
        let own = Instances::of(&engine);
        block_on(async {
            for (on_failure, passed_all) in [(OnFailure::Open, true), (OnFailure::Closed, false)] {
                let chain = Chain::of(vec![link(&setter, on_failure)]);
                let (mut facts, mut spent) = (facts("/!"), Spent::default());
                let (passed, step) = chain.request(&own, &mut facts, &mut spent).await;
                assert_eq!((passed, spent.failures), (usize::from(passed_all), u32::from(passed_all)));
                match step {
                    Ok(step) => assert!(passed_all && matches!(step, Step::Next)),
                    Err(failure) => assert!(!passed_all && failure.kind == Kind::FilterTrap, "{failure}"),
                }
                assert!(!facts.request.fields.contains("x-b"), "untouched");
            }
        });
    }
}
