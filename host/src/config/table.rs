//! Reading tables of the document: every look at a key notes that the key is known, so that at the end the unknown ones
//! are left over. What does not fit is reported where it stands, and reading goes on.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::source::Source;
use super::{Place, similar, value};

/// A year: more is a slip, and any deadline within it can be added to the clock.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A table, and which of its keys were asked for.
pub(super) struct Table<'d> {
    /// The config it stands in.
    pub(super) source: &'d Source<'d>,
    /// Whose it is: `pool "api"`; empty at the top.
    pub(super) label: String,
    /// Where it begins.
    pub(super) place: Place,
    entries: Vec<(&'d Spanned<std::borrow::Cow<'d, str>>, &'d Spanned<DeValue<'d>>)>,
    known: RefCell<Vec<&'static str>>,
}

/// A value, and what it is called.
#[derive(Clone)]
pub(super) struct Item<'d> {
    /// The config it stands in.
    pub(super) source: &'d Source<'d>,
    /// Where it begins.
    pub(super) place: Place,
    /// Whose it is: `pool "api"`.
    pub(super) label: String,
    /// Its key.
    pub(super) key: String,
    value: &'d DeValue<'d>,
}

impl<'d> Table<'d> {
    /// A table of the document; its keys come in the order written.
    pub(super) fn of(source: &'d Source<'d>, label: String, place: Place, table: &'d DeTable<'d>) -> Self {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        Self { source, label, place, entries, known: RefCell::default() }
    }

    /// A table without keys, in place of one that a value could have been.
    pub(super) fn empty(item: &Item<'d>) -> Self {
        let (label, place) = (labelled(&item.label, &item.key), item.place.clone());
        Self { source: item.source, label, place, entries: Vec::new(), known: RefCell::default() }
    }

    /// Reports something about the table as a whole.
    pub(super) fn problem(&self, text: impl AsRef<str>) {
        self.source.report(&self.place, labelled(&self.label, text.as_ref()));
    }

    /// The value of a key, if it is there.
    pub(super) fn item(&self, key: &'static str) -> Option<Item<'d>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        let (_, value) = self.entries.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(self.entry(key.to_owned(), value))
    }

    /// Every key and value; nothing is unknown then.
    pub(super) fn items(&self) -> impl Iterator<Item = Item<'d>> {
        self.entries.iter().map(|(key, value)| self.entry(key.get_ref().to_string(), value))
    }

    /// The tables of a section with names, `[pool.api]`, in the order written.
    pub(super) fn named(&self, section: &'static str) -> Vec<(String, Table<'d>)> {
        let Some(table) = self.item(section).and_then(|item| item.table(String::new())) else { return Vec::new() };
        let mut found = Vec::new();
        for (key, value) in &table.entries {
            let name = key.get_ref().to_string();
            let mut item = table.entry(name.clone(), value);
            item.label.clear();
            let label = format!("{section} {name:?}");
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
                let text = format!("{label}: a name has letters, digits, \"-\", \"_\" and \".\" only");
                self.source.report(&self.source.place(key.span().start), text);
            }
            item.key = label.clone();
            found.extend(item.table(label).map(|table| (name, table)));
        }
        found
    }

    /// The value of a key that must be there.
    pub(super) fn required(&self, key: &'static str, example: &str) -> Option<Item<'d>> {
        let item = self.item(key);
        if item.is_none() {
            self.problem(format!("{key} is missing, such as {key} = {example}"));
        }
        item
    }

    pub(super) fn boolean(&self, key: &'static str, default: bool) -> bool {
        self.item(key).and_then(|item| item.boolean()).unwrap_or(default)
    }

    pub(super) fn string(&self, key: &'static str) -> Option<&'d str> {
        self.item(key).and_then(|item| item.string())
    }

    pub(super) fn count(&self, key: &'static str, default: u32, range: RangeInclusive<u32>) -> u32 {
        self.item(key).and_then(|item| item.count(range)).unwrap_or(default)
    }

    /// A duration of at least a millisecond.
    pub(super) fn duration(&self, key: &'static str, default: Duration) -> Duration {
        let range = Duration::from_millis(1)..=LONGEST;
        self.item(key).and_then(|item| item.duration(&range)).unwrap_or(default)
    }

    /// A duration where zero means none.
    pub(super) fn duration_or_none(&self, key: &'static str, default: Duration) -> Duration {
        self.item(key).and_then(|item| item.duration(&(Duration::ZERO..=LONGEST))).unwrap_or(default)
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, default: T, words: &[(&str, T)]) -> T {
        self.item(key).and_then(|item| item.choice(words)).unwrap_or(default)
    }

    /// A key as a string, without a word when it is not one; for making a label before anything is read.
    pub(super) fn glimpse(&self, key: &str) -> Option<&'d str> {
        self.entries.iter().find(|(name, _)| name.get_ref() == key).and_then(|(_, value)| value.get_ref().as_str())
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(&self) {
        let known = self.known.borrow();
        for (key, _) in self.entries.iter().filter(|(key, _)| !known.iter().any(|name| key.get_ref() == name)) {
            let more = match similar::hint(key.get_ref(), known.iter().copied()) {
                none if none.is_empty() => format!("; known keys: {}", known.join(", ")),
                hint => hint,
            };
            let text = labelled(&self.label, &format!("unknown key {:?}{more}", key.get_ref()));
            self.source.report(&self.source.place(key.span().start), text);
        }
    }

    fn entry(&self, key: String, value: &'d Spanned<DeValue<'d>>) -> Item<'d> {
        let place = self.source.place(value.span().start);
        Item { source: self.source, place, label: self.label.clone(), key, value: value.get_ref() }
    }
}

impl<'d> Item<'d> {
    /// Reports something about the value, after whose it is and its key.
    pub(super) fn problem(&self, text: impl AsRef<str>) {
        self.source.report(&self.place, labelled(&self.label, &format!("{}: {}", self.key, text.as_ref())));
    }

    /// Reports something that says by itself which key it is about.
    pub(super) fn say(&self, text: impl AsRef<str>) {
        self.source.report(&self.place, labelled(&self.label, text.as_ref()));
    }

    /// Reports that the value is not what was expected.
    pub(super) fn wrong(&self, expected: impl AsRef<str>) {
        self.problem(format!("expected {}, found {}", expected.as_ref(), self.found()));
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        self.or_wrong(self.value.as_bool(), "true or false")
    }

    pub(super) fn string(&self) -> Option<&'d str> {
        self.or_wrong(self.value.as_str(), "a string")
    }

    /// As `string`, without a word when it is none.
    pub(super) fn as_str(&self) -> Option<&'d str> {
        self.value.as_str()
    }

    /// As `boolean`, without a word when it is none.
    pub(super) fn as_bool(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// A whole number, without a word when it is none.
    pub(super) fn as_integer(&self) -> Option<i64> {
        let integer = self.value.as_integer()?;
        i64::from_str_radix(integer.as_str(), integer.radix()).ok()
    }

    /// Any number, without a word when it is none.
    pub(super) fn as_number(&self) -> Option<f64> {
        match self.value {
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => self.as_integer().and_then(|number| i32::try_from(number).ok()).map(f64::from),
        }
    }

    pub(super) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub(super) fn count(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let count = self.as_integer().and_then(|count| u32::try_from(count).ok()).filter(|count| range.contains(count));
        self.or_wrong(count, format!("a whole number from {} to {}", range.start(), range.end()))
    }

    pub(super) fn duration(&self, range: &RangeInclusive<Duration>) -> Option<Duration> {
        let Some(duration) = self.value.as_str().and_then(value::duration) else {
            let is_none = range.start().is_zero() && matches!(self.as_str(), Some("off" | "none"));
            let hint = if is_none { r#" (did you mean "0s"?)"# } else { "" };
            self.problem(format!(
                r#"expected a duration such as "500ms", "2s", "1m" or "1h", found {}{hint}"#,
                self.found()
            ));
            return None;
        };
        let (least, most) = (value::write_duration(*range.start()), value::write_duration(*range.end()));
        self.or_wrong(Some(duration).filter(|it| range.contains(it)), format!("a duration from {least} to {most}"))
    }

    /// As `duration`, where what it is for knows whole seconds alone.
    pub(super) fn seconds(&self, range: &RangeInclusive<Duration>) -> Option<Duration> {
        let duration = self.duration(range)?;
        self.or_wrong(Some(duration).filter(|it| it.subsec_nanos() == 0), "whole seconds")
    }

    pub(super) fn size(&self, range: &RangeInclusive<u64>) -> Option<u64> {
        let text = self.value.as_str();
        let size = match text {
            Some(text) => value::size(text),
            None => self.as_integer().and_then(|size| u64::try_from(size).ok()),
        };
        let Some(size) = size else {
            let meant = text.and_then(value::probable_size);
            let hint = meant.map_or_else(String::new, |meant| format!(" (did you mean {meant:?}?)"));
            self.problem(format!(r#"expected a size such as "64MiB", "8KiB" or "1000", found {}{hint}"#, self.found()));
            return None;
        };
        let (least, most) = (value::write_size(*range.start()), value::write_size(*range.end()));
        self.or_wrong(Some(size).filter(|it| range.contains(it)), format!("a size from {least} to {most}"))
    }

    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let found = self.value.as_str().unwrap_or_default();
        let choice = words.iter().find(|(word, _)| *word == found).map(|(_, choice)| *choice);
        if choice.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            let hint = similar::hint(found, words.iter().map(|(word, _)| *word));
            self.problem(format!("expected {}, found {}{hint}", either(&known), self.found()));
        }
        choice
    }

    /// The elements of a list.
    pub(super) fn list(&self) -> Option<Vec<Item<'d>>> {
        let array = self.or_wrong(self.value.as_array(), "a list")?;
        Some(array.iter().map(|value| self.element(value)).collect())
    }

    /// The elements of a list that must not be empty, or the value itself.
    pub(super) fn at_least_one(&self) -> Vec<Item<'d>> {
        match self.value {
            DeValue::Array(array) => {
                if array.is_empty() {
                    self.problem("the list is empty");
                }
                array.iter().map(|value| self.element(value)).collect()
            }
            _ => vec![self.clone()],
        }
    }

    /// The table that the value is.
    pub(super) fn table(&self, label: String) -> Option<Table<'d>> {
        let table = self.or_wrong(self.value.as_table(), "a table")?;
        Some(Table::of(self.source, label, self.place.clone(), table))
    }

    /// The table that the value is, called by its owner and its key.
    pub(super) fn inner_table(&self) -> Option<Table<'d>> {
        self.table(labelled(&self.label, &self.key))
    }

    /// The value as JSON, tables in the order written.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        use serde_json::{Map, Number, Value};
        Some(match self.value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(it) => Value::Bool(*it),
            DeValue::Datetime(it) => Value::String(it.to_string()),
            DeValue::Integer(_) => Value::from(self.or_wrong(self.as_integer(), "a number of at most 64 bits")?),
            DeValue::Float(it) => {
                let number = it.as_str().parse().ok().and_then(Number::from_f64);
                Value::Number(self.or_wrong(number, "a number that JSON can hold")?)
            }
            DeValue::Array(array) => {
                let elements: Vec<_> = array.iter().map(|value| self.element(value).json()).collect();
                Value::Array(elements.into_iter().collect::<Option<_>>()?)
            }
            DeValue::Table(_) => {
                let inner = self.inner_table()?;
                let pairs: Vec<_> = inner.items().map(|item| Some((item.key.clone(), item.json()?))).collect();
                Value::Object(pairs.into_iter().collect::<Option<Map<_, _>>>()?)
            }
        })
    }

    fn or_wrong<T>(&self, value: Option<T>, expected: impl AsRef<str>) -> Option<T> {
        if value.is_none() {
            self.wrong(expected);
        }
        value
    }

    fn element(&self, value: &'d Spanned<DeValue<'d>>) -> Item<'d> {
        Item { place: self.source.place(value.span().start), value: value.get_ref(), ..self.clone() }
    }

    /// The value in a few words.
    fn found(&self) -> String {
        match self.value {
            DeValue::String(text) if text.chars().count() > 60 => {
                format!("{:?}...", text.chars().take(60).collect::<String>())
            }
            DeValue::String(text) => format!("{text:?}"),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(it) => it.to_string(),
            DeValue::Datetime(it) => it.to_string(),
            DeValue::Array(array) if array.is_empty() => "an empty list".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }
}

/// `a, b or c`.
fn either(words: &[String]) -> String {
    match words {
        [first @ .., second, last] => [first, &[format!("{second} or {last}")]].concat().join(", "),
        _ => words.concat(),
    }
}

/// `label: text`, or the text alone.
pub(super) fn labelled(label: &str, text: &str) -> String {
    if label.is_empty() { text.to_owned() } else { format!("{label}: {text}") }
}
