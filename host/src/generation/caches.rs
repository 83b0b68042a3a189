//! Caches: what a plan says of one as its rules take it, and the shelves it keeps answers on, which go on over reloads by
//! the cache's name, and by its directory where that has another name now.
//!
//! Invariant: as long as a cache with a directory is in use, nobody opens that directory a second time.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Tally;
use crate::cache::key::{Query, Recipe};
use crate::cache::{Cookies, Knobs, PerMille};
use crate::clock;
use crate::config::{self, CacheKey, CacheQuery, Plan, Problem, StoreCookies};
use crate::shelf::{DiskSizes, FlightSizes, MemorySizes, Shelf, Sizes};

/// A cache of one generation.
pub struct Cache {
    /// What its rules know.
    pub knobs: Knobs,
    /// What goes on over reloads.
    pub store: Arc<Store>,
}

/// What a cache holds.
pub struct Store {
    /// Where answers are.
    pub shelf: Shelf,
    /// What it did so far, also as what it was before its directory changed.
    pub tally: Arc<Tally>,
    uses: Uses,
    /// As they are now.
    sizes: Mutex<Sizes>,
}

/// Stores by name.
#[derive(Default)]
pub struct Stores {
    /// Those of a name in the order in which they were made. The last one that is alive counts: one that was made for a plan
    /// that was refused dies with it.
    known: Mutex<HashMap<Arc<str>, Vec<Weak<Store>>>>,
    is_dry: bool,
}

/// How often something was asked for, about: two keys may share a place, which only stores one of them earlier. What is
/// asked for no more is forgotten by and by, or in the end everything would have been asked for often.
struct Uses {
    counts: Box<[AtomicU8]>,
    asked: AtomicUsize,
    hasher: RandomState,
}

/// Places in `Uses`: as many bytes.
const USES: usize = 1 << 16;
/// After so many questions all counts are halved: less than one for each place, so that places keep apart what is asked for
/// once from what is asked for often.
const AGE: usize = USES / 2;

/// Files of one cache that are kept open.
const OPEN_FILES: u64 = 512;
/// The index of a disk may take this part of its size in memory, which is enough for objects of 50 KiB, and so much at least.
const INDEX_PART: u64 = 128;
const LEAST_INDEX: u64 = 32 << 20;
/// Threads that wait for one cache's disk: an SSD takes more at once, and a disk with heads gains nothing from more.
const DISK_THREADS: usize = 4;
/// Keys of which it is remembered that nothing could be stored.
const REMEMBERED: u64 = 65_536;
/// Exchanges that wait for one answer.
const WAITERS: usize = 10_000;

impl Stores {
    /// For who only wants to know whether a config is sound: directories are looked at, and nothing on any disk is touched.
    #[must_use]
    pub fn dry() -> Self {
        Self { is_dry: true, ..Self::default() }
    }

    /// The caches of a plan, in its order.
    pub(super) fn open(&self, plan: &Plan) -> Result<Vec<Cache>, Vec<Problem>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut caches, mut problems) = (Vec::new(), Vec::new());
        for cache in &plan.caches {
            match self.store(&mut known, cache) {
                Ok(store) => caches.push(Cache { knobs: knobs(cache), store }),
                Err(problem) => problems.push(problem),
            }
        }
        known.values_mut().for_each(|stores| stores.retain(|store| store.strong_count() > 0));
        known.retain(|_, stores| !stores.is_empty());
        if problems.is_empty() { Ok(caches) } else { Err(problems) }
    }

    fn store(
        &self,
        known: &mut HashMap<Arc<str>, Vec<Weak<Store>>>,
        plan: &config::Cache,
    ) -> Result<Arc<Store>, Problem> {
        let sizes = sizes(plan, self.is_dry);
        let held = known.get(&plan.name).and_then(|stores| stores.iter().rev().find_map(Weak::upgrade));
        let tally = held.as_ref().map(|store| store.tally.clone()).unwrap_or_default();
        let held = held.filter(|store| store.serves_for(&sizes));
        if let Some(store) = held.or_else(|| renamed(known, &sizes, &plan.name)) {
            return Ok(store);
        }
        let examined = plan.disk.as_ref().filter(|_| self.is_dry).map(|disk| Shelf::examine(&disk.path));
        let store = examined.unwrap_or(Ok(())).and_then(|()| Store::open(sizes, tally)).map_err(|error| {
            let path = plan.disk.as_ref().map(|disk| disk.path.display().to_string()).unwrap_or_default();
            let place = plan.disk.as_ref().map_or(&plan.place, |disk| &disk.place);
            Problem::at(place, format!("cache \"{}\": disk: {path}: {error}", plan.name))
        })?;
        let store = Arc::new(store);
        known.entry(plan.name.clone()).or_default().push(Arc::downgrade(&store));
        Ok(store)
    }
}

/// Whoever has the directory has it as long as anybody uses that: a cache of another name goes on with what is there, unless
/// something has taken its place since, and it missed what was forgotten meanwhile.
fn renamed(known: &mut HashMap<Arc<str>, Vec<Weak<Store>>>, wanted: &Sizes, name: &Arc<str>) -> Option<Arc<Store>> {
    wanted.disk.as_ref()?;
    let mut stores = known.values().filter_map(|stores| stores.iter().rev().find_map(Weak::upgrade));
    let store = stores.find(|store| store.serves_for(wanted))?;
    drop(stores);
    known.entry(name.clone()).or_default().push(Arc::downgrade(&store));
    Some(store)
}

impl Store {
    fn open(sizes: Sizes, tally: Arc<Tally>) -> std::io::Result<Self> {
        let shelf = Shelf::open(sizes.clone(), clock::wall())?;
        Ok(Self { shelf, tally, uses: Uses::none(), sizes: Mutex::new(sizes) })
    }

    /// Whether a store can be used for a plan: everything but where its directory is can change.
    fn serves_for(&self, wanted: &Sizes) -> bool {
        let directory = |sizes: &Sizes| sizes.disk.as_ref().map(|disk| disk.directory.clone());
        directory(&self.sizes()) == directory(wanted)
    }

    /// Takes the sizes of the plan that holds from now on.
    pub(super) fn settle(&self, plan: &config::Cache) {
        let wanted = sizes(plan, false);
        let mut held = self.sizes();
        if *held != wanted {
            self.shelf.resize(&wanted);
            *held = wanted;
        }
    }

    /// Bytes that it may take in memory and on the disk, where it has them.
    #[must_use]
    pub fn capacities(&self) -> (Option<u64>, Option<u64>) {
        let sizes = self.sizes();
        let memory = sizes.memory.map(|memory| memory.capacity).filter(|memory| *memory > 0);
        (memory, sizes.disk.as_ref().map(|disk| disk.capacity))
    }

    fn sizes(&self) -> MutexGuard<'_, Sizes> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something was asked for; whether it was often enough to be stored.
    #[must_use]
    pub fn is_used(&self, key: &[u8], least: u32) -> bool {
        least <= 1 || self.uses.count(key) >= least
    }

    /// Whether it will have been when it is asked for now.
    #[must_use]
    pub fn will_be_used(&self, key: &[u8], least: u32) -> bool {
        least <= 1 || self.uses.so_far(key) + 1 >= least
    }
}

impl Uses {
    fn none() -> Self {
        let counts = (0..USES).map(|_| AtomicU8::new(0)).collect();
        Self { counts, asked: AtomicUsize::new(0), hasher: RandomState::new() }
    }

    fn so_far(&self, key: &[u8]) -> u32 {
        self.counts.get(self.at(key)).map_or(0, |count| count.load(Ordering::Relaxed).into())
    }

    fn at(&self, key: &[u8]) -> usize {
        usize::try_from(self.hasher.hash_one(key) % USES as u64).unwrap_or(0)
    }

    fn count(&self, key: &[u8]) -> u32 {
        let at = self.at(key);
        if self.asked.fetch_add(1, Ordering::Relaxed) % AGE == AGE - 1 {
            let halve = |place: &AtomicU8| place.store(place.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
            self.counts.iter().for_each(halve);
        }
        let Some(place) = self.counts.get(at) else { return 1 };
        let before = place.load(Ordering::Relaxed);
        place.store(before.saturating_add(1), Ordering::Relaxed);
        u32::from(before) + 1
    }
}

/// As the shelf takes them; who only looks has no disk.
fn sizes(plan: &config::Cache, is_dry: bool) -> Sizes {
    let disk = plan.disk.as_ref().filter(|_| !is_dry).map(|disk| DiskSizes {
        directory: disk.path.clone(),
        capacity: disk.size,
        most: plan.max_object,
        index: (disk.size / INDEX_PART).max(LEAST_INDEX),
        open: OPEN_FILES,
        threads: DISK_THREADS,
        sync: disk.sync,
    });
    let memory = Some(MemorySizes { capacity: plan.memory, most: plan.max_object });
    let flights = FlightSizes { waiters: WAITERS, remember: plan.uncacheable_ttl, remembered: REMEMBERED };
    Sizes { memory, disk, flights }
}

fn knobs(plan: &config::Cache) -> Knobs {
    Knobs {
        default_ttl: plan.default_ttl,
        status_ttl: plan.status_ttl.clone(),
        min_ttl: plan.min_ttl,
        max_ttl: plan.max_ttl,
        heuristic: PerMille(plan.last_modified_factor),
        heuristic_cap: plan.last_modified_most,
        store_private: plan.store_private,
        store_no_store: plan.store_no_store,
        store_expired: plan.store_expired,
        cookies: match plan.cookies {
            StoreCookies::Never => Cookies::Never,
            StoreCookies::Stated => Cookies::Stated,
            StoreCookies::Always => Cookies::Always,
        },
        strip: plan.strip_fields.clone(),
        ignore_request: plan.ignore_request,
        stale_while_revalidate: plan.stale_while_revalidate,
        stale_if_error: plan.stale_if_error,
        targets: plan.targeted.clone(),
        surrogate: plan.surrogate_control,
        statuses: plan.statuses.clone(),
        query: plan.query,
        languages: true,
        key: recipe(&plan.key),
    }
}

fn recipe(key: &CacheKey) -> Recipe {
    Recipe {
        any_scheme: !key.scheme,
        any_host: !key.host,
        query: match &key.query {
            CacheQuery::Whole => Query::Whole,
            CacheQuery::Nothing => Query::Nothing,
            CacheQuery::Only(names) => Query::Only(names.clone()),
            CacheQuery::Without(names) => Query::Without(names.clone()),
        },
        sort: key.sort_query,
        sessions: key.session_ids.clone(),
        fields: key.fields.clone(),
        cookies: key.cookies.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn plan(caches: &str) -> Plan {
        let text =
            format!("[listener.web]\nbind = \"127.0.0.1:0\"\n[site.main]\nroute = [{{ respond = {{}} }}]\n{caches}");
        config::parse(&text, "weir.toml", Path::new("")).unwrap()
    }

    /// A directory that goes with its test.
    struct Directory(std::path::PathBuf);

    impl Directory {
        fn make(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("weir-caches-{name}-{}", std::process::id())))
        }

        fn plan(&self, name: &str, size: &str) -> Plan {
            plan(&format!("[cache.{name}]\ndisk = {{ path = \"{}\", size = \"{size}\" }}", self.0.display()))
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn stores_go_on_by_name() {
        let stores = Stores::default();
        let first = stores.open(&plan("[cache.a]\n[cache.b]")).unwrap();
        let wanted = plan("[cache.b]\nmin-ttl = \"1s\"\n[cache.a]\nmemory = \"8MiB\"");
        let second = stores.open(&wanted).unwrap();
        assert!(Arc::ptr_eq(&first[1].store, &second[0].store) && Arc::ptr_eq(&first[0].store, &second[1].store));
        assert_eq!(second[0].knobs.min_ttl.as_secs(), 1);
        // As long as the plan that says so does not hold, nothing has changed.
        assert_eq!(first[0].store.capacities().0, Some(64 << 20));
        second[1].store.settle(&wanted.caches[1]);
        assert_eq!(first[0].store.capacities().0, Some(8 << 20));
        drop((first, second));
        assert_eq!(stores.open(&plan("")).unwrap().len(), 0);
        assert!(stores.known.lock().unwrap().is_empty());
    }

    #[test]
    fn a_plan_that_is_refused_takes_no_store_with_it() {
        let (one, other) = (Directory::make("one"), Directory::make("other"));
        let stores = Stores::default();
        let running = stores.open(&one.plan("a", "16MiB")).unwrap();
        drop(stores.open(&other.plan("a", "16MiB")).unwrap());
        let next = stores.open(&one.plan("a", "16MiB")).unwrap();
        assert!(Arc::ptr_eq(&running[0].store, &next[0].store));
        let without = stores.open(&plan("[cache.a]")).unwrap();
        assert!(!Arc::ptr_eq(&running[0].store, &without[0].store));
        assert!(Arc::ptr_eq(&running[0].store.tally, &without[0].store.tally));
        // What was taken over since is not to come back: it missed what was forgotten meanwhile.
        assert!(stores.open(&one.plan("a", "16MiB")).is_err());
    }

    #[test]
    fn a_directory_is_opened_once_and_goes_on() {
        let directory = Directory::make("once");
        let of = |name: &str, size: &str| directory.plan(name, size);
        let stores = Stores::default();
        let first = stores.open(&of("a", "16MiB")).unwrap();
        let second = stores.open(&of("a", "32MiB")).unwrap();
        assert!(Arc::ptr_eq(&first[0].store, &second[0].store));
        // As long as the plan that says so does not hold, nothing has changed.
        assert_eq!(first[0].store.capacities().1, Some(16 << 20));
        second[0].store.settle(&of("a", "32MiB").caches[0]);
        assert_eq!(first[0].store.capacities().1, Some(32 << 20));
        // Under another name, too, and there it stays.
        let renamed = stores.open(&of("b", "16MiB")).unwrap();
        assert!(Arc::ptr_eq(&first[0].store, &renamed[0].store));
        drop((first, second));
        let again = stores.open(&of("b", "16MiB")).unwrap();
        assert!(Arc::ptr_eq(&again[0].store, &renamed[0].store));
        let other = Stores::default().open(&of("b", "16MiB")).err().unwrap();
        assert!(other[0].to_string().starts_with("weir.toml:6:17: cache \"b\": disk: "), "{}", other[0]);
        assert!(Stores::dry().open(&of("b", "16MiB")).is_ok());
        drop((renamed, again));
    }

    #[test]
    fn uses_are_counted_by_key() {
        let uses = Uses::none();
        assert_eq!((uses.count(b"a"), uses.count(b"a"), uses.count(b"a")), (1, 2, 3));
        // A year of other things: what is asked for once is still asked for once.
        for number in 0..10 * USES {
            uses.count(number.to_string().as_bytes());
        }
        let often = (0..1000).filter(|number| uses.count(format!("fresh {number}").as_bytes()) > 2).count();
        assert!(often < 200, "{often}");
    }
}
