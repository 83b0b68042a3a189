//! What is on the disk, in memory: by key, by tag, and who may leave first.
//!
//! Pure: no files, no clock. Heads are not here, so an object costs some hundred bytes, and what all cost together is
//! bounded as well as what they take on the disk. Who leaves is the one used longest ago of a few taken at random.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::object::Label;
use super::tags::Tags;
use super::target::{Known, Meant, Purge, Target};
use super::walk::{After, Budget};

/// The index.
#[derive(Debug)]
pub(super) struct Index {
    slots: Vec<Option<Card>>,
    free: Vec<u32>,
    keys: BTreeMap<Bytes, Vec<u32>>,
    tags: Tags<u32>,
    kinds: HashSet<Arc<str>>,
    numbers: HashMap<u64, u32>,
    chance: fastrand::Rng,
    /// Counts what is asked for.
    turn: u32,
    /// Bytes on the disk, of what is here.
    pub(super) bytes: u64,
    /// Bytes on the disk, of what is being written.
    pub(super) reserved: u64,
    /// Bytes in memory, about.
    pub(super) memory: u64,
}

/// One object.
#[derive(Debug, Clone)]
pub(super) struct Card {
    pub(super) sequence: u64,
    key: Bytes,
    variant: Bytes,
    tags: Box<[u64]>,
    /// Shared by all that are of it.
    kind: Arc<str>,
    /// When it came or was last confirmed, in milliseconds, as files have it.
    stored: u64,
    /// Bytes on the disk.
    pub(super) size: u64,
    /// Of these, what later labels take.
    more: u64,
    /// When it was last asked for, see `Index::moment`.
    used: u64,
    /// `Object::last_use`.
    chosen: u64,
    /// When it is of no use any more, likewise.
    expires: u32,
    /// Whether it was purged softly.
    pub(super) is_stale: bool,
}

/// Objects of one key, as in memory.
const MOST_VARIANTS: usize = 64;

/// Of so many the one used longest ago leaves; with ten, this is close to the one used longest ago of all.
const SAMPLE: usize = 10;

/// What a card costs beside its bytes: a slot, its places in maps, allocations.
const OVERHEAD: u64 = 392;
/// Of a tag: its number in the card, and its place among all that have it, a set of its own where nobody else does.
const TAG: u64 = 128;

impl Card {
    pub(super) fn of(label: &Label, sequence: u64, size: u64, used: u32, expires: u32) -> Self {
        let (key, variant, kind, stored) =
            (label.key.clone(), label.variant.clone(), Arc::default(), millis(label.stored));
        let tags = Box::default();
        let (chosen, used) = (sequence, used.into());
        Self { sequence, key, variant, tags, kind, stored, size, more: 0, used, chosen, expires, is_stale: false }
    }

    fn cost(&self) -> u64 {
        OVERHEAD + (self.key.len() + self.variant.len()) as u64 + TAG * self.tags.len() as u64
    }
}

impl Index {
    pub(super) fn seeded(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            keys: BTreeMap::new(),
            tags: Tags::default(),
            kinds: HashSet::new(),
            numbers: HashMap::new(),
            chance: fastrand::Rng::with_seed(seed),
            turn: 0,
            bytes: 0,
            reserved: 0,
            memory: 0,
        }
    }

    /// Takes an object in. Who has to leave for it is returned: an older one of the same label, one too many of its key, or
    /// itself, if there is a later one.
    pub(super) fn insert(&mut self, mut card: Card, label: &Label) -> Vec<Card> {
        let same = self.slots_of(&card.key).into_iter().find(|slot| self.is_variant(*slot, &card.variant));
        if let Some(held) = same.and_then(|slot| self.card(slot))
            && held.sequence > card.sequence
        {
            return vec![card];
        }
        let mut left: Vec<Card> = same.and_then(|slot| self.take(slot)).into_iter().collect();
        let slots = self.slots_of(&card.key);
        if slots.len() >= MOST_VARIANTS {
            let oldest = slots.into_iter().min_by_key(|slot| self.card(*slot).map(|card| card.chosen));
            left.extend(oldest.and_then(|slot| self.take(slot)));
        }
        (card.tags, card.kind) = (self.tags.numbers(label), self.kind(&label.kind));
        card.used = self.moment(card.used);
        self.put(card);
        left
    }

    /// The objects of a key, the latest first: number, and whether it is stale. They were asked for now.
    pub(super) fn find(&mut self, key: &[u8], now: u32) -> Vec<(u64, bool)> {
        let now = self.moment(now.into());
        let mut found = Vec::new();
        for slot in self.keys.get(key).into_iter().flatten() {
            let Some(Some(card)) = usize::try_from(*slot).ok().and_then(|slot| self.slots.get_mut(slot)) else {
                continue;
            };
            card.used = card.used.max(now);
            found.push((card.sequence, card.is_stale));
        }
        found.sort_unstable_by_key(|(sequence, _)| Reverse(*sequence));
        found
    }

    /// The object with this label.
    pub(super) fn sequence(&self, label: &Label) -> Option<u64> {
        let slot = self.slots_of(&label.key).into_iter().find(|slot| self.is_variant(*slot, &label.variant))?;
        self.card(slot).map(|card| card.sequence)
    }

    /// The object with this label, unless it is stale.
    pub(super) fn fresh(&self, label: &Label) -> Option<u64> {
        let slot = self.slots_of(&label.key).into_iter().find(|slot| self.is_variant(*slot, &label.variant))?;
        self.card(slot).filter(|card| !card.is_stale).map(|card| card.sequence)
    }

    /// It has another label of the same key and variant, and perhaps takes more room. Its place stays the one that it had.
    /// It was found stale or not; what it became since then it stays. Whether it is stale now; `None` if it is not here.
    pub(super) fn relabel(
        &mut self,
        (sequence, was_stale): (u64, bool),
        label: &Label,
        more: u64,
        expires: u32,
    ) -> Option<bool> {
        let mut card = self.sequence(label).filter(|held| *held == sequence).and_then(|held| self.remove(held))?;
        (card.tags, card.kind) = (self.tags.numbers(label), self.kind(&label.kind));
        card.stored = millis(label.stored);
        let is_stale = card.is_stale && !was_stale;
        (card.expires, card.is_stale) = (expires, is_stale);
        card.size = card.size - card.more + more;
        card.more = more;
        self.put(card);
        Some(is_stale)
    }

    /// Later labels of it take so much, if they do not take more already.
    pub(super) fn grow(&mut self, sequence: u64, more: u64) {
        let slot = self.numbers.get(&sequence).and_then(|slot| usize::try_from(*slot).ok());
        if let Some(Some(card)) = slot.and_then(|slot| self.slots.get_mut(slot)) {
            let grown = more.saturating_sub(card.more);
            (card.more, card.size) = (card.more + grown, card.size + grown);
            self.bytes += grown;
        }
    }

    /// It was what was wanted among those of its key.
    pub(super) fn choose(&mut self, sequence: u64, last_use: u64) {
        let slot = self.numbers.get(&sequence).and_then(|slot| usize::try_from(*slot).ok());
        if let Some(Some(card)) = slot.and_then(|slot| self.slots.get_mut(slot)) {
            card.chosen = card.chosen.max(last_use);
        }
    }

    /// It leaves, or is stale from now on. Whether it was here.
    pub(super) fn set_aside(&mut self, sequence: u64, purge: Purge) -> bool {
        if purge == Purge::Hard {
            return self.remove(sequence).is_some();
        }
        let slot = self.numbers.get(&sequence).and_then(|slot| usize::try_from(*slot).ok());
        let Some(Some(card)) = slot.and_then(|slot| self.slots.get_mut(slot)) else { return false };
        card.is_stale = true;
        true
    }

    /// Takes an object out.
    pub(super) fn remove(&mut self, sequence: u64) -> Option<Card> {
        self.numbers.get(&sequence).copied().and_then(|slot| self.take(slot))
    }

    /// Takes out who may leave first: one that nobody will want any more, or the one used longest ago, of a few.
    pub(super) fn victim(&mut self, now: u32) -> Option<Card> {
        let mut best: Option<(bool, u64, u32)> = None;
        let mut seen = 0;
        let begin = self.chance.usize(..self.slots.len().max(1));
        for round in 0..4 * SAMPLE + self.slots.len() {
            // At random at first; where the slots are nearly empty, one after the other.
            let at = if round < 4 * SAMPLE {
                self.chance.usize(..self.slots.len().max(1))
            } else {
                (begin + round) % self.slots.len().max(1)
            };
            let Some(Some(card)) = self.slots.get(at) else { continue };
            let worth = (card.expires > now, card.used, u32::try_from(at).unwrap_or(u32::MAX));
            best = Some(best.map_or(worth, |best| best.min(worth)));
            seen += 1;
            if seen == SAMPLE {
                break;
            }
        }
        best.and_then(|(_, _, slot)| self.take(slot))
    }

    /// The numbers of what is meant and lower than another one: of one target, a piece of what comes after what was seen. Where to go on, unless that
    /// was the last piece.
    pub(super) fn select(
        &self,
        (meant, before): (&Meant, u64),
        at: usize,
        after: Option<&After>,
    ) -> (Vec<u64>, Option<After>) {
        let (mut numbers, mut budget) = (Vec::new(), Budget::of_a_piece());
        let Some(target) = meant.targets.get(at) else { return (numbers, None) };
        for (slots, seen) in self.within(target, after) {
            let cards = || slots.iter().filter_map(|slot| self.card(*slot));
            let key = cards().next().map_or(&[][..], |card| &card.key);
            if meant.only.lets_key(key) {
                let own =
                    cards().filter(|card| card.sequence < before && meant.target_of(&self.known(card)) == Some(at));
                numbers.extend(own.map(|card| card.sequence));
            }
            if !budget.spend(key) {
                return (numbers, Some(seen.clone()));
            }
        }
        (numbers, None)
    }

    /// What a target means, behind what was seen of it: in the order of keys, or of slots.
    fn within<'a>(
        &'a self,
        target: &'a Target,
        after: Option<&'a After>,
    ) -> Box<dyn Iterator<Item = (Vec<u32>, After)> + 'a> {
        if let Target::Tag(tag) = target {
            let after = after.and_then(|after| if let After::Slot(slot) = after { Some(slot) } else { None });
            return Box::new(self.tags.members(tag, after).map(|slot| (vec![*slot], After::Slot(*slot))));
        }
        let from = match after {
            Some(After::Key(key)) => Bound::Excluded(&**key),
            _ => Bound::Included(target.first()),
        };
        let keys = self.keys.range::<[u8], _>((from, Bound::Unbounded)).take_while(|(key, _)| target.spans(key));
        Box::new(keys.map(|(key, slots)| (slots.clone(), After::Key(key.clone()))))
    }

    /// A second of the wall clock, and behind it whose turn it is: in a second a disk can be filled.
    fn moment(&mut self, second: u64) -> u64 {
        self.turn = self.turn.wrapping_add(1);
        second << 24 | u64::from(self.turn & 0xff_ffff)
    }

    /// How many objects there are.
    pub(super) fn count(&self) -> usize {
        self.numbers.len()
    }

    fn put(&mut self, card: Card) {
        let slot = self.free.pop().or_else(|| {
            let slot = u32::try_from(self.slots.len()).ok()?;
            self.slots.push(None);
            Some(slot)
        });
        // Four billion objects are more than their bounded memory lets in.
        let Some(slot) = slot else { return };
        self.bytes += card.size;
        self.memory += card.cost();
        self.keys.entry(card.key.clone()).or_default().push(slot);
        self.numbers.insert(card.sequence, slot);
        self.tags.add(&card.tags, &slot);
        if let Some(place) = usize::try_from(slot).ok().and_then(|slot| self.slots.get_mut(slot)) {
            *place = Some(card);
        }
    }

    fn take(&mut self, slot: u32) -> Option<Card> {
        let card = usize::try_from(slot).ok().and_then(|slot| self.slots.get_mut(slot))?.take()?;
        self.free.push(slot);
        self.bytes -= card.size;
        self.memory -= card.cost();
        self.numbers.remove(&card.sequence);
        self.tags.remove(&card.tags, &slot);
        // This one's and the set's own.
        if Arc::strong_count(&card.kind) <= 2 {
            self.kinds.remove(&card.kind);
        }
        if let Some(slots) = self.keys.get_mut(&card.key) {
            slots.retain(|other| *other != slot);
            if slots.is_empty() {
                self.keys.remove(&card.key);
            }
        }
        Some(card)
    }

    fn card(&self, slot: u32) -> Option<&Card> {
        usize::try_from(slot).ok().and_then(|slot| self.slots.get(slot))?.as_ref()
    }

    fn kind(&mut self, kind: &str) -> Arc<str> {
        let held = self.kinds.get(kind).cloned();
        held.unwrap_or_else(|| {
            let kind = Arc::<str>::from(kind);
            self.kinds.insert(kind.clone());
            kind
        })
    }

    fn known<'a>(&'a self, card: &'a Card) -> Seen<'a> {
        Seen { card, tags: &self.tags }
    }

    fn slots_of(&self, key: &[u8]) -> Vec<u32> {
        self.keys.get(key).cloned().unwrap_or_default()
    }

    fn is_variant(&self, slot: u32, variant: &[u8]) -> bool {
        self.card(slot).is_some_and(|card| *card.variant == *variant)
    }
}

/// A card as what is meant sees it.
struct Seen<'a> {
    card: &'a Card,
    tags: &'a Tags<u32>,
}

impl Known for Seen<'_> {
    fn key(&self) -> &[u8] {
        &self.card.key
    }

    fn kind(&self) -> &str {
        &self.card.kind
    }

    fn has(&self, tag: &str) -> bool {
        self.card.tags.contains(&self.tags.number(tag))
    }

    fn stored(&self) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_millis(self.card.stored)).unwrap_or(UNIX_EPOCH)
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
