//! `CONFIG.md` and the code agree about which keys there are.
//!
//! Keys of the code are the names that `src/config` asks tables for. Keys of the page are the first cells of its tables
//! headed `key`. What the page says of them is for people to check.

#![allow(clippy::string_slice, reason = "places come from `match_indices` and `char_indices`")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The ways in which `src/config` asks a table for a key.
const ASKED_BY: &[&str] = &[
    ".boolean(",
    ".choice(",
    ".count(",
    ".duration(",
    ".duration_or_none(",
    ".glimpse(",
    ".item(",
    ".named(",
    ".required(",
    ".string(",
    "(table, ",
    "(&table, ",
    "(listener, ",
];

#[test]
fn every_key_of_the_code_is_on_the_page() {
    let page = page();
    let missing: Vec<_> = keys_of_the_code().into_iter().filter(|key| !says(&page, key)).collect();
    assert!(missing.is_empty(), "CONFIG.md says nothing of {missing:?}");
}

#[test]
fn every_key_of_the_page_is_in_the_code() {
    let code = keys_of_the_code();
    let invented: Vec<_> = keys_of_the_page(&page()).into_iter().filter(|key| !code.contains(key)).collect();
    assert!(invented.is_empty(), "CONFIG.md has keys that no code reads: {invented:?}");
}

#[test]
fn both_lists_are_found() {
    let (code, page) = (keys_of_the_code(), keys_of_the_page(&page()));
    for key in ["bind", "threads", "head-timeout", "member", "module", "intercept-errors", "strip-prefix"] {
        assert!(code.contains(key) && page.contains(key), "{key}: {code:?} {page:?}");
    }
}

/// Every key that `src/config` asks for, its tests left out.
fn keys_of_the_code() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for file in files(&root().join("src/config")) {
        let text = fs::read_to_string(&file).expect("source is readable");
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for asked in ASKED_BY {
            for (at, _) in text.match_indices(asked) {
                let rest = &text[at + asked.len()..];
                let literal = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
                keys.extend(literal.map(|(key, _)| key.to_owned()));
            }
        }
    }
    keys
}

/// First cells of tables headed `key`: `limits.cpu` stands for both its parts.
fn keys_of_the_page(page: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut is_keys = false;
    for line in page.lines() {
        if line.starts_with("| key |") {
            is_keys = true;
        } else if !line.starts_with('|') {
            is_keys = false;
        } else if is_keys && let Some((key, _)) = line.strip_prefix("| `").and_then(|rest| rest.split_once('`')) {
            keys.extend(key.split('.').map(str::to_owned));
        }
    }
    keys
}

/// Whether a page has this key as a word of code.
fn says(page: &str, key: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    page.match_indices(key)
        .any(|(at, _)| !page[..at].ends_with(is_part) && !page[at + key.len()..].starts_with(is_part))
}

fn page() -> String {
    fs::read_to_string(root().join("CONFIG.md")).expect("the page is there")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Files of source in a folder and those below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
