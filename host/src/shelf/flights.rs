//! One flight per key: who is first fetches, the others wait for it or follow what it writes.
//!
//! Threads share it; whoever waits is woken on its own runtime. It knows nothing of what is fetched. Invariants: as long as
//! somebody waits, somebody fetches: when a leader is gone without a word, the one who waits longest is the next, and beside
//! one that takes too long another one begins. What the first of them brings is for all.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::oneshot;

use super::bans::{Bans, Moment};
use super::flight::{Flight, Seat, Shard};
use super::follow::{Follow, Source};
use crate::clock;
use crate::failure::Failure;

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
    /// Its leader left, or takes too long: this one fetches for all who still wait.
    Leader(Leader),
    /// It cannot be had, and nobody needs to ask for it to know that.
    Failed(Failure),
    /// It cannot be had now: what is there stands in for it, where that may be.
    StandIn,
}

/// Who fetches. Dropped without a word, the next one does.
pub struct Leader {
    flights: Arc<Shared>,
    key: Bytes,
    number: u64,
    begun: Moment,
    /// What it turns out is remembered for others.
    is_heard: bool,
    is_over: bool,
}

/// Who waits.
pub struct Waiter {
    flights: Arc<Shared>,
    key: Bytes,
    seat: u64,
    pub(super) landing: oneshot::Receiver<Landing>,
}

struct Shared {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// Since when a key is nobody's flight.
    /// By a keyed hash: keys are as long as clients like, and where two meet, one is not waited for.
    alone: Cache<u64, Instant>,
    /// Milliseconds for how long that is.
    remember: AtomicU64,
    most: usize,
    bans: Arc<Bans>,
}

/// The number of no flight.
const NOBODYS: u64 = 0;

/// So many take the place of one whose answer was for itself alone, and each of them brings as many: a thousand have their
/// answers after four rounds, and an upstream that comes back meanwhile is asked by few.
const HEIRS: usize = 8;

/// More than there are processors as a rule, so that threads seldom meet.
const SHARDS: usize = 64;

impl Flights {
    /// At most `most` wait for one flight; for how long and for how many keys it is remembered that nothing can be stored.
    pub(super) fn of(most: usize, remember: Duration, remembered: u64, bans: Arc<Bans>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let alone = Cache::builder().max_capacity(remembered).eviction_policy(EvictionPolicy::lru()).build();
        let flights = Self(Arc::new(Shared {
            shards,
            hasher: RandomState::new(),
            alone,
            remember: AtomicU64::new(0),
            most,
            bans,
        }));
        flights.remember_for(remember);
        flights
    }

    /// For how long it is remembered that nothing can be stored, from now on and of what is remembered already.
    pub(super) fn remember_for(&self, remember: Duration) {
        let milliseconds = u64::try_from(remember.as_millis()).unwrap_or(u64::MAX);
        self.0.remember.store(milliseconds, Ordering::Relaxed);
    }

    /// Boards the flight of a key.
    #[must_use]
    pub fn board(&self, key: &Bytes, now: Instant) -> Boarding {
        if self.0.is_alone(key, now) {
            return Boarding::Alone;
        }
        let mut shard = self.0.shard(key);
        shard.numbers += 1;
        let number = shard.numbers;
        let Some(flight) = shard.flights.get_mut(key) else {
            shard.flights.insert(key.clone(), Flight::led(number, now));
            return Boarding::Leader(self.0.leader(key, number));
        };
        let (sender, landing) = oneshot::channel();
        match flight.written.as_ref().map(|(_, written)| written.follow()) {
            Some(Some(follow)) => {
                // It goes to our own receiver.
                let _ = sender.send(Landing::Follow(follow));
            }
            // It was purged since it was begun.
            Some(None) => {
                *flight = Flight::led(number, now);
                return Boarding::Leader(self.0.leader(key, number));
            }
            None if flight.waiting.len() >= self.0.most => return Boarding::Alone,
            None => {
                flight.waiting.insert(number, Seat { since: now, sender });
            }
        }
        Boarding::Waiter(Waiter { flights: self.0.clone(), key: key.clone(), seat: number, landing })
    }

    /// The same for who has no use for what is being written any more: it is nobody's flight from now on, and the first who
    /// comes fetches for all again.
    #[must_use]
    pub fn board_after(&self, old: &Follow, key: &Bytes, now: Instant) -> Boarding {
        let mut shard = self.0.shard(key);
        if let Some(flight) = shard.flights.get_mut(key)
            && let Some(&(writer, _)) = flight.written.as_ref().filter(|(_, written)| written.is_of(old))
        {
            flight.leave(writer);
            shard.tidy(key);
        }
        drop(shard);
        self.board(key, now)
    }

    /// A flight of one's own, for whoever confirms what is stale while others use it. `None` if somebody does already.
    #[must_use]
    pub fn lead(&self, key: &Bytes, now: Instant) -> Option<Leader> {
        let mut shard = self.0.shard(key);
        if shard.flights.contains_key(key) {
            return None;
        }
        shard.numbers += 1;
        let number = shard.numbers;
        shard.flights.insert(key.clone(), Flight::led(number, now));
        Some(self.0.leader(key, number))
    }

    /// For who fetches for itself and may store it: nobody waits for it, and what is purged from now on means what it
    /// fetches.
    #[must_use]
    pub fn alone(&self, key: &Bytes) -> Leader {
        let mut leader = self.0.leader(key, NOBODYS);
        leader.is_heard = false;
        leader
    }

    /// For who fetches what others could use, where nobody waits; `None` where it is known that nothing of it can be stored.
    #[must_use]
    pub fn aside(&self, key: &Bytes, now: Instant) -> Option<Leader> {
        (!self.0.is_alone(key, now)).then(|| self.0.leader(key, NOBODYS))
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
        if !self.is_heard {
            return self.alone();
        }
        self.flights.alone.insert(self.flights.hash(&self.key), now);
        self.land(|| Landing::Uncacheable);
    }

    /// When it began to fetch: what is purged later means what it fetches.
    pub(super) fn begun(&self) -> Moment {
        self.begun
    }

    /// What it fetches was not meant by what was purged until then.
    pub(super) fn outlives(&mut self, moment: Moment) {
        self.begun = moment;
    }

    /// The same for this once: what is fetched next may well be stored.
    pub fn alone(mut self) {
        self.land(|| Landing::Uncacheable);
    }

    /// What was fetched says nothing of what others would get: a few of them fetch next, for all.
    pub fn hand_on(mut self, now: Instant) {
        self.is_over = true;
        self.succeed(HEIRS, Some(now));
    }

    /// It cannot be had. So many have to say that, one after the other, before those who wait are told.
    pub fn failed(mut self, failure: &Failure, most: u32, now: Instant) {
        let is_sure = {
            let mut shard = self.flights.shard(&self.key);
            let Some(flight) = shard.own(&self.key, self.number) else { return };
            flight.failures += 1;
            flight.failures >= most
        };
        if is_sure {
            return self.land(|| Landing::Failed(failure.clone()));
        }
        self.is_over = true;
        self.succeed(1, Some(now));
    }

    /// It does not come in time. Who has waited since then has waited as long, and is told; the others have patience left, and
    /// one of them fetches next, for all.
    pub fn overdue(mut self, failure: &Failure, since: Instant, now: Instant) {
        let told: Vec<Seat> = {
            let mut shard = self.flights.shard(&self.key);
            let Some(flight) = shard.own(&self.key, self.number) else { return };
            flight.waiting.extract_if(.., |_, seat| seat.since <= since).map(|(_, seat)| seat).collect()
        };
        self.is_over = true;
        self.succeed(1, Some(now));
        for seat in told {
            let _ = seat.sender.send(Landing::Failed(failure.clone()));
        }
    }

    /// What is there stands in for what could not be had.
    pub fn stand_in(mut self) {
        self.land(|| Landing::StandIn);
    }

    /// What is fetched is being written: who waits, and who comes until it is stored, can read it.
    pub(super) fn follow(&self, source: &Source) {
        if source.follow().is_none() {
            // It was purged since it was begun: what is for those who wait begins now.
            return self.succeed(1, Some(clock::now()));
        }
        let waiting = {
            let mut shard = self.flights.shard(&self.key);
            let Some(flight) = shard.own(&self.key, self.number) else { return };
            if flight.written.is_some() {
                return;
            }
            flight.written = Some((self.number, source.clone()));
            std::mem::take(&mut flight.waiting)
        };
        for seat in waiting.into_values() {
            // Who does not wait any more needs nothing.
            let _ = seat.sender.send(source.follow().map_or(Landing::Uncacheable, Landing::Follow));
        }
    }

    fn land(&mut self, landing: impl Fn() -> Landing) {
        self.is_over = true;
        let waiting = {
            let mut shard = self.flights.shard(&self.key);
            let Some(flight) = shard.own(&self.key, self.number) else { return };
            flight.leave(self.number);
            let waiting = std::mem::take(&mut flight.waiting);
            shard.tidy(&self.key);
            waiting
        };
        for seat in waiting.into_values() {
            let _ = seat.sender.send(landing());
        }
    }

    /// Who waits longest, who begin anew.
    fn succeed(&self, most: usize, now: Option<Instant>) {
        let mut heirs = Vec::new();
        {
            let mut guard = self.flights.shard(&self.key);
            let shard = &mut *guard;
            let Some(flight) = shard.flights.get_mut(&self.key) else { return };
            if !flight.leave(self.number) {
                return;
            }
            while heirs.len() < most
                && let Some((_, seat)) = flight.waiting.pop_first()
            {
                if !seat.sender.is_closed() {
                    shard.numbers += 1;
                    flight.leaders.push(shard.numbers);
                    flight.latest = now.unwrap_or(flight.latest);
                    heirs.push((shard.numbers, seat.sender));
                }
            }
            shard.tidy(&self.key);
        }
        for (number, sender) in heirs {
            // If it left just now, the leader in the message is dropped, and so is found the one after it.
            let _ = sender.send(Landing::Leader(self.flights.leader(&self.key, number)));
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.is_over {
            self.succeed(1, None);
        }
    }
}

impl Waiter {
    /// Waits. When nobody has begun to fetch for so long, it does. Dropped, it leaves its place.
    pub async fn wait(mut self, patience: Duration) -> Landing {
        loop {
            let now = clock::now();
            let until = match self.step_up(patience, now) {
                Ok(leader) => return Landing::Leader(leader),
                Err(until) => until,
            };
            if let Ok(landed) = tokio::time::timeout(until - now, &mut self.landing).await {
                return landed.unwrap_or(Landing::Uncacheable);
            }
        }
    }

    /// The lead, if the last who got it has had it for long enough; or when to ask again.
    pub(super) fn step_up(&mut self, patience: Duration, now: Instant) -> Result<Leader, Instant> {
        let mut guard = self.flights.shard(&self.key);
        let shard = &mut *guard;
        let flight = shard.flights.get_mut(&self.key).filter(|flight| flight.waiting.contains_key(&self.seat));
        // Whoever took it out of the list has something to say.
        let Some(flight) = flight else { return Err(now + patience) };
        let until = flight.latest + patience;
        if now < until {
            return Err(until);
        }
        shard.numbers += 1;
        let number = shard.numbers;
        flight.leaders.push(number);
        flight.latest = now;
        let own = flight.waiting.remove(&self.seat);
        drop(guard);
        drop(own);
        Ok(self.flights.leader(&self.key, number))
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
        let begun = self.bans.moment();
        Leader { flights: self.clone(), key: key.clone(), number, begun, is_heard: true, is_over: false }
    }

    fn is_alone(&self, key: &Bytes, now: Instant) -> bool {
        let remember = Duration::from_millis(self.remember.load(Ordering::Relaxed));
        self.alone.get(&self.hash(key)).is_some_and(|since| now.saturating_duration_since(since) < remember)
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
