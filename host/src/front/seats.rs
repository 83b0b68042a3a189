//! What all threads share of one listener: who has a seat, how many of them each client has, whose turn a handshake is.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// One listener, for all threads.
pub struct ListenerShared {
    /// Its name.
    pub name: Arc<str>,
    connections: AtomicUsize,
    clients: Mutex<HashMap<IpAddr, usize>>,
    handshakes: Turns,
}

/// One of a listener's connections, counted over all threads.
pub(super) struct Seat(Arc<ListenerShared>);

/// One of a client's connections to a listener.
pub(super) struct ClientSeat {
    listener: Arc<ListenerShared>,
    client: IpAddr,
}

/// So many at once; the number may change while some have their turn.
struct Turns {
    free: Semaphore,
    most: AtomicUsize,
}

impl ListenerShared {
    /// A listener that nobody has come to yet.
    #[must_use]
    pub fn of(name: Arc<str>) -> Arc<Self> {
        let handshakes = Turns { free: Semaphore::new(0), most: AtomicUsize::new(0) };
        Arc::new(Self { name, connections: AtomicUsize::new(0), clients: Mutex::default(), handshakes })
    }

    /// A turn for a handshake, of which there are `most` at once; first come, first served. Cancellation safe.
    pub(super) async fn handshake(&self, most: usize) -> Option<SemaphorePermit<'_>> {
        self.handshakes.adjust(most);
        // It is never closed.
        self.handshakes.free.acquire().await.ok()
    }

    /// Whether more handshakes are going on than half of what there may be.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        let most = self.handshakes.most.load(Ordering::Relaxed);
        most > 0 && self.handshakes.free.available_permits() < most.div_ceil(2)
    }
}

impl Seat {
    /// A seat, if one of so many is free.
    pub(super) fn take(listener: &Arc<ListenerShared>, seats: usize) -> Option<Self> {
        let seat = Self(listener.clone());
        let taken = listener.connections.fetch_add(1, Ordering::Relaxed);
        (taken < seats).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ClientSeat {
    /// A seat for a client that has fewer than so many.
    pub(super) fn take(listener: &Arc<ListenerShared>, client: IpAddr, most: usize) -> Option<Self> {
        let client = household(client);
        let mut clients = listener.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = clients.entry(client).or_insert(0);
        if *taken >= most {
            return None;
        }
        *taken += 1;
        drop(clients);
        Some(Self { listener: listener.clone(), client })
    }
}

impl Drop for ClientSeat {
    fn drop(&mut self) {
        let mut clients = self.listener.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = clients.get_mut(&self.client) {
            *taken -= 1;
            if *taken == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

impl Turns {
    /// Who has a turn keeps it, so fewer of them come about as turns end. Threads that do this at once may overshoot; the
    /// next one to come sets it right.
    fn adjust(&self, most: usize) {
        let before = self.most.load(Ordering::Relaxed);
        if most > before {
            if self.most.compare_exchange(before, most, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                self.free.add_permits(most - before);
            }
        } else if most < before {
            self.most.fetch_sub(self.free.forget_permits(before - most), Ordering::Relaxed);
        }
    }
}

/// Who counts as one client: an IPv4 address, or what one IPv6 customer has at least, a /64 (RFC 6177).
fn household(client: IpAddr) -> IpAddr {
    const SUBNET: u128 = !(u64::MAX as u128);
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & SUBNET).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_that_is_left_is_free_again() {
        let listener = ListenerShared::of("web".into());
        let first = Seat::take(&listener, 1);
        assert!(first.is_some() && Seat::take(&listener, 1).is_none());
        drop(first);
        assert!(Seat::take(&listener, 1).is_some());
    }

    #[test]
    fn each_client_has_its_own_seats() {
        let listener = ListenerShared::of("web".into());
        let take = |client: &str| ClientSeat::take(&listener, client.parse().unwrap(), 1);
        let one = take("192.0.2.1");
        assert!(one.is_some() && take("::ffff:192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some());
        let six = take("2001:db8::1");
        assert!(six.is_some() && take("2001:db8::2").is_none() && take("2001:db8:0:1::1").is_some());
        drop((one, six));
        assert!(take("192.0.2.1").is_some() && take("2001:db8::2").is_some());
        assert!(listener.clients.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn turns_follow_a_number_that_changes() {
        let listener = ListenerShared::of("web".into());
        let (first, second) = (listener.handshake(2).await, listener.handshake(2).await);
        assert_eq!(listener.handshakes.free.available_permits(), 0);
        assert!(listener.is_pressed());
        listener.handshakes.adjust(1);
        drop(first);
        listener.handshakes.adjust(1);
        assert_eq!(listener.handshakes.free.available_permits(), 0, "one has its turn still");
        drop(second);
        assert_eq!(listener.handshakes.free.available_permits(), 1);
        listener.handshakes.adjust(3);
        assert_eq!(listener.handshakes.free.available_permits(), 3);
        assert!(!listener.is_pressed());
    }
}
