//! A request of the operator, read as a whole within bounds.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;

use super::reply::Reply;
use crate::clock::Duration;
use crate::message::query;

/// What was asked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) path: String,
    query: String,
    form: Form,
    body: Bytes,
}

/// A word of a question: `name` or `name=value`.
pub(super) type Word = (String, Option<String>);

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As forms are; also what curl says of any data.
    Urlencoded,
    Json,
    /// In a way that nobody reads here.
    Other,
}

/// More words than anybody types.
const MOST_BODY: usize = 64 << 10;
/// For a body that was announced.
const PATIENCE: Duration = Duration::from_secs(10);

impl Question {
    /// Reads all of it, or says what is wrong.
    pub(super) async fn read(request: http::Request<Incoming>) -> Result<Self, Reply> {
        let (head, body) = request.into_parts();
        if is_foreign(&head) {
            let text = "the request comes from a page of another origin; this is for the operator alone";
            return Err(Reply::refusal(StatusCode::FORBIDDEN, text));
        }
        let body = tokio::time::timeout(PATIENCE, collect(body)).await.unwrap_or_else(|_| {
            Err(Reply::refusal(StatusCode::REQUEST_TIMEOUT, format!("the body did not come within {PATIENCE:?}")))
        })?;
        let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
        Ok(Self { method: head.method, path, query, form: Form::of(&head.headers), body })
    }

    /// What the query and the body say.
    pub(super) fn words(&self) -> Result<Vec<Word>, Reply> {
        let mut words: Vec<Word> = of_form(&self.query).collect();
        match self.form {
            _ if self.body.is_empty() => {}
            Form::Urlencoded => words.extend(of_form(text(&self.body)?)),
            Form::Json => words.extend(of_json(&self.body)?),
            Form::Other => {
                let text = "the body is neither application/json nor application/x-www-form-urlencoded";
                return Err(Reply::refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
            }
        }
        Ok(words)
    }
}

impl Form {
    fn of(fields: &http::HeaderMap) -> Self {
        let Some(kind) = fields.get(header::CONTENT_TYPE) else { return Self::Urlencoded };
        let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        match kind.trim().to_ascii_lowercase().as_str() {
            "application/x-www-form-urlencoded" => Self::Urlencoded,
            "application/json" => Self::Json,
            _ => Self::Other,
        }
    }
}

/// Whether a browser sends it for a page of somebody else's: the socket may be forwarded to where a browser reaches it.
fn is_foreign(head: &http::request::Parts) -> bool {
    let text = |name| head.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    text(header::ORIGIN).is_some_and(|origin| origin.split_once("://").is_none_or(|(_, from)| from != host))
}

async fn collect(mut body: Incoming) -> Result<Bytes, Reply> {
    let mut all = BytesMut::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| Reply::bad(format!("the body is broken: {error}")))?;
        all.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        if all.len() > MOST_BODY {
            let text = format!("the body is longer than {MOST_BODY} bytes");
            return Err(Reply::refusal(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
    }
    Ok(all.freeze())
}

fn text(body: &[u8]) -> Result<&str, Reply> {
    std::str::from_utf8(body).map_err(|_| Reply::bad("the body is not UTF-8"))
}

/// A word without a value is one, and `soft=` is too: forms in browsers cannot send the other.
fn of_form(text: &str) -> impl Iterator<Item = Word> {
    let pairs = query::pairs(text.trim_end());
    pairs.map(|(name, value)| (name.into_owned(), Some(value.into_owned()).filter(|value| !value.is_empty())))
}

/// `{ "tag": ["a", "b"], "soft": true }`
fn of_json(body: &[u8]) -> Result<Vec<Word>, Reply> {
    use serde_json::Value;
    let object = match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return Err(Reply::bad(r#"the body is JSON, but no object such as {"tag": "news"}"#)),
        Err(error) => return Err(Reply::bad(format!("the body is not JSON: {error}"))),
    };
    let mut words = Vec::new();
    for (name, value) in object {
        let each = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        for value in each {
            match value {
                Value::Bool(true) => words.push((name.clone(), None)),
                Value::Bool(false) => {}
                Value::String(text) => words.push((name.clone(), Some(text))),
                _ => {
                    return Err(Reply::bad(format!(
                        "{name:?} is neither a text, nor true or false, nor a list of texts"
                    )));
                }
            }
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(query: &str, form: Form, body: &'static str) -> Question {
        Question { method: Method::POST, path: "/".to_owned(), query: query.to_owned(), form, body: body.into() }
    }

    #[test]
    fn words_are_read_from_queries_forms_and_json() {
        for (query, form, body, expected) in [
            ("", Form::Other, "", &[][..]),
            ("soft&tag=a+b", Form::Other, "", &[("soft", None), ("tag", Some("a b"))]),
            (
                "soft=",
                Form::Urlencoded,
                "url=%2F&tag=x=y\n",
                &[("soft", None), ("url", Some("/")), ("tag", Some("x=y"))],
            ),
            (
                "",
                Form::Json,
                r#"{"tag": ["a", "b"], "soft": true, "all": false}"#,
                &[("tag", Some("a")), ("tag", Some("b")), ("soft", None)],
            ),
            ("", Form::Json, "{}", &[]),
        ] {
            let words = question(query, form, body).words().unwrap();
            let words: Vec<_> = words.iter().map(|(name, value)| (&**name, value.as_deref())).collect();
            assert_eq!(words, expected, "{query} {body}");
        }
    }

    #[test]
    fn bodies_that_say_nothing_are_refused() {
        for (form, body, status, expected) in [
            (Form::Other, "x", 415, "neither application/json nor"),
            (Form::Json, "{", 400, "the body is not JSON: EOF"),
            (Form::Json, "[1]", 400, "no object"),
            (Form::Json, r#"{"tag": 1}"#, 400, "\"tag\\\" is neither a text"),
            (Form::Json, r#"{"tag": [["a"]]}"#, 400, "is neither a text"),
        ] {
            let reply = question("", form, body).words().unwrap_err();
            assert!(reply.status() == status && reply.text().contains(expected), "{body}: {}", reply.text());
        }
        let deep: &'static str = "[".repeat(60_000).leak();
        assert_eq!(question("", Form::Json, deep).words().unwrap_err().status(), 400);
    }

    #[test]
    fn pages_of_others_have_no_say() {
        for (origin, host, expected) in [
            (None, "weir", false),
            (Some("http://weir"), "weir", false),
            (Some("http://127.0.0.1:9000"), "127.0.0.1:9000", false),
            (Some("https://evil.example"), "weir", true),
            (Some("null"), "weir", true),
        ] {
            let mut request = http::Request::builder().header(header::HOST, host);
            if let Some(origin) = origin {
                request = request.header(header::ORIGIN, origin);
            }
            assert_eq!(is_foreign(&request.body(()).unwrap().into_parts().0), expected, "{origin:?}");
        }
    }
}
