//! What of objects is in memory, by name: an ordered index of keys and tags, which is touched when something comes or goes,
//! never by hits.
//!
//! It does not know where an entry lies. Invariant: an entry that can be found is known here.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use moka::notification::RemovalCause;

use super::counters::Happened;
use super::object::Object;
use super::tags::Tags;
use super::target::{Meant, Target};
use super::walk::Budget;

/// The objects of a key, the one that came last in front.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) objects: Arc<[Object]>,
    pub(super) version: u64,
    pub(super) weight: u32,
}

/// What is there, by name.
#[derive(Debug, Default)]
pub(super) struct Known {
    keys: Mutex<Keys>,
    versions: AtomicU64,
    pub(super) happened: Happened,
}

#[derive(Debug, Default)]
pub(super) struct Keys {
    keys: BTreeMap<Bytes, Card>,
    tags: Tags<Bytes>,
}

#[derive(Debug)]
struct Card {
    version: u64,
    tags: Box<[u64]>,
}

impl Known {
    /// What is to stand in a table, known before it does: whoever leaves earlier has another version.
    pub(super) fn entry(&self, keys: &mut Keys, key: &Bytes, objects: impl Into<Arc<[Object]>>) -> Entry {
        let (objects, version) = (objects.into(), self.versions.fetch_add(1, Ordering::Relaxed));
        let tags: Vec<u64> = objects.iter().flat_map(|object| keys.tags.numbers(object.label())).collect();
        keys.remove(key);
        keys.tags.add(&tags, key);
        keys.keys.insert(key.clone(), Card { version, tags: tags.into() });
        Entry { weight: weigh(&objects), objects, version }
    }

    /// It stands in the table no more.
    pub(super) fn left(&self, key: &Bytes, entry: &Entry, cause: RemovalCause) {
        if cause.was_evicted() {
            self.happened.evictions.add(entry.objects.len() as u64);
        }
        let mut keys = self.keys();
        if keys.keys.get(key).is_some_and(|card| card.version == entry.version) {
            keys.remove(key);
        }
    }

    /// As long as this is held, nobody comes or goes.
    pub(super) fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    pub(super) fn remove(&mut self, key: &Bytes) {
        if let Some(card) = self.keys.remove(key) {
            self.tags.remove(&card.tags, key);
        }
    }

    /// Keys whose objects may be meant.
    pub(super) fn select(&self, meant: &Meant, at: usize, after: Option<Bytes>) -> (Vec<Bytes>, Option<Bytes>) {
        let (mut selected, mut budget) = (Vec::new(), Budget::of_a_piece());
        let Some(target) = meant.targets.get(at) else { return (selected, None) };
        for key in self.within(target, after.as_ref()) {
            if meant.only.lets_key(key) {
                selected.push(key.clone());
            }
            if !budget.spend(key) {
                return (selected, Some(key.clone()));
            }
        }
        (selected, None)
    }

    fn within<'a>(&'a self, target: &'a Target, after: Option<&'a Bytes>) -> Box<dyn Iterator<Item = &'a Bytes> + 'a> {
        if let Target::Tag(tag) = target {
            return Box::new(self.tags.members(tag, after));
        }
        let from = after.map_or(Bound::Included(target.first()), |after| Bound::Excluded(&**after));
        let keys = self.keys.range::<[u8], _>((from, Bound::Unbounded)).map(|(key, _)| key);
        Box::new(keys.take_while(|key| target.spans(key)))
    }
}

/// Bytes in memory.
pub(super) fn weigh(objects: &[Object]) -> u32 {
    u32::try_from(objects.iter().map(Object::weight).sum::<u64>()).unwrap_or(u32::MAX)
}
