//! What a stored response is sorted under, so that an order can be about some kinds alone: its status and its media type.
//!
//! A store keeps it beside the key: no head has to be read for it.

use http::header;

use crate::message::ResponseHead;

/// Kinds that are meant: one of the statuses and one of the types, where any are said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    pub(super) statuses: Vec<Statuses>,
    pub(super) types: Vec<Types>,
}

/// `404`, or with the last digits open `4xx`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statuses(String);

/// `text/html`, or with an open end `text/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Types(String);

/// Types are far shorter; what is longer is none.
const LONGEST: usize = 128;

/// The kind of a response: `200 text/html`. What says no type has none.
#[must_use]
pub fn kind(head: &ResponseHead) -> String {
    let line = head.fields.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = line.split(';').next().unwrap_or_default().trim();
    let media = if is_type(essence) { essence.to_ascii_lowercase() } else { String::new() };
    format!("{} {media}", head.status.as_u16())
}

impl Kinds {
    pub(super) fn is_any(&self) -> bool {
        self.statuses.is_empty() && self.types.is_empty()
    }

    pub(super) fn have(&self, kind: &str) -> bool {
        let (status, media) = kind.split_once(' ').unwrap_or_default();
        let is_status = self.statuses.is_empty() || self.statuses.iter().any(|meant| meant.have(status));
        is_status && (self.types.is_empty() || self.types.iter().any(|meant| meant.have(media)))
    }
}

impl Statuses {
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let is_class = matches!(text.as_bytes(), [b'1'..=b'9', b'x', b'x']);
        let is_one = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        (is_class || is_one).then_some(Self(text))
    }

    fn have(&self, status: &str) -> bool {
        match self.0.strip_suffix("xx") {
            Some(class) => status.starts_with(class),
            None => self.0 == status,
        }
    }
}

impl Types {
    pub(super) fn read(text: &str) -> Option<Self> {
        is_type(text).then(|| Self(text.to_ascii_lowercase()))
    }

    fn have(&self, media: &str) -> bool {
        match self.0.strip_suffix('*').filter(|class| class.ends_with('/')) {
            Some(class) => media.starts_with(class),
            None => self.0 == media,
        }
    }
}

/// Two tokens with a slash between (RFC 9110, section 8.3.1).
fn is_type(text: &str) -> bool {
    let is_token = |text: &str| {
        let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !text.is_empty() && text.bytes().all(is_tchar)
    };
    text.len() <= LONGEST && text.split_once('/').is_some_and(|(class, own)| is_token(class) && is_token(own))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::response;
    use super::*;

    #[test]
    fn kinds_are_told_by_status_and_type() {
        for (status, content_type, is) in [
            (200, "text/html", "200 text/html"),
            (404, "Text/HTML; charset=utf-8", "404 text/html"),
            (200, "text/ht ml", "200 "),
            (301, "", "301 "),
        ] {
            let head = response(status, &[("content-type", content_type)]);
            assert_eq!(kind(&head), is);
        }
        let long: &str = format!("text/{}", "x".repeat(LONGEST)).leak();
        assert_eq!(kind(&response(200, &[("content-type", long)])), "200 ");
    }

    #[test]
    fn some_kinds_are_meant() {
        let kinds = |statuses: &[&str], types: &[&str]| Kinds {
            statuses: statuses.iter().map(|text| Statuses::read(text).unwrap()).collect(),
            types: types.iter().map(|text| Types::read(text).unwrap()).collect(),
        };
        for (statuses, types, kind, is_meant) in [
            (&["404"][..], &[][..], "404 text/html", true),
            (&["404"], &[], "200 text/html", false),
            (&["4XX", "503"], &[], "410 ", true),
            (&["4xx", "503"], &[], "503 ", true),
            (&["4xx", "503"], &[], "500 ", false),
            (&[], &["image/*"], "200 image/png", true),
            (&[], &["image/*"], "200 imagex/png", false),
            (&[], &["text/html"], "200 text/html", true),
            (&[], &["text/html"], "200 text/htmlx", false),
            (&["200"], &["text/html"], "404 text/html", false),
            (&[], &["text/html"], "", false),
        ] {
            assert_eq!(kinds(statuses, types).have(kind), is_meant, "{statuses:?} {types:?} {kind}");
        }
        assert!(["", "4", "40x", "xxx", "1234", "0xx", "4\u{e9}"].iter().all(|text| Statuses::read(text).is_none()));
        assert!(["", "text", "/", "text/", "a b/c", "*"].iter().all(|text| Types::read(text).is_none()));
    }
}
