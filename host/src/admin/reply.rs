//! What goes back to the operator: JSON, or the text that monitoring systems read.

use http::{HeaderValue, Method, StatusCode, header};
use serde_json::Value;

use crate::body::Body;

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    kind: HeaderValue,
    allow: Option<HeaderValue>,
    text: String,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Reply {
    /// What was asked for.
    pub(super) fn json(value: &Value) -> Self {
        Self { status: StatusCode::OK, kind: JSON, allow: None, text: format!("{value:#}\n") }
    }

    /// A text of another kind.
    pub(super) fn text_of(kind: &'static str, text: String) -> Self {
        Self { status: StatusCode::OK, kind: HeaderValue::from_static(kind), allow: None, text }
    }

    /// A sentence on what is wrong.
    pub(super) fn refusal(status: StatusCode, sentence: impl Into<String>) -> Self {
        let error = serde_json::json!({ "error": sentence.into() });
        Self { status, ..Self::json(&error) }
    }

    /// The question says something wrong.
    pub(super) fn bad(sentence: impl Into<String>) -> Self {
        Self::refusal(StatusCode::BAD_REQUEST, sentence)
    }

    /// Nothing is called so.
    pub(super) fn nowhere(sentence: impl Into<String>) -> Self {
        Self::refusal(StatusCode::NOT_FOUND, sentence)
    }

    /// It is there, but not for that.
    pub(super) fn not_so(path: &str, methods: &[Method]) -> Self {
        let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        names.dedup();
        let names = names.join(", ");
        let reply = Self::refusal(StatusCode::METHOD_NOT_ALLOWED, format!("{path} knows {names} only"));
        Self { allow: HeaderValue::from_str(&names).ok(), ..reply }
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// As HTTP has it. Numbers are of this moment, and for nobody but who asked.
    pub(super) fn into_response(self) -> http::Response<Body> {
        let mut response = http::Response::new(Body::from(bytes::Bytes::from(self.text)));
        *response.status_mut() = self.status;
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, self.kind);
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(allow) = self.allow {
            fields.insert(header::ALLOW, allow);
        }
        response
    }
}
