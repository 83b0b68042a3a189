//! What was purged lately, for objects that were on no shelf at that moment: those being written, and those on a disk that
//! has not been read yet.
//!
//! Invariant: what cannot be remembered counts as purged.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::object::Label;
use super::target::{Meant, Purge, Target};

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
    /// Everything else, in the order in which it came.
    listed: VecDeque<(Arc<Meant>, When)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct When {
    soft: u64,
    hard: u64,
}

/// Purges by key or tag that are remembered: what an unsafe request invalidates counts, and a slow answer takes a minute.
const MOST: usize = 16_384;

/// Of others: each is compared with what is about to be shelved and began before it.
const MOST_LISTED: usize = 256;

impl Moment {
    /// Whether nothing was purged between the two.
    pub(super) fn is_next_after(self, before: Self) -> bool {
        self.0 == before.0 + 1
    }
}

impl Bans {
    /// Now: what is purged later is later than this.
    pub(super) fn moment(&self) -> Moment {
        Moment(self.state().now)
    }

    /// Remembers a purge; before anything is looked for on a shelf. The moment that it was.
    pub(super) fn add(&self, meant: &Arc<Meant>, purge: Purge) -> Moment {
        let mut state = self.state();
        state.now += 1;
        let now = state.now;
        if !meant.only.is_everything() || !meant.targets.iter().all(is_exact) {
            if state.listed.len() >= MOST_LISTED
                && let Some((_, oldest)) = state.listed.pop_front()
            {
                state.since = state.since.max(oldest.soft.max(oldest.hard));
            }
            state.listed.push_back((meant.clone(), When::default().at(now, purge)));
            return Moment(now);
        }
        if state.exact.len() + meant.targets.len() > MOST {
            state.since = now - 1;
            state.exact.clear();
        }
        for target in &meant.targets {
            let when = state.exact.entry(self.hasher.hash_one(target)).or_default();
            *when = when.at(now, purge);
        }
        Moment(now)
    }

    /// What became of an object since a moment.
    pub(super) fn since(&self, moment: Moment, label: &Label) -> Option<Purge> {
        let (exact, listed) = {
            let state = self.state();
            if state.now == moment.0 {
                return None;
            }
            if moment.0 < state.since {
                return Some(Purge::Hard);
            }
            let later = state.listed.iter().filter_map(|(meant, when)| Some((meant.clone(), when.after(moment)?)));
            (self.exact(&state, moment, label), later.collect::<Vec<_>>())
        };
        let listed = listed.into_iter().filter(|(meant, _)| meant.target_of(label).is_some()).map(|(_, purge)| purge);
        listed.chain(exact).max()
    }

    fn exact(&self, state: &State, moment: Moment, label: &Label) -> Option<Purge> {
        let stem = label.key.iter().position(|byte| *byte == b' ').unwrap_or(label.key.len());
        let keys = [Target::Key(label.key.clone()), Target::Stem(label.key.slice(..stem)), Target::All];
        let tags = label.tags.iter().map(|tag| Target::Tag(tag.clone()));
        let found = |target: Target| state.exact.get(&self.hasher.hash_one(target))?.after(moment);
        keys.into_iter().chain(tags).filter_map(found).max()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it can be looked up by what is known of an object.
fn is_exact(target: &Target) -> bool {
    match target {
        Target::Key(_) | Target::Tag(_) | Target::All => true,
        // Of a key the part before its first blank is looked up.
        Target::Stem(stem) => !stem.contains(&b' '),
        Target::Prefix(_) => false,
    }
}

impl When {
    fn at(self, now: u64, purge: Purge) -> Self {
        match purge {
            Purge::Soft => Self { soft: now, ..self },
            Purge::Hard => Self { hard: now, ..self },
        }
    }

    fn after(self, moment: Moment) -> Option<Purge> {
        let hard = (self.hard > moment.0).then_some(Purge::Hard);
        hard.or((self.soft > moment.0).then_some(Purge::Soft))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::target::Only;
    use super::*;

    const AT: SystemTime = SystemTime::UNIX_EPOCH;

    fn label(key: &str, tags: &[&str]) -> Label {
        Label::of(key.as_bytes(), b"", b"", AT, AT).tagged(tags.iter().map(|tag| (*tag).into()))
    }

    fn add(bans: &Bans, meant: impl Into<Meant>, purge: Purge) {
        bans.add(&Arc::new(meant.into()), purge);
    }

    #[test]
    fn bans_mean_what_began_before_them() {
        let bans = Bans::default();
        let begun = bans.moment();
        add(&bans, Target::Tag("news".into()), Purge::Hard);
        let between = bans.moment();
        add(&bans, Target::Prefix("/a/".into()), Purge::Soft);
        add(&bans, Target::Key("/b".into()), Purge::Soft);
        add(&bans, Target::Stem("/c".into()), Purge::Soft);
        add(&bans, Target::Tag("news".into()), Purge::Soft);
        for (key, tags, first, then) in [
            ("/x", &["news"][..], Some(Purge::Hard), Some(Purge::Soft)),
            ("/x", &["other"], None, None),
            ("/a/1", &[], Some(Purge::Soft), Some(Purge::Soft)),
            ("/a/1", &["news"], Some(Purge::Hard), Some(Purge::Soft)),
            ("/b", &[], Some(Purge::Soft), Some(Purge::Soft)),
            ("/b more", &[], None, None),
            ("/b/", &[], None, None),
            ("/c", &[], Some(Purge::Soft), Some(Purge::Soft)),
            ("/c more x", &[], Some(Purge::Soft), Some(Purge::Soft)),
            ("/c/", &[], None, None),
        ] {
            let label = label(key, tags);
            assert_eq!(bans.since(begun, &label), first, "{key} {tags:?}");
            assert_eq!(bans.since(between, &label), then, "{key} {tags:?}");
            assert_eq!(bans.since(bans.moment(), &label), None);
        }
    }

    #[test]
    fn what_is_narrowed_means_no_more() {
        let bans = Bans::default();
        let begun = bans.moment();
        let only = Only {
            key: Some(Arc::new(|key| key.ends_with(b".png"))),
            kind: Some(Arc::new(|kind| kind.starts_with("200 "))),
            until: Some(AT),
        };
        add(&bans, Meant { targets: vec![Target::Tag("a".into()), Target::Tag("b".into())], only }, Purge::Soft);
        for (key, kind, tags, later, purge) in [
            ("/1.png", "200 image/png", &["b"][..], 0, Some(Purge::Soft)),
            ("/1.png", "200 image/png", &["c"], 0, None),
            ("/1.png", "200 image/png", &["a"], 1, None),
            ("/1.png", "404 image/png", &["a"], 0, None),
            ("/1.gif", "200 image/png", &["a"], 0, None),
        ] {
            let mut label = label(key, tags).of_kind(kind);
            label.stored = AT + Duration::from_secs(later);
            assert_eq!(bans.since(begun, &label), purge, "{key} {kind} {tags:?} {later}");
            assert_eq!(bans.since(bans.moment(), &label), None);
        }
    }

    #[test]
    fn what_cannot_be_remembered_counts_as_purged() {
        let bans = Bans::default();
        let begun = bans.moment();
        for number in 0..=MOST {
            add(&bans, Target::Key(number.to_string().into()), Purge::Soft);
        }
        assert!(bans.state().exact.len() <= MOST);
        assert_eq!(bans.since(begun, &label("other", &[])), Some(Purge::Hard));
        assert_eq!(bans.since(bans.moment(), &label("other", &[])), None);
        let (before, first) = (bans.moment(), Target::Prefix("0/".into()));
        add(&bans, first, Purge::Soft);
        let between = bans.moment();
        for number in 1..=MOST_LISTED {
            add(&bans, Target::Prefix(format!("{number}/").into()), Purge::Soft);
        }
        assert_eq!(bans.state().listed.len(), MOST_LISTED);
        assert_eq!(bans.since(before, &label("other", &[])), Some(Purge::Hard));
        // Only the oldest was forgotten, and this one began after it.
        assert_eq!(bans.since(between, &label("other", &[])), None);
        assert_eq!(bans.since(between, &label("1/x", &[])), Some(Purge::Soft));
    }
}
