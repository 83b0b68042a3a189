//! Everything built from one plan: immutable, shared by all threads, swapped whole.
//!
//! A generation lives as long as its last exchange. What a thread has of it (filter instances, its connections, its end of
//! the access log) is `Local`, which never leaves that thread.

mod apart;
mod build;
mod caches;
mod current;
mod forget;
mod local;
mod secure;
mod tally;

use std::sync::Arc;

pub use self::caches::{Cache, Store, Stores};
pub use self::current::Current;
pub use self::forget::Forgotten;
pub use self::local::{Local, Thread};
pub use self::tally::{Counted, Outcome, Tally};
use crate::chain::Chain;
use crate::config::{self, Plan};
use crate::files::Roots;
use crate::log::Format;
use crate::message::Value;
use crate::pool::{Pool, Registry};
use crate::routes::Table;
use crate::tls;
use crate::upstream::Endpoint;
use crate::wasm::Engine;

/// What one plan became.
pub struct Generation {
    /// Counts from one.
    pub number: u64,
    /// What it was built from.
    pub plan: Plan,
    /// Which route a request belongs to.
    pub routes: Table,
    /// Directories that files come from.
    pub roots: Roots,
    /// The access log's lines; `None` when it is off.
    pub format: Option<Format>,
    engine: Engine,
    apart: apart::Apart,
    caches: Vec<Cache>,
    pools: Vec<Arc<Pool>>,
    /// By listener; none for those that speak cleartext.
    doors: Vec<Option<Arc<tls::Server>>>,
    route_chains: Vec<Vec<Chain>>,
    pool_chains: Vec<Chain>,
}

/// What goes on from generation to generation.
#[derive(Default)]
pub struct Lasting {
    /// What is known of pools.
    pub pools: Registry,
    /// What clients' TLS sessions are taken up again with.
    pub tickets: tls::Tickets,
    /// What caches hold.
    pub caches: Stores,
}

/// A site and one of its routes, by position in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteKey {
    /// Of the site.
    pub site: usize,
    /// Of the route within it.
    pub route: usize,
}

impl Generation {
    /// A site.
    #[must_use]
    pub fn site(&self, site: usize) -> Option<&config::Site> {
        self.plan.sites.get(site)
    }

    /// A route.
    #[must_use]
    pub fn route(&self, key: RouteKey) -> Option<&config::Route> {
        self.site(key.site)?.routes.get(key.route)
    }

    /// The route of a site that has a name; the first, where several have it.
    #[must_use]
    pub fn named_route(&self, site: usize, name: &str) -> Option<RouteKey> {
        let route = self.site(site)?.routes.iter().position(|route| &*route.name == name)?;
        Some(RouteKey { site, route })
    }

    /// A route's chain.
    #[must_use]
    pub fn route_chain(&self, key: RouteKey) -> Option<&Chain> {
        self.route_chains.get(key.site)?.get(key.route).filter(|chain| !chain.is_empty())
    }

    /// The cache of a route, if it has one, with its plan.
    #[must_use]
    pub fn cache(&self, key: RouteKey) -> Option<(&Cache, &config::Cache)> {
        let index = self.route(key)?.cache?;
        Some((self.caches.get(index)?, self.plan.caches.get(index)?))
    }

    /// All caches, with their plans.
    pub fn caches(&self) -> impl Iterator<Item = (&Cache, &config::Cache)> {
        self.caches.iter().zip(&self.plan.caches)
    }

    /// A pool.
    #[must_use]
    pub fn pool(&self, pool: usize) -> Option<&Arc<Pool>> {
        self.pools.get(pool)
    }

    /// Every pool.
    #[must_use]
    pub fn pools(&self) -> &[Arc<Pool>] {
        &self.pools
    }

    /// Whether an address is a member's of any pool.
    #[must_use]
    pub fn leads_to(&self, endpoint: &Endpoint) -> bool {
        self.pools.iter().any(|pool| pool.leads_to(endpoint))
    }

    /// A pool's chain.
    #[must_use]
    pub fn pool_chain(&self, pool: usize) -> Option<&Chain> {
        self.pool_chains.get(pool).filter(|chain| !chain.is_empty())
    }

    /// A listener, by the name it has kept over reloads.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Arc<config::Listener>> {
        self.plan.listeners.iter().find(|listener| &*listener.name == name)
    }

    /// TLS towards a listener's clients; `None` when it speaks cleartext.
    #[must_use]
    pub fn tls(&self, listener: &str) -> Option<&Arc<tls::Server>> {
        let index = self.plan.listeners.iter().position(|known| &*known.name == listener)?;
        self.doors.get(index)?.as_ref()
    }

    /// TLS towards clients, with the names of the listeners.
    pub fn secured(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<tls::Server>)> {
        let doors = self.plan.listeners.iter().zip(&self.doors);
        doors.filter_map(|(listener, server)| Some((&listener.name, server.as_ref()?)))
    }

    /// Whether a peer's word on where a request came from is taken.
    #[must_use]
    pub fn trusts(&self, address: std::net::IpAddr) -> bool {
        self.plan.trusted_proxies.iter().any(|network| network.contains(address))
    }

    /// The page that a site has for a status; a page for the very status goes before one for its hundred.
    #[must_use]
    pub fn error_page(&self, site: usize, status: u16) -> Option<(&Arc<str>, &Value)> {
        let pages = &self.site(site)?.error_pages;
        let page = pages
            .iter()
            .find(|page| page.statuses.exact.contains(&status))
            .or_else(|| pages.iter().find(|page| page.statuses.contains(status)))?;
        Some((&page.body, &page.content_type))
    }
}
