//! Who has which tag.
//!
//! Members are kept in order, so that whoever goes through them can do so piece by piece, and a million of them are not
//! moved all at once when there is one more.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher as _;
use std::ops::Bound;

use super::object::Label;

/// Tags are kept as keyed hashes: two that collide are purged together, which nobody can bring about.
#[derive(Debug)]
pub(super) struct Tags<M> {
    members: HashMap<u64, BTreeSet<M>>,
    hasher: RandomState,
}

impl<M: Ord + Clone> Tags<M> {
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

    /// Those who have a tag, in order, behind one of them.
    pub(super) fn members(&self, tag: &str, after: Option<&M>) -> impl Iterator<Item = &M> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let members = self.members.get(&self.number(tag)).into_iter();
        members.flat_map(move |members| members.range((from, Bound::Unbounded)))
    }
}

impl<M> Default for Tags<M> {
    fn default() -> Self {
        Self { members: HashMap::new(), hasher: RandomState::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn tags_forget_who_left() {
        let at = SystemTime::UNIX_EPOCH;
        let label = Label::of(b"", b"", b"", at, at).tagged(["a".into(), "b".into()]);
        let mut tags = Tags::<u32>::default();
        let numbers = tags.numbers(&label);
        for member in [3, 1, 2] {
            tags.add(&numbers, &member);
        }
        let members = |tags: &Tags<u32>, tag: &str, after: Option<u32>| {
            tags.members(tag, after.as_ref()).copied().collect::<Vec<_>>()
        };
        assert_eq!((members(&tags, "a", None), members(&tags, "b", Some(1))), (vec![1, 2, 3], vec![2, 3]));
        assert!(members(&tags, "c", None).is_empty());
        tags.remove(&numbers, &1);
        assert_eq!((members(&tags, "a", None), members(&tags, "a", Some(1))), (vec![2, 3], vec![2, 3]));
        tags.remove(&numbers, &2);
        tags.remove(&numbers, &3);
        assert!(tags.members.is_empty());
    }
}
