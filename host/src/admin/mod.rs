//! The operator's API: HTTP/1.1 over a Unix socket, to look at the gateway and to tell it what to do.
//!
//! It lives on the control thread, so nothing here waits for anything but other tasks, and what takes long is done elsewhere.
//! Who may come is said by the socket's permissions; how that is opened and closed is not its business. Every size, count
//! and wait is bounded. `pages.rs` is the list of what there is: another page is a line there and what answers it.

mod caches;
pub mod client;
mod door;
mod metrics;
mod pages;
mod question;
mod reply;
mod survey;

use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::generation::Current;

/// What pages are made from.
struct Desk {
    current: Arc<Current>,
}

/// Serves the operator until told to stop, or until nobody can tell any more; who came before is answered. To be run inside a
/// `LocalRuntime`.
pub async fn serve(current: Arc<Current>, socket: UnixListener, stop: oneshot::Receiver<()>) {
    door::serve(Rc::new(Desk { current }), socket, stop).await;
}
