//! Names of members: their addresses, and who serves a service (RFC 2782), kept fresh by the control thread.
//!
//! Worker threads read a table and never wait for a name server when anything is known, be it old: an answer stays until
//! a better one comes. What name servers say is bounded and checked; what is done with addresses is decided elsewhere.

mod client;
mod memory;
mod table;
#[cfg(test)]
mod tests;
mod watch;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::{mpsc, watch as signal};
use tokio::task::AbortHandle;

use self::client::{Client, Source};
use self::memory::{Memory, soon};
use self::table::Table;
use self::watch::Watches;
use crate::clock::{self, Duration};

pub use self::watch::{Found, Tell, Watch, Watched};

/// Addresses of one name, and members of one service, that are looked at; a name server may say more.
const MOST_ADDRESSES: usize = 256;

/// How often the system's files (`/etc/resolv.conf`, `/etc/hosts`) are looked at for changes.
const LOOK: Duration = Duration::from_secs(5);

/// Resolves names on the control thread, in local tasks of its own that end with it.
#[derive(Debug)]
pub struct Resolver {
    table: Arc<Table>,
    clients: signal::Sender<Arc<Client>>,
    watches: Watches,
    tasks: [AbortHandle; 2],
}

/// The addresses of a name: at once when any are known, else what the control thread finds. The caller bounds the time.
/// Cancellation safe.
///
/// # Errors
/// When the name has no address as far as is known; that is asked again later, not by this call.
pub async fn addresses(name: &str) -> io::Result<Arc<[IpAddr]>> {
    Table::shared().addresses(name).await
}

/// Counts the answers that changed what was known of a name; never 0.
pub(super) fn changes() -> u64 {
    table::changes()
}

/// Whether an address is one of a name's, as far as is known: a name that nobody keeps may have any.
pub(super) fn may_have(name: &str, address: IpAddr) -> bool {
    Table::shared().may_have(name, address)
}

impl Resolver {
    /// Starts to serve the process. No servers means those of `/etc/resolv.conf`; `/etc/hosts` goes before either.
    /// Must be called on a local runtime.
    #[must_use]
    pub fn start(servers: &[SocketAddr]) -> Self {
        Self::on(Table::shared(), Source::of(servers))
    }

    fn on(table: Arc<Table>, source: Source) -> Self {
        let (clients, client) = signal::channel(Arc::new(Client::of(source)));
        let serving = tokio::task::spawn_local(serve(table.clone(), table.attach(), client.clone()));
        let looking = tokio::task::spawn_local(look(clients.clone()));
        let tasks = [serving.abort_handle(), looking.abort_handle()];
        Self { table, clients, watches: Watches::asking(client), tasks }
    }

    /// Asks other servers from now on. What is known stays until they answer.
    pub fn reconfigure(&self, servers: &[SocketAddr]) {
        let source = Source::of(servers);
        if *self.clients.borrow().source() != source {
            let _ = self.clients.send(Arc::new(Client::of(source)));
        }
    }

    /// Names of members, with how long each may be believed at most: they are resolved ahead of the first need and kept
    /// as long as they are in this list. It replaces the list before it.
    pub fn hold(&self, names: &[(String, Duration)]) {
        for name in self.table.hold(names) {
            tokio::task::spawn_local(keep(name, self.table.clone(), self.clients.subscribe()));
        }
    }

    /// What is watched from now on. Whoever watched the same before goes on with what is known, and whoever begins to
    /// watch it is told that at once; what is in this list no more is watched no longer.
    pub fn attend(&self, watches: Vec<Watch>) {
        self.watches.attend(watches);
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.table.detach();
    }
}

/// Begins to keep each name that a worker asks for first.
async fn serve(
    table: Arc<Table>,
    mut asked: mpsc::UnboundedReceiver<Box<str>>,
    clients: signal::Receiver<Arc<Client>>,
) {
    while let Some(name) = asked.recv().await {
        tokio::task::spawn_local(keep(name, table.clone(), clients.clone()));
    }
}

/// Keeps one name fresh until nobody needs it.
async fn keep(name: Box<str>, table: Arc<Table>, mut clients: signal::Receiver<Arc<Client>>) {
    let mut memory = Memory::of(&name);
    loop {
        let client = clients.borrow_and_update().clone();
        let wait = tokio::select! {
            answers = client.addresses(&name) => {
                let wait = memory.learn(answers, table.longest(&name), clock::now());
                table.learned(&name, memory.addresses(), memory.trouble());
                wait
            }
            changed = clients.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(soon(wait)) => {}
            changed = clients.changed() => if changed.is_err() {
                return;
            }
        }
        if !table.is_wanted(&name, clock::now()) {
            return;
        }
    }
}

/// Reads the system's files again when they are other ones.
async fn look(clients: signal::Sender<Arc<Client>>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let client = clients.borrow().clone();
        if client.is_outdated() {
            tracing::info!("the system's files about names have changed, they are read again");
            let _ = clients.send(Arc::new(Client::of(client.source().clone())));
        }
    }
}
