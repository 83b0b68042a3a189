//! Tells a thread's connections that there will be no further exchange.

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::Notify;

/// One thread's order to drain. Given once, it holds for ever.
#[derive(Default)]
pub(super) struct Drain {
    told: Cell<bool>,
    bell: Arc<Notify>,
}

impl Drain {
    pub(super) fn tell(&self) {
        self.told.set(true);
        self.bell.notify_waiters();
    }

    /// Whether the order was given.
    pub(super) fn is_told(&self) -> bool {
        self.told.get()
    }

    /// Ends when the order is given, also when that is before it is first polled.
    pub(super) fn heard(&self) -> impl Future<Output = ()> + use<> {
        let (told, rung) = (self.told.get(), self.bell.clone().notified_owned());
        async move {
            if !told {
                rung.await;
            }
        }
    }
}
