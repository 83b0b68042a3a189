//! What an order means under the keys of one cache: where its objects are found, and a test for those that are.

use std::time::Duration;

use regex::Regex;

use super::super::invalidate::Tag;
use super::super::key::Recipe;
use super::kind::Kinds;
use crate::message::Scheme;

/// What is to be looked for.
#[derive(Debug, Clone)]
pub struct Search {
    /// Where.
    pub among: Among,
    /// Which keys of those.
    pub keys: Keys,
    /// Which kinds.
    pub(super) kinds: Kinds,
    /// Stored, or confirmed last, at least so long ago.
    pub older_than: Option<Duration>,
}

/// Where objects are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Among {
    /// Under these URLs, with whatever else is in their keys.
    Urls(Vec<String>),
    /// Under those that begin so.
    Prefixes(Vec<String>),
    /// Among those with one of these tags.
    Tags(Vec<Tag>),
    /// Everywhere.
    All,
}

/// A test of keys.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    pub(super) origin: Origins,
    pub(super) path: Paths,
    /// One of these has to be found in path and query, if there are any.
    pub(super) patterns: Vec<Regex>,
}

/// What stands before a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Origins {
    #[default]
    Any,
    /// One of these.
    OneOf(Vec<String>),
    /// A host that ends so, under this scheme or any.
    Under(Option<Scheme>, String),
}

/// What a path and query is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Paths {
    #[default]
    Any,
    /// This.
    Is(String),
    /// It begins so.
    Begins(String),
}

impl Search {
    /// Whether a kind is meant.
    #[must_use]
    pub fn has_kind(&self, kind: &str) -> bool {
        self.kinds.have(kind)
    }

    /// Whether all kinds are.
    #[must_use]
    pub fn is_any_kind(&self) -> bool {
        self.kinds.is_any()
    }
}

impl Keys {
    /// Whether all keys are meant.
    #[must_use]
    pub fn are_any(&self) -> bool {
        self.origin == Origins::Any && self.path == Paths::Any && self.patterns.is_empty()
    }

    /// Whether a key is meant.
    #[must_use]
    pub fn have(&self, key: &[u8]) -> bool {
        let Some((origin, path)) = str::from_utf8(key).ok().and_then(split) else { return false };
        let is_path = match &self.path {
            Paths::Any => true,
            Paths::Is(meant) => meant == path,
            Paths::Begins(meant) => path.starts_with(meant),
        };
        is_path
            && self.origin.have(origin)
            && (self.patterns.is_empty() || self.patterns.iter().any(|one| one.is_match(path)))
    }
}

impl Origins {
    fn have(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(meant) => meant.iter().any(|meant| meant == origin),
            Self::Under(scheme, end) => {
                let is_scheme = |found: &str| scheme.is_none_or(|scheme| found.is_empty() || found == scheme.as_str());
                let (found, host) = origin.split_once("//").unwrap_or_default();
                host.ends_with(end.as_str()) && is_scheme(found.trim_end_matches(':'))
            }
        }
    }
}

/// Path and query as keys have them.
pub(super) fn path(recipe: &Recipe, path: &str, query: Option<&str>) -> String {
    let url = recipe.url(Scheme::Http, &crate::message::host::absent(), path, query);
    split(&url).map(|(_, path)| path.to_owned()).unwrap_or_default()
}

/// A key's scheme and host, and its path and query; without what more it has.
fn split(key: &str) -> Option<(&str, &str)> {
    let url = key.split(' ').next()?;
    let host = url.find("//")? + 2;
    let at = host + url.get(host..)?.find('/')?;
    url.split_at_checked(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_split_where_the_path_begins() {
        for (key, parts) in [
            ("http://shop.example/a?b=//c x=1 /y", Some(("http://shop.example", "/a?b=//c"))),
            ("https://[::1]:8080/", Some(("https://[::1]:8080", "/"))),
            ("//shop.example/a//b", Some(("//shop.example", "/a//b"))),
            ("http:///a", Some(("http://", "/a"))),
            ("///a", Some(("//", "/a"))),
            ("", None),
            ("http://shop.example", None),
            ("/a", None),
        ] {
            assert_eq!(split(key), parts, "{key}");
        }
    }

    #[test]
    fn origins_end_at_a_dot() {
        let under = |scheme| Origins::Under(scheme, ".shop.example".to_owned());
        for (origins, origin, is_meant) in [
            (under(None), "http://a.shop.example", true),
            (under(None), "https://a.b.shop.example", true),
            (under(None), "http://shop.example", false),
            (under(None), "http://a.shop.example:81", false),
            (under(Some(Scheme::Https)), "http://a.shop.example", false),
            (under(Some(Scheme::Https)), "https://a.shop.example", true),
            (under(Some(Scheme::Https)), "//a.shop.example", true),
            (Origins::OneOf(vec!["http://a".to_owned()]), "http://a", true),
            (Origins::OneOf(vec!["http://a".to_owned()]), "http://ab", false),
            (Origins::Any, "", true),
        ] {
            assert_eq!(origins.have(origin), is_meant, "{origins:?} {origin}");
        }
    }
}
