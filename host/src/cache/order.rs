//! What an operator wants forgotten, as words say it: one language for `PURGE` and for the operator's socket.
//!
//! Pure: it says what is meant, a store looks for it. Words of one kind mean any of them, words of different kinds all of
//! them. Invariant: an order that cannot be carried out as it was meant does not exist.

mod bad;
mod kind;
mod search;
mod url;
mod words;

use std::time::Duration;

use regex::{Regex, RegexBuilder};

pub use self::bad::BadOrder;
pub use self::kind::kind;
use self::kind::{Kinds, Statuses, Types};
pub use self::search::{Among, Keys, Search};
use self::search::{Origins, Paths};
pub use self::url::Url;
use self::url::{Hosts, Schemes};
use self::words::Word;
use super::invalidate::Tag;
use super::key::Recipe;
use crate::config;

/// An order to forget.
#[derive(Debug, Clone)]
pub struct Order {
    /// Whether it stays, and is stale from now on.
    pub is_soft: bool,
    url: Option<Url>,
    scope: Scope,
    /// Said by words: for what is not about the URL.
    hosts: Option<Hosts>,
    schemes: Option<Schemes>,
    patterns: Vec<Regex>,
    tags: Vec<String>,
    kinds: Kinds,
    older_than: Option<Duration>,
}

/// How much of the URL, if it is about one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Url,
    Prefix,
    /// Its scheme and host.
    Origin,
    /// Nothing of it.
    Cache,
}

/// Patterns of one order: each is tried on every key.
const MOST_PATTERNS: usize = 8;

/// Bytes of one pattern, and of what it becomes: some hundred orders may be remembered at once.
const LONGEST_PATTERN: usize = 1024;
const LARGEST_PATTERN: usize = 128 << 10;

impl Order {
    /// Reads words, which are about a URL if one was given: what they mean says `CONFIG.md`, "Forgetting".
    pub fn read(url: Option<Url>, words: &str) -> Result<Self, BadOrder> {
        Self::of(url, words::read(words)?.into_iter().map(|Word { name, value }| (name, value)))
    }

    /// As `read`, of words that are apart already.
    pub fn of(url: Option<Url>, words: impl IntoIterator<Item = (String, Option<String>)>) -> Result<Self, BadOrder> {
        let mut order = Self {
            is_soft: false,
            url,
            scope: Scope::Url,
            hosts: None,
            schemes: None,
            patterns: Vec::new(),
            tags: Vec::new(),
            kinds: Kinds::default(),
            older_than: None,
        };
        let (mut is_all, mut is_prefix) = (false, false);
        for (number, (name, value)) in words.into_iter().enumerate() {
            if number >= words::MOST {
                return Err(BadOrder::TooMany(words::MOST, "words"));
            }
            match (name.as_str(), value.as_deref()) {
                ("all", None) => is_all = true,
                ("prefix", None) => is_prefix = true,
                (name, value) => order.heed(name, value).ok_or_else(|| BadOrder::of(name, value))??,
            }
        }
        order.scope = match (is_all, is_prefix, order.patterns.is_empty(), order.tags.is_empty()) {
            (true, true, ..) => return Err(BadOrder::Both("all", "prefix")),
            (true, _, false, _) => return Err(BadOrder::Both("all", "match")),
            (true, _, _, false) => return Err(BadOrder::Both("all", "tag")),
            (true, ..) | (_, false, true, false) => Scope::Cache,
            (_, true, ..) => Scope::Prefix,
            (_, _, false, _) => Scope::Origin,
            (_, _, true, true) => Scope::Url,
        };
        match (&order.url, order.scope) {
            (None, Scope::Url) => Err(BadOrder::Nothing),
            (None, Scope::Prefix) => Err(BadOrder::NeedsUrl("prefix")),
            _ => Ok(order.about()),
        }
    }

    /// Where its objects are found under the keys of a recipe.
    #[must_use]
    pub fn search(&self, recipe: &Recipe) -> Search {
        let (kinds, older_than) = (self.kinds.clone(), self.older_than);
        let mut keys = Keys { patterns: self.patterns.clone(), ..Keys::default() };
        let among = match self.places(recipe) {
            _ if !self.tags.is_empty() => Among::Tags(self.named()),
            Some(places) => {
                return Search { among: places, keys, kinds, older_than };
            }
            None => Among::All,
        };
        keys.origin = self.origins(recipe);
        if let Some(url) = &self.url {
            let path = || search::path(recipe, &url.path, url.query.as_deref());
            keys.path = match self.scope {
                Scope::Url => Paths::Is(path()),
                Scope::Prefix => Paths::Begins(path()),
                Scope::Origin | Scope::Cache => Paths::Any,
            };
        }
        Search { among, keys, kinds, older_than }
    }

    /// A word that is neither of what nor of how much. `None` if it is none, or its value is none.
    fn heed(&mut self, name: &str, value: Option<&str>) -> Option<Result<(), BadOrder>> {
        match (name, value.filter(|value| !value.is_empty())) {
            ("soft", None) if value.is_none() => self.is_soft = true,
            ("scheme", Some(_)) if self.schemes.is_some() => return Some(Err(BadOrder::Again("scheme"))),
            ("host", Some(_)) if self.hosts.is_some() => return Some(Err(BadOrder::Again("host"))),
            ("older-than", Some(_)) if self.older_than.is_some() => return Some(Err(BadOrder::Again("older-than"))),
            ("scheme", Some(text)) => self.schemes = Some(Schemes::read(text)?),
            ("host", Some(text)) => self.hosts = Some(Hosts::read(text)?),
            ("tag", Some(text)) => self.tags.push(text.to_owned()),
            ("older-than", Some(text)) => self.older_than = Some(config::duration(text)?),
            ("status", Some(text)) => self.kinds.statuses.push(Statuses::read(text)?),
            ("type", Some(text)) => self.kinds.types.push(Types::read(text)?),
            ("match", Some(text)) => match pattern(text) {
                Ok(_) if self.patterns.len() >= MOST_PATTERNS => {
                    return Some(Err(BadOrder::TooMany(MOST_PATTERNS, "patterns")));
                }
                Ok(pattern) => self.patterns.push(pattern),
                Err(bad) => return Some(Err(bad)),
            },
            _ => return None,
        }
        Some(Ok(()))
    }

    /// With what words say of scheme and host in the place of the URL's.
    fn about(mut self) -> Self {
        if let Some(url) = &mut self.url {
            url.schemes = self.schemes.unwrap_or(url.schemes);
            if let Some(hosts) = &self.hosts {
                url.hosts = hosts.clone();
            }
        }
        self
    }

    /// Where a URL of this host is, if the host is one and the order is about it.
    fn places(&self, recipe: &Recipe) -> Option<Among> {
        let url = self.url.as_ref()?;
        match self.scope {
            Scope::Url => url.keys(recipe).map(Among::Urls),
            Scope::Prefix => url.keys(recipe).map(Among::Prefixes),
            Scope::Origin => url.root().keys(recipe).map(Among::Prefixes),
            Scope::Cache => None,
        }
    }

    fn origins(&self, recipe: &Recipe) -> Origins {
        let about = self.url.as_ref().filter(|_| self.scope != Scope::Cache);
        let hosts = about.map(|url| &url.hosts).or(self.hosts.as_ref());
        let schemes = about.map(|url| url.schemes).or(self.schemes).unwrap_or_default();
        url::origins(hosts.unwrap_or(&Hosts::Any), schemes, recipe)
    }

    /// Tags of the whole cache, and the groups of the URL's origin.
    fn named(&self) -> Vec<Tag> {
        let origins = self.url.as_ref().map(Url::origins).unwrap_or_default();
        let groups = |name| origins.iter().map(move |origin| Tag::group(origin, name));
        self.tags.iter().flat_map(|name| std::iter::once(Tag::key(name)).chain(groups(name))).collect()
    }
}

/// A pattern for paths, of bounded size: it is tried in linear time.
fn pattern(text: &str) -> Result<Regex, BadOrder> {
    let bad = |why: &str| BadOrder::Pattern(text.chars().take(LONGEST_PATTERN).collect(), why.to_owned());
    if text.len() > LONGEST_PATTERN {
        return Err(bad("it is too long"));
    }
    let built = RegexBuilder::new(text).size_limit(LARGEST_PATTERN).dfa_size_limit(LARGEST_PATTERN).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => bad("it is too large"),
        // The last line says what is wrong, those before show where.
        error => bad(error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ")),
    })
}

#[cfg(test)]
mod tests;
