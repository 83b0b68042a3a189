//! What an operator wants forgotten, as words say it: one language for `PURGE` and for the operator's socket.
//!
//! Pure: it says what is meant, a store looks for it. Words of one kind mean any of them, words of different kinds all of
//! them. Invariant: an order that cannot be carried out as it was meant does not exist.

mod url;
mod words;

use std::fmt;

pub use self::url::Url;
use self::words::Word;
use super::invalidate::Tag;

/// An order to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What is meant.
    pub scope: Scope,
    /// Whether it stays, and is stale from now on.
    pub is_soft: bool,
}

/// What an order means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything under this URL.
    Url(Url),
    /// Everything under URLs that begin so.
    Prefix(Url),
    /// Everything with one of these tags.
    Tags(Vec<Tag>),
    /// Everything.
    All,
}

/// Why words are no order. Its text says what would be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadOrder {
    /// A word that nobody knows.
    Unknown(String),
    /// A word that wants a value.
    Wants(&'static str),
    /// A word that takes none.
    Takes(&'static str),
    /// A word with a value that means nothing, and what would.
    Value(&'static str, String, &'static str),
    /// A URL that is none, and why.
    Url(String, &'static str),
    /// It says nothing of what is meant.
    Nothing,
    /// Two words that cannot both be meant.
    Both(&'static str, &'static str),
    /// A word that makes no sense without a URL.
    NeedsUrl(&'static str),
    /// A quotation mark that nothing closes.
    Open(String),
    /// Something behind a closing quotation mark.
    Behind(String),
    /// More words than may be.
    TooMany(usize),
}

impl Order {
    /// Reads words, which are about a URL, if one was given.
    ///
    /// Without words the URL is meant. `prefix`: all that begin with it. `scheme=*`: under `http` and `https`. `tag=NAME`:
    /// all with this tag, of the whole cache; with a URL also the origin's group of this name. `all`: everything. `soft`: it
    /// stays, and is stale.
    pub fn read(url: Option<Url>, words: &str) -> Result<Self, BadOrder> {
        Self::of(url, words::read(words)?.into_iter().map(|Word { name, value }| (name, value)))
    }

    /// As `read`, of words that are apart already.
    pub fn of(url: Option<Url>, words: impl IntoIterator<Item = (String, Option<String>)>) -> Result<Self, BadOrder> {
        let (mut is_soft, mut is_prefix, mut is_all, mut is_any_scheme, mut names) =
            (false, false, false, false, Vec::new());
        for (number, (name, value)) in words.into_iter().enumerate() {
            if number >= words::MOST {
                return Err(BadOrder::TooMany(words::MOST));
            }
            match (name.as_str(), value.as_deref()) {
                ("soft", None) => is_soft = true,
                ("prefix", None) => is_prefix = true,
                ("all", None) => is_all = true,
                ("scheme", Some("*")) => is_any_scheme = true,
                ("tag", Some(tag)) if !tag.is_empty() => names.push(tag.to_owned()),
                (name, value) => return Err(BadOrder::of(name, value)),
            }
        }
        let url = url.map(|url| if is_any_scheme { url.of_any_scheme() } else { url });
        let scope = match (is_all, is_prefix, names.is_empty(), url) {
            (true, true, ..) => return Err(BadOrder::Both("all", "prefix")),
            (true, _, false, _) => return Err(BadOrder::Both("all", "tag")),
            (_, true, false, _) => return Err(BadOrder::Both("prefix", "tag")),
            (_, true, _, None) => return Err(BadOrder::NeedsUrl("prefix")),
            (true, false, true, _) => Scope::All,
            (false, false, false, url) => Scope::Tags(tags(&names, url.as_ref())),
            (false, true, true, Some(url)) => Scope::Prefix(url),
            (false, false, true, Some(url)) => Scope::Url(url),
            (false, false, true, None) => return Err(BadOrder::Nothing),
        };
        Ok(Self { scope, is_soft })
    }
}

impl BadOrder {
    /// Why a word is none.
    fn of(name: &str, value: Option<&str>) -> Self {
        let bare = ["soft", "prefix", "all"].into_iter().find(|known| *known == name);
        let valued = ["tag", "scheme"].into_iter().find(|known| *known == name);
        match (bare, valued, value.unwrap_or_default()) {
            (Some(name), ..) => Self::Takes(name),
            (_, Some(name), "") => Self::Wants(name),
            (_, Some(name), value) => Self::Value(name, value.to_owned(), "*"),
            (None, None, _) => Self::Unknown(name.to_owned()),
        }
    }
}

impl fmt::Display for BadOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "{word:?} is not a word here; known: {KNOWN}"),
            Self::Wants(word) => write!(f, "{word} wants a value, as in {word}=.."),
            Self::Takes(word) => write!(f, "{word} takes no value"),
            Self::Value(word, value, right) => {
                write!(f, "{word}={value:?} means nothing; right would be {word}={right}")
            }
            Self::Url(url, why) => write!(f, "{url:?} is not a URL to forget: {why}"),
            Self::Nothing => f.write_str("nothing is meant: name a URL, or say all or tag=NAME"),
            Self::Both(one, other) => write!(f, "{one} and {other} cannot both be meant"),
            Self::NeedsUrl(word) => write!(f, "{word} needs a URL"),
            Self::Open(word) => write!(f, "the quotation mark behind {word}= is not closed"),
            Self::Behind(word) => write!(f, "a comma is missing behind the value of {word}"),
            Self::TooMany(most) => write!(f, "there are more than {most} words"),
        }
    }
}

impl std::error::Error for BadOrder {}

const KNOWN: &str = "all, prefix, scheme=*, soft, tag=NAME";

fn tags(names: &[String], url: Option<&Url>) -> Vec<Tag> {
    let origins = url.map(Url::origins).unwrap_or_default();
    let groups = |name| origins.iter().map(move |origin| Tag::group(origin, name));
    names.iter().flat_map(|name| std::iter::once(Tag::key(name)).chain(groups(name))).collect()
}
