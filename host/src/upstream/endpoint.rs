//! Addresses of members, each known by a small number as long as anybody holds it, so that a connection kept before a
//! reload is found again after it.
//!
//! A number is used again only when its endpoint is gone, and everything that is kept under a number holds its endpoint:
//! two endpoints never meet under one number.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::permit::Gate;
use crate::config::{MemberAddress, Protocol, Transport, UpstreamTls};
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
    /// Connections tell the member who the client is, so each is for one client's.
    pub(super) is_personal: bool,
    /// Its open connections, on all threads together.
    pub(super) gate: Gate,
    /// Connections kept idle, on all threads together.
    idle: AtomicUsize,
    /// For all threads, so that they share what TLS remembers of sessions.
    tls: OnceLock<tls::Client>,
    /// Exchanges that one of its connections carried at once, as last heard; 0 means that nobody knows yet.
    room: AtomicUsize,
    /// It was asked which HTTP it speaks, and it was not HTTP/2.
    is_simple: AtomicBool,
}

/// A place among the idle connections of an endpoint; given back by dropping.
#[derive(Debug)]
pub(super) struct Seat(Arc<Endpoint>);

type Key = (MemberAddress, Arc<Transport>);

#[derive(Default)]
struct Table {
    known: HashMap<Key, Weak<Endpoint>>,
    /// Numbers that were given back.
    free: Vec<usize>,
    /// Numbers there are.
    numbers: usize,
}

/// Streams that a member is taken to allow before it says so: the least that RFC 9113, section 6.5.2, recommends.
const USUAL_ROOM: usize = 100;

impl Endpoint {
    /// The endpoint of an address; the same one for the same address and transport, as long as anybody holds it.
    #[must_use]
    pub fn of(address: &MemberAddress, transport: &Arc<Transport>) -> Arc<Self> {
        let key = (address.clone(), transport.clone());
        let mut table = table();
        if let Some(endpoint) = table.known.get(&key).and_then(Weak::upgrade) {
            return endpoint;
        }
        let number = table.number();
        let endpoint = Arc::new(Self {
            address: address.clone(),
            transport: transport.clone(),
            number,
            is_personal: transport.proxy_protocol.is_some(),
            gate: Gate::default(),
            idle: AtomicUsize::new(0),
            room: AtomicUsize::new(0),
            tls: OnceLock::new(),
            is_simple: AtomicBool::new(matches!(transport.protocol, Protocol::Http1)),
        });
        table.known.insert(key, Arc::downgrade(&endpoint));
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

    /// Connections that are open, on all threads together, those kept idle included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.gate.open()
    }

    /// A seat, unless all are taken.
    pub(super) fn seat(self: &Arc<Self>, seats: usize) -> Option<Seat> {
        if self.idle.fetch_add(1, Ordering::Relaxed) < seats {
            return Some(Seat(self.clone()));
        }
        self.idle.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// How many exchanges a connection that is being dialled will probably carry at once.
    pub(super) fn likely_room(&self) -> usize {
        match (self.is_simple.load(Ordering::Relaxed), self.room.load(Ordering::Relaxed)) {
            (true, _) => 1,
            (false, 0) => USUAL_ROOM,
            (false, room) => room,
        }
    }

    /// Remembers how many exchanges a connection carries; `None` for HTTP/1.
    pub(super) fn learn_room(&self, room: Option<usize>) {
        self.is_simple.store(room.is_none(), Ordering::Relaxed);
        self.room.store(room.unwrap_or(1).max(1), Ordering::Relaxed);
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let mut table = table();
        let key = (self.address.clone(), self.transport.clone());
        // Somebody may have asked for the same address since the last holder let go.
        if table.known.get(&key).is_some_and(|known| std::ptr::eq(known.as_ptr(), self)) {
            table.known.remove(&key);
        }
        table.free.push(self.number);
    }
}

impl Table {
    fn number(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.numbers += 1;
            self.numbers - 1
        })
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

fn table() -> MutexGuard<'static, Table> {
    static TABLE: std::sync::LazyLock<Mutex<Table>> = std::sync::LazyLock::new(Mutex::default);
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UpstreamHttp2;

    fn plain() -> Transport {
        Transport { protocol: Protocol::Http1, tls: None, source: None, proxy_protocol: None, h2: UpstreamHttp2::USUAL }
    }

    #[test]
    fn the_same_address_is_the_same_endpoint_and_seats_are_counted() {
        let address = MemberAddress::Name("seats.example".into(), 80);
        let modern = Arc::new(Transport { protocol: Protocol::Http2, ..plain() });
        let endpoint = Endpoint::of(&address, &Arc::new(plain()));
        assert!(Arc::ptr_eq(&endpoint, &Endpoint::of(&address, &Arc::new(plain()))));
        assert!(!Arc::ptr_eq(&endpoint, &Endpoint::of(&address, &modern)));
        let first = endpoint.seat(1);
        assert!(first.is_some());
        assert!(endpoint.seat(1).is_none());
        drop(first);
        assert!(endpoint.seat(1).is_some());
    }

    #[test]
    fn a_number_is_used_again_only_when_its_endpoint_is_gone() {
        let transport = Arc::new(plain());
        let mut numbers = Vec::new();
        for round in 0..200 {
            let address = MemberAddress::Name(format!("{round}.come-and-go.example"), 80);
            let endpoint = Endpoint::of(&address, &transport);
            let held = endpoint.clone();
            drop(endpoint);
            assert!(Arc::ptr_eq(&held, &Endpoint::of(&address, &transport)));
            let other = Endpoint::of(&MemberAddress::Name("other.come-and-go.example".into(), 80), &transport);
            assert_ne!(held.number, other.number);
            numbers.push(held.number);
        }
        let most = numbers.iter().max().copied();
        assert!(most < Some(100), "{most:?}: numbers of the dead are not used again");
    }
}
