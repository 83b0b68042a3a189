//! The gateway's own answers to requests that went wrong: short, in the form the client likes, with the request's id.
//!
//! Nothing of the inside is told: a status, one sentence, the id an operator can look for.

use bytes::Bytes;
use http::header;

use super::{Fields, Method, Name, ResponseHead, Status, Value};

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A line of text: what a terminal shows best, and the default.
    Text,
    /// A small page.
    Html,
    /// An object with `status`, `title`, `detail` and `request-id`.
    Json,
}

/// The form a client likes best, by `Accept` (RFC 9110, section 12.5.1). Between equals, the one named in full beats the one
/// a wildcard covers, and the earlier named beats the later; so a browser gets a page and curl (`*/*`) gets text.
#[must_use]
pub fn form(fields: &Fields) -> Form {
    let mut best = [(Form::Text, Rank::NONE), (Form::Html, Rank::NONE), (Form::Json, Rank::NONE)];
    let ranges = fields.lines(header::ACCEPT).flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    for (position, range) in ranges.take(MOST_RANGES).enumerate() {
        let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let media = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix(b"q=").or(part.strip_prefix(b"Q="))).map_or(1000, weight);
        for (form, rank) in &mut best {
            let exactness = form.exactness(media);
            if exactness > rank.exactness {
                *rank = Rank { weight, exactness, earliness: MOST_RANGES - position };
            }
        }
    }
    let order = |rank: &Rank| if rank.weight == 0 { (0, 0, 0) } else { (rank.weight, rank.exactness, rank.earliness) };
    // `max_by_key` takes the last of equals, and text shall win then.
    best.iter().rev().max_by_key(|(_, rank)| order(rank)).map_or(Form::Text, |(form, _)| *form)
}

/// An error answer: head and body. To `HEAD` the body is empty and `Content-Length` is what `GET` would have got.
#[must_use]
pub fn error(method: &Method, status: Status, sentence: &str, request_id: &str, form: Form) -> (ResponseHead, Bytes) {
    let title = status.canonical_reason().unwrap_or("Error");
    let code = status.as_u16();
    let body = match form {
        Form::Text => format!("{code} {title}: {sentence}\nrequest id: {}\n", plain(request_id)),
        Form::Html => format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{code} {title}</title></head>\n\
             <body><h1>{code} {title}</h1>\n<p>{}</p>\n<p><small>request id: <code>{}</code></small></p></body></html>\n",
            html(sentence),
            html(request_id)
        ),
        Form::Json => format!(
            "{{\"status\":{code},\"title\":\"{}\",\"detail\":\"{}\",\"request-id\":\"{}\"}}\n",
            json(title),
            json(sentence),
            json(request_id)
        ),
    };
    whole(method, status, request_id, Value::from_static(form.content_type()), body)
}

/// An error answer by an operator's page: `${status}` and `${request.id}` are replaced, escaped as the page's type needs.
#[must_use]
pub fn page(method: &Method, status: Status, template: &str, kind: &Value, request_id: &str) -> (ResponseHead, Bytes) {
    let written = kind.to_str().unwrap_or_default().to_ascii_lowercase();
    let id = match () {
        () if written.contains("html") || written.contains("xml") => html(request_id),
        () if written.contains("json") => json(request_id),
        () => plain(request_id),
    };
    let body = template.replace("${status}", status.as_str()).replace("${request.id}", &id);
    whole(method, status, request_id, kind.clone(), body)
}

/// Ranges of an `Accept` that are read; browsers send eight.
const MOST_RANGES: usize = 32;

#[derive(Clone, Copy)]
struct Rank {
    weight: u16,
    exactness: u8,
    earliness: usize,
}

impl Rank {
    const NONE: Rank = Rank { weight: 0, exactness: 0, earliness: 0 };
}

impl Form {
    const fn content_type(self) -> &'static str {
        match self {
            Form::Text => "text/plain; charset=utf-8",
            Form::Html => "text/html; charset=utf-8",
            Form::Json => "application/json",
        }
    }

    /// How exactly a media range names this form: 3 in full, 1 by `*/*`, 0 not at all.
    fn exactness(self, media: &[u8]) -> u8 {
        let (full, family): (&[&[u8]], &[u8]) = match self {
            Form::Text => (&[b"text/plain"], b"text/*"),
            Form::Html => (&[b"text/html", b"application/xhtml+xml"], b"text/*"),
            Form::Json => (&[b"application/json", b"application/problem+json"], b"application/*"),
        };
        match media {
            _ if full.iter().any(|full| media.eq_ignore_ascii_case(full)) => 3,
            _ if media.eq_ignore_ascii_case(family) => 2,
            b"*/*" => 1,
            _ => 0,
        }
    }
}

fn whole(method: &Method, status: Status, request_id: &str, kind: Value, body: String) -> (ResponseHead, Bytes) {
    let mut head = ResponseHead::of(status);
    head.fields.set(header::CONTENT_TYPE, kind);
    head.fields.set(header::CONTENT_LENGTH, Value::from(body.len()));
    head.fields.set(header::CACHE_CONTROL, Value::from_static("no-store"));
    head.fields.set(header::X_CONTENT_TYPE_OPTIONS, Value::from_static("nosniff"));
    if let Ok(id) = Value::from_str(request_id) {
        head.fields.set(Name::from_static("x-request-id"), id);
    }
    (head, if *method == Method::HEAD { Bytes::new() } else { Bytes::from(body) })
}

/// A weight in thousandths (RFC 9110, section 12.4.2); what is not a weight counts as none.
pub(super) fn weight(text: &[u8]) -> u16 {
    let digits = match text {
        [b'1'] => return 1000,
        [b'1', b'.', zeros @ ..] if zeros.len() <= 3 && zeros.iter().all(|&byte| byte == b'0') => return 1000,
        [b'0', b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => digits,
        _ => return 0,
    };
    let mut weight = 0;
    for place in 0..3 {
        weight = weight * 10 + digits.get(place).map_or(0, |digit| u16::from(digit - b'0'));
    }
    weight
}

fn plain(text: &str) -> String {
    text.chars().filter(|sign| !sign.is_control()).collect()
}

/// As text of a page, without what cannot be shown.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            sign if sign.is_control() => {}
            sign => out.push(sign),
        }
    }
    out
}

fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '"' | '\\' => out.extend(['\\', sign]),
            sign if sign.is_control() => {}
            sign => out.push(sign),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_by_accept() {
        for (accept, expected) in [
            (None, Form::Text),
            (Some("*/*"), Form::Text),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"), Form::Html),
            (Some("application/json"), Form::Json),
            (Some("application/json, text/plain, */*"), Form::Json),
            (Some("text/plain;q=0.5, application/json;q=0.4"), Form::Text),
            (Some("application/problem+json"), Form::Json),
            (Some("text/*;q=0.3, text/html;q=0.7, */*;q=0.5"), Form::Html),
            (Some("text/html;q=0, */*"), Form::Text),
            (Some("text/plain;q=0, */*"), Form::Html),
            (Some("image/png"), Form::Text),
            (Some("TEXT/HTML"), Form::Html),
            (Some("text/html;q=nonsense"), Form::Text),
            (Some(",;,;q=1"), Form::Text),
        ] {
            let mut fields = Fields::default();
            if let Some(accept) = accept {
                fields.set(header::ACCEPT, Value::from_static(accept));
            }
            assert_eq!(form(&fields), expected, "{accept:?}");
        }
    }

    #[test]
    fn answers_escape_what_they_repeat() {
        let id = "<a \"b\" & 'c'\\>";
        let (head, body) = error(&Method::GET, Status::NOT_FOUND, "There is nothing here.", id, Form::Html);
        let text = str::from_utf8(&body).unwrap();
        assert!(
            text.contains("&lt;a &quot;b&quot; &amp; &#39;c&#39;\\&gt;") && text.contains("404 Not Found"),
            "{text}"
        );
        assert_eq!(head.fields.get("content-type").unwrap(), "text/html; charset=utf-8");
        let (_, body) = error(&Method::GET, Status::BAD_GATEWAY, "Gone.", id, Form::Json);
        let object: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&object["status"], &object["request-id"]), (&502.into(), &id.into()));
        let (_, body) = error(&Method::GET, Status::BAD_GATEWAY, "Gone.", "id", Form::Text);
        assert_eq!(body, "502 Bad Gateway: Gone.\nrequest id: id\n");
    }

    #[test]
    fn head_gets_the_length_alone() {
        let (whole, body) = error(&Method::GET, Status::NOT_FOUND, "x", "id", Form::Text);
        let (head, nothing) = error(&Method::HEAD, Status::NOT_FOUND, "x", "id", Form::Text);
        assert!(nothing.is_empty() && !body.is_empty());
        assert_eq!(head.fields.get("content-length"), whole.fields.get("content-length"));
        assert_eq!(head.fields.get("cache-control").unwrap(), "no-store");
        assert_eq!(head.fields.get("x-request-id").unwrap(), "id");
    }

    #[test]
    fn pages_are_filled_in() {
        let kind = Value::from_static("text/html");
        let (head, body) =
            page(&Method::GET, Status::NOT_FOUND, "<p>${status} ${request.id} ${other}</p>", &kind, "a<b");
        assert_eq!(body, "<p>404 a&lt;b ${other}</p>");
        assert_eq!(head.fields.get("content-type").unwrap(), "text/html");
    }
}
