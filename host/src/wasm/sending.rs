//! Files that a filter answers with: which it may name, and which one the running call named.
//!
//! A filter learns nothing of a file. What it is told depends on its config and on the path's letters alone.

use std::sync::Arc;

use super::bindings::files::Refusal;
use crate::config;

/// A root's name, and its place in the plan.
pub(super) type Granted = Arc<[(Arc<str>, usize)]>;

/// What one instance may name and has named.
pub(super) struct Sending {
    granted: Granted,
    /// The guest is in a call that may answer.
    is_open: bool,
    named: Option<Named>,
}

/// A file that a call named: the index of its root, and its path beneath it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) root: usize,
    pub(super) path: String,
}

/// Bytes of a path: what Linux takes in one call (PATH_MAX).
const MAX_PATH: usize = 4096;

impl Sending {
    pub(super) const fn of(granted: Granted) -> Self {
        Self { granted, is_open: false, named: None }
    }

    /// A call begins that may answer.
    pub(super) fn begin(&mut self) {
        (self.is_open, self.named) = (true, None);
    }

    /// It ended; what it named.
    pub(super) fn end(&mut self) -> Option<Named> {
        self.is_open = false;
        self.named.take()
    }

    /// The guest names a file. The outer error ends its call.
    pub(super) fn name(&mut self, root: &str, path: String) -> wasmtime::Result<Result<(), Refusal>> {
        if !self.is_open {
            return Err(wasmtime::Error::msg("it names a file where there is nothing to answer"));
        }
        let Some((_, root)) = self.granted.iter().find(|(known, _)| **known == *root) else {
            return Ok(Err(Refusal::NotGranted));
        };
        if !is_plain(&path) {
            return Ok(Err(Refusal::BadPath));
        }
        self.named = Some(Named { root: *root, path });
        Ok(Ok(()))
    }
}

/// The roots that a filter's plan lists, by name.
pub(super) fn granted(plan: &config::Filter, roots: &[config::Root]) -> Granted {
    plan.roots.iter().filter_map(|&index| Some((roots.get(index)?.name.clone(), index))).collect()
}

/// Whether a path says nothing but where a file lies beneath a directory. The jail around the root does not rest on
/// this: it is for the filter's author, who hears of a mistake instead of finding nothing.
fn is_plain(path: &str) -> bool {
    let segments = path.strip_suffix('/').unwrap_or(path);
    let plain = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
    path.len() <= MAX_PATH && (path.is_empty() || segments.split('/').all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_down_and_nowhere_else() {
        let longest = "a".repeat(MAX_PATH);
        for path in ["", "a", "a/b.html", "a/", "..a", "a..", "...", "%2e%2e/x", "\u{e9} x", "a\\b", &longest] {
            assert!(is_plain(path), "{path:?}");
        }
        let too_long = "a".repeat(MAX_PATH + 1);
        for path in ["/", "/a", "//", "..", "../a", "a/..", "a/../b", ".", "./a", "a//b", "a//", "a\0b", &too_long] {
            assert!(!is_plain(path), "{path:?}");
        }
    }

    #[test]
    fn only_granted_roots_and_only_in_a_call_that_may_answer() {
        let mut sending = Sending::of([("pages".into(), 3)].into());
        assert!(sending.name("pages", "a".into()).is_err(), "before any call");
        sending.begin();
        assert_eq!(sending.name("other", "a".into()).unwrap(), Err(Refusal::NotGranted));
        assert_eq!(sending.name("pages", "../a".into()).unwrap(), Err(Refusal::BadPath));
        assert_eq!(sending.end(), None);
        sending.begin();
        for path in ["a", "b"] {
            assert_eq!(sending.name("pages", path.into()).unwrap(), Ok(()));
        }
        assert_eq!(sending.name("pages", "/c".into()).unwrap(), Err(Refusal::BadPath));
        assert_eq!(sending.end(), Some(Named { root: 3, path: "b".into() }), "the last that was not refused");
        assert!(sending.name("pages", "a".into()).is_err(), "after it");
        sending.begin();
        assert_eq!(sending.end(), None, "nothing of one call is left for the next");
    }
}
