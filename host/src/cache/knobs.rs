//! What an operator can set about one cache. Its defaults are what RFC 9111 says, and no more.

use std::time::Duration;

use super::key::Recipe;
use crate::message::{Name, Status};

/// Settings of the rules; those of stores are elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knobs {
    /// How long what says nothing of its lifetime is fresh, and gives no reason to guess. `None`: it is not.
    pub default_ttl: Option<Duration>,
    /// The same for single statuses, which then may be stored without a word (also those that RFC 9110, section 15.1,
    /// does not let anybody guess about), or by their first digit for all others of a class.
    pub status_ttl: Vec<(u16, Duration)>,
    /// No lifetime is shorter, not even a stated one. What says `no-store`, `private` or `no-cache` has none.
    pub min_ttl: Duration,
    /// No lifetime is longer, not even a stated one.
    pub max_ttl: Option<Duration>,
    /// Which part of the time since `Last-Modified` a guess is (RFC 9111, section 4.2.2).
    pub heuristic: PerMille,
    /// No guess is longer.
    pub heuristic_cap: Duration,
    /// Store in spite of `private`. The operator says that all clients are one.
    pub store_private: bool,
    /// Store in spite of `no-store`, in responses and in requests.
    pub store_no_store: bool,
    /// Store what is stale when it comes and cannot be validated.
    pub store_expired: bool,
    /// Whether responses with `Set-Cookie` are stored.
    pub cookies: Cookies,
    /// Fields that are not stored, beside those that RFC 9111, section 3.1, excepts.
    pub strip: Vec<Name>,
    /// Do not let requests decide: their `no-cache`, `max-age`, `min-fresh`, `max-stale` and `no-store` are not heard.
    pub ignore_request: bool,
    /// `stale-while-revalidate` of responses that say nothing of it.
    pub stale_while_revalidate: Duration,
    /// `stale-if-error` of responses that say nothing of it.
    pub stale_if_error: Duration,
    /// Fields that count before `Cache-Control`, in order (RFC 9213, section 2.2).
    pub targets: Vec<Name>,
    /// Whether `Surrogate-Control` counts, behind the targets.
    pub surrogate: bool,
    /// Statuses that are stored; `None`: all that the RFC allows.
    pub statuses: Option<Vec<u16>>,
    /// Whether answers to `QUERY` are stored.
    pub query: bool,
    /// Whether an answer in the language that a client likes best is the answer for it, whatever else the client lists.
    pub languages: bool,
    /// What the key is made of.
    pub key: Recipe,
}

/// Thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerMille(pub u32);

/// What `Set-Cookie` does to a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookies {
    /// It is not stored.
    Never,
    /// It is stored if it states a lifetime that is longer than nothing: its author knew of caches.
    Stated,
    /// It is of no account.
    Always,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            default_ttl: None,
            status_ttl: Vec::new(),
            min_ttl: Duration::ZERO,
            max_ttl: None,
            // A tenth, as RFC 9111 suggests, and as mod_cache has it.
            heuristic: PerMille(100),
            // mod_cache's CacheMaxExpire; a guess for longer than a day is a bold one.
            heuristic_cap: Duration::from_secs(86_400),
            store_private: false,
            store_no_store: false,
            store_expired: false,
            cookies: Cookies::Stated,
            strip: Vec::new(),
            ignore_request: false,
            stale_while_revalidate: Duration::ZERO,
            // mod_cache's CacheStaleOnError is on, and RFC 9111, section 4.2.4, allows it to who cannot reach the origin.
            stale_if_error: Duration::from_secs(3600),
            targets: vec![Name::from_static("weir-cache-control"), Name::from_static("cdn-cache-control")],
            surrogate: true,
            statuses: None,
            query: false,
            languages: true,
            key: Recipe::default(),
        }
    }
}

impl Knobs {
    /// What the operator says of a status: of itself, or else of its class.
    #[must_use]
    pub(super) fn status_ttl(&self, status: Status) -> Option<Duration> {
        let of = |wanted: u16| self.status_ttl.iter().find(|(known, _)| *known == wanted).map(|(_, ttl)| *ttl);
        of(status.as_u16()).or_else(|| of(status.as_u16() / 100))
    }
}

impl PerMille {
    /// This part of a duration, in whole seconds.
    #[must_use]
    pub fn of(self, whole: Duration) -> Duration {
        Duration::from_secs(whole.as_secs().saturating_mul(u64::from(self.0)) / 1000)
    }
}
