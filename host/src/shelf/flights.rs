//! One flight per key: who is first fetches, the others wait for it or follow what it writes.
//!
//! Threads share it; whoever waits is woken on its own runtime. It knows nothing of what is fetched. Invariant: a flight
//! has one leader, and when that is gone without a word, the one who waits longest is the next.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::oneshot;

use super::bans::{Bans, Moment};
use super::follow::{Follow, Source};

/// All flights.
#[derive(Clone)]
pub struct Flights(Arc<Shared>);

/// How an exchange that found nothing goes on.
#[derive(Debug)]
pub enum Boarding {
    /// It fetches for all. It should look at the shelf once more: somebody may have been faster.
    Leader(Leader),
    /// Somebody fetches already.
    Waiter(Waiter),
    /// It fetches for itself: what was fetched last could not be stored, or too many wait.
    Alone,
}

/// How a wait ended.
#[derive(Debug)]
pub enum Landing {
    /// What was fetched is on the shelf.
    Stored,
    /// What was fetched is for nobody else.
    Uncacheable,
    /// It is being written, and can be read from its beginning.
    Follow(Follow),
    /// Its leader left: this one is the next.
    Leader(Leader),
    /// It took too long.
    TimedOut,
}

/// Who fetches. Dropped without a word, the next one does.
pub struct Leader {
    flights: Arc<Shared>,
    key: Bytes,
    number: u64,
    begun: Moment,
    is_over: bool,
}

/// Who waits.
pub struct Waiter {
    flights: Arc<Shared>,
    key: Bytes,
    seat: u64,
    landing: oneshot::Receiver<Landing>,
}

struct Shared {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// Until when a key is nobody's flight.
    /// By a keyed hash: keys are as long as clients like, and where two meet, one is not waited for.
    alone: Cache<u64, Instant>,
    remember: Duration,
    most: usize,
    bans: Arc<Bans>,
}

#[derive(Default)]
struct Shard {
    flights: HashMap<Bytes, Flight>,
    numbers: u64,
}

#[derive(Default)]
struct Flight {
    number: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Landing>>,
    written: Option<Source>,
}

/// More than there are processors as a rule, so that threads seldom meet.
const SHARDS: usize = 64;

impl Flights {
    /// At most `most` wait for one flight; for how long and for how many keys it is remembered that nothing can be stored.
    pub(super) fn of(most: usize, remember: Duration, remembered: u64, bans: Arc<Bans>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let alone = Cache::builder().max_capacity(remembered).eviction_policy(EvictionPolicy::lru()).build();
        Self(Arc::new(Shared { shards, hasher: RandomState::new(), alone, remember, most, bans }))
    }

    /// Boards the flight of a key.
    #[must_use]
    pub fn board(&self, key: &Bytes, now: Instant) -> Boarding {
        if self.0.alone.get(&self.0.hash(key)).is_some_and(|until| now < until) {
            return Boarding::Alone;
        }
        let mut shard = self.0.shard(key);
        shard.numbers += 1;
        let number = shard.numbers;
        let Some(flight) = shard.flights.get_mut(key) else {
            shard.flights.insert(key.clone(), Flight { number, ..Flight::default() });
            return Boarding::Leader(self.0.leader(key, number));
        };
        let (sender, landing) = oneshot::channel();
        match &flight.written {
            Some(written) => {
                let Some(follow) = written.follow() else { return Boarding::Alone };
                // It goes to our own receiver.
                let _ = sender.send(Landing::Follow(follow));
            }
            None if flight.waiting.len() >= self.0.most => return Boarding::Alone,
            None => {
                flight.waiting.insert(number, sender);
            }
        }
        Boarding::Waiter(Waiter { flights: self.0.clone(), key: key.clone(), seat: number, landing })
    }

    /// A flight of one's own, for whoever confirms what is stale while others use it. `None` if somebody does already.
    #[must_use]
    pub fn lead(&self, key: &Bytes) -> Option<Leader> {
        let mut shard = self.0.shard(key);
        if shard.flights.contains_key(key) {
            return None;
        }
        shard.numbers += 1;
        let number = shard.numbers;
        shard.flights.insert(key.clone(), Flight { number, ..Flight::default() });
        Some(self.0.leader(key, number))
    }

    /// Nothing of this key could be stored: from now on, for a while, nobody waits for anybody.
    pub fn remember(&self, key: &Bytes, now: Instant) {
        self.0.alone.insert(self.0.hash(key), now + self.0.remember);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        let count = |shard: &Mutex<Shard>| lock(shard).flights.len() as u64;
        self.0.shards.iter().map(count).sum()
    }
}

impl Leader {
    /// What was fetched is on the shelf: all look there.
    pub fn stored(mut self) {
        self.land(|| Landing::Stored);
    }

    /// What was fetched is for nobody else, and so will be what is fetched next: all go their own ways at once.
    pub fn uncacheable(mut self, now: Instant) {
        self.flights.alone.insert(self.flights.hash(&self.key), now + self.flights.remember);
        self.land(|| Landing::Uncacheable);
    }

    /// When it began to fetch: what is purged later means what it fetches.
    pub(super) fn begun(&self) -> Moment {
        self.begun
    }

    /// The same for this once: what is fetched next may well be stored.
    pub fn alone(mut self) {
        self.land(|| Landing::Uncacheable);
    }

    /// What is fetched is being written: who waits, and who comes until it is stored, can read it.
    pub(super) fn follow(&self, source: &Source) {
        let waiting = {
            let mut shard = self.flights.shard(&self.key);
            let Some(flight) = shard.own(&self.key, self.number) else { return };
            flight.written = Some(source.clone());
            std::mem::take(&mut flight.waiting)
        };
        for sender in waiting.into_values() {
            // Who does not wait any more needs nothing.
            let _ = sender.send(source.follow().map_or(Landing::Uncacheable, Landing::Follow));
        }
    }

    fn land(&mut self, landing: impl Fn() -> Landing) {
        self.is_over = true;
        let flight = {
            let mut shard = self.flights.shard(&self.key);
            shard.own(&self.key, self.number).is_some().then(|| shard.flights.remove(&self.key))
        };
        for sender in flight.flatten().into_iter().flat_map(|flight| flight.waiting.into_values()) {
            let _ = sender.send(landing());
        }
    }

    /// The next one, who begins anew.
    fn succeed(&self) {
        let mut shard = self.flights.shard(&self.key);
        shard.numbers += 1;
        let number = shard.numbers;
        let Some(flight) = shard.own(&self.key, self.number) else { return };
        flight.written = None;
        flight.number = number;
        let next = std::iter::from_fn(|| flight.waiting.pop_first()).find(|(_, sender)| !sender.is_closed());
        let Some((_, sender)) = next else {
            shard.flights.remove(&self.key);
            return;
        };
        drop(shard);
        // If it left just now, the leader in the message is dropped, and so is found the one after it.
        let _ = sender.send(Landing::Leader(self.flights.leader(&self.key, number)));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.is_over {
            self.succeed();
        }
    }
}

impl Waiter {
    /// Waits for so long at most. Dropped, it leaves its place.
    pub async fn wait(mut self, timeout: Duration) -> Landing {
        match tokio::time::timeout(timeout, &mut self.landing).await {
            Ok(landed) => landed.unwrap_or(Landing::Uncacheable),
            Err(_) => self.landing.try_recv().unwrap_or(Landing::TimedOut),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut shard = self.flights.shard(&self.key);
        let left = shard.flights.get_mut(&self.key).and_then(|flight| flight.waiting.remove(&self.seat));
        drop(shard);
        drop(left);
    }
}

impl Shared {
    fn leader(self: &Arc<Self>, key: &Bytes, number: u64) -> Leader {
        Leader { flights: self.clone(), key: key.clone(), number, begun: self.bans.moment(), is_over: false }
    }

    fn hash(&self, key: &Bytes) -> u64 {
        self.hasher.hash_one(key)
    }

    fn shard(&self, key: &Bytes) -> MutexGuard<'_, Shard> {
        let shards = self.shards.len() as u64;
        let at = usize::try_from(self.hash(key) % shards).unwrap_or(0);
        lock(self.shards.get(at).expect("the remainder is smaller than the number of shards"))
    }
}

impl Shard {
    fn own(&mut self, key: &Bytes, number: u64) -> Option<&mut Flight> {
        self.flights.get_mut(key).filter(|flight| flight.number == number)
    }
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

impl fmt::Debug for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader").field("key", &self.key).finish_non_exhaustive()
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("key", &self.key).finish_non_exhaustive()
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
