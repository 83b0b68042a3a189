//! How many connections to an endpoint are open, over all threads, and who waits until one fewer is.
//!
//! Counted is what has a socket: a permit is given back after its stream is closed. Whoever waits is served in the order of
//! coming; the bells of all threads are rung for it, so that none rests on a connection that another thread needs.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::sync::Notify;

use super::{Endpoint, names};
use crate::config::MemberAddress;

/// Rung for a thread when connections are wanted elsewhere; for a waiting exchange, when it should look again.
pub(super) type Bell = Arc<Notify>;

/// The open connections of an endpoint.
#[derive(Debug, Default)]
pub(super) struct Gate {
    crowd: Mutex<Crowd>,
    /// How many wait: what is looked at without the lock.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct Crowd {
    open: usize,
    /// Of those open, how many are about to close because somebody waits.
    closing: usize,
    queue: VecDeque<Arc<Ticket>>,
}

#[derive(Debug)]
struct Ticket {
    most: usize,
    shelf: Bell,
    called: Notify,
    is_granted: AtomicBool,
}

/// The right to have one open connection.
#[derive(Debug)]
pub(super) struct Permit {
    endpoint: Arc<Endpoint>,
    is_promised: AtomicBool,
    is_released: AtomicBool,
}

/// Where a connection's permit is held while its stream is open, and which of a name's addresses it leads to.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    permit: Arc<OnceLock<Permit>>,
    peer: Arc<OnceLock<Peer>>,
}

/// Where a connection leads.
#[derive(Debug)]
struct Peer {
    address: IpAddr,
    /// The change of names after which it was last looked whether the name still has the address.
    looked_at: AtomicU64,
}

/// A turn in an endpoint's queue; left by dropping.
pub(super) struct Turn {
    endpoint: Arc<Endpoint>,
    ticket: Arc<Ticket>,
}

/// What to do with a connection that nobody uses at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nobody waits for it.
    Keep,
    /// Somebody waits elsewhere: it must be closed.
    Close,
    /// Somebody of the same shelf was told to take it from there.
    Leave,
}

impl Gate {
    /// Whether somebody waits.
    pub(super) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether a connection at rest is wanted. `Close` counts it as closing.
    pub(super) fn wish(&self, shelf: &Bell, place: &Place) -> Wish {
        if !self.is_waited_for() {
            return Wish::Keep;
        }
        let mut crowd = self.lock();
        match crowd.queue.get(crowd.closing) {
            None => Wish::Keep,
            Some(next) if Arc::ptr_eq(&next.shelf, shelf) => {
                next.called.notify_one();
                Wish::Leave
            }
            Some(_) => {
                crowd.promise(place);
                Wish::Close
            }
        }
    }

    /// Tells whoever of a shelf waits longest to look there again.
    pub(super) fn call(&self, shelf: &Bell) {
        if self.is_waited_for()
            && let Some(ticket) = self.lock().queue.iter().find(|ticket| Arc::ptr_eq(&ticket.shelf, shelf))
        {
            ticket.called.notify_one();
        }
    }

    /// Connections that are open.
    pub(super) fn open(&self) -> usize {
        self.lock().open
    }

    fn lock(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the crowd and serves who can be served then; whether somebody still waits.
    fn change(&self, change: impl FnOnce(&mut Crowd)) -> bool {
        let mut crowd = self.lock();
        change(&mut crowd);
        while let Some(first) = crowd.queue.front()
            && crowd.open < first.most
        {
            first.is_granted.store(true, Ordering::Release);
            first.called.notify_one();
            crowd.open += 1;
            crowd.queue.pop_front();
        }
        self.waiting.store(crowd.queue.len(), Ordering::Relaxed);
        !crowd.queue.is_empty()
    }
}

impl Crowd {
    fn promise(&mut self, place: &Place) {
        if let Some(permit) = place.permit.get()
            && !permit.is_released.load(Ordering::Relaxed)
            && !permit.is_promised.swap(true, Ordering::Relaxed)
        {
            self.closing += 1;
        }
    }
}

impl Permit {
    /// A permit, or a turn in the queue when all `most` are taken or others wait already. No limit is always a permit.
    pub(super) fn take(endpoint: &Arc<Endpoint>, most: Option<usize>, shelf: &Bell) -> Result<Self, Turn> {
        let mut turn = None;
        endpoint.gate.change(|crowd| match most {
            Some(most) if crowd.open >= most || !crowd.queue.is_empty() => {
                let (shelf, called) = (shelf.clone(), Notify::new());
                let ticket = Arc::new(Ticket { most, shelf, called, is_granted: AtomicBool::new(false) });
                crowd.queue.push_back(ticket.clone());
                turn = Some(ticket);
            }
            _ => crowd.open += 1,
        });
        match turn {
            None => Ok(Self::of(endpoint)),
            Some(ticket) => {
                ring();
                Err(Turn { endpoint: endpoint.clone(), ticket })
            }
        }
    }

    fn of(endpoint: &Arc<Endpoint>) -> Self {
        let (is_promised, is_released) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { endpoint: endpoint.clone(), is_promised, is_released }
    }

    fn release(&self) {
        if self.is_released.swap(true, Ordering::Relaxed) {
            return;
        }
        self.endpoint.gate.change(|crowd| {
            crowd.open -= 1;
            if self.is_promised.load(Ordering::Relaxed) {
                crowd.closing -= 1;
            }
        });
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.release();
    }
}

impl Place {
    /// Puts the permit here.
    pub(super) fn fill(&self, permit: Permit) {
        // It is filled once, after the connection stands; a second permit would be given back at once.
        let _ = self.permit.set(permit);
    }

    /// Gives the permit back, before the connection ends or when it does.
    pub(super) fn release(&self) {
        if let Some(permit) = self.permit.get() {
            permit.release();
        }
    }

    /// Says which address was reached.
    pub(super) fn leads_to(&self, address: IpAddr) {
        let _ = self.peer.set(Peer { address: address.to_canonical(), looked_at: AtomicU64::new(0) });
    }

    /// Whether the endpoint is still where this leads: a name may have other addresses by now.
    pub(super) fn is_current(&self, endpoint: &Endpoint) -> bool {
        let (MemberAddress::Name(name, _), Some(peer)) = (&endpoint.address, self.peer.get()) else { return true };
        let changes = names::changes();
        if peer.looked_at.load(Ordering::Relaxed) == changes {
            return true;
        }
        let is_current = names::may_have(name, peer.address);
        if is_current {
            peer.looked_at.store(changes, Ordering::Relaxed);
        }
        is_current
    }
}

impl Turn {
    /// Until there is a reason to look: a permit, or a connection on the shelf. Cancellation safe.
    pub(super) async fn called(&self) {
        self.ticket.called.notified().await;
    }

    /// The permit, when it was granted.
    pub(super) fn permit(&self) -> Option<Permit> {
        self.ticket.is_granted.swap(false, Ordering::Acquire).then(|| Permit::of(&self.endpoint))
    }
}

/// What was granted and not fetched goes back, and what was meant for this turn is for the next.
impl Drop for Turn {
    fn drop(&mut self) {
        let granted = self.permit();
        let ticket = &self.ticket;
        let others_wait = self.endpoint.gate.change(|crowd| {
            // Granted between the look above and the lock.
            if ticket.is_granted.swap(false, Ordering::Acquire) {
                crowd.open -= 1;
            }
            crowd.queue.retain(|other| !Arc::ptr_eq(other, ticket));
        });
        drop(granted);
        if others_wait {
            ring();
        }
    }
}

static BELLS: Mutex<Vec<Weak<Notify>>> = Mutex::new(Vec::new());

/// A bell that rings with all others, until it is dropped.
pub(super) fn bell() -> Bell {
    let bell = Bell::default();
    let mut bells = BELLS.lock().unwrap_or_else(PoisonError::into_inner);
    bells.retain(|bell| bell.strong_count() > 0);
    bells.push(Arc::downgrade(&bell));
    bell
}

/// Rings all bells; a thread that is busy hears it later.
fn ring() {
    let bells = BELLS.lock().unwrap_or_else(PoisonError::into_inner);
    bells.iter().filter_map(Weak::upgrade).for_each(|bell| bell.notify_one());
}
