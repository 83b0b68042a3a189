//! The charset of a text, as `Content-Type` says it (RFC 9110, section 8.3.2).

use http::header;

use super::{Fields, Value};

/// Types beside `text/` that are text, and for which a charset means something: nginx's list, and JSON's relatives not,
/// which are always UTF-8 (RFC 8259, section 8.1).
const TEXTS: [&str; 5] = [
    "application/javascript",
    "application/rss+xml",
    "application/atom+xml",
    "application/xhtml+xml",
    "application/xml",
];

/// Says the charset of a body, if it is a text: in the place of another one that was said. `off` says none.
pub fn set(fields: &mut Fields, charset: &str) {
    let Some(kind) = fields.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return };
    let mut parts = kind.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let is_text = media.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/"));
    if !is_text && !TEXTS.iter().any(|text| media.eq_ignore_ascii_case(text)) {
        return;
    }
    let is_charset = |part: &&str| part.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("charset="));
    let mut text = media.to_owned();
    parts.filter(|part| !part.is_empty() && !is_charset(part)).for_each(|part| {
        text.push_str("; ");
        text.push_str(part);
    });
    if !charset.eq_ignore_ascii_case("off") {
        text.push_str("; charset=");
        text.push_str(charset);
    }
    if let Ok(value) = Value::from_str(&text) {
        fields.set(header::CONTENT_TYPE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_a_charset_and_nothing_else_has() {
        for (kind, charset, expected) in [
            ("text/html", "utf-8", "text/html; charset=utf-8"),
            ("Text/Plain;charset=koi8-r; format=flowed", "utf-8", "Text/Plain; format=flowed; charset=utf-8"),
            ("text/html; charset=koi8-r", "off", "text/html"),
            ("application/javascript", "utf-8", "application/javascript; charset=utf-8"),
            ("application/json", "utf-8", "application/json"),
            ("image/png", "utf-8", "image/png"),
            ("multipart/byteranges; boundary=x", "utf-8", "multipart/byteranges; boundary=x"),
            ("", "utf-8", ""),
        ] {
            let mut fields = Fields::default();
            fields.set(header::CONTENT_TYPE, Value::from_static(kind));
            set(&mut fields, charset);
            assert_eq!(fields.get(header::CONTENT_TYPE).unwrap(), expected, "{kind} {charset}");
        }
        let mut none = Fields::default();
        set(&mut none, "utf-8");
        assert!(none.is_empty());
    }
}
