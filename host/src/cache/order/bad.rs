//! Why words are no order. Each text says what would be one.

use std::fmt;

use crate::config;

/// What is wrong with an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadOrder {
    /// A word that nobody knows.
    Unknown(String),
    /// A word that wants a value, and one that it could be.
    Wants(&'static str, &'static str),
    /// A word that takes none.
    Takes(&'static str),
    /// A word with a value that means nothing, and what would mean something.
    Value(&'static str, String, &'static str),
    /// Something that is no pattern, and why.
    Pattern(String, String),
    /// A URL that is none, and why.
    Url(String, &'static str),
    /// It says nothing of what is meant.
    Nothing,
    /// Two words that cannot both be meant.
    Both(&'static str, &'static str),
    /// A word that there can be only one of.
    Again(&'static str),
    /// A word that means nothing without a URL.
    NeedsUrl(&'static str),
    /// A quotation mark that nothing closes, behind this word.
    Open(String),
    /// Something behind the closing quotation mark of this word.
    Behind(String),
    /// More words than may be, or more of one kind.
    TooMany(usize, &'static str),
}

/// Words that stand alone.
const BARE: [&str; 3] = ["all", "prefix", "soft"];

/// Words with a value, and an example of it.
const VALUED: [(&str, &str); 7] = [
    ("host", "*.shop.example"),
    ("match", "\"^/img/\""),
    ("older-than", "1h"),
    ("scheme", "*"),
    ("status", "404 or 4xx"),
    ("tag", "news"),
    ("type", "text/html or image/*"),
];

impl BadOrder {
    /// Why a word that was not taken is none.
    pub(super) fn of(name: &str, value: Option<&str>) -> Self {
        let bare = BARE.into_iter().find(|known| *known == name);
        let valued = VALUED.into_iter().find(|(known, _)| *known == name);
        match (bare, valued, value) {
            (Some(name), ..) => Self::Takes(name),
            (_, Some((name, example)), None | Some("")) => Self::Wants(name, example),
            (_, Some((name, example)), Some(value)) => Self::Value(name, value.to_owned(), example),
            (None, None, _) => Self::Unknown(name.to_owned()),
        }
    }
}

impl fmt::Display for BadOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => {
                let valued = VALUED.map(|(name, _)| name);
                let hint = config::hint(word, BARE.into_iter().chain(valued));
                write!(f, "{word:?} is not a word here{hint}; known: {}, {}=..", BARE.join(", "), valued.join("=.., "))
            }
            Self::Wants(word, example) => write!(f, "{word} wants a value, as in {word}={example}"),
            Self::Takes(word) => write!(f, "{word} takes no value"),
            Self::Value(word, value, example) => {
                write!(f, "{word} cannot be {value:?}; right would be {word}={example}")
            }
            Self::Pattern(pattern, why) => write!(f, "{pattern:?} is not a pattern: {why}"),
            Self::Url(url, why) => write!(f, "{url:?} is not a URL to forget: {why}"),
            Self::Nothing => f.write_str("nothing is meant: name a URL, or say all, match=.. or tag=.."),
            Self::Both(one, other) => write!(f, "{one} and {other} cannot both be meant"),
            Self::Again(word) => write!(f, "{word} is said twice"),
            Self::NeedsUrl(word) => write!(f, "{word} needs a URL"),
            Self::Open(word) => write!(f, "the quotation mark behind {word}= is not closed"),
            Self::Behind(word) => write!(f, "a comma is missing behind the value of {word}"),
            Self::TooMany(most, what) => write!(f, "there are more than {most} {what}"),
        }
    }
}

impl std::error::Error for BadOrder {}
