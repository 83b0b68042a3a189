//! Cache directives: what a response says of itself and what a request wishes (RFC 9111, section 5.2).
//!
//! `Cache-Control` is read as people write it: a broken argument never makes a response live longer, nor a broken quote
//! hide a `no-store`. Targeted fields (RFC 9213) are read as structured fields, or not at all.

mod line;

use std::time::Duration;

use http::header;

use self::line::{Argument, each};
use super::structured::{self, Item};
use crate::message::{Fields, Name};

/// Of a response. From one field only: a targeted one, `Surrogate-Control`, or `Cache-Control`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// Where they stood: if not in `Cache-Control`, then neither it nor `Expires` counts (RFC 9213, section 2.2).
    pub is_targeted: bool,
    /// `no-store`
    pub no_store: bool,
    /// `no-cache`, perhaps for some fields only.
    pub no_cache: Reach,
    /// `private`, perhaps for some fields only.
    pub private: Reach,
    /// `public`
    pub public: bool,
    /// `must-revalidate`
    pub must_revalidate: bool,
    /// `proxy-revalidate`
    pub proxy_revalidate: bool,
    /// `must-understand`
    pub must_understand: bool,
    /// `immutable` (RFC 8246)
    pub immutable: bool,
    /// `max-age`; a broken one is zero.
    pub max_age: Option<Duration>,
    /// `s-maxage`; a broken one is zero.
    pub s_maxage: Option<Duration>,
    /// `stale-while-revalidate` (RFC 5861, section 3)
    pub stale_while_revalidate: Option<Duration>,
    /// `stale-if-error` (RFC 5861, section 4)
    pub stale_if_error: Option<Duration>,
    /// How long, from when it came, whatever is stated: a filter's word. It says nothing of whether and for whom.
    pub ruled: Option<Duration>,
}

/// How far `no-cache` and `private` reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reach {
    /// Not there.
    #[default]
    Nothing,
    /// These fields.
    Fields(Vec<Name>),
    /// The whole response.
    Whole,
}

/// Of a request (RFC 9111, section 5.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// `no-cache`; also `Pragma: no-cache` where there is no `Cache-Control` (section 5.4).
    pub no_cache: bool,
    /// `no-store`
    pub no_store: bool,
    /// `only-if-cached`
    pub only_if_cached: bool,
    /// `max-age`; a broken one is zero.
    pub max_age: Option<Duration>,
    /// `min-fresh`
    pub min_fresh: Option<Duration>,
    /// `max-stale`; without argument, any age.
    pub max_stale: Option<Duration>,
    /// `stale-if-error` (RFC 5861, section 4)
    pub stale_if_error: Option<Duration>,
}

/// The greatest age there is: 2^31 seconds (RFC 9111, section 1.2.2).
pub const FOREVER: Duration = Duration::from_secs(1 << 31);

/// A field of our own on what is stored: whole seconds, by a filter (`Directives::ruled`). Nobody sends or gets it.
pub const RULED: Name = Name::from_static("weir-ruled");

/// The field of edge caches before RFC 9213, as W3C's Edge Architecture has it.
pub const SURROGATE_CONTROL: Name = Name::from_static("surrogate-control");

impl Directives {
    /// Those that count here: of the first target that parses (RFC 9213, section 2.2), else of `Surrogate-Control` if
    /// `surrogate` is set, else of `Cache-Control`.
    #[must_use]
    pub fn of(fields: &Fields, targets: &[Name], surrogate: bool) -> Self {
        let targeted = targets.iter().find_map(|name| Self::targeted(&fields.joined(name)?));
        let targeted = targeted.or_else(|| surrogate.then(|| Self::surrogate(fields)).flatten());
        let ruled = fields.get(RULED).and_then(|value| seconds(value.as_bytes()));
        Self { ruled, ..targeted.unwrap_or_else(|| Self::plain(fields)) }
    }

    /// Whether a lifetime is stated; `Expires` is looked at elsewhere.
    #[must_use]
    pub const fn has_lifetime(&self) -> bool {
        self.max_age.is_some() || self.s_maxage.is_some()
    }

    fn plain(fields: &Fields) -> Self {
        let mut found = Self::default();
        for line in fields.lines(header::CACHE_CONTROL) {
            each(line.as_bytes(), |name, argument| found.take(name, &argument));
        }
        found
    }

    /// One directive. Of a number that comes twice the first counts (RFC 9111, section 4.2.1).
    fn take(&mut self, name: &str, argument: &Argument<'_>) {
        let bare = matches!(argument, Argument::None);
        match name {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache.widen(argument),
            "private" => self.private.widen(argument),
            "must-revalidate" => self.must_revalidate = true,
            "proxy-revalidate" => self.proxy_revalidate = true,
            // What permits something must be written right.
            "public" => self.public |= bare,
            "must-understand" => self.must_understand |= bare,
            "immutable" => self.immutable |= bare,
            "max-age" => first(&mut self.max_age, argument),
            "s-maxage" => first(&mut self.s_maxage, argument),
            "stale-while-revalidate" => first(&mut self.stale_while_revalidate, argument),
            "stale-if-error" => first(&mut self.stale_if_error, argument),
            _ => {}
        }
    }

    /// A directive of the wrong type makes the field wrong: nobody knows what its author meant (RFC 9213, section 2.1).
    fn targeted(text: &[u8]) -> Option<Self> {
        let members = structured::dictionary(text).filter(|members| !members.is_empty())?;
        let mut found = Self { is_targeted: true, ..Self::default() };
        for (name, item) in &members {
            let flag = match name.as_str() {
                "no-store" => &mut found.no_store,
                "public" => &mut found.public,
                "must-revalidate" => &mut found.must_revalidate,
                "proxy-revalidate" => &mut found.proxy_revalidate,
                "must-understand" => &mut found.must_understand,
                "immutable" => &mut found.immutable,
                "no-cache" => {
                    found.no_cache = Reach::of(item)?;
                    continue;
                }
                "private" => {
                    found.private = Reach::of(item)?;
                    continue;
                }
                "max-age" | "s-maxage" | "stale-while-revalidate" | "stale-if-error" => {
                    *found.number(name)? = Some(integer(item)?);
                    continue;
                }
                _ => continue,
            };
            let Item::Boolean(is_set) = item else { return None };
            *flag = *is_set;
        }
        Some(found)
    }

    fn number(&mut self, name: &str) -> Option<&mut Option<Duration>> {
        match name {
            "max-age" => Some(&mut self.max_age),
            "s-maxage" => Some(&mut self.s_maxage),
            "stale-while-revalidate" => Some(&mut self.stale_while_revalidate),
            "stale-if-error" => Some(&mut self.stale_if_error),
            _ => None,
        }
    }

    /// `max-age=600+60` is fresh for 600 and may be stale for 60; directives for one surrogate by name (`;name`) are not
    /// for us.
    fn surrogate(fields: &Fields) -> Option<Self> {
        let mut found = Self { is_targeted: true, ..Self::default() };
        let mut is_there = false;
        for line in fields.lines(SURROGATE_CONTROL) {
            each(line.as_bytes(), |name, argument| match (name, &argument) {
                ("no-store", _) => (found.no_store, is_there) = (true, true),
                ("max-age", Argument::Text(text)) if !text.contains(&b';') => {
                    let mut parts = text.splitn(2, |&byte| byte == b'+');
                    let life = parts.next().and_then(seconds).unwrap_or_default();
                    found.max_age.get_or_insert(life);
                    found.stale_while_revalidate = found.stale_while_revalidate.or(parts.next().and_then(seconds));
                    is_there = true;
                }
                _ => {}
            });
        }
        is_there.then_some(found)
    }
}

impl Reach {
    /// The fields that are named, if only fields are.
    #[must_use]
    pub fn fields(&self) -> &[Name] {
        match self {
            Self::Fields(names) => names,
            Self::Nothing | Self::Whole => &[],
        }
    }

    /// Twice said, the wider holds.
    fn widen(&mut self, argument: &Argument<'_>) {
        let names = match argument {
            Argument::Text(text) => names(text),
            Argument::None | Argument::Broken => None,
        };
        *self = match (std::mem::take(self), names) {
            (Self::Whole, _) | (_, None) => Self::Whole,
            (Self::Nothing, Some(names)) => Self::Fields(names),
            (Self::Fields(mut all), Some(names)) => {
                all.extend(names);
                Self::Fields(all)
            }
        };
    }

    fn of(item: &Item) -> Option<Self> {
        match item {
            Item::Boolean(true) => Some(Self::Whole),
            Item::Boolean(false) => Some(Self::Nothing),
            Item::String(text) | Item::Token(text) => Some(names(text.as_bytes()).map_or(Self::Whole, Self::Fields)),
            Item::Integer(_) | Item::Other => None,
        }
    }
}

impl RequestDirectives {
    /// What a request wishes.
    #[must_use]
    pub fn of(fields: &Fields) -> Self {
        let mut found = Self::default();
        let mut lines = fields.lines(header::CACHE_CONTROL).peekable();
        if lines.peek().is_none() {
            let pragma = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"no-cache");
            let mut words = fields.lines(header::PRAGMA).flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
            found.no_cache = words.any(pragma);
        }
        for line in lines {
            each(line.as_bytes(), |name, argument| found.take(name, &argument));
        }
        found
    }

    fn take(&mut self, name: &str, argument: &Argument<'_>) {
        match (name, argument) {
            ("no-cache", _) => self.no_cache = true,
            ("no-store", _) => self.no_store = true,
            ("only-if-cached", _) => self.only_if_cached = true,
            ("max-age", _) => first(&mut self.max_age, argument),
            ("min-fresh", _) => first(&mut self.min_fresh, argument),
            ("max-stale", Argument::None) => self.max_stale = self.max_stale.or(Some(FOREVER)),
            ("max-stale", _) => first(&mut self.max_stale, argument),
            ("stale-if-error", _) => first(&mut self.stale_if_error, argument),
            _ => {}
        }
    }
}

/// Reads `delta-seconds` (RFC 9111, section 1.2.2): digits; too many of them are 2^31.
pub(super) fn seconds(digits: &[u8]) -> Option<Duration> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_u64, |sum, digit| (sum * 10 + u64::from(digit - b'0')).min(FOREVER.as_secs()));
    Some(Duration::from_secs(number))
}

fn first(known: &mut Option<Duration>, argument: &Argument<'_>) {
    let value = match argument {
        Argument::Text(text) => seconds(text),
        Argument::None | Argument::Broken => None,
    };
    known.get_or_insert(value.unwrap_or_default());
}

fn integer(item: &Item) -> Option<Duration> {
    match item {
        Item::Integer(number) => u64::try_from(*number).ok().map(|number| Duration::from_secs(number).min(FOREVER)),
        _ => None,
    }
}

/// A list of field names; `None` if it is none.
fn names(text: &[u8]) -> Option<Vec<Name>> {
    let words = text.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|word| !word.is_empty());
    let names: Vec<Name> = words.map(Name::from_bytes).collect::<Result<_, _>>().ok()?;
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests;
