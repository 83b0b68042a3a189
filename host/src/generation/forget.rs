//! Forgetting what a cache holds, by an operator's order. `PURGE` and the operator's socket both come here.

use super::Cache;
use crate::cache::order::{Order, Scope};
use crate::shelf::{Purge, Purged, Target};

/// What became of an order.
#[must_use]
#[derive(Debug)]
pub struct Forgotten {
    /// Objects that were meant, those on both shelves counted twice.
    pub count: u64,
    purged: Vec<Purged>,
}

impl Cache {
    /// Forgets what an order means, also what is being written. It ends when that holds for everybody who asks. Dropped
    /// before its end, it is carried out all the same.
    pub async fn forget(&self, order: &Order) -> Forgotten {
        let purge = if order.is_soft { Purge::Soft } else { Purge::Hard };
        let purged: Vec<_> = self.targets(order).iter().map(|target| self.store.shelf.purge(target, purge)).collect();
        Forgotten { count: purged.iter().map(|purged| purged.count).sum(), purged }
    }

    fn targets(&self, order: &Order) -> Vec<Target> {
        let recipe = &self.knobs.key;
        match &order.scope {
            Scope::Url(url) => {
                let keys = url.keys(recipe).into_iter();
                // All of a URL that has more in its key stands behind a blank.
                keys.flat_map(|key| [Target::Prefix(format!("{key} ").into()), Target::Key(key.into())]).collect()
            }
            Scope::Prefix(url) => url.keys(recipe).into_iter().map(|key| Target::Prefix(key.into())).collect(),
            Scope::Tags(tags) => tags.iter().map(|tag| Target::Tag(tag.as_str().into())).collect(),
            Scope::All => vec![Target::All],
        }
    }
}

impl Forgotten {
    /// Ends when a restart would not bring anything of it back. Cancellation safe.
    pub async fn written(self) {
        for purged in self.purged {
            purged.written().await;
        }
    }
}
