//! What is to be forgotten, as shelves understand it: by keys, by tags, and by what else a label says.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::object::Label;

/// What is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// All objects of this key.
    Key(Bytes),
    /// All objects whose key is this, alone or with a blank and more behind it.
    Stem(Bytes),
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

/// What is meant: what any of the targets means, as far as it is among those that are meant only.
#[derive(Debug, Clone)]
pub struct Meant {
    /// At least one.
    pub targets: Vec<Target>,
    /// Everything, as a rule.
    pub only: Only,
}

/// Of several objects those for which all of this holds. Tests are asked while others wait for them: they are short.
#[derive(Clone, Default)]
pub struct Only {
    /// A test of the key.
    pub key: Option<Test<[u8]>>,
    /// A test of the kind.
    pub kind: Option<Test<str>>,
    /// Stored, or confirmed last, at this time or before.
    pub until: Option<SystemTime>,
}

/// Whether something is meant.
pub type Test<T> = Arc<dyn Fn(&T) -> bool + Send + Sync>;

/// What is known of an object without its head, whichever shelf it is on.
pub(super) trait Known {
    fn key(&self) -> &[u8];
    fn kind(&self) -> &str;
    fn has(&self, tag: &str) -> bool;
    fn stored(&self) -> SystemTime;
}

impl Target {
    /// Whether it means an object of this label.
    #[must_use]
    pub fn means(&self, label: &Label) -> bool {
        self.is_of(label)
    }

    pub(super) fn is_of(&self, known: &impl Known) -> bool {
        match self {
            Self::Tag(tag) => known.has(tag),
            keys => keys.spans(known.key()),
        }
    }

    /// Where those keys begin, in their order, that it means; nothing for tags.
    pub(super) fn first(&self) -> &[u8] {
        match self {
            Self::Key(key) | Self::Stem(key) | Self::Prefix(key) => key,
            Self::Tag(_) | Self::All => &[],
        }
    }

    /// Whether it means a key. Those that it means follow each other: nothing but a blank stands in a key that is smaller.
    pub(super) fn spans(&self, key: &[u8]) -> bool {
        match self {
            Self::Key(meant) => meant == key,
            Self::Stem(stem) => key.strip_prefix(&**stem).is_some_and(|rest| matches!(rest.first(), None | Some(b' '))),
            Self::Prefix(prefix) => key.starts_with(prefix),
            Self::Tag(_) => false,
            Self::All => true,
        }
    }
}

impl Meant {
    /// The first target that means an object, if it is meant at all: whoever goes through one target after the other leaves
    /// to each what is its own.
    pub(super) fn target_of(&self, known: &impl Known) -> Option<usize> {
        let by = self.targets.iter().position(|target| target.is_of(known))?;
        self.only.lets(known).then_some(by)
    }
}

impl From<Target> for Meant {
    fn from(target: Target) -> Self {
        Self { targets: vec![target], only: Only::default() }
    }
}

impl Only {
    pub(super) fn is_everything(&self) -> bool {
        self.key.is_none() && self.kind.is_none() && self.until.is_none()
    }

    pub(super) fn lets_key(&self, key: &[u8]) -> bool {
        self.key.as_ref().is_none_or(|test| test(key))
    }

    fn lets(&self, known: &impl Known) -> bool {
        self.until.is_none_or(|until| known.stored() <= until)
            && self.kind.as_ref().is_none_or(|test| test(known.kind()))
            && self.lets_key(known.key())
    }
}

impl fmt::Debug for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, kind, until } = self;
        let (key, kind) = (key.is_some(), kind.is_some());
        f.debug_struct("Only").field("key", &key).field("kind", &kind).field("until", until).finish()
    }
}

impl Known for Label {
    fn key(&self) -> &[u8] {
        &self.key
    }

    fn kind(&self) -> &str {
        &self.kind
    }

    fn has(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| **own == *tag)
    }

    fn stored(&self) -> SystemTime {
        self.stored
    }
}
