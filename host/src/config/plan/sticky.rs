//! The plan of sessions: what carries one, and who serves it.

use std::sync::Arc;
use std::time::Duration;

/// How clients stay with a member.
#[derive(Debug, Clone)]
pub struct Sticky {
    /// Where the member's route or token is found.
    pub by: StickyBy,
    /// When the session's member cannot serve.
    pub fallback: StickyFallback,
}

/// Where a session is found.
#[derive(Debug, Clone)]
pub enum StickyBy {
    /// In a session value that the members make: `JSESSIONID=abc.node1`.
    Route(StickyRoute),
    /// In a cookie of the gateway's own.
    Insert(StickyInsert),
    /// In a table of session values seen in members' `Set-Cookie`.
    Learn(StickyLearn),
}

/// Sessions whose value ends in a member's route.
#[derive(Debug, Clone)]
pub struct StickyRoute {
    /// Cookies that carry it, in order.
    pub cookies: Vec<String>,
    /// A query parameter or path parameter (`;jsessionid=`) that carries it; it goes before cookies.
    pub parameter: Option<String>,
    /// What stands between session and route; `None`: the whole value is the route.
    pub separator: Option<char>,
    /// What stands between several routes, tried in order; `None`: there is one.
    pub ranked: Option<char>,
}

/// A cookie of the gateway's own.
#[derive(Debug, Clone)]
pub struct StickyInsert {
    /// Its name.
    pub name: String,
    /// `Path`.
    pub path: String,
    /// `Domain`.
    pub domain: Option<String>,
    /// `Max-Age`; `None` means for the browser's session.
    pub max_age: Option<Duration>,
    /// `Secure`.
    pub secure: bool,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `SameSite`.
    pub same_site: Option<SameSite>,
    /// What values are signed with; `None`: a secret made at start, so values do not outlive the process.
    pub secret: Option<Arc<str>>,
}

/// `SameSite` (RFC 6265bis).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// `Strict`.
    Strict,
    /// `Lax`.
    Lax,
    /// `None`; browsers demand `Secure` with it.
    None,
}

/// Sessions learned from what members set.
#[derive(Debug, Clone)]
pub struct StickyLearn {
    /// The cookie that members set.
    pub cookie: String,
    /// A query or path parameter that may carry the value instead; it goes before the cookie.
    pub parameter: Option<String>,
    /// How long a session is remembered after its last use.
    pub timeout: Duration,
    /// Sessions remembered at once.
    pub capacity: u64,
}

/// When a session's member cannot serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StickyFallback {
    /// Another member is chosen.
    Rebalance,
    /// 503.
    Fail,
}
