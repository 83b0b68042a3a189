//! The threads that serve: each has its own runtime, its own front and its own sockets, and takes orders by a channel.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, watch};

use crate::front::{self, Datagrams, Holder, ListenerShared, Socket, Worker};
use crate::generation::Current;
use crate::log::AccessLog;

/// How often a draining worker looks whether it is done. Only the end of the process waits for it.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How many tasks run between two looks at the sockets (tokio's default is 61): low, so that a filter that yields its
/// thread does not keep its neighbours' bytes waiting.
const EVENT_INTERVAL: u32 = 32;

/// What a worker is told.
pub(super) enum Order {
    /// Accept from a socket until `stop` says so.
    Serve { listener: Arc<ListenerShared>, socket: Socket, stop: watch::Receiver<bool> },
    /// Serve HTTP/3 from a socket as long as it has a holder.
    ServeDatagrams { datagrams: Datagrams, holder: Holder },
    /// Finish what there is and end.
    Drain,
    /// End now, whatever is open.
    Quit,
}

/// All worker threads.
pub(super) struct Workers {
    orders: Vec<mpsc::UnboundedSender<Order>>,
    ended: mpsc::UnboundedReceiver<usize>,
    at_work: usize,
}

/// Says that its thread ended, however it ended.
struct Farewell {
    number: usize,
    to: mpsc::UnboundedSender<usize>,
}

impl Workers {
    /// Starts the threads; they serve nothing yet.
    pub(super) fn start(threads: usize, current: &Arc<Current>, access: &AccessLog) -> io::Result<Self> {
        let (farewells, ended) = mpsc::unbounded_channel();
        let mut workers = Self { orders: Vec::new(), ended, at_work: threads };
        for number in 0..threads {
            let (orders, taken) = mpsc::unbounded_channel();
            let farewell = Farewell { number, to: farewells.clone() };
            let (current, access) = (current.clone(), access.clone());
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                let _farewell = farewell;
                work(current, &access, taken);
            })?;
            workers.orders.push(orders);
        }
        Ok(workers)
    }

    pub(super) fn count(&self) -> usize {
        self.orders.len()
    }

    /// Gives each thread its socket.
    pub(super) fn serve(&self, listener: &Arc<ListenerShared>, sockets: Vec<Socket>, stop: &watch::Sender<bool>) {
        for (orders, socket) in self.orders.iter().zip(sockets) {
            let _ = orders.send(Order::Serve { listener: listener.clone(), socket, stop: stop.subscribe() });
        }
    }

    /// Gives each thread its socket for HTTP/3.
    pub(super) fn serve_datagrams(&self, datagrams: Vec<Datagrams>, holder: &Holder) {
        for (orders, datagrams) in self.orders.iter().zip(datagrams) {
            let _ = orders.send(Order::ServeDatagrams { datagrams, holder: holder.clone() });
        }
    }

    /// Tells every thread to finish.
    pub(super) fn drain(&self) {
        self.orders.iter().for_each(|orders| drop(orders.send(Order::Drain)));
    }

    /// Tells every thread to end at once.
    pub(super) fn quit(&self) {
        self.orders.iter().for_each(|orders| drop(orders.send(Order::Quit)));
    }

    /// The number of the next thread that ends; `None` when all have. Cancellation safe.
    pub(super) async fn next_end(&mut self) -> Option<usize> {
        if self.at_work == 0 {
            return None;
        }
        let number = self.ended.recv().await?;
        self.at_work -= 1;
        Some(number)
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let _ = self.to.send(self.number);
    }
}

fn work(current: Arc<Current>, access: &AccessLog, orders: mpsc::UnboundedReceiver<Order>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    match builder.enable_all().event_interval(EVENT_INTERVAL).build_local(LocalOptions::default()) {
        Ok(runtime) => runtime.block_on(obey(current, access, orders)),
        Err(error) => tracing::error!(%error, "a worker thread has no runtime"),
    }
}

async fn obey(current: Arc<Current>, access: &AccessLog, mut orders: mpsc::UnboundedReceiver<Order>) {
    let worker = Worker::start(current, access);
    let serving = Rc::new(Cell::new(0_usize));
    loop {
        match orders.recv().await {
            Some(Order::Serve { listener, socket, stop }) => {
                count(&serving, worker.clone().serve(listener, socket, stop));
            }
            Some(Order::ServeDatagrams { datagrams, holder }) => {
                count(&serving, front::serve_datagrams(worker.clone(), datagrams, holder));
            }
            Some(Order::Drain) => break,
            Some(Order::Quit) | None => return,
        }
    }
    tokio::select! {
        () = finish(&worker, &serving) => {}
        _ = orders.recv() => {}
    }
}

/// Runs on this thread, and is counted as long as it runs.
fn count(serving: &Rc<Cell<usize>>, task: impl Future<Output = ()> + 'static) {
    serving.set(serving.get() + 1);
    let serving = serving.clone();
    tokio::task::spawn_local(async move {
        task.await;
        serving.set(serving.get() - 1);
    });
}

/// First every connection that the kernel had queued is accepted, then all of them are brought to their end.
async fn finish(worker: &Rc<Worker>, serving: &Cell<usize>) {
    while serving.get() > 0 {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    worker.drain();
    while worker.in_flight() > 0 {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
