//! The heads themselves.

use std::fmt;

use http::uri::PathAndQuery;

use super::{Fields, Method, Status, Value, Version};

/// A request's head. Its path is normalised once, before anybody above sees it.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// How the client came.
    pub scheme: Scheme,
    /// Whom the client asked for.
    pub authority: Authority,
    /// The version the client speaks.
    pub version: Version,
    /// The header fields, without `Host`: that is `authority`.
    pub fields: Fields,
    target: PathAndQuery,
}

/// A response's head.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// The status.
    pub status: Status,
    /// The header fields.
    pub fields: Fields,
}

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Under TLS.
    Https,
}

/// A host and, when it was given, a port; checked (RFC 3986, section 3.2.2) when it was made.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    text: Value,
    host: usize,
    port: Option<u16>,
}

impl RequestHead {
    /// A head; the target is what `Target` normalised.
    #[must_use]
    pub fn of(method: Method, scheme: Scheme, authority: Authority, target: PathAndQuery) -> Self {
        Self { method, scheme, authority, version: Version::HTTP_11, fields: Fields::default(), target }
    }

    /// The path, beginning with `/` (or `*` for `OPTIONS *`).
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.path()
    }

    /// The query, without its `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }

    /// Path and query.
    #[must_use]
    pub fn target(&self) -> &PathAndQuery {
        &self.target
    }

    /// Replaces path and query; what is given was checked by whoever made it.
    pub fn set_target(&mut self, target: PathAndQuery) {
        self.target = target;
    }
}

impl ResponseHead {
    /// A head without fields.
    #[must_use]
    pub fn of(status: Status) -> Self {
        Self { status, fields: Fields::default() }
    }
}

impl Scheme {
    /// As in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port that goes without saying.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl Authority {
    /// The parts of an authority that `host::parse` has checked: the text, how long its host is, its port.
    pub(super) const fn checked(text: Value, host: usize, port: Option<u16>) -> Self {
        Self { text, host, port }
    }

    /// Host and port as the client wrote them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text.to_str().unwrap_or_default()
    }

    /// Whether nobody was asked for (`host::absent`).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The host, and what is written behind it: nothing, or a colon and the port.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        self.as_str().split_at_checked(self.host).unwrap_or_default()
    }

    /// As a field value.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.text
    }

    /// The host, IPv6 addresses with their brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.as_str().get(..self.host).unwrap_or_default()
    }

    /// The port, if it was given.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
