//! The plan of what is done when a member does not serve, or none has room.

use std::time::Duration;

use super::{Respond, StatusSet};

/// Attempts beyond the first.
#[derive(Debug, Clone)]
pub struct Failover {
    /// Attempts in all, each on another member while there is one.
    pub attempts: u32,
    /// What is tried again.
    pub on: FailoverOn,
    /// For one attempt's answer to begin; zero means the pool's `read-timeout` alone.
    pub try_timeout: Duration,
    /// Retries for each hundred requests of the last ten seconds.
    pub budget: u32,
    /// Retries a second that are always allowed.
    pub budget_floor: u32,
    /// Bytes of a request's body that are kept to be sent again.
    pub replay_body: usize,
    /// Also repeat requests that are not idempotent.
    pub non_idempotent: bool,
}

/// What is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailoverOn {
    /// No connection could be had.
    pub connect: bool,
    /// TLS could not be agreed on.
    pub tls: bool,
    /// The connection ended before the answer began.
    pub reset: bool,
    /// The answer did not begin in time.
    pub timeout: bool,
    /// The answer was not HTTP.
    pub bad_response: bool,
    /// The answer had one of these statuses.
    pub statuses: StatusSet,
}

/// Who serves when no member can.
#[derive(Debug, Clone)]
pub enum Fallback {
    /// Another pool: index into `Plan::pools`. Never leads back.
    Pool(usize),
    /// An answer.
    Respond(Respond),
}

/// Exchanges that wait when every usable member is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// How many may wait; 0 means none.
    pub length: usize,
    /// How long one may wait.
    pub timeout: Duration,
}
