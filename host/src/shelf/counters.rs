//! What a shelf can say of itself.

use std::sync::atomic::{AtomicU64, Ordering};

/// Of one kind of shelf.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// In memory: keys with all their variants. On a disk: objects.
    pub objects: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Objects that came.
    pub stores: u64,
    /// Objects that left because others needed their room.
    pub evictions: u64,
    /// Objects that were forgotten, or became stale, because somebody said so.
    pub purged: u64,
    /// Objects that could not be written.
    pub failures: u64,
    /// Objects that could not be read, or were not what had been written.
    pub unread: u64,
}

/// Of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// In memory.
    pub memory: Count,
    /// On the disk.
    pub disk: Count,
    /// Answers that are being fetched for more than one exchange, or could be.
    pub flights: u64,
}

/// What has happened on a shelf so far.
#[derive(Debug, Default)]
pub(super) struct Happened {
    pub(super) stores: Counter,
    pub(super) evictions: Counter,
    pub(super) purged: Counter,
    pub(super) failures: Counter,
    pub(super) unread: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Happened {
    /// With what there is now.
    pub(super) fn count(&self, objects: u64, bytes: u64) -> Count {
        let Self { stores, evictions, purged, failures, unread } = self;
        let [stores, evictions, purged, failures, unread] =
            [stores, evictions, purged, failures, unread].map(|counter| counter.0.load(Ordering::Relaxed));
        Count { objects, bytes, stores, evictions, purged, failures, unread }
    }
}

impl Counter {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }
}
