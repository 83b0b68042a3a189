//! Forgetting what a cache holds, by an operator's order. `PURGE` and the operator's socket both come here.

use std::sync::Arc;

use super::Cache;
use crate::cache::order::{Among, Order, Search};
use crate::clock;
use crate::shelf::{Meant, Only, Purge, Purged, Target, Test};

/// What became of an order.
#[must_use]
#[derive(Debug)]
pub struct Forgotten {
    /// Objects that were meant, those on both shelves counted twice.
    pub count: u64,
    purged: Purged,
}

impl Cache {
    /// Forgets what an order means, also what is being written. It ends when that holds for everybody who asks. Dropped
    /// before its end, it is carried out all the same.
    pub async fn forget(&self, order: &Order) -> Forgotten {
        let purge = if order.is_soft { Purge::Soft } else { Purge::Hard };
        let mut purged = self.store.shelf.forget(meant(order.search(&self.knobs.key)), purge);
        Forgotten { count: purged.count().await, purged }
    }
}

impl Forgotten {
    /// Ends when a restart would not bring anything of it back. Cancellation safe.
    pub async fn written(self) {
        self.purged.written().await;
    }
}

/// As shelves understand it.
fn meant(search: Search) -> Meant {
    let of = |texts: &[String], target: fn(String) -> Target| texts.iter().cloned().map(target).collect();
    let targets = match &search.among {
        // What more a key has stands behind a blank.
        Among::Urls(urls) => of(urls, |url| Target::Stem(url.into())),
        Among::Prefixes(prefixes) => of(prefixes, |prefix| Target::Prefix(prefix.into())),
        Among::Tags(tags) => tags.iter().map(|tag| Target::Tag(tag.as_str().into())).collect(),
        Among::All => vec![Target::All],
    };
    // A time before all times is nobody's: what is older than that is nothing.
    let until = search.older_than.map(|age| clock::wall().checked_sub(age).unwrap_or(std::time::UNIX_EPOCH));
    let keys = search.keys.clone();
    let key: Option<Test<[u8]>> = (!keys.are_any()).then(|| Arc::new(move |key: &[u8]| keys.have(key)) as _);
    let is_any_kind = search.is_any_kind();
    let kind: Option<Test<str>> = (!is_any_kind).then(|| Arc::new(move |kind: &str| search.has_kind(kind)) as _);
    Meant { targets, only: Only { key, kind, until } }
}
