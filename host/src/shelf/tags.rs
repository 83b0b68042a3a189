//! What is forgotten together: by key, by the beginning of keys, by tag.
//!
//! `Tags` is an index from tags to whatever has them. `Bans` remembers what was purged lately, for objects that were not
//! on any shelf at that moment: those being written, and those on a disk that has not been read yet.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher as _, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::object::Label;

/// What is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// All objects of this key.
    Key(Bytes),
    /// All objects whose key begins so.
    Prefix(Bytes),
    /// All objects with this tag.
    Tag(Box<str>),
    /// All objects.
    All,
}

/// How it is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purge {
    /// It stays, and is stale from now on.
    Soft,
    /// It goes.
    Hard,
}

/// Who has which tag. Tags are kept as keyed hashes: two that collide are purged together, which nobody can bring about.
#[derive(Debug)]
pub(super) struct Tags<M> {
    members: HashMap<u64, HashSet<M>>,
    hasher: RandomState,
}

/// What was purged since a moment.
#[derive(Debug, Default)]
pub(super) struct Bans {
    state: Mutex<State>,
    hasher: RandomState,
}

/// A moment between purges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Moment(u64);

#[derive(Debug, Default)]
struct State {
    now: u64,
    /// What is older than this is forgotten: whoever began before counts as purged.
    since: u64,
    /// By a keyed hash, because clients make keys as long as they like; two that meet are purged together.
    exact: HashMap<u64, When>,
    prefixes: VecDeque<(Bytes, When)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct When {
    soft: u64,
    hard: u64,
}

/// Purges by key or tag that are remembered: what an unsafe request invalidates counts, and a slow answer takes a minute.
const MOST: usize = 16_384;

/// Of prefixes; each of them is compared with what is about to be shelved.
const MOST_PREFIXES: usize = 256;

impl Target {
    /// Whether it means an object of this label.
    #[must_use]
    pub fn means(&self, label: &Label) -> bool {
        match self {
            Self::Key(key) => *key == label.key,
            Self::Prefix(prefix) => label.key.starts_with(prefix),
            Self::Tag(tag) => label.tags.contains(tag),
            Self::All => true,
        }
    }
}

impl<M: Eq + Hash + Clone> Tags<M> {
    pub(super) fn number(&self, tag: &str) -> u64 {
        self.hasher.hash_one(tag)
    }

    pub(super) fn numbers(&self, label: &Label) -> Box<[u64]> {
        label.tags.iter().map(|tag| self.number(tag)).collect()
    }

    pub(super) fn add(&mut self, tags: &[u64], member: &M) {
        for tag in tags {
            self.members.entry(*tag).or_default().insert(member.clone());
        }
    }

    pub(super) fn remove(&mut self, tags: &[u64], member: &M) {
        for tag in tags {
            let Some(members) = self.members.get_mut(tag) else { continue };
            members.remove(member);
            if members.is_empty() {
                self.members.remove(tag);
            }
        }
    }

    pub(super) fn members(&self, tag: &str) -> Vec<M> {
        self.members.get(&self.number(tag)).into_iter().flatten().cloned().collect()
    }
}

impl<M> Default for Tags<M> {
    fn default() -> Self {
        Self { members: HashMap::new(), hasher: RandomState::new() }
    }
}

impl Bans {
    /// Now: what is purged later is later than this.
    pub(super) fn moment(&self) -> Moment {
        Moment(self.state().now)
    }

    /// Remembers a purge; before anything is looked for on a shelf.
    pub(super) fn add(&self, target: &Target, purge: Purge) {
        let mut state = self.state();
        state.now += 1;
        let now = state.now;
        if state.exact.len() >= MOST || state.prefixes.len() >= MOST_PREFIXES {
            state.forget(now - 1);
        }
        let when = match target {
            Target::Prefix(prefix) => {
                state.prefixes.push_back((prefix.clone(), When::default()));
                state.prefixes.back_mut().map(|(_, when)| when)
            }
            Target::Key(_) | Target::Tag(_) | Target::All => {
                Some(state.exact.entry(self.hasher.hash_one(target)).or_default())
            }
        };
        match (when, purge) {
            (Some(when), Purge::Soft) => when.soft = now,
            (Some(when), Purge::Hard) => when.hard = now,
            (None, _) => state.forget(now),
        }
    }

    /// What became of an object since a moment.
    pub(super) fn since(&self, moment: Moment, label: &Label) -> Option<Purge> {
        let state = self.state();
        if state.now == moment.0 {
            return None;
        }
        if moment.0 < state.since {
            return Some(Purge::Hard);
        }
        let exact = |target: Target| state.exact.get(&self.hasher.hash_one(target));
        let (key, all) = (exact(Target::Key(label.key.clone())), exact(Target::All));
        let tags = label.tags.iter().filter_map(|tag| exact(Target::Tag(tag.clone())));
        let prefixes = state.prefixes.iter().filter(|(prefix, _)| label.key.starts_with(prefix)).map(|(_, when)| when);
        key.into_iter().chain(all).chain(tags).chain(prefixes).filter_map(|when| when.after(moment)).max()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, since: u64) {
        self.since = since;
        self.exact.clear();
        self.prefixes.clear();
    }
}

impl When {
    fn after(self, moment: Moment) -> Option<Purge> {
        let hard = (self.hard > moment.0).then_some(Purge::Hard);
        hard.or((self.soft > moment.0).then_some(Purge::Soft))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn label(key: &str, tags: &[&str]) -> Label {
        let at = SystemTime::UNIX_EPOCH;
        Label::of(key.as_bytes(), b"", b"", at, at).tagged(tags.iter().map(|tag| (*tag).into()))
    }

    #[test]
    fn bans_mean_what_began_before_them() {
        let bans = Bans::default();
        let begun = bans.moment();
        bans.add(&Target::Tag("news".into()), Purge::Hard);
        let between = bans.moment();
        bans.add(&Target::Prefix("/a/".into()), Purge::Soft);
        bans.add(&Target::Key("/b".into()), Purge::Soft);
        bans.add(&Target::Tag("news".into()), Purge::Soft);
        for (key, tags, first, then) in [
            ("/x", &["news"][..], Some(Purge::Hard), Some(Purge::Soft)),
            ("/x", &["other"], None, None),
            ("/a/1", &[], Some(Purge::Soft), Some(Purge::Soft)),
            ("/a/1", &["news"], Some(Purge::Hard), Some(Purge::Soft)),
            ("/b", &[], Some(Purge::Soft), Some(Purge::Soft)),
            ("/b/", &[], None, None),
        ] {
            let label = label(key, tags);
            assert_eq!(bans.since(begun, &label), first, "{key} {tags:?}");
            assert_eq!(bans.since(between, &label), then, "{key} {tags:?}");
            assert_eq!(bans.since(bans.moment(), &label), None);
        }
    }

    #[test]
    fn what_cannot_be_remembered_counts_as_purged() {
        let bans = Bans::default();
        let begun = bans.moment();
        for number in 0..=MOST {
            bans.add(&Target::Key(number.to_string().into()), Purge::Soft);
        }
        assert!(bans.state().exact.len() <= MOST);
        assert_eq!(bans.since(begun, &label("other", &[])), Some(Purge::Hard));
        assert_eq!(bans.since(bans.moment(), &label("other", &[])), None);
        for number in 0..=MOST_PREFIXES {
            bans.add(&Target::Prefix(number.to_string().into()), Purge::Soft);
        }
        assert!(bans.state().prefixes.len() <= MOST_PREFIXES);
    }

    #[test]
    fn tags_forget_who_left() {
        let mut tags = Tags::<u32>::default();
        let numbers = tags.numbers(&label("", &["a", "b"]));
        tags.add(&numbers, &1);
        tags.add(&numbers, &2);
        tags.remove(&numbers, &1);
        assert_eq!(tags.members("a"), [2]);
        tags.remove(&numbers, &2);
        assert!(tags.members("b").is_empty() && tags.members.is_empty());
    }
}
