//! What a disk has under a key: at once, where its files are open, or when they were opened; and from there into memory.
//!
//! Whoever looks at once and whoever waits find the same. Whether somebody else wrote to a file is asked every time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use super::bans::Moment;
use super::disk::{BUSY, Disk, seconds};
use super::memory::Memory;
use super::object::Object;
use super::opened::Open;

/// An object by its number, and whether it is stale.
type Known = (u64, bool);

impl Disk {
    /// The objects of a key, the latest first, if all of their files are open. `None` if not, or if there are none. Those that
    /// were asked for before go into memory, too.
    pub(super) fn at_hand(
        self: &Arc<Self>,
        key: &[u8],
        now: SystemTime,
        memory: Option<&Arc<Memory>>,
    ) -> Option<Arc<[Object]>> {
        let begun = self.bans.moment();
        let known = self.known(key, now);
        let found = |known: &Known| {
            let open = self.opened(*known)?;
            self.note(*known, &open, memory, begun);
            object(*known, &open, key)
        };
        match known.as_slice() {
            [] => None,
            // Nearly always there is one.
            [one] => Some(Arc::new([found(one)?])),
            more => more.iter().map(found).collect(),
        }
    }

    /// The objects of a key, the latest first. Those that were asked for before go into memory, too. Cancellation safe.
    pub(super) async fn find(
        self: &Arc<Self>,
        key: &[u8],
        now: SystemTime,
        memory: Option<&Arc<Memory>>,
    ) -> Vec<Object> {
        let begun = self.bans.moment();
        let known = self.known(key, now).into_iter();
        let mut found: Vec<_> = known.map(|known| (known, self.opened(known))).collect();
        for (known, open) in &found {
            open.iter().for_each(|open| self.note(*known, open, memory, begun));
        }
        let closed: Vec<u64> =
            found.iter().filter(|(_, open)| open.is_none()).map(|((number, _), _)| *number).collect();
        if !closed.is_empty() {
            let disk = self.clone();
            let opened =
                self.threads.begin(move || closed.into_iter().map(|number| disk.load(number)).collect::<Vec<_>>());
            let mut opened = opened.await.unwrap_or_default().into_iter();
            found.iter_mut().filter(|(_, open)| open.is_none()).for_each(|(_, open)| *open = opened.next().flatten());
        }
        found.into_iter().filter_map(|(known, open)| object(known, &*open?, key)).collect()
    }

    fn known(&self, key: &[u8], now: SystemTime) -> Vec<Known> {
        let now = seconds(now);
        self.seconds.fetch_max(now, Ordering::Relaxed);
        self.index().find(key, now)
    }

    fn opened(&self, (number, _): Known) -> Option<Arc<Open>> {
        self.open.get(&number).filter(|open| open.is_untouched())
    }

    /// It was asked for, and was open already: it goes into memory, unless it is stale.
    fn note(self: &Arc<Self>, (_, is_stale): Known, open: &Arc<Open>, memory: Option<&Arc<Memory>>, begun: Moment) {
        if let (false, Some(memory)) = (is_stale, memory) {
            self.raise(open, memory, begun);
        }
    }

    /// Puts what was asked for more than once into memory too. It was found after that moment.
    fn raise(self: &Arc<Self>, open: &Arc<Open>, memory: &Arc<Memory>, begun: Moment) {
        let is_worth_it = memory.takes(open.length) && self.threads.waiting() < BUSY;
        if !is_worth_it || open.is_rising.swap(true, Ordering::Relaxed) {
            return;
        }
        let (disk, open, memory) = (self.clone(), open.clone(), memory.clone());
        self.threads.give(move || {
            if let Ok(bytes) = open.read()
                && open.is_untouched()
            {
                let content = memory.compact(&[bytes.into()]);
                memory.put(&Object::of(open.sequence, open.label.clone(), content), begun, &disk.bans);
                // Whatever else came for this label meanwhile looks at the disk first and at memory then.
                if !disk.is_still(&open) {
                    memory.withdraw(&open.label, open.sequence);
                }
            }
            open.is_rising.store(false, Ordering::Relaxed);
        });
    }

    /// Whether it is what its label means, has no later label, and was not purged softly.
    fn is_still(&self, open: &Open) -> bool {
        let is_there = self.index().fresh(&open.label) == Some(open.sequence);
        is_there && self.open.get(&open.sequence).is_some_and(|held| Arc::ptr_eq(&held.label, &open.label))
    }
}

/// `None` if the file has another key than the index thinks.
fn object((_, is_stale): Known, open: &Open, key: &[u8]) -> Option<Object> {
    (*open.label.key == *key).then(|| open.object().stale(is_stale))
}
