//! Which content type a file has, by its name alone.

use crate::config::Root;
use crate::message::Value;

use super::path::extension;

/// The content type of a file at a path: the root's own table, then the table that comes with the gateway, then the root's
/// default. Texts get the root's charset, unless their type says one.
pub(super) fn of(root: &Root, path: &[u8]) -> Value {
    let extension = extension(path);
    let own = extension.as_ref().and_then(|extension| root.content_types.iter().find(|(own, _)| own == extension));
    let kind = match (own, extension) {
        (Some((_, kind)), _) => kind.clone(),
        (None, Some(extension)) => guessed(&extension).unwrap_or_else(|| root.default_type.clone()),
        (None, None) => root.default_type.clone(),
    };
    match &root.charset {
        Some(charset) => with_charset(kind, charset),
        None => kind,
    }
}

/// What the table lacks, or knows by an older meaning than anybody who serves files today.
const NEWER: [(&str, &str); 8] = [
    ("mjs", "text/javascript"),
    ("map", "application/json"),
    ("importmap", "application/importmap+json"),
    ("jxl", "image/jxl"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("ts", "video/mp2t"),
    ("mts", "video/mp2t"),
    ("zst", "application/zstd"),
];

fn guessed(extension: &str) -> Option<Value> {
    if let Some((_, kind)) = NEWER.iter().find(|(newer, _)| *newer == extension) {
        return Some(Value::from_static(kind));
    }
    let kind = mime_guess::from_ext(extension).first_raw()?;
    Some(Value::from_static(kind))
}

fn with_charset(kind: Value, charset: &str) -> Value {
    let Ok(text) = kind.to_str() else { return kind };
    let lower = text.to_ascii_lowercase();
    if !is_text(lower.split(';').next().unwrap_or_default().trim()) || lower.contains("charset=") {
        return kind;
    }
    Value::from_str(&format!("{text}; charset={charset}")).unwrap_or(kind)
}

/// Types whose bytes are characters, written in more than one charset.
fn is_text(kind: &str) -> bool {
    let of_application = |kind: &str| matches!(kind, "javascript" | "xml") || kind.ends_with("+xml");
    kind.starts_with("text/") || kind.strip_prefix("application/").is_some_and(of_application)
}

#[cfg(test)]
mod tests {
    use super::super::tests::root;
    use super::*;

    #[test]
    fn types_by_name() {
        let mut root = root("/".as_ref());
        root.default_type = Value::from_static("application/x-unknown");
        root.content_types = vec![("foo".to_owned(), Value::from_static("text/foo"))];
        for (path, expected) in [
            (&b"a/index.html"[..], "text/html"),
            (b"A.HTM", "text/html"),
            (b"a.css", "text/css"),
            (b"a.js", "text/javascript"),
            (b"a.mjs", "text/javascript"),
            (b"a.json", "application/json"),
            (b"a.js.map", "application/json"),
            (b"a.wasm", "application/wasm"),
            (b"a.svg", "image/svg+xml"),
            (b"a.avif", "image/avif"),
            (b"a.webp", "image/webp"),
            (b"a.woff2", "font/woff2"),
            (b"a.webmanifest", "application/manifest+json"),
            (b"a.mp4", "video/mp4"),
            (b"a.ts", "video/mp2t"),
            (b"a.m3u8", "application/vnd.apple.mpegurl"),
            (b"a.pdf", "application/pdf"),
            (b"a.txt", "text/plain"),
            (b"a.xml", "text/xml"),
            (b"a.tar.gz", "application/gzip"),
            (b"a.FOO", "text/foo"),
            (b"README", "application/x-unknown"),
            (b".html", "application/x-unknown"),
            (b"a.nobody-knows", "application/x-unknown"),
            (b"a.\xff", "application/x-unknown"),
        ] {
            assert_eq!(of(&root, path).to_str().unwrap().to_lowercase(), expected, "{}", path.escape_ascii());
        }
    }

    #[test]
    fn texts_say_their_charset() {
        let mut root = root("/".as_ref());
        root.charset = Some("utf-8".to_owned());
        root.content_types = vec![
            ("own".to_owned(), Value::from_static("text/html; Charset=koi8-r")),
            ("flow".to_owned(), Value::from_static("text/plain; format=flowed")),
            ("app".to_owned(), Value::from_static("application/javascript")),
            ("feed".to_owned(), Value::from_static("application/rss+xml")),
        ];
        for (path, expected) in [
            (&b"a.html"[..], "text/html; charset=utf-8"),
            (b"a.js", "text/javascript; charset=utf-8"),
            (b"a.json", "application/json"),
            (b"a.app", "application/javascript; charset=utf-8"),
            (b"a.feed", "application/rss+xml; charset=utf-8"),
            (b"a.own", "text/html; Charset=koi8-r"),
            (b"a.flow", "text/plain; format=flowed; charset=utf-8"),
            (b"a.png", "image/png"),
            (b"a.wasm", "application/wasm"),
        ] {
            assert_eq!(of(&root, path), expected, "{}", path.escape_ascii());
        }
    }
}
