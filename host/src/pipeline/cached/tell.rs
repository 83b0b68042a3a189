//! What is said of what the cache did: `Cache-Status` (RFC 9211), `X-Cache`, a variable for logs and filters.

use super::super::Exchange;
use super::words;
use crate::cache::status::{self, CacheStatus, Forward, Outcome};
use crate::config;
use crate::generation::Outcome as Counted;
use crate::message::{Fields, Name, Status, Value};

const X_CACHE: Name = Name::from_static("x-cache");

/// What the cache did for an answer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    /// Why the origin was asked; `None`: it was not.
    pub(super) forward: Option<Forward>,
    /// What it said, where that is not what the client gets.
    pub(super) status: Option<Status>,
    /// Its answer is kept.
    pub(super) is_stored: bool,
    /// It was asked for another request.
    pub(super) is_collapsed: bool,
    /// The answer is stale.
    pub(super) is_stale: bool,
    /// Seconds of freshness left.
    pub(super) ttl: Option<i64>,
    /// What else there is to say.
    pub(super) detail: Option<&'static str>,
}

impl Done {
    pub(super) fn forwarded(why: Forward) -> Self {
        Self { forward: Some(why), ..Self::default() }
    }

    /// Of who has waited, whether that was of use.
    fn outcome(self, has_waited: bool) -> Outcome {
        let collapsed = (self.is_collapsed || has_waited).then_some(self.is_collapsed);
        match self.forward {
            None => Outcome::Hit,
            Some(why) => Outcome::Forwarded { why, status: self.status, stored: self.is_stored, collapsed },
        }
    }

    /// As it is counted.
    fn counted(self) -> Counted {
        match (self.forward, self.status) {
            _ if self.is_stale => Counted::Stale,
            (None, _) => Counted::Hit,
            (Some(Forward::Bypass | Forward::Method), _) => Counted::Bypass,
            _ if self.is_collapsed => Counted::Collapsed,
            (Some(_), Some(Status::NOT_MODIFIED)) => Counted::Revalidated,
            (Some(_), _) => Counted::Miss,
        }
    }

    /// In a word.
    fn word(self) -> &'static str {
        match self.counted() {
            Counted::Collapsed => Counted::Miss.word(),
            counted => counted.word(),
        }
    }
}

/// Says it.
pub(super) fn tell(exchange: &mut Exchange, plan: &config::Cache, fields: &mut Fields, done: Done) {
    if plan.cache_status {
        let (cache, outcome) = (status::WEIR, done.outcome(exchange.has_waited));
        CacheStatus { cache, outcome, ttl: done.ttl, key: None, detail: done.detail }.append(fields);
    } else {
        status::leave_no_room(fields);
    }
    if plan.x_cache {
        let word = match done.word() {
            "hit" => "HIT",
            "stale" => "STALE",
            "bypass" => "BYPASS",
            "revalidated" => "REVALIDATED",
            _ => "MISS",
        };
        fields.set(X_CACHE, Value::from_static(word));
    }
    exchange.outcome = Some(done.counted());
    exchange.facts.variables.note(words::STATUS, done.word());
}
