//! The plan of pools: members that serve the same thing, and how one of them is chosen.

use std::sync::Arc;
use std::time::Duration;

use super::{Accel, Failover, Fallback, Health, Member, Outlier, Queue, StatusSet, Sticky};
use crate::config::Place;
use crate::message::Name;

/// Members that serve the same thing.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// How a member is chosen.
    pub balance: Balance,
    /// How long a member that comes back takes to get its whole share; zero means at once.
    pub slow_start: Duration,
    /// In the order written; never empty.
    pub members: Vec<Member>,
    /// How clients stay with a member.
    pub sticky: Option<Sticky>,
    /// How long a member in error is left alone; zero means that it is always tried again.
    pub retry: Duration,
    /// When every member is in error, all of them are tried again at once.
    pub forced_recovery: bool,
    /// How often members in error are dialled to see whether they are back; zero means never.
    pub reprobe: Duration,
    /// Statuses that put a member into error.
    pub fail_on_status: StatusSet,
    /// Whether an answer that does not begin in time puts a member into error.
    pub fail_on_timeout: bool,
    /// Attempts beyond the first.
    pub failover: Failover,
    /// Who serves when no member can.
    pub fallback: Option<Fallback>,
    /// Exchanges that wait when every usable member is full.
    pub queue: Queue,
    /// Active checks.
    pub health: Option<Arc<Health>>,
    /// What is concluded from the exchanges themselves.
    pub outlier: Outlier,
    /// Pass the client's `Host` on, instead of the member's.
    pub preserve_host: bool,
    /// Keep connections for the next request.
    pub keepalive: bool,
    /// One upstream connection for one client connection, closed with it and never shared.
    pub exclusive: bool,
    /// Kept connections per member, over all threads.
    pub max_idle_connections: usize,
    /// For a connection to stand, TLS included.
    pub connect_timeout: Duration,
    /// Between two reads of an answer, and to its first byte.
    pub read_timeout: Duration,
    /// How long a member may take no byte.
    pub write_timeout: Duration,
    /// For a whole exchange; zero means none.
    pub timeout: Duration,
    /// How long a kept connection may rest.
    pub idle_timeout: Duration,
    /// How long a tunnel (after `101 Switching Protocols`) may carry nothing; zero means for ever.
    pub tunnel_idle_timeout: Duration,
    /// How long a resolved address holds at most; the name server's shorter time to live goes before it.
    pub address_ttl: Duration,
    /// Also send `Forwarded` (RFC 7239).
    pub forwarded: bool,
    /// What its members may say of files.
    pub accel: Accel,
    /// The pool's chain: indices into `Plan::filters`.
    pub filters: Vec<usize>,
    /// Where it was written.
    pub place: Place,
}

/// How a member is chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Balance {
    /// Smooth weighted rotation (httpd's `byrequests`).
    RoundRobin,
    /// Fewest exchanges served so far, by weight.
    LeastRequests,
    /// Fewest bytes both ways so far, by weight.
    ByTraffic,
    /// Fewest exchanges in flight, by weight.
    ByBusyness,
    /// The less busy of two drawn at random by weight.
    RandomTwo,
    /// The cheaper of two drawn at random: latency (peak-sensitive moving average) times exchanges in flight.
    PeakEwma,
    /// Drawn at random by weight and by the room that members report in `X-Weir-Load`.
    ByLoad,
    /// The same key goes to the same member.
    Hash(Hash),
    /// The first in the order written that has room.
    First,
}

/// Settings of `hash` and `ip-hash`.
#[derive(Debug, Clone, PartialEq)]
pub struct Hash {
    /// What is hashed; a request without it is balanced by rotation.
    pub key: HashKey,
    /// How keys are laid on members.
    pub table: HashTable,
    /// A member takes no more than this times the average of what is in flight, in percent; `None` means any load.
    pub load_factor: Option<u32>,
}

/// What is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address.
    Client,
    /// A request field's value.
    Field(Name),
    /// A cookie's value.
    Cookie(String),
    /// A query parameter's value, decoded.
    Query(String),
    /// The path.
    Path,
    /// Path and query.
    Uri,
}

/// How keys are laid on members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashTable {
    /// A ring with many points a member: a change of members moves only the keys of the changed ones.
    Ring,
    /// A Maglev table: even shares, a lookup is one read, few more keys move.
    Maglev,
}

impl Pool {
    /// For one attempt's answer to begin.
    #[must_use]
    pub fn try_timeout(&self) -> Duration {
        match self.failover.try_timeout {
            Duration::ZERO => self.read_timeout,
            limit => limit.min(self.read_timeout),
        }
    }
}
