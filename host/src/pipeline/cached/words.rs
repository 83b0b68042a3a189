//! What filters say to the cache, by variables: what is heard of it, when, and what becomes of the rest.
//!
//! Whatever a filter says, the answer goes on: a word that is not understood is told to the operator and has no effect, but
//! that of a `cache.bypass` that may have been meant.

use std::time::Duration;

use super::super::Exchange;
use crate::cache::{RULED, invalidate};
use crate::message::{Facts, Fields, Value, Variables};

/// What was said of an answer before it is stored.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// It is not to be stored.
    pub(super) is_bypass: bool,
    /// How long it is fresh.
    ttl: Option<Duration>,
    /// What it can be forgotten by, beside what it says itself.
    pub(super) tags: Option<Vec<Box<str>>>,
}

/// Variables that are for the cache begin so.
const SPACE: &str = "cache.";
/// Past the cache, on the way in of the route's chain; not to be stored, later.
const BYPASS: &str = "cache.bypass";
/// Whole seconds.
const TTL: &str = "cache.ttl";
/// Names, separated by commas.
const TAGS: &str = "cache.tags";
/// The beginning of names of parts of the key.
const KEY: &str = "cache.key.";
/// What the cache itself says; it is there when a background refresh begins.
pub(super) const STATUS: &str = "cache.status";

/// Whether a filter sends a request past the cache.
pub(super) fn is_bypass(variables: &Variables) -> bool {
    variables.get(BYPASS).is_some_and(|word| !matches!(word, "" | "0" | "false" | "no"))
}

/// What filters put into the key: variables that the config lists, in its order, and `cache.key.NAME`, in that of names.
pub(super) fn parts<'a>(variables: &'a Variables, listed: &'a [String]) -> Vec<(&'a str, &'a str)> {
    if variables.is_empty() {
        return Vec::new();
    }
    let mut parts: Vec<_> = variables.iter().filter(|(name, _)| name.starts_with(KEY)).collect();
    // Filters may say them in any order.
    parts.sort_unstable();
    let listed = listed.iter().filter_map(|name| Some((name.as_str(), variables.get(name)?)));
    parts.extend(listed);
    parts
}

/// Tells what the route's filters said in vain before the cache is asked.
pub(super) fn hear(facts: &Facts) {
    let known = |name: &str| [BYPASS, TTL, TAGS, STATUS].contains(&name) || name.starts_with(KEY);
    for (name, value) in facts.variables.iter().filter(|(name, _)| name.starts_with(SPACE)) {
        if !known(name) {
            tell(facts, name, value, "the cache knows no such word");
        } else if name == BYPASS && !is_clear(value) {
            tell(facts, name, value, "neither 1 nor 0; it is taken for 1");
        }
    }
}

/// Tells what was said after nobody listened any more: on the way out of a route's chain. `before` is how many variables
/// there were then.
pub(super) fn too_late(exchange: &Exchange, before: usize) {
    let facts = &exchange.facts;
    for (name, value) in facts.variables.iter().skip(before).filter(|(name, _)| name.starts_with(SPACE)) {
        if name != STATUS {
            tell(facts, name, value, "too late: the cache does not listen on the way out of a route's filters");
        }
    }
}

impl Words {
    /// What was said until the origin answered. Of `heard` variables was told before it was asked.
    pub(super) fn of(facts: &Facts, heard: usize) -> Self {
        let variables = &facts.variables;
        if variables.is_empty() {
            return Self::default();
        }
        for (name, value) in variables.iter().skip(heard).filter(|(name, _)| name.starts_with(SPACE)) {
            if name.starts_with(KEY) {
                tell(facts, name, value, "too late: the key was made before the pool's filters");
            } else if ![BYPASS, TTL, TAGS, STATUS].contains(&name) {
                tell(facts, name, value, "the cache knows no such word");
            } else if name == BYPASS && !is_clear(value) {
                tell(facts, name, value, "neither 1 nor 0; it is taken for 1");
            }
        }
        let ttl = variables.get(TTL).and_then(|value| {
            let ttl = seconds(value);
            if ttl.is_none() {
                tell(facts, TTL, value, "not a number of seconds; it is as if nothing was said");
            }
            ttl
        });
        let is_bypass = is_bypass(variables) || ttl == Some(Duration::ZERO);
        Self { is_bypass, ttl, tags: variables.get(TAGS).map(|value| tags(facts, value)) }
    }

    /// Puts the lifetime where it is read from now on. Nobody else has a say in that field.
    pub(super) fn put(&self, fields: &mut Fields) {
        fields.remove(RULED);
        if let Some(ttl) = self.ttl {
            fields.set(RULED, Value::from(ttl.as_secs()));
        }
    }
}

/// A filter's tags. What cannot be named in a `PURGE`, is too long or too much is left out.
fn tags(facts: &Facts, text: &str) -> Vec<Box<str>> {
    let is_tag = |word: &&str| {
        word.len() <= invalidate::LONGEST_TAG && word.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
    };
    let mut words: Vec<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words.dedup();
    let said = words.len();
    words.retain(is_tag);
    words.truncate(invalidate::MOST_TAGS);
    if words.len() < said {
        let left = said - words.len();
        tell(facts, TAGS, text, &format!("{left} of them are no tags, too long or too many; the others count"));
    }
    words.into_iter().map(|word| invalidate::Tag::key(word).as_str().into()).collect()
}

/// Digits; too many of them are as long as anything can be.
fn seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)).min(crate::cache::FOREVER))
}

fn is_clear(bypass: &str) -> bool {
    matches!(bypass, "" | "0" | "1" | "false" | "no" | "true" | "yes")
}

/// The beginning of what was said is enough, and nothing in it may look like a line of the log.
fn tell(facts: &Facts, name: &str, value: &str, why: &str) {
    let value: String = value.chars().take(80).flat_map(char::escape_debug).collect();
    let (id, route) = (&*facts.request_id, &*facts.route);
    tracing::warn!(id, route, variable = name, value, "said to the cache in vain: {why}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Method, RequestHead, Scheme, host};

    fn facts(said: &[(&str, &str)]) -> Facts {
        let target = http::uri::PathAndQuery::from_static("/");
        let mut facts = Facts::of(1, None, RequestHead::of(Method::GET, Scheme::Http, host::absent(), target));
        said.iter().for_each(|(name, value)| facts.variables.set((*name).to_owned(), (*value).to_owned()));
        facts
    }

    #[test]
    fn a_bypass_that_may_have_been_meant_is_one() {
        for (word, is_one) in [("1", true), ("true", true), ("perhaps", true), ("0", false), ("no", false), ("", false)]
        {
            assert_eq!(is_bypass(&facts(&[(BYPASS, word)]).variables), is_one, "{word}");
        }
    }

    #[test]
    fn lifetimes_are_seconds_or_nothing() {
        for (said, ttl, is_bypass) in [
            ("60", Some(60), false),
            ("0", Some(0), true),
            ("99999999999999999999999999", Some(1 << 31), false),
            ("soon", None, false),
            ("-1", None, false),
            ("1.5", None, false),
            ("+1", None, false),
            ("", None, false),
        ] {
            let words = Words::of(&facts(&[(TTL, said)]), 0);
            assert_eq!((words.ttl.map(|ttl| ttl.as_secs()), words.is_bypass), (ttl, is_bypass), "{said}");
        }
    }

    #[test]
    fn a_lifetime_is_the_filters_alone() {
        let mut fields = Fields::default();
        fields.append(RULED, Value::from_static("9"));
        Words::default().put(&mut fields);
        assert!(!fields.contains(RULED));
        Words::of(&facts(&[(TTL, "7")]), 0).put(&mut fields);
        assert_eq!(fields.get(RULED).unwrap(), "7");
    }

    #[test]
    fn tags_are_bounded_and_can_all_be_named() {
        let of = |text: &str| Words::of(&facts(&[(TAGS, text)]), 0).tags.unwrap();
        assert_eq!(of(" b, a ,,a,c d").iter().map(|tag| &**tag).collect::<Vec<_>>(), ["key a", "key b", "key c d"]);
        assert_eq!(of("a\0,b\nc,\u{e9},d").len(), 1);
        assert_eq!(of(&format!("a,{}", "x".repeat(1025))).len(), 1);
        let many: Vec<String> = (0..1_000_000).map(|number| number.to_string()).collect();
        assert_eq!(of(&many.join(",")).len(), invalidate::MOST_TAGS);
        assert!(of("").is_empty());
    }

    #[test]
    fn parts_have_an_order_of_their_own() {
        let listed = ["z.listed".to_owned(), "a.absent".to_owned()];
        let one = facts(&[("cache.key.b", "1"), ("z.listed", "3"), ("cache.key.a", "2"), ("other.x", "4")]);
        let other = facts(&[("cache.key.a", "2"), ("cache.key.b", "1"), ("z.listed", "3")]);
        let expected = [("cache.key.a", "2"), ("cache.key.b", "1"), ("z.listed", "3")];
        assert_eq!(parts(&one.variables, &listed), expected);
        assert_eq!(parts(&other.variables, &listed), expected);
    }
}
