//! The plan of how members are watched: checks, and what is concluded from exchanges.

use std::time::Duration;

use regex::bytes::Regex;

use super::{FieldMatch, Protocol, StatusSet, UpstreamTls};
use crate::message::{Method, Name, Value};

/// Active checks.
#[derive(Debug, Clone)]
pub struct Health {
    /// What is done.
    pub check: Check,
    /// Between the beginnings of two checks; a tenth of it, up or down, is left to chance.
    pub interval: Duration,
    /// For a whole check.
    pub timeout: Duration,
    /// Consecutive passes that make a failed member fit.
    pub passes: u32,
    /// Consecutive failures that make it unfit.
    pub fails: u32,
    /// Another port than the member's.
    pub port: Option<u16>,
    /// How it is spoken to, when that differs from the member's way.
    pub tls: Option<Option<UpstreamTls>>,
    /// A new member serves nothing before its first pass.
    pub gate: bool,
}

/// What a check does.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one for each pool, behind an `Arc`")]
pub enum Check {
    /// Connects (and agrees on TLS when the member speaks it).
    Tcp,
    /// Asks.
    Http(HttpCheck),
    /// `grpc.health.v1.Health/Check` for a service, over HTTP/2.
    Grpc(String),
}

/// An HTTP check.
#[derive(Debug, Clone)]
pub struct HttpCheck {
    /// `GET`, `HEAD` or `OPTIONS`.
    pub method: Method,
    /// The target.
    pub path: String,
    /// The `Host`, in place of the member's.
    pub host: Option<Value>,
    /// Further fields.
    pub fields: Vec<(Name, Value)>,
    /// Over which HTTP; `None` means the member's.
    pub protocol: Option<Protocol>,
    /// Statuses that pass.
    pub expect: StatusSet,
    /// Conditions on the answer's fields; all must hold.
    pub expect_fields: Vec<FieldMatch>,
    /// The body must match; only its first 64 KiB are looked at.
    pub expect_body: Option<Regex>,
    /// The body must not match.
    pub reject_body: Option<Regex>,
}

/// What is concluded from the exchanges themselves. A zero switches its test off.
#[derive(Debug, Clone)]
pub struct Outlier {
    /// Failures in a row (no answer, or a status in `statuses`) that eject a member.
    pub consecutive: u32,
    /// What counts as a failure beside having no answer.
    pub statuses: StatusSet,
    /// How often success rates are looked at, and ejection times paid back.
    pub interval: Duration,
    /// A member is ejected when its success rate lies this many thousandths of a standard deviation below the mean.
    pub success_rate_deviation: u32,
    /// Members with enough requests in an interval, before their rates are compared.
    pub success_rate_members: u32,
    /// What is enough.
    pub success_rate_requests: u32,
    /// The first ejection; the nth takes n times as long.
    pub base_ejection: Duration,
    /// The longest.
    pub max_ejection: Duration,
    /// Of the pool's members, how many percent may be ejected at once; one always may, unless it is the only one.
    pub max_ejected: u32,
    /// When fewer than this percentage of members are fit, checks and ejections are ignored; 0 means never.
    pub panic_threshold: u32,
}
