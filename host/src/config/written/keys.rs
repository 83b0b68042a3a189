//! An inline table, key by key.

use std::fmt::Display;

use super::text;

/// Keys of an inline table.
#[derive(Default)]
pub(super) struct Keys(Vec<String>);

impl Keys {
    pub(super) fn key(&mut self, key: &str, value: impl Display) {
        self.0.push(format!("{key} = {value}"));
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key, text(value));
    }

    pub(super) fn some(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.key(key, value);
        }
    }

    pub(super) fn word<T: PartialEq>(&mut self, key: &str, words: &[(&str, T)], value: &T) {
        self.some(key, words.iter().find(|(_, known)| known == value).map(|(word, _)| text(word)));
    }

    pub(super) fn table(&self) -> String {
        if self.0.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", self.0.join(", ")) }
    }
}
