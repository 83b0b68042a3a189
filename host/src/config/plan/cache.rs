//! The part of the plan that is about caches: what is kept of answers, for whom, how long and where.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{FieldMatch, Network, QueryMatch, Test};
use crate::config::Place;
use crate::message::Name;

/// A cache: `[cache.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Its name; what it holds goes on over reloads by it.
    pub name: Arc<str>,
    /// How long what says nothing of its lifetime is fresh; `None`: it is not, unless it can be guessed.
    pub default_ttl: Option<Duration>,
    /// No stated lifetime is shorter.
    pub min_ttl: Duration,
    /// No lifetime is longer.
    pub max_ttl: Option<Duration>,
    /// Lifetimes of single statuses that say nothing of theirs, and of classes of them by their first digit.
    pub status_ttl: Vec<(u16, Duration)>,
    /// Thousandths of the time since `Last-Modified` that a guessed lifetime is.
    pub last_modified_factor: u32,
    /// No guessed lifetime is longer.
    pub last_modified_most: Duration,
    /// Statuses that are stored; `None` means all that may be.
    pub statuses: Option<Vec<u16>>,
    /// Answers to `QUERY` are stored, by what is in the request.
    pub query: bool,
    /// Requests do not decide: `no-cache` and the like are not heard.
    pub ignore_request: bool,
    /// Store what is `private`.
    pub store_private: bool,
    /// Store what says `no-store`.
    pub store_no_store: bool,
    /// Store what is stale when it comes.
    pub store_expired: bool,
    /// What `Set-Cookie` means.
    pub cookies: StoreCookies,
    /// Fields of answers that are taken off before anything is decided; clients do not get them either.
    pub ignore_fields: Vec<Name>,
    /// Fields that are not stored; who the answer was fetched for gets them.
    pub strip_fields: Vec<Name>,
    /// Fields that count before `Cache-Control`, in order (RFC 9213).
    pub targeted: Vec<Name>,
    /// `Surrogate-Control` counts behind these.
    pub surrogate_control: bool,
    /// `stale-while-revalidate` of what does not say it.
    pub stale_while_revalidate: Duration,
    /// `stale-if-error` of what does not say it.
    pub stale_if_error: Duration,
    /// What answers are found by.
    pub key: CacheKey,
    /// So many requests for something before it is stored.
    pub min_uses: u32,
    /// No longer content is stored.
    pub max_object: u64,
    /// Bytes in memory; zero means that nothing is kept there.
    pub memory: u64,
    /// Where it is kept on a disk, too.
    pub disk: Option<CacheDisk>,
    /// Who wants a part of what is not stored has all of it fetched.
    pub ranges_whole: bool,
    /// Who asks whether it has what is not stored has it fetched.
    pub conditions_whole: bool,
    /// How long requests wait for one that fetches the same, before another one does; zero means that nobody waits.
    pub lock_timeout: Duration,
    /// How long it is remembered that something could not be stored, so that nobody waits for it.
    pub uncacheable_ttl: Duration,
    /// Who may forget things by `PURGE`; empty means that the method is nothing special.
    pub purge: Vec<Network>,
    /// Say `Cache-Status`.
    pub cache_status: bool,
    /// Say `X-Cache`.
    pub x_cache: bool,
    /// Where it was written.
    pub place: Place,
}

/// What is kept on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheDisk {
    /// Its directory; absolute.
    pub path: PathBuf,
    /// Bytes there at most.
    pub size: u64,
    /// Files are on the disk itself before they count.
    pub sync: bool,
    /// Where its path was written.
    pub place: Place,
}

/// What answers are found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheKey {
    /// `http` and `https` are different things.
    pub scheme: bool,
    /// Hosts are.
    pub host: bool,
    /// Parameters that count.
    pub query: CacheQuery,
    /// Parameters in another order are the same.
    pub sort_query: bool,
    /// Names of session identifiers, in the path (`;NAME=..`) and the query, that do not count.
    pub session_ids: Vec<String>,
    /// Fields of the request that count.
    pub fields: Vec<Name>,
    /// Cookies that count.
    pub cookies: Vec<String>,
    /// Variables that filters set and that count.
    pub variables: Vec<String>,
}

/// Which parameters of the query count. A name that ends with `*` stands for all that begin so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheQuery {
    /// All.
    Whole,
    /// None.
    Nothing,
    /// These.
    Only(Vec<String>),
    /// All but these.
    Without(Vec<String>),
}

/// What `Set-Cookie` means for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreCookies {
    /// It is not stored.
    Never,
    /// It is stored if it states how long.
    Stated,
    /// Nothing.
    Always,
}

/// Which requests a route's cache treats otherwise: those of which any of these holds.
#[derive(Debug, Clone, Default)]
pub struct CacheWhen {
    /// On header fields.
    pub fields: Vec<FieldMatch>,
    /// On cookies.
    pub cookies: Vec<CookieMatch>,
    /// On the query.
    pub query: Vec<QueryMatch>,
}

/// A condition on a cookie.
#[derive(Debug, Clone)]
pub struct CookieMatch {
    /// Which.
    pub name: String,
    /// What of it.
    pub test: Test,
}

impl CacheWhen {
    /// Whether it is about none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.cookies.is_empty() && self.query.is_empty()
    }
}
