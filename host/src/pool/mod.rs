//! Pools: named sets of members, and leases on them.
//!
//! A pool lives as long as its generation; what its members have in flight is counted in shared atomics. It decides who is
//! next and nothing else: attempts and retries are the pipeline's.

mod local;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::balance::RoundRobin;
use crate::config;
use crate::message::Value;
use crate::upstream::{Endpoint, Keeping};

pub use self::local::{Program, Programs};

/// A pool.
#[derive(Debug)]
pub struct Pool {
    /// As configured.
    pub plan: config::Pool,
    members: Vec<Arc<Member>>,
    rotation: RoundRobin,
}

/// A member.
#[derive(Debug)]
pub struct Member {
    /// Its name in logs.
    pub name: Arc<str>,
    /// The `Host` it is asked for, when the client's is not preserved.
    pub host: Value,
    /// Where it is.
    pub endpoint: Arc<Endpoint>,
    in_flight: AtomicUsize,
}

/// The right to make an attempt on a member; counted as in flight until it is dropped.
#[derive(Debug)]
pub struct Lease(Arc<Member>);

impl Pool {
    /// The pool of a plan.
    #[must_use]
    pub fn of(plan: &config::Pool) -> Self {
        let members = plan.members.iter().map(|member| Arc::new(Member::of(member))).collect();
        let weights: Vec<_> = plan.members.iter().map(|member| member.weight).collect();
        let rotation = RoundRobin::of(&weights);
        Self { plan: plan.clone(), members, rotation }
    }

    /// The next member's lease; `None` only in a pool without members.
    #[must_use]
    pub fn lease(&self) -> Option<Lease> {
        self.members.get(self.rotation.turn()).map(Lease::on)
    }

    /// Whether an address is one of its members'.
    #[must_use]
    pub fn leads_to(&self, endpoint: &Endpoint) -> bool {
        self.members.iter().any(|member| std::ptr::eq(&raw const *member.endpoint, endpoint))
    }

    /// How connections to the members are kept.
    #[must_use]
    pub fn keeping(&self) -> Keeping {
        let most = if self.plan.keepalive { self.plan.max_idle_connections } else { 0 };
        Keeping { most, idle_timeout: self.plan.idle_timeout }
    }
}

impl Member {
    fn of(plan: &config::Member) -> Self {
        Self {
            name: plan.name.clone(),
            host: plan.host.clone(),
            endpoint: Endpoint::of(&plan.address, &plan.transport),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// Exchanges in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

impl Lease {
    fn on(member: &Arc<Member>) -> Self {
        member.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(member.clone())
    }

    /// The member.
    #[must_use]
    pub fn member(&self) -> &Arc<Member> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
