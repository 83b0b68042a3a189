//! A thread's idle connections, the last one used first, so that the others can go cold and be closed.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::endpoint::Seat;
use super::{Connection, Endpoint, Preface, dial};
use crate::clock::{Duration, Instant, Ticker};
use crate::failure::Failure;

/// One thread's connections to all endpoints.
pub struct Connections {
    idle: RefCell<Vec<Vec<Kept>>>,
    ticker: Rc<Ticker>,
}

/// What a pool wants of the connections to its members.
#[derive(Debug, Clone, Copy)]
pub struct Keeping {
    /// How many may rest, on all threads together; none means that none is ever reused.
    pub most: usize,
    /// How long one may rest.
    pub idle_timeout: Duration,
}

struct Kept {
    connection: Connection,
    until: Instant,
    _seat: Seat,
}

impl Connections {
    /// A thread's connections: none yet.
    #[must_use]
    pub fn start(ticker: Rc<Ticker>) -> Rc<Self> {
        Rc::new(Self { idle: RefCell::default(), ticker })
    }

    /// A connection that was used before and is still good, if there is one. Cancellation safe but for the connection in
    /// hand, which is closed.
    pub async fn reuse(&self, endpoint: &Endpoint) -> Option<Connection> {
        while let Some(kept) = self.pop(endpoint) {
            if kept.until < self.ticker.recent() {
                continue;
            }
            let mut connection = kept.connection;
            if connection.is_usable().await {
                return Some(connection);
            }
        }
        None
    }

    /// A connection that nobody used before. Members that speak the PROXY protocol hear the `preface`; none means that no
    /// client asked for the connection. Cancellation safe.
    ///
    /// # Errors
    /// When there is none to be had within `timeout`.
    pub async fn dial(
        &self,
        endpoint: &Arc<Endpoint>,
        timeout: Duration,
        preface: Option<&Preface>,
    ) -> Result<Connection, Failure> {
        dial::dial(endpoint, timeout, preface, &self.ticker).await
    }

    /// Takes a connection back after a whole exchange; closes it when there are enough.
    pub fn keep(&self, connection: Connection, keeping: Keeping) {
        let Some(seat) = connection.endpoint().seat(keeping.most) else { return };
        let number = connection.endpoint().number;
        let mut idle = self.idle.borrow_mut();
        if idle.len() <= number {
            idle.resize_with(number + 1, Vec::new);
        }
        if let Some(list) = idle.get_mut(number) {
            list.push(Kept { connection, until: self.ticker.recent() + keeping.idle_timeout, _seat: seat });
        }
    }

    /// Closes what rested too long, was closed by the other side, or leads where nobody wants to go any more; to be called
    /// now and then.
    pub fn sweep(&self, is_wanted: impl Fn(&Endpoint) -> bool) {
        for list in &mut *self.idle.borrow_mut() {
            list.retain(|kept| {
                kept.until >= self.ticker.recent()
                    && !kept.connection.is_closed()
                    && is_wanted(kept.connection.endpoint())
            });
        }
    }

    fn pop(&self, endpoint: &Endpoint) -> Option<Kept> {
        self.idle.borrow_mut().get_mut(endpoint.number)?.pop()
    }
}
