//! What is known of caches at one moment, gathered beside the control thread: counting takes locks and tidies up.

use std::sync::Arc;

use crate::generation::{Cache, Counted, Current};
use crate::shelf::Count;

/// One cache.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) name: Arc<str>,
    pub(super) memory: Option<Shelf>,
    pub(super) disk: Option<Shelf>,
    /// Whether everything that an earlier run left on the disk can be found.
    pub(super) is_complete: bool,
    /// Answers that are being fetched for whoever wants them.
    pub(super) flights: u64,
    pub(super) counted: Counted,
}

/// What a cache has of one kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shelf {
    pub(super) count: Count,
    /// Bytes that it may have.
    pub(super) capacity: u64,
}

/// All caches of the current generation, in the plan's order.
pub(super) async fn survey(current: &Arc<Current>) -> Vec<Seen> {
    let generation = current.load();
    let look = move || generation.caches().map(|(cache, plan)| look(plan.name.clone(), cache)).collect();
    // It ends early only if it panics, which the runtime logs; then nothing is known.
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

fn look(name: Arc<str>, cache: &Cache) -> Seen {
    let store = &cache.store;
    let (counts, (memory, disk)) = (store.shelf.counts(), store.capacities());
    Seen {
        name,
        memory: memory.map(|capacity| Shelf { count: counts.memory, capacity }),
        disk: disk.map(|capacity| Shelf { count: counts.disk, capacity }),
        is_complete: store.shelf.is_complete(),
        flights: counts.flights,
        counted: store.tally.counted(),
    }
}

impl Seen {
    /// Its shelves, with what they are called.
    pub(super) fn shelves(&self) -> impl Iterator<Item = (&'static str, &Shelf)> {
        [("memory", &self.memory), ("disk", &self.disk)]
            .into_iter()
            .filter_map(|(name, shelf)| Some((name, shelf.as_ref()?)))
    }
}
