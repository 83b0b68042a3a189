//! What a filter can say to the cache of a route: edits that set variables with agreed names.
//!
//! A route's filters see every request on its way to the cache and every answer on its way back, also what is answered
//! from it. A pool's filters stand behind it: they see what the upstream is asked and what it answers, once, before that is
//! stored. So a word counts where it can still be heard:
//!
//! | word | by a route's filter, `on_request` | by a pool's filter, `on_request` or `on_response` |
//! |---|---|---|
//! | [`bypass`] | past the cache: neither answered from it nor stored | not stored |
//! | [`key_part`] | another object for every value | too late |
//! | [`ttl`], [`tags`] | of what is stored now, if that is not stored already | of what is stored now |
//!
//! In `on_response` of a route's filter everything is too late. Where a route has no cache nobody listens, and that is no
//! fault. What is too late or not understood stands in the gateway's log and changes nothing else. Of the same word said
//! twice the last counts, whoever said it.
//!
//! ```
//! use std::time::Duration;
//! use weir_filter::{Edits, cache};
//!
//! let seen = Edits::new().with(cache::key_part("device", "phone"));
//! let stored = Edits::new().with(cache::ttl(Duration::from_secs(600))).with(cache::tags(["news", "front-page"]));
//! # let _ = (seen, stored);
//! ```
//!
//! What the cache did is a variable, too: `response.variable("cache.status")` of a route's filter is `hit`, `stale`,
//! `revalidated`, `miss` or `bypass`.

use std::time::Duration;

use crate::Edit;

/// Past the cache. Said of a request, it is neither answered from the cache nor is its answer stored; said of an answer, that
/// is not stored, and what was stored before and was just confirmed by the upstream is forgotten.
pub fn bypass() -> Edit {
    variable("cache.bypass", "1")
}

/// How long what is stored is fresh from now on, in whole seconds, the last one begun; it goes before everything the upstream
/// says of a lifetime. It does not decide whether an answer is stored: `private`, `no-store`, `no-cache`, credentials and
/// cookies stay what they are. Zero: not stored.
pub fn ttl(ttl: Duration) -> Edit {
    let begun = u64::from(ttl.subsec_nanos() > 0);
    variable("cache.ttl", ttl.as_secs().saturating_add(begun).to_string())
}

/// Names by which what is stored can be forgotten, all at once: visible ASCII and spaces, at most 1024 bytes each, 128 of
/// them, 4 KiB together. A comma parts two names. Those that the answer itself has (`Surrogate-Key`, `Cache-Tag`) stay.
pub fn tags<T: AsRef<str>>(tags: impl IntoIterator<Item = T>) -> Edit {
    let tags: Vec<String> = tags.into_iter().map(|tag| tag.as_ref().to_owned()).collect();
    variable("cache.tags", tags.join(","))
}

/// A part of what answers are found by. Requests with another value, or with none, never get what was stored with this
/// one. The name is in lower case letters, digits, `-` and `.`; the value is any text of at most 4 KiB. Few values make a good
/// part: a class of devices, not the whole of `User-Agent`.
pub fn key_part(name: &str, value: impl Into<String>) -> Edit {
    variable(&format!("cache.key.{name}"), value)
}

fn variable(name: &str, value: impl Into<String>) -> Edit {
    Edit::SetVariable(name.to_owned(), value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_variables() {
        for (edit, name, value) in [
            (bypass(), "cache.bypass", "1"),
            (ttl(Duration::ZERO), "cache.ttl", "0"),
            (ttl(Duration::from_millis(1)), "cache.ttl", "1"),
            (ttl(Duration::from_secs(60)), "cache.ttl", "60"),
            (ttl(Duration::MAX), "cache.ttl", "18446744073709551615"),
            (tags(["a", "b c"]), "cache.tags", "a,b c"),
            (tags(Vec::<String>::new()), "cache.tags", ""),
            (key_part("device", "phone"), "cache.key.device", "phone"),
        ] {
            assert_eq!(edit, Edit::SetVariable(name.to_owned(), value.to_owned()));
        }
    }
}
