//! The plan of routes: what a request must be like, and what is done with it.

use std::borrow::Cow;
use std::sync::Arc;

use regex::Regex;

use super::{Accel, CacheWhen, Fallback, StatusSet};
use crate::config::Place;
use crate::message::{Method, Name, Status, Value};

/// A route.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name: `name`, or its path.
    pub name: Arc<str>,
    /// On the path.
    pub path: PathMatch,
    /// Any of these; empty means all.
    pub methods: Vec<Method>,
    /// All of these.
    pub fields: Vec<FieldMatch>,
    /// All of these.
    pub query: Vec<QueryMatch>,
    /// How the path changes on its way upstream.
    pub prefix: Option<PrefixChange>,
    /// The route's chain: indices into `Plan::filters`.
    pub filters: Vec<usize>,
    /// Bytes of a request body, in place of the listener's.
    pub max_body: Option<u64>,
    /// Statuses whose upstream body is replaced by the site's page (the pool's, when the route names none).
    pub intercept_errors: StatusSet,
    /// Protocols that may take over a connection (`Upgrade`), in lower case: `websocket`.
    pub upgrade: Vec<String>,
    /// Who serves when no member of the pool can; the pool's own fallback otherwise.
    pub fallback: Option<Fallback>,
    /// Only for requests that the gateway redirects itself; to clients there is nothing here.
    pub internal: bool,
    /// What upstreams may say of files, in place of the pool's word.
    pub accel: Option<Accel>,
    /// Index of the cache that answers go through: into `Plan::caches`.
    pub cache: Option<usize>,
    /// Requests that go past it.
    pub cache_bypass: CacheWhen,
    /// Requests that ask the upstream anew for what is stored.
    pub cache_refresh: CacheWhen,
    /// What is done.
    pub action: Action,
    /// Where it was written.
    pub place: Place,
}

/// A condition on the path.
#[derive(Debug, Clone)]
pub enum PathMatch {
    /// Every path.
    Any,
    /// This path and those below it: `/api` matches `/api` and `/api/x`, not `/apix`; `/api/` only what is below.
    Prefix(String),
    /// This path alone.
    Exact(String),
    /// Anywhere in the path, unless anchored.
    Regex(Regex),
}

/// A condition on a header field.
#[derive(Debug, Clone)]
pub struct FieldMatch {
    /// Which.
    pub name: Name,
    /// What of it.
    pub test: Test,
}

/// A condition on a query parameter.
#[derive(Debug, Clone)]
pub struct QueryMatch {
    /// Which, decoded.
    pub name: String,
    /// What of it.
    pub test: Test,
}

/// A condition on a cookie.
#[derive(Debug, Clone)]
pub struct CookieMatch {
    /// Which.
    pub name: String,
    /// What of it.
    pub test: Test,
}

/// A condition on a value.
#[derive(Debug, Clone)]
pub enum Test {
    /// It is there, or (false) it is not.
    Present(bool),
    /// One line is equal.
    Equal(String),
    /// One line matches.
    Regex(Regex),
}

/// A change of the path's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixChange {
    /// What is taken away, at a segment boundary; paths without it stay as they are.
    pub from: String,
    /// What takes its place; may be empty.
    pub to: String,
}

/// What a route does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Pass on to a pool: index into `Plan::pools`.
    Pool(usize),
    /// Answer with files: index into `Plan::roots`.
    Files(usize),
    /// Answer at once.
    Respond(Respond),
    /// As if no route had matched.
    Exclude,
}

/// A fixed answer.
#[derive(Debug, Clone)]
pub struct Respond {
    /// The status.
    pub status: Status,
    /// The fields, `Location` and `Content-Type` among them.
    pub fields: Vec<(Name, Value)>,
    /// The body.
    pub body: bytes::Bytes,
}

impl Test {
    /// Whether it holds for the values that a name has.
    pub fn holds<'a>(&self, mut values: impl Iterator<Item = Cow<'a, str>>) -> bool {
        match self {
            Self::Present(wanted) => values.next().is_some() == *wanted,
            Self::Equal(text) => values.any(|value| value == text.as_str()),
            Self::Regex(regex) => values.any(|value| regex.is_match(&value)),
        }
    }

    /// Whether it holds for the lines of a field. One that is not UTF-8 is there, but equal to nothing.
    pub fn holds_for<'a>(&self, lines: impl Iterator<Item = &'a Value>) -> bool {
        self.holds(lines.map(|line| Cow::Borrowed(str::from_utf8(line.as_bytes()).unwrap_or("\u{fffd}"))))
    }

    /// Whether two tests are written alike.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present(one), Self::Present(other)) => one == other,
            (Self::Equal(one), Self::Equal(other)) => one == other,
            (Self::Regex(one), Self::Regex(other)) => one.as_str() == other.as_str(),
            (Self::Present(_) | Self::Equal(_) | Self::Regex(_), _) => false,
        }
    }
}
