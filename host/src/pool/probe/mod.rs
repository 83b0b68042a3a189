//! Active checks of members, and dialling members in error to see whether they are back.
//!
//! Everything here runs on the control thread, one local task a member. What a check found is told to the member's judge;
//! what follows from it is not known here. A check goes on over reloads as long as what it does stays the same.

mod check;
mod fetch;
mod grpc;
mod rhythm;
mod same;
mod target;
#[cfg(test)]
mod tests;
mod watch;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Semaphore;

use self::watch::Watch;
use crate::clock::{Duration, Ticker};
use crate::config::Health;
use crate::message::Value;
use crate::upstream::Endpoint;

/// Who is told what was found about a member, and says what is to be found out.
pub(super) trait Judged: Send + Sync {
    /// Every check is told, passed or not, in order. Of re-probes only the one that got a connection is.
    fn judged(&self, outcome: &Outcome);

    /// What is to be done for the member at the moment; asked before everything that is done.
    fn wants(&self) -> Wanted;
}

/// What is to be done for a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing: the operator stopped it.
    Nothing,
    /// Its active checks, if it has any.
    Check,
    /// It is in error: its active checks, or a connection now and then when it has none.
    Reprobe,
}

/// What a check found.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    /// Whether the member passed.
    pub passed: bool,
    /// Why, for the operator: `status 503, expected 2xx 3xx`.
    pub detail: String,
    /// How long it took, waiting for its turn not included.
    pub took: Duration,
}

/// A member, as far as checks are concerned.
#[derive(Clone)]
pub(super) struct Subject {
    /// The name of its pool.
    pub pool: Arc<str>,
    /// Its name, unique in the pool.
    pub member: Arc<str>,
    /// Where it is, and how exchanges reach it.
    pub endpoint: Arc<Endpoint>,
    /// The `Host` it is asked for, unless its check names another.
    pub host: Value,
    /// Its active checks.
    pub health: Option<Arc<Health>>,
    /// How often it is dialled while it is in error, when it has no active checks; zero means never.
    pub reprobe: Duration,
    /// For a re-probe's connection to stand, TLS included.
    pub connect_timeout: Duration,
    /// Who is told.
    pub judge: Arc<dyn Judged>,
}

/// All checks of a gateway. They end when it is dropped.
pub(super) struct Probes {
    ticker: Rc<Ticker>,
    turns: Rc<Semaphore>,
    watches: RefCell<HashMap<Key, Watch>>,
}

/// Pool and member.
type Key = (Arc<str>, Arc<str>);

/// Checks in flight at once. Enough for thousands of members that answer, few enough that their sockets and handshakes
/// are no burst to anybody.
const TURNS: usize = 64;

impl Probes {
    /// No checks yet. To be called, like everything here, on the control thread, where `ticker` runs.
    #[must_use]
    pub(super) fn start(ticker: Rc<Ticker>) -> Self {
        Self { ticker, turns: Rc::new(Semaphore::new(TURNS)), watches: RefCell::default() }
    }

    /// Looks after these members from now on, and after no others. What a member that was there before is checked for goes
    /// on undisturbed when it is the same, and is told to its new judge; of a member that is gone nothing more is told.
    pub(super) fn attend(&self, subjects: Vec<Subject>) {
        let mut before = self.watches.take();
        let mut after = HashMap::with_capacity(subjects.len());
        let mut fresh = Vec::new();
        for subject in subjects.into_iter().filter(has_work) {
            let key = (subject.pool.clone(), subject.member.clone());
            match before.remove(&key) {
                Some(watch) if watch.goes_on_for(&subject) => {
                    watch.replace(subject);
                    after.insert(key, watch);
                }
                _ => fresh.push((key, subject)),
            }
        }
        let count = fresh.len();
        for (index, (key, subject)) in fresh.into_iter().enumerate() {
            let first = rhythm::first(&subject, index, count);
            after.insert(key, Watch::start(subject, first, self.ticker.clone(), self.turns.clone()));
        }
        self.watches.replace(after);
    }
}

fn has_work(subject: &Subject) -> bool {
    subject.health.is_some() || !subject.reprobe.is_zero()
}
