//! Which generation new exchanges belong to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::Generation;

/// The generation that is current. Asking whether it changed reads one number that is written at reloads only.
pub struct Current {
    number: AtomicU64,
    generation: RwLock<Arc<Generation>>,
}

impl Current {
    /// Begins with a first generation.
    #[must_use]
    pub fn of(first: Arc<Generation>) -> Self {
        Self { number: AtomicU64::new(first.number), generation: RwLock::new(first) }
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// The generation itself.
    pub fn load(&self) -> Arc<Generation> {
        self.generation.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts the next one in its place.
    pub fn swap(&self, next: Arc<Generation>) {
        let number = next.number;
        next.caches().for_each(|(cache, plan)| cache.store.settle(plan));
        *self.generation.write().unwrap_or_else(PoisonError::into_inner) = next;
        self.number.store(number, Ordering::Release);
    }
}
