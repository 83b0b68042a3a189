//! Tells a thread's connections that there will be no further exchange.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use tokio::sync::Notify;

/// One thread's order to drain. Given once, it holds for ever.
#[derive(Default)]
pub(super) struct Drain {
    told: Cell<bool>,
    bell: RefCell<Rc<Notify>>,
}

impl Drain {
    pub(super) fn tell(&self) {
        self.told.set(true);
        self.bell.borrow().notify_waiters();
    }

    pub(super) const fn is_told(&self) -> bool {
        self.told.get()
    }

    /// Ends when the order is given.
    pub(super) fn heard(&self) -> Pin<Box<dyn Future<Output = ()>>> {
        let bell = self.bell.borrow().clone();
        let told = self.told.get();
        Box::pin(async move {
            if !told {
                bell.notified().await;
            }
        })
    }
}
