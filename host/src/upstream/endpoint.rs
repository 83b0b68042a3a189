//! Addresses of members, each known by a small number for the life of the process, so that a connection kept before a
//! reload is found again after it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::config::{MemberAddress, Transport, UpstreamTls};
use crate::tls;

/// One upstream address, and how it is spoken to: connections to one endpoint are all alike.
#[derive(Debug)]
pub struct Endpoint {
    /// Where.
    pub address: MemberAddress,
    /// How.
    pub transport: Arc<Transport>,
    /// Its number: the index of its connections on every thread.
    pub(super) number: usize,
    /// Connections kept idle, on all threads together.
    idle: AtomicUsize,
    /// For all threads, so that they share what TLS remembers of sessions.
    tls: OnceLock<tls::Client>,
}

/// A place among the idle connections of an endpoint; given back by dropping.
#[derive(Debug)]
pub(super) struct Seat(Arc<Endpoint>);

impl Endpoint {
    /// The endpoint of an address; the same one for the same address and transport, always.
    #[must_use]
    pub fn of(address: &MemberAddress, transport: &Arc<Transport>) -> Arc<Self> {
        type Key = (MemberAddress, Arc<Transport>);
        static KNOWN: OnceLock<Mutex<HashMap<Key, Arc<Endpoint>>>> = OnceLock::new();
        let key = (address.clone(), transport.clone());
        let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = known.get(&key) {
            return endpoint.clone();
        }
        let (address, transport) = key.clone();
        let endpoint =
            Arc::new(Self { address, transport, number: known.len(), idle: AtomicUsize::new(0), tls: OnceLock::new() });
        known.insert(key, endpoint.clone());
        endpoint
    }

    /// TLS to it. Made when it is first asked for; what cannot be made is tried again next time.
    pub(super) fn secured(&self, plan: &UpstreamTls) -> Result<&tls::Client, tls::Error> {
        if let Some(client) = self.tls.get() {
            return Ok(client);
        }
        let client = tls::Client::of(plan, self.transport.protocol)?;
        Ok(self.tls.get_or_init(|| client))
    }

    /// Who answers there, as its certificate would say it.
    pub(super) fn host(&self) -> Cow<'_, str> {
        match &self.address {
            MemberAddress::Tcp(address) => address.ip().to_canonical().to_string().into(),
            MemberAddress::Name(name, _) | MemberAddress::Service(name) => name.into(),
            // What is asked for in `Host` as well.
            MemberAddress::Unix(_) | MemberAddress::Abstract(_) => "localhost".into(),
        }
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
            MemberAddress::Service(name) => f.write_str(name),
            MemberAddress::Unix(path) => write!(f, "unix:{}", path.display()),
            MemberAddress::Abstract(name) => write!(f, "unix:@{}", name.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Protocol;

    #[test]
    fn the_same_address_is_the_same_endpoint_and_seats_are_counted() {
        let address = MemberAddress::Name("seats.example".into(), 80);
        let plain = Transport { protocol: Protocol::Http1, tls: None, source: None, proxy_protocol: None };
        let modern = Arc::new(Transport { protocol: Protocol::Http2, ..plain.clone() });
        let endpoint = Endpoint::of(&address, &Arc::new(plain.clone()));
        assert!(Arc::ptr_eq(&endpoint, &Endpoint::of(&address, &Arc::new(plain))));
        assert!(!Arc::ptr_eq(&endpoint, &Endpoint::of(&address, &modern)));
        let first = endpoint.seat(1);
        assert!(first.is_some());
        assert!(endpoint.seat(1).is_none());
        drop(first);
        assert!(endpoint.seat(1).is_some());
    }
}
