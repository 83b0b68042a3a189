//! The fields of a head: names without case, values as bytes, lines in order.

use http::HeaderMap;
use http::header::Entry;

use super::{Name, Value};

/// Header or trailer fields.
#[derive(Debug, Clone, Default)]
pub struct Fields(HeaderMap);

impl Fields {
    /// The first line of a field.
    #[must_use]
    pub fn get(&self, name: impl http::header::AsHeaderName) -> Option<&Value> {
        self.0.get(name)
    }

    /// Every line of a field, in order.
    pub fn lines(&self, name: impl http::header::AsHeaderName) -> impl Iterator<Item = &Value> {
        self.0.get_all(name).into_iter()
    }

    /// The value of a field, its lines joined by `, ` (RFC 9110, section 5.3).
    #[must_use]
    pub fn joined(&self, name: impl http::header::AsHeaderName) -> Option<Vec<u8>> {
        let mut lines = self.0.get_all(name).into_iter();
        let mut joined = lines.next()?.as_bytes().to_vec();
        for line in lines {
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(line.as_bytes());
        }
        Some(joined)
    }

    /// Whether the field is there.
    #[must_use]
    pub fn contains(&self, name: impl http::header::AsHeaderName) -> bool {
        self.0.contains_key(name)
    }

    /// Replaces every line of the field by one.
    pub fn set(&mut self, name: Name, value: Value) {
        self.0.insert(name, value);
    }

    /// Adds a line.
    pub fn append(&mut self, name: Name, value: Value) {
        self.0.append(name, value);
    }

    /// Puts a line where an empty one makes room for it, otherwise behind those that are there.
    pub fn fill(&mut self, name: Name, value: Value) {
        match self.0.entry(name) {
            Entry::Occupied(mut held) if held.get().is_empty() => drop(held.insert(value)),
            Entry::Occupied(mut held) => held.append(value),
            Entry::Vacant(place) => drop(place.insert(value)),
        }
    }

    /// Removes every line of the field; whether there was one.
    pub fn remove(&mut self, name: impl http::header::AsHeaderName) -> bool {
        self.0.remove(name).is_some()
    }

    /// Every line of every field.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Value)> {
        self.0.iter()
    }

    /// The names, each once.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.0.keys()
    }

    /// Removes a field of one line; its value.
    pub fn take(&mut self, name: impl http::header::AsHeaderName) -> Option<Value> {
        self.0.remove(name)
    }

    /// Appends the fields as HTTP/1 writes them, each line ended by CRLF (RFC 9112, section 5).
    pub fn write(&self, text: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
    }

    /// How many lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// For the rooms that speak with a codec.
impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        Self(map)
    }
}

/// For the rooms that speak with a codec.
impl From<Fields> for HeaderMap {
    fn from(fields: Fields) -> Self {
        fields.0
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Fields for tables.
    pub(crate) fn fields(lines: &[(&'static str, &'static str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.append(Name::from_static(name), Value::from_static(value));
        }
        fields
    }

    #[test]
    fn lines_of_one_name_stay_apart_are_joined_and_are_written_in_order() {
        let fields = fields(&[("accept", "a"), ("accept", "b"), ("x-one", "1")]);
        assert_eq!(fields.joined("accept").unwrap(), b"a, b");
        assert_eq!(fields.lines("accept").count(), 2);
        let mut text = Vec::new();
        fields.write(&mut text);
        assert_eq!(text, b"accept: a\r\naccept: b\r\nx-one: 1\r\n");
    }
}
