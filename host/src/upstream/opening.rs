//! Connections of a thread that are being dialled and that many exchanges will share: whoever comes meanwhile waits for
//! one of them, as far as they will probably have room, instead of dialling one more.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::sync::Notify;

use super::Endpoint;

/// A thread's dials under way, by the number of their endpoint.
#[derive(Default)]
pub(super) struct Openings(RefCell<Vec<State>>);

#[derive(Default, Clone)]
struct State {
    dials: usize,
    waiting: usize,
    over: Rc<Notify>,
}

/// A dial under way, until its connection's room is known or it failed. Dropping it wakes who waits.
pub(super) struct Opening {
    openings: Rc<Openings>,
    number: usize,
}

struct Waiting<'a> {
    openings: &'a Openings,
    number: usize,
}

impl Openings {
    /// Waits for a dial that probably has room; `false` at once when there is none. Cancellation safe.
    pub(super) async fn wait(&self, endpoint: &Endpoint) -> bool {
        let room = endpoint.likely_room();
        let Some(state) = self.0.borrow().get(endpoint.number).cloned() else { return false };
        // Each dial has an exchange of its own already.
        if state.waiting >= state.dials * (room - 1) {
            return false;
        }
        let over = state.over.notified();
        let waiting = Waiting { openings: self, number: endpoint.number };
        self.change(endpoint.number, |state| state.waiting += 1);
        over.await;
        drop(waiting);
        true
    }

    /// Begins a dial.
    pub(super) fn begin(self: &Rc<Self>, endpoint: &Endpoint) -> Opening {
        let number = endpoint.number;
        {
            let mut states = self.0.borrow_mut();
            if states.len() <= number {
                states.resize_with(number + 1, State::default);
            }
        }
        self.change(number, |state| state.dials += 1);
        Opening { openings: self.clone(), number }
    }

    fn change(&self, number: usize, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.0.borrow_mut().get_mut(number) {
            change(state);
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.openings.change(self.number, |state| {
            state.dials -= 1;
            state.over.notify_waiters();
        });
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.openings.change(self.number, |state| state.waiting -= 1);
    }
}
