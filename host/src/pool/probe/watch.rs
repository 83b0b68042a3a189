//! One member being looked after: when its turn comes, what is wanted then, who is told, what the operator reads.
//!
//! A watch is one local task, so there are never two checks of one member at once. It ends by being dropped, in the middle
//! of a check if need be.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Sleep, sleep};

use super::check::{check, connect};
use super::rhythm::{self, CHANCE};
use super::target::target;
use super::{Outcome, Subject, Wanted, same};
use crate::clock::{Duration, Ticker};
use crate::config::Health;
use crate::upstream::Endpoint;

/// The task that looks after a member.
pub(super) struct Watch {
    subject: Rc<RefCell<Subject>>,
    task: AbortHandle,
}

/// What the task has.
struct Round {
    subject: Rc<RefCell<Subject>>,
    target: Arc<Endpoint>,
    ticker: Rc<Ticker>,
    turns: Rc<Semaphore>,
    before: Option<bool>,
}

/// What an operator should know about an outcome.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Back,
    Lost,
    None,
}

impl Watch {
    /// Begins after `first`, and takes a turn for everything it does.
    pub(super) fn start(subject: Subject, first: Duration, ticker: Rc<Ticker>, turns: Rc<Semaphore>) -> Self {
        let health = subject.health.clone();
        let target = target(&subject.endpoint, health.as_deref());
        let subject = Rc::new(RefCell::new(subject));
        let round = Round { subject: subject.clone(), target, ticker, turns, before: None };
        let task = tokio::task::spawn_local(async move {
            sleep(first).await;
            match health {
                Some(health) => round.checks(&health).await,
                None => round.reprobes().await,
            }
        });
        Self { subject, task: task.abort_handle() }
    }

    /// Whether the same is to be done for this subject as before.
    pub(super) fn goes_on_for(&self, subject: &Subject) -> bool {
        let mine = self.subject.borrow();
        let is_same = match (&mine.health, &subject.health) {
            (Some(mine), Some(health)) => same::health(mine, health),
            (None, None) => mine.reprobe == subject.reprobe,
            (Some(_), None) | (None, Some(_)) => false,
        };
        is_same && Arc::ptr_eq(&mine.endpoint, &subject.endpoint)
    }

    /// Takes another judge, and whatever else may differ without the check beginning anew.
    pub(super) fn replace(&self, subject: Subject) {
        self.subject.replace(subject);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Round {
    async fn checks(mut self, health: &Health) {
        loop {
            if self.wanted() == Wanted::Nothing {
                sleep(rhythm::glance(health.interval)).await;
                continue;
            }
            let turns = self.turns.clone();
            let turn = turns.acquire().await;
            let next = beat(health.interval);
            let host = self.subject.borrow().host.clone();
            let outcome = check(&self.target, host, health, &self.ticker).await;
            drop(turn);
            if let Some(outcome) = outcome {
                self.tell(&outcome);
            }
            next.await;
        }
    }

    /// A member is left alone for a whole interval after its error was seen: what broke it a moment ago is still there.
    async fn reprobes(mut self) {
        loop {
            let (interval, timeout) = {
                let subject = self.subject.borrow();
                (subject.reprobe, subject.connect_timeout)
            };
            if self.wanted() != Wanted::Reprobe {
                self.before = Some(false);
                sleep(rhythm::glance(interval)).await;
                continue;
            }
            beat(interval).await;
            if self.wanted() != Wanted::Reprobe {
                continue;
            }
            let turns = self.turns.clone();
            let turn = turns.acquire().await;
            let outcome = connect(&self.target, timeout, &self.ticker).await;
            drop(turn);
            match outcome {
                Some(outcome) if outcome.passed => self.tell(&outcome),
                Some(outcome) => self.log(&outcome),
                None => {}
            }
        }
    }

    fn wanted(&self) -> Wanted {
        let judge = self.subject.borrow().judge.clone();
        judge.wants()
    }

    fn tell(&mut self, outcome: &Outcome) {
        self.log(outcome);
        let judge = self.subject.borrow().judge.clone();
        judge.judged(outcome);
    }

    fn log(&mut self, outcome: &Outcome) {
        let subject = self.subject.borrow();
        let (pool, member) = (&*subject.pool, &*subject.member);
        let Outcome { passed, detail, took } = outcome;
        match News::of(self.before.replace(*passed), *passed) {
            News::Back => tracing::info!(pool, member, detail, ?took, "the member passes its check again"),
            News::Lost => tracing::warn!(pool, member, detail, ?took, "the member fails its check"),
            News::None => tracing::debug!(pool, member, detail, ?took, passed, "checked"),
        }
    }
}

impl News {
    /// A change is worth an operator's eye, the same again is not. That the first check passes is no change.
    const fn of(before: Option<bool>, passed: bool) -> Self {
        match (before, passed) {
            (Some(false), true) => News::Back,
            (None | Some(true), false) => News::Lost,
            (None | Some(true), true) | (Some(false), false) => News::None,
        }
    }
}

/// Runs from the moment it is called, not from when it is first awaited.
fn beat(interval: Duration) -> Sleep {
    sleep(rhythm::beat(interval, fastrand::u32(0..=CHANCE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_news() {
        for (before, passed, news) in [
            (None, true, News::None),
            (None, false, News::Lost),
            (Some(true), true, News::None),
            (Some(true), false, News::Lost),
            (Some(false), true, News::Back),
            (Some(false), false, News::None),
        ] {
            assert_eq!(News::of(before, passed), news, "{before:?} {passed}");
        }
    }
}
