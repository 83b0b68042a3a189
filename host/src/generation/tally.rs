//! What a cache did so far, counted by many threads at once.
//!
//! Each thread counts in a place of its own, so that a count costs no thread's cache line another one's; who reads adds them up.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a cache did for a request, as `Cache-Status` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered from what is stored, fresh.
    Hit,
    /// It was answered from what is stored, though that was stale.
    Stale,
    /// It was answered from what is stored after the origin confirmed it.
    Revalidated,
    /// It was answered with what another request was fetching.
    Collapsed,
    /// It was answered by the origin.
    Miss,
    /// It was answered by the origin, because the cache was not to be used for it.
    Bypass,
    /// It wanted what is stored or nothing, and there was nothing (504).
    Unavailable,
}

/// What a cache did so far.
#[derive(Debug)]
pub struct Tally {
    shards: Box<[Shard]>,
}

/// What was counted, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Requests that were answered, each once, by `Outcome`.
    requests: [u64; OUTCOMES],
    /// Bytes of content that left for their clients, by `Outcome`.
    bytes: [u64; OUTCOMES],
    /// Questions to the origin behind a client's back.
    pub refreshes: u64,
}

/// Two cache lines: processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    requests: [AtomicU64; OUTCOMES],
    bytes: [AtomicU64; OUTCOMES],
    refreshes: AtomicU64,
}

const OUTCOMES: usize = Outcome::ALL.len();

/// As many as most machines have workers; two of them that share one only cost each other time.
const SHARDS: usize = 64;

impl Outcome {
    /// All there are, in the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::Hit, Self::Stale, Self::Revalidated, Self::Collapsed, Self::Miss, Self::Bypass, Self::Unavailable];

    /// In a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Collapsed => "collapsed",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether the content came out of the cache, and not from the origin for this request.
    #[must_use]
    pub const fn is_of_cache(self) -> bool {
        match self {
            Self::Hit | Self::Stale | Self::Revalidated | Self::Collapsed => true,
            Self::Miss | Self::Bypass | Self::Unavailable => false,
        }
    }
}

impl Tally {
    /// One more request on a thread (`Thread::number`), and what left of its content.
    pub fn count(&self, thread: usize, outcome: Outcome, bytes: u64) {
        let Some(shard) = self.shard(thread) else { return };
        add(shard.requests.get(outcome as usize), 1);
        add(shard.bytes.get(outcome as usize), bytes);
    }

    /// One more question to the origin that no client waits for.
    pub fn refresh(&self, thread: usize) {
        add(self.shard(thread).map(|shard| &shard.refreshes), 1);
    }

    /// Everything so far. What is counted meanwhile may be in it or not.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let mut sum = Counted::default();
        for shard in &self.shards {
            let requests = sum.requests.iter_mut().zip(&shard.requests);
            let bytes = sum.bytes.iter_mut().zip(&shard.bytes);
            for (sum, one) in requests.chain(bytes).chain([(&mut sum.refreshes, &shard.refreshes)]) {
                *sum += one.load(Ordering::Relaxed);
            }
        }
        sum
    }

    fn shard(&self, thread: usize) -> Option<&Shard> {
        self.shards.get(thread % SHARDS)
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect() }
    }
}

impl Counted {
    /// Requests with that outcome.
    #[must_use]
    pub fn requests(&self, outcome: Outcome) -> u64 {
        self.requests.get(outcome as usize).copied().unwrap_or(0)
    }

    /// Bytes of content for them.
    #[must_use]
    pub fn bytes(&self, outcome: Outcome) -> u64 {
        self.bytes.get(outcome as usize).copied().unwrap_or(0)
    }
}

fn add(counter: Option<&AtomicU64>, more: u64) {
    if let Some(counter) = counter.filter(|_| more > 0) {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_stand_at_their_numbers() {
        for (number, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, number, "{outcome:?}");
        }
    }

    #[test]
    fn what_all_threads_counted_is_added_up() {
        let tally = &Tally::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    let thread = thread * SHARDS / 2;
                    for outcome in Outcome::ALL {
                        (0..=outcome as u64).for_each(|nth| tally.count(thread, outcome, 10 * nth));
                    }
                    tally.refresh(thread);
                });
            }
        });
        let counted = tally.counted();
        for outcome in Outcome::ALL {
            assert_eq!(counted.requests(outcome), 4 * (outcome as u64 + 1), "{outcome:?}");
            let nth = outcome as u64;
            assert_eq!(counted.bytes(outcome), 40 * (0..=nth).sum::<u64>(), "{outcome:?}");
        }
        assert_eq!(counted.refreshes, 4);
    }
}
