//! The shelves: where stored answers are, in memory and on a disk, and who fetches what is on neither.
//!
//! It knows bytes, keys, sizes, tags and times, nothing of HTTP: what an object means, whom it is for and whether it is
//! fresh is its owner's knowledge, kept in `Label::head`. One `Shelf` is shared by all threads and outlives reloads.
//! Nothing here waits for a disk on the caller's thread. Invariant: what can be found is whole.

mod bans;
mod counters;
mod directory;
mod disk;
mod flight;
mod flights;
mod follow;
mod format;
mod found;
mod growing;
mod growth;
mod index;
mod known;
mod memory;
mod object;
mod opened;
mod seal;
mod sweep;
mod synced;
mod tables;
mod tags;
mod target;
mod trouble;
mod walk;
mod write;
mod writing;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

pub use self::counters::{Count, Counts};
pub use self::disk::DiskSizes;
pub use self::flights::{Boarding, Flights, Landing, Leader, Waiter};
pub use self::follow::{Follow, Source};
pub use self::object::{Label, Object};
pub use self::target::{Meant, Only, Purge, Target, Test};
pub use self::writing::Writing;
use self::{bans::Bans, disk::Disk, memory::Memory, walk::Walk, writing::Takes};
use crate::kernel::Threads;

/// What a shelf is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Objects in memory, if there are ever to be any.
    pub memory: Option<MemorySizes>,
    /// Objects on a disk, if there are to be any.
    pub disk: Option<DiskSizes>,
    /// Who waits for whom.
    pub flights: FlightSizes,
}

/// Of the shelf in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemorySizes {
    /// Bytes of all objects with their labels at most, zero for none; what is being written may take a quarter of it in addition.
    pub capacity: u64,
    /// The longest content.
    pub most: u64,
}

/// Of flights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightSizes {
    /// How many may wait for one.
    pub waiters: usize,
    /// For how long it is remembered that nothing could be stored.
    pub remember: Duration,
    /// Of how many keys.
    pub remembered: u64,
}

/// All shelves of one cache.
///
/// An exchange looks at `at_hand`, then at `find`. When nothing there is for it, it boards the flight of its key; a leader
/// looks once more, fetches, and gives itself to `write`, so that all who wait follow. Who is told `Stored` looks again, and
/// boards again if the object has left meanwhile.
#[derive(Debug, Clone)]
pub struct Shelf {
    memory: Option<Arc<Memory>>,
    disk: Option<Arc<Disk>>,
    bans: Arc<Bans>,
    flights: Flights,
    numbers: Arc<AtomicU64>,
    threads: Arc<Threads>,
}

/// A purge that was begun. It is carried out whether or not anybody waits for it.
#[derive(Debug)]
pub struct Purged {
    count: u64,
    counting: Option<oneshot::Receiver<u64>>,
    written: Option<oneshot::Receiver<()>>,
}

impl Shelf {
    /// The shelves. Fails if the directory cannot be had: another gateway has it (also this one: it has to go on being used
    /// by the next generation), it is another user's, or others may read it.
    pub fn open(sizes: Sizes, now: SystemTime) -> io::Result<Self> {
        let bans = Arc::new(Bans::default());
        let memory = sizes.memory.map(|sizes| Arc::new(Memory::of(sizes.capacity, sizes.most)));
        let threads = match &sizes.disk {
            Some(disk) => Threads::at_least_one("shelf", disk.threads)?,
            // Nothing waits here for long; there is work for it when much is purged at once.
            None => Threads::up_to("shelf", 1),
        };
        let threads = Arc::new(threads);
        let disk = sizes.disk.map(|sizes| Disk::open(sizes, bans.clone(), threads.clone(), now)).transpose()?;
        let FlightSizes { waiters, remember, remembered } = sizes.flights;
        let flights = Flights::of(waiters, remember, remembered, bans.clone());
        let first = disk.as_ref().map_or(0, |disk| disk.directory.first());
        Ok(Self { memory, disk, bans, flights, numbers: Arc::new(AtomicU64::new(first)), threads })
    }

    /// What would keep a shelf from being opened on a directory. Nothing is touched, and whether another gateway has it is not
    /// asked.
    ///
    /// # Errors
    /// What `open` would fail with.
    pub fn examine(directory: &Path) -> io::Result<()> {
        directory::examine(directory)
    }

    /// Who fetches what, and who waits for it.
    #[must_use]
    pub fn flights(&self) -> &Flights {
        &self.flights
    }

    /// The objects of a key that nobody has to wait for, the latest first: those in memory, and where it has none, those of
    /// the disk if all their files are open. `None` if there are none.
    #[must_use]
    pub fn at_hand(&self, key: &[u8], now: SystemTime) -> Option<Arc<[Object]>> {
        let on_disk = || self.disk.as_ref()?.at_hand(key, now, self.memory.as_ref());
        self.in_memory(key).or_else(on_disk)
    }

    fn in_memory(&self, key: &[u8]) -> Option<Arc<[Object]>> {
        self.memory.as_ref()?.get(key)
    }

    /// All objects of a key, those in memory first, each once. Cancellation safe.
    pub async fn find(&self, key: &[u8], now: SystemTime) -> Vec<Object> {
        let mut objects = self.in_memory(key).map_or_else(Vec::new, |objects| objects.to_vec());
        if let Some(disk) = &self.disk {
            for object in disk.find(key, now, self.memory.as_ref()).await {
                if !objects.iter().any(|held| held.label().is_same(object.label())) {
                    objects.push(object);
                }
            }
        }
        objects
    }

    /// Notes that of several objects of a key this one was of use: it leaves after those that are not.
    pub fn used(&self, object: &Object) {
        let number = self.numbers.load(Ordering::Relaxed);
        if object.label().is_first_use(number) {
            self.disk.iter().for_each(|disk| disk.index().choose(object.number(), number));
        }
    }

    /// Begins to write an object that is to become so long, if that is known. Whoever waits for the leader's flight follows
    /// it from now on. Gives the leader back if no shelf takes the object; what had the same label is gone then.
    pub fn write(
        &self,
        label: Label,
        expected: Option<u64>,
        leader: Option<Leader>,
    ) -> Result<Writing, Option<Leader>> {
        let length = expected.unwrap_or(0);
        let memory = self.memory.as_ref().is_some_and(|memory| memory.takes(length));
        let disk = self.disk.as_ref().is_some_and(|disk| disk.takes(&label, length));
        if !label.is_storable() || !memory && !disk {
            let number = self.number();
            self.disk.iter().for_each(|disk| disk.supersede(&label, number));
            self.memory.iter().for_each(|memory| memory.supersede(&label, number));
            return Err(leader);
        }
        Ok(Writing::begin(self, label, expected, Takes { memory, disk }, leader))
    }

    /// Gives an object another label of the same key and variant, wherever it is; its content stays, and it is not stale any
    /// more, unless it became so after it was found. Does nothing if it is gone, or there is a later one.
    pub fn relabel(&self, object: &Object, label: Label) {
        let label = Arc::new(label);
        if label.is_storable() {
            self.disk.iter().for_each(|disk| drop(disk.relabel(object, &label)));
            self.memory.iter().for_each(|memory| memory.relabel(object, &label));
        }
    }

    /// Forgets what one target means.
    pub fn purge(&self, target: &Target, purge: Purge) -> Purged {
        self.forget(Meant::from(target.clone()), purge)
    }

    /// Forgets. What is being written counts as well: it began before. What is found at once is done at once, as a single key
    /// always is; for the rest `Purged` says when.
    pub fn forget(&self, meant: Meant, purge: Purge) -> Purged {
        let meant = Arc::new(meant);
        self.bans.add(&meant, purge);
        self.walk(meant, purge)
    }

    /// The same, but what this one fetches under that label stays: it is what came of what there is to forget. Not if
    /// somebody else has forgotten it since it began.
    pub fn forget_for(&self, meant: Meant, purge: Purge, (leader, label): (&mut Leader, &Label)) -> Purged {
        let before = self.bans.moment();
        let is_whole = self.bans.since(leader.begun(), label).is_none();
        let meant = Arc::new(meant);
        let own = self.bans.add(&meant, purge);
        // What came between the two may have meant it as well.
        if is_whole && own.is_next_after(before) {
            leader.outlives(own);
        }
        self.walk(meant, purge)
    }

    /// One object is of use no more, or stale from now on. What comes in its place is not meant.
    pub fn set_aside(&self, object: &Object, purge: Purge) {
        self.disk.iter().for_each(|disk| disk.set_aside(object, purge));
        self.memory.iter().for_each(|memory| memory.set_aside(object, purge));
    }

    fn walk(&self, meant: Arc<Meant>, purge: Purge) -> Purged {
        // Whoever gets its number from now on asks `bans` when it comes.
        let before = self.numbers.load(Ordering::Acquire);
        Walk::of(meant, purge, before, self.disk.clone(), self.memory.clone()).begin(&self.threads)
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::AcqRel)
    }

    /// Other sizes from now on, of the same shelves in the same directory. What has to leave, and what is carried over into a
    /// memory of another size, does so in the background.
    pub fn resize(&self, sizes: &Sizes) {
        self.flights.remember_for(sizes.flights.remember);
        if let (Some(memory), Some(sizes)) = (&self.memory, &sizes.memory) {
            memory.resize(sizes.capacity, sizes.most, &self.threads);
        }
        if let (Some(disk), Some(sizes)) = (&self.disk, &sizes.disk) {
            disk.resize(sizes);
        }
    }

    /// How much there is.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            memory: self.memory.as_ref().map(|memory| memory.count()).unwrap_or_default(),
            disk: self.disk.as_ref().map(|disk| disk.count()).unwrap_or_default(),
            flights: self.flights.count(),
        }
    }

    /// Whether everything that an earlier run left on the disk can be found.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.disk.as_ref().is_none_or(|disk| disk.is_swept())
    }
}

impl Purged {
    /// Ends when it holds for everybody who asks: how many objects were meant, those on both shelves counted once for each.
    /// Cancellation safe.
    pub async fn count(&mut self) -> u64 {
        if let Some(counting) = &mut self.counting {
            // An error is a thread that is gone, and the shelf with it.
            self.count = counting.await.unwrap_or(self.count);
            self.counting = None;
        }
        self.count
    }

    /// Ends when a restart would not bring anything of it back; of what was not read since the start (`is_complete`), anything
    /// that is not stale.
    pub async fn written(self) {
        if let Some(written) = self.written {
            // An error is a thread that is gone, and the shelf with it.
            let _ = written.await;
        }
    }
}

impl Default for FlightSizes {
    fn default() -> Self {
        Self { waiters: 10_000, remember: Duration::from_secs(10), remembered: 10_000 }
    }
}
