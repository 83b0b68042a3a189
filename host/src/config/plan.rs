//! The plan: the config after checking. Every reference is resolved, every default filled in, every value in its type.
//!
//! Names are kept for logs and for carrying state over a reload; indices point into the plan's own lists. No run-time
//! state lives here.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

mod admin;
mod cache;
mod failover;
mod files;
mod filter;
mod health;
mod listener;
mod log;
mod member;
mod pool;
mod route;
mod site;
mod sticky;

pub use self::admin::*;
pub use self::cache::*;
pub use self::failover::*;
pub use self::files::*;
pub use self::filter::*;
pub use self::health::*;
pub use self::listener::*;
pub use self::log::*;
pub use self::member::*;
pub use self::pool::*;
pub use self::route::*;
pub use self::site::*;
pub use self::sticky::*;

/// A checked config.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Worker threads.
    pub threads: usize,
    /// How long a drain waits for what is in flight.
    pub shutdown_timeout: Duration,
    /// Whose word on `X-Forwarded-*` and `Forwarded` is taken.
    pub trusted_proxies: Vec<Network>,
    /// Name servers in place of the system's.
    pub resolvers: Vec<SocketAddr>,
    /// Where compiled filters are kept; `None` means nowhere.
    pub cache_directory: Option<PathBuf>,
    /// The operator's log.
    pub log: Log,
    /// The access log.
    pub access_log: AccessLog,
    /// Where the operator is listened to; `None` means nowhere.
    pub admin: Option<Admin>,
    /// What holds for all files.
    pub files: Files,
    /// In the order written, and behind them those of routes that name a path.
    pub roots: Vec<Root>,
    /// In the order written.
    pub caches: Vec<Cache>,
    /// In the order written.
    pub listeners: Vec<Arc<Listener>>,
    /// In the order written.
    pub pools: Vec<Pool>,
    /// In the order written.
    pub filters: Vec<Filter>,
    /// In the order written; the default site is `default_site`.
    pub sites: Vec<Site>,
    /// Index of the site that answers for every other host, if one does.
    pub default_site: Option<usize>,
}

/// A network by its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Its address.
    pub address: IpAddr,
    /// How many leading bits count.
    pub bits: u8,
}

impl Network {
    /// Whether an address lies in it. An IPv4 address mapped into IPv6 counts as what it maps.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits.min(32))).unwrap_or(0);
                net.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits.min(128))).unwrap_or(0);
                net.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}
