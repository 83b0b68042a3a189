//! The tables of the shelf in memory: one, or two while it becomes another size.
//!
//! A table keeps the size that it was made with. So another size is another table, which is filled from the one before, key
//! by key, while both are used. Invariant: what is known of a key is in one of them, and whoever changes it has it in the
//! later one: nothing that was forgotten there is found in the other one.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use moka::ops::compute::Op;
use moka::sync::Cache;

use super::known::{Entry, Known};
use super::object::Object;

/// The tables.
#[derive(Debug)]
pub(super) struct Tables {
    pair: ArcSwap<Pair>,
    known: Arc<Known>,
}

#[derive(Debug)]
struct Pair {
    now: Table,
    /// What was not carried over yet.
    before: Option<Table>,
}

type Table = Cache<Bytes, Entry>;

impl Tables {
    /// One table of so many bytes.
    pub(super) fn of(capacity: u64, known: Arc<Known>) -> Self {
        let pair = ArcSwap::from_pointee(Pair { now: table(capacity, &known), before: None });
        Self { pair, known }
    }

    /// What there is of a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<Entry> {
        let pair = self.pair.load();
        pair.now.get(key).or_else(|| {
            pair.before.as_ref()?.get(key).or_else(|| {
                // What is carried over at this instant is in neither.
                self.compute(&Bytes::copy_from_slice(key), |_| None);
                self.pair.load().now.get(key)
            })
        })
    }

    /// Changes the objects of a key, one change after the other and none beside a look at what is known; `None` changes
    /// nothing. What was in the table before is in the later one afterwards.
    pub(super) fn compute(&self, key: &Bytes, change: impl FnOnce(&[Object]) -> Option<Vec<Object>>) {
        let mut change = Some(change);
        while change.is_some() {
            let pair = self.pair.load_full();
            pair.now.entry(key.clone()).and_compute_with(|held| {
                let carried = pair.before.as_ref().and_then(|before| self.take(before, key));
                let mut keys = self.known.keys();
                // As long as somebody carries something over, nobody can be through with that.
                let is_current = carried.is_some() || Arc::ptr_eq(&pair, &*self.pair.load());
                let Some(change) = change.take_if(|_| is_current) else { return Op::Nop };
                let held = held.map(moka::Entry::into_value);
                match change(held.as_ref().or(carried.as_ref()).map_or(&[], |held| &held.objects)) {
                    None => carried.map_or(Op::Nop, Op::Put),
                    // Its leaving takes it out of what is known; what is in neither table does not leave.
                    Some(objects) if objects.is_empty() && held.is_some() => Op::Remove,
                    Some(objects) if objects.is_empty() => {
                        keys.remove(key);
                        Op::Nop
                    }
                    Some(objects) => Op::Put(self.known.entry(&mut keys, key, objects)),
                }
            });
        }
    }

    /// Out of a table, without anybody missing it among what is known.
    fn take(&self, before: &Table, key: &Bytes) -> Option<Entry> {
        let mut taken = None;
        before.entry(key.clone()).and_compute_with(|held| match held {
            None => Op::Nop,
            Some(held) => {
                let objects = held.into_value().objects;
                // Its leaving has another version then.
                taken = Some(self.known.entry(&mut self.known.keys(), key, objects));
                Op::Remove
            }
        });
        taken
    }

    /// Begins a table of this size, unless it has it already. Whether what is there has to be carried over now; as long as
    /// somebody does that already he is to ask when he is through.
    pub(super) fn begin(&self, capacity: u64) -> bool {
        let _nobody_changes = self.known.keys();
        self.pair.load().before.is_none() && self.turn(capacity)
    }

    /// Everything was carried over. Whether that has to be done again, for a table of this size.
    pub(super) fn end(&self, capacity: u64) -> bool {
        let _nobody_changes = self.known.keys();
        self.turn(capacity)
    }

    fn turn(&self, capacity: u64) -> bool {
        let now = self.pair.load().now.clone();
        let is_other = bound(&now) != capacity.max(1);
        let pair = if is_other {
            Pair { now: table(capacity, &self.known), before: Some(now) }
        } else {
            Pair { now, before: None }
        };
        self.pair.store(Arc::new(pair));
        is_other
    }

    /// Whether so much more keeps both together within the larger one's size.
    pub(super) fn have_room(&self, weight: u64) -> bool {
        let pair = self.pair.load();
        let Some(before) = &pair.before else { return true };
        let held = pair.now.weighted_size() + before.weighted_size();
        held.saturating_add(weight) <= bound(&pair.now).max(bound(before))
    }

    #[cfg(test)]
    pub(super) fn are_settled(&self) -> bool {
        self.pair.load().before.is_none()
    }

    /// Does what moka has put off.
    pub(super) fn tidy(&self) {
        let pair = self.pair.load_full();
        pair.before.iter().chain([&pair.now]).for_each(Cache::run_pending_tasks);
    }

    /// How many keys there are, and what they weigh.
    pub(super) fn count(&self) -> (u64, u64) {
        self.tidy();
        let pair = self.pair.load();
        let tables = || pair.before.iter().chain([&pair.now]);
        (tables().map(Cache::entry_count).sum(), tables().map(Cache::weighted_size).sum())
    }
}

/// A table with room for nothing would not say what leaves it: one byte is less than anything takes.
fn table(capacity: u64, known: &Arc<Known>) -> Table {
    let known = known.clone();
    Cache::builder()
        .max_capacity(capacity.max(1))
        .weigher(|_: &Bytes, entry: &Entry| entry.weight)
        .eviction_listener(move |key, entry, cause| known.left(&key, &entry, cause))
        .build()
}

fn bound(table: &Table) -> u64 {
    table.policy().max_capacity().unwrap_or(u64::MAX)
}
