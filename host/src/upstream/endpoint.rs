//! Addresses of members, each known by a small number for the life of the process, so that a connection kept before a
//! reload is found again after it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::config::MemberAddress;

/// One upstream address.
#[derive(Debug)]
pub struct Endpoint {
    /// Where.
    pub address: MemberAddress,
    /// Its number: the index of its connections on every thread.
    pub(super) number: usize,
    /// Connections kept idle, on all threads together.
    idle: AtomicUsize,
}

/// A place among the idle connections of an endpoint; given back by dropping.
#[derive(Debug)]
pub(super) struct Seat(Arc<Endpoint>);

impl Endpoint {
    /// The endpoint of an address; the same one for the same address, always.
    #[must_use]
    pub fn of(address: &MemberAddress) -> Arc<Self> {
        static KNOWN: OnceLock<Mutex<HashMap<MemberAddress, Arc<Endpoint>>>> = OnceLock::new();
        let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = known.get(address) {
            return endpoint.clone();
        }
        let endpoint = Arc::new(Self { address: address.clone(), number: known.len(), idle: AtomicUsize::new(0) });
        known.insert(address.clone(), endpoint.clone());
        endpoint
    }

    /// A seat, unless all are taken.
    pub(super) fn seat(self: &Arc<Self>, seats: usize) -> Option<Seat> {
        if self.idle.fetch_add(1, Ordering::Relaxed) < seats {
            return Some(Seat(self.clone()));
        }
        self.idle.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.idle.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            MemberAddress::Tcp(address) => address.fmt(f),
            MemberAddress::Name(name, port) => write!(f, "{name}:{port}"),
            MemberAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_address_is_the_same_endpoint_and_seats_are_counted() {
        let address = MemberAddress::Name("seats.example".into(), 80);
        let endpoint = Endpoint::of(&address);
        assert!(Arc::ptr_eq(&endpoint, &Endpoint::of(&address)));
        let first = endpoint.seat(1);
        assert!(first.is_some());
        assert!(endpoint.seat(1).is_none());
        drop(first);
        assert!(endpoint.seat(1).is_some());
    }
}
