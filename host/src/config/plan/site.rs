//! The plan of sites: hosts, redirects to TLS, and pages of their own.

use std::sync::Arc;

use super::{Certificate, Route};
use crate::config::Place;
use crate::message::{Status, Value};

/// A virtual host.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its name.
    pub name: Arc<str>,
    /// Lower case: `shop.example`, `*.shop.example`; empty for a site that is only the default.
    pub hosts: Vec<String>,
    /// Pass the upstream's `Server` on.
    pub preserve_server: bool,
    /// Add `Via` to responses.
    pub via: bool,
    /// Certificates for its hosts, one of each kind of key: a client that can takes the first that it understands.
    pub certificates: Vec<Certificate>,
    /// Where clients that come without TLS are sent.
    pub https_redirect: Option<HttpsRedirect>,
    /// `Strict-Transport-Security` (RFC 6797), on answers over TLS.
    pub hsts: Option<Value>,
    /// Pages instead of the gateway's own texts.
    pub error_pages: Vec<ErrorPage>,
    /// Tried in order, first match wins.
    pub routes: Vec<Route>,
    /// Where it was written.
    pub place: Place,
}

/// Sends clients to the same target over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpsRedirect {
    /// The port there, when it is not 443.
    pub port: u16,
    /// 301, 302, 307 or 308.
    pub status: Status,
}

/// A page for some statuses. Files are read when the plan is made.
#[derive(Debug, Clone)]
pub struct ErrorPage {
    /// Which.
    pub statuses: StatusSet,
    /// What is sent, `${request.id}` and `${status}` replaced.
    pub body: Arc<str>,
    /// `Content-Type`.
    pub content_type: Value,
}

/// Some statuses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusSet {
    /// Single ones.
    pub exact: Vec<u16>,
    /// Hundreds: 4 for `4xx`.
    pub classes: Vec<u16>,
}

impl StatusSet {
    /// Whether a status is one of these.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.exact.contains(&status) || self.classes.contains(&(status / 100))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.classes.is_empty()
    }
}
