//! A thread's connections at rest, the last one used first, so that the others can go cold and be closed.
//!
//! A connection that carries many exchanges stands here while it has room; others only while they rest.

use std::cell::RefCell;
use std::mem;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::connection::Alone;
use super::endpoint::Seat;
use super::opening::Openings;
use super::permit::{self, Bell, Permit, Place, Wish};
use super::shared::{Home, Shared};
use super::stream::Stream;
use super::{Connection, Endpoint, Preface, dial};
use crate::clock::{self, Duration, Instant, Ticker};
use crate::failure::{Failure, Kind};

/// The connections of a thread to all endpoints, or of one client connection to those it has for itself.
pub struct Connections {
    /// By the number of the endpoint.
    shelves: RefCell<Vec<Shelf>>,
    openings: Rc<Openings>,
    home: Home,
}

/// What a pool wants of the connections to its members.
#[derive(Debug, Clone, Copy)]
pub struct Keeping {
    /// How many may rest, on all threads together; none means that none is ever reused.
    pub most: usize,
    /// How long one may rest.
    pub idle_timeout: Duration,
}

#[derive(Default)]
struct Shelf {
    idle: Vec<Kept>,
    shared: Vec<Rc<Shared>>,
}

struct Kept {
    alone: Alone,
    until: Instant,
    _seat: Option<Seat>,
}

impl Connections {
    /// A thread's connections: none yet. To be called inside the thread's runtime, where a task listens for other threads
    /// that need what rests here.
    #[must_use]
    pub fn start(ticker: Rc<Ticker>) -> Rc<Self> {
        let bell = permit::bell();
        let connections = Self::at(Home { bell: bell.clone(), is_private: false, ticker });
        tokio::task::spawn_local(listen(bell, Rc::downgrade(&connections)));
        connections
    }

    /// The connections of one client connection: nobody else is given one of them, they take no seats among the idle ones
    /// of an endpoint and are not closed for others that wait, because the member may know the client by its connection.
    /// They count as open like all others, and are closed when this is dropped, as far as no exchange uses them; before
    /// that, one that rested too long is closed when it is asked for or swept.
    #[must_use]
    pub fn private(ticker: Rc<Ticker>) -> Rc<Self> {
        Self::at(Home { bell: Bell::default(), is_private: true, ticker })
    }

    fn at(home: Home) -> Rc<Self> {
        Rc::new(Self { shelves: RefCell::default(), openings: Rc::default(), home })
    }

    /// A connection that was used before and is still good, if there is one. Cancellation safe but for the connection in
    /// hand, which is closed.
    pub async fn reuse(&self, endpoint: &Endpoint) -> Option<Connection> {
        if let Some(connection) = self.share(endpoint) {
            return Some(connection);
        }
        while let Some(kept) = self.pop(endpoint) {
            if kept.until < self.home.ticker.recent() || !self.leads_on(endpoint, kept.alone.place()) {
                continue;
            }
            let mut alone = kept.alone;
            if alone.is_usable().await {
                return Some(Connection::alone(alone).used());
            }
        }
        None
    }

    /// A connection that nobody used before; or, and it says so, one that others dialled meanwhile, or gave back while this waited
    /// for one of the `most` that may be open at once, over all threads. Members that speak the PROXY protocol hear the `preface`;
    /// none means that no client asked for the connection. Cancellation safe.
    ///
    /// # Errors
    /// When there is none to be had within `timeout`: `PoolFull` when that is because of `most`.
    pub async fn dial(
        &self,
        endpoint: &Arc<Endpoint>,
        timeout: Duration,
        preface: Option<&Preface>,
        most: Option<usize>,
    ) -> Result<Connection, Failure> {
        let until = clock::now().checked_add(timeout);
        if self.may_serve_others(endpoint)
            && endpoint.likely_room() > 1
            && let Ok(true) = tokio::time::timeout(timeout, self.openings.wait(endpoint)).await
            && let Some(connection) = self.share(endpoint)
        {
            return Ok(connection);
        }
        let opening = self.openings.begin(endpoint);
        let permit = match Permit::take(endpoint, most, &self.home.bell) {
            Ok(permit) => permit,
            Err(turn) => match tokio::time::timeout(left(until, timeout), self.await_turn(endpoint, turn)).await {
                Ok(Ok(permit)) => permit,
                Ok(Err(connection)) => return Ok(connection),
                Err(_) => return Err(full(endpoint, most, timeout)),
            },
        };
        let connection = dial::dial(endpoint, left(until, timeout), preface, &self.home.ticker).await?;
        connection.place().fill(permit);
        match connection.line() {
            Some(shared) if self.may_serve_others(endpoint) => {
                shared.settle_in(self.home.clone(), opening);
                self.shelf(endpoint.number, |shelf| shelf.shared.push(shared.clone()));
            }
            Some(_) => {}
            None => endpoint.learn_room(None),
        }
        Ok(connection)
    }

    /// Takes a connection back after a whole exchange; closes it when there are enough, or when another thread needs its
    /// place.
    pub fn keep(&self, connection: Connection, keeping: Keeping) {
        let alone = match connection.apart() {
            Ok(alone) => alone,
            Err(stream) => return stream.keep(keeping),
        };
        let endpoint = alone.endpoint();
        if !self.may_serve_others(endpoint) || endpoint.gate.wish(&self.home.bell, alone.place()) == Wish::Close {
            return;
        }
        let seat = if self.home.is_private { None } else { endpoint.seat(keeping.most) };
        if seat.is_none() && !self.home.is_private {
            return;
        }
        let until = self.home.ticker.recent() + keeping.idle_timeout;
        let number = endpoint.number;
        self.shelf(number, |shelf| shelf.idle.push(Kept { alone, until, _seat: seat }));
    }

    /// Closes what rested too long, was closed by the other side, or leads where nobody wants to go any more; to be called
    /// now and then.
    pub fn sweep(&self, is_wanted: impl Fn(&Endpoint) -> bool) {
        let recent = self.home.ticker.recent();
        let mut closed = Vec::new();
        for shelf in &mut *self.shelves.borrow_mut() {
            let cold = shelf.idle.extract_if(.., |kept| {
                let (alone, endpoint) = (&kept.alone, kept.alone.endpoint());
                let leads_on = is_wanted(endpoint) && self.leads_on(endpoint, alone.place());
                kept.until < recent || alone.is_closed() || !leads_on
            });
            closed.extend(cold.map(|kept| kept.alone));
            shelf.shared.retain(|shared| {
                let is_good = shared.is_usable() && !shared.is_cold(recent) && is_wanted(shared.endpoint());
                if !is_good {
                    shared.retire();
                }
                is_good
            });
        }
        // Out of the borrow: closing wakes others.
        drop(closed);
    }

    /// Whether a connection may serve more exchanges than the one it was dialled for: one that names a client must not serve
    /// another client's.
    const fn may_serve_others(&self, endpoint: &Endpoint) -> bool {
        self.home.is_private || !endpoint.is_personal
    }

    /// Whether a connection still leads where its endpoint is. What a client has for itself is kept even when a name has
    /// moved, because the member may know the client by it.
    fn leads_on(&self, endpoint: &Endpoint, place: &Place) -> bool {
        self.home.is_private || place.is_current(endpoint)
    }

    /// A place on a connection that has room for one more exchange, the oldest first, so that the others can go cold.
    fn share(&self, endpoint: &Endpoint) -> Option<Connection> {
        let mut shelves = self.shelves.borrow_mut();
        let shelf = shelves.get_mut(endpoint.number)?;
        if shelf.shared.is_empty() {
            return None;
        }
        let recent = self.home.ticker.recent();
        shelf.shared.retain(|shared| {
            let is_good = shared.is_usable() && !shared.is_cold(recent) && self.leads_on(endpoint, shared.place());
            if !is_good {
                shared.retire();
            }
            is_good
        });
        let shared = shelf.shared.iter().find(|shared| shared.has_room())?.clone();
        Some(Connection::shared(Stream::on(shared, &self.home.ticker)).used())
    }

    /// Waits for a permit, or for a connection on this shelf.
    async fn await_turn(&self, endpoint: &Arc<Endpoint>, turn: permit::Turn) -> Result<Permit, Connection> {
        loop {
            turn.called().await;
            if let Some(permit) = turn.permit() {
                return Ok(permit);
            }
            if let Some(connection) = self.reuse(endpoint).await {
                drop(turn);
                // There may be room for the next one too.
                endpoint.gate.call(&self.home.bell);
                return Err(connection);
            }
        }
    }

    /// Closes idle connections that are waited for elsewhere, the coldest first, one for each exchange that waits.
    fn make_room(&self) {
        let gives_way = |endpoint: &Endpoint, place: &Place| endpoint.gate.wish(&self.home.bell, place) == Wish::Close;
        let mut closed = Vec::new();
        for shelf in &mut *self.shelves.borrow_mut() {
            while let Some(coldest) = shelf.idle.first()
                && gives_way(coldest.alone.endpoint(), coldest.alone.place())
            {
                closed.push(shelf.idle.remove(0));
            }
            shelf.shared.retain(|shared| {
                let is_over = shared.is_idle() && gives_way(shared.endpoint(), shared.place());
                if is_over {
                    shared.retire();
                }
                !is_over
            });
        }
        drop(closed);
    }

    fn pop(&self, endpoint: &Endpoint) -> Option<Kept> {
        self.shelves.borrow_mut().get_mut(endpoint.number)?.idle.pop()
    }

    fn shelf(&self, number: usize, change: impl FnOnce(&mut Shelf)) {
        let mut shelves = self.shelves.borrow_mut();
        if shelves.len() <= number {
            shelves.resize_with(number + 1, Shelf::default);
        }
        if let Some(shelf) = shelves.get_mut(number) {
            change(shelf);
        }
    }
}

/// What is shared ends with its last exchange; the task that listens is woken to end.
impl Drop for Connections {
    fn drop(&mut self) {
        let shelves = mem::take(&mut *self.shelves.borrow_mut());
        shelves.iter().flat_map(|shelf| &shelf.shared).for_each(|shared| shared.retire());
        self.home.bell.notify_one();
    }
}

/// Makes room for other threads whenever the bell rings.
async fn listen(bell: Bell, connections: Weak<Connections>) {
    loop {
        bell.notified().await;
        let Some(connections) = connections.upgrade() else { return };
        connections.make_room();
    }
}

fn left(until: Option<Instant>, timeout: Duration) -> Duration {
    until.map_or(timeout, |until| until.saturating_duration_since(clock::now()))
}

fn full(endpoint: &Endpoint, most: Option<usize>, timeout: Duration) -> Failure {
    let most = most.unwrap_or_default();
    Failure::of(Kind::PoolFull, format!("{endpoint}: none of its {most} connections became free within {timeout:?}"))
}
