//! Names and their addresses as worker threads see them: one table for the process, filled by the control thread.
//!
//! A name is in the table as long as a task keeps it. The lock is held for a look-up, never over a wait.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::client::{Answer, loopback};
use crate::clock::{self, Duration, Instant};

/// How long an address is believed at most, of names that no member has.
const LONGEST: Duration = Duration::from_secs(60);

/// How long a name that no member has is kept after somebody last asked.
const FORGET: Duration = Duration::from_secs(600);

/// Names at once. Members have fewer; whoever else asks shall not fill the memory.
const MOST_NAMES: usize = 10_000;

/// How often what is known of any name has changed, beginning with 1.
static CHANGES: AtomicU64 = AtomicU64::new(1);

type Reply = oneshot::Sender<io::Result<Arc<[IpAddr]>>>;

#[derive(Debug, Default)]
pub(super) struct Table(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    names: HashMap<Box<str>, Known>,
    /// To the control thread: names that somebody asked for first.
    asks: Option<mpsc::UnboundedSender<Box<str>>>,
}

#[derive(Debug)]
struct Known {
    addresses: Arc<[IpAddr]>,
    trouble: Option<Arc<str>>,
    asked: Instant,
    held: Option<Duration>,
    /// Exchanges that wait for the first answer; there are no more of them than the gateway lets in.
    waiting: Vec<Reply>,
}

/// See [`super::changes`].
pub(super) fn changes() -> u64 {
    CHANGES.load(Ordering::Relaxed)
}

impl Table {
    /// The process's.
    pub(super) fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Table>> = OnceLock::new();
        SHARED.get_or_init(Arc::default).clone()
    }

    /// See [`super::addresses`].
    pub(super) async fn addresses(&self, name: &str) -> io::Result<Arc<[IpAddr]>> {
        if let Some(known) = loopback(name) {
            return Ok(known.into_iter().flat_map(listed).collect());
        }
        let answer = match self.known_or_asked(name)? {
            Ok(known) => return Ok(known),
            Err(answer) => answer,
        };
        answer.await.unwrap_or_else(|_| Err(nobody()))
    }

    /// What is known, or where the first answer will come.
    #[expect(clippy::type_complexity, reason = "an outcome within an outcome, unpacked by the one caller")]
    fn known_or_asked(
        &self,
        name: &str,
    ) -> io::Result<Result<Arc<[IpAddr]>, oneshot::Receiver<io::Result<Arc<[IpAddr]>>>>> {
        let now = clock::now();
        let mut inside = self.lock();
        let (reply, answer) = oneshot::channel();
        if let Some(known) = inside.names.get_mut(name) {
            known.asked = now;
            if let Some(outcome) = known.outcome() {
                return outcome.map(Ok);
            }
            if known.waiting.len() == known.waiting.capacity() {
                known.waiting.retain(|reply| !reply.is_closed());
            }
            known.waiting.push(reply);
            return Ok(Err(answer));
        }
        if inside.names.len() >= MOST_NAMES {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, format!("more than {MOST_NAMES} names in use")));
        }
        let asks = inside.asks.as_ref().ok_or_else(nobody)?;
        asks.send(name.into()).map_err(|_| nobody())?;
        inside.names.insert(name.into(), Known { waiting: vec![reply], ..Known::empty(now) });
        Ok(Err(answer))
    }

    /// Names asked for first from now on are sent there.
    pub(super) fn attach(&self) -> mpsc::UnboundedReceiver<Box<str>> {
        let (asks, asked) = mpsc::unbounded_channel();
        self.lock().asks = Some(asks);
        asked
    }

    /// Nobody keeps names any more.
    pub(super) fn detach(&self) {
        *self.lock() = Inside::default();
    }

    /// Members have these names and no others; those that nobody keeps yet are given back.
    pub(super) fn hold(&self, names: &[(String, Duration)]) -> Vec<Box<str>> {
        let now = clock::now();
        let mut inside = self.lock();
        inside.names.values_mut().for_each(|known| known.held = None);
        let mut fresh = Vec::new();
        for (name, longest) in names.iter().filter(|(name, _)| loopback(name).is_none()) {
            let known = inside.names.entry(name.as_str().into()).or_insert_with(|| {
                fresh.push(name.as_str().into());
                Known::empty(now)
            });
            known.held = Some(known.held.map_or(*longest, |held| held.min(*longest)));
        }
        fresh
    }

    pub(super) fn longest(&self, name: &str) -> Duration {
        self.lock().names.get(name).and_then(|known| known.held).unwrap_or(LONGEST)
    }

    /// What is known of a name from now on; whoever waits is told.
    pub(super) fn learned(&self, name: &str, addresses: &Arc<[IpAddr]>, trouble: Option<&Arc<str>>) {
        let mut inside = self.lock();
        let Some(known) = inside.names.get_mut(name) else { return };
        if known.addresses != *addresses {
            known.addresses = addresses.clone();
            CHANGES.fetch_add(1, Ordering::Relaxed);
        }
        known.trouble = trouble.cloned();
        for reply in std::mem::take(&mut known.waiting) {
            let _ = known.outcome().map(|outcome| reply.send(outcome));
        }
    }

    /// See [`super::may_have`].
    pub(super) fn may_have(&self, name: &str, address: IpAddr) -> bool {
        let inside = self.lock();
        let known = inside.names.get(name).map(|known| &known.addresses).filter(|addresses| !addresses.is_empty());
        known.is_none_or(|addresses| addresses.iter().any(|known| known.to_canonical() == address))
    }

    /// Whether a name is to be kept on; it is out of the table when not.
    pub(super) fn is_wanted(&self, name: &str, now: Instant) -> bool {
        let mut inside = self.lock();
        let Some(known) = inside.names.get(name) else { return false };
        let is_wanted = known.held.is_some() || now.saturating_duration_since(known.asked) < FORGET;
        if !is_wanted {
            inside.names.remove(name);
        }
        is_wanted
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn empty(now: Instant) -> Self {
        Self { addresses: Arc::new([]), trouble: None, asked: now, held: None, waiting: Vec::new() }
    }

    /// `None` before the first answer.
    fn outcome(&self) -> Option<io::Result<Arc<[IpAddr]>>> {
        if !self.addresses.is_empty() {
            return Some(Ok(self.addresses.clone()));
        }
        self.trouble.as_ref().map(|why| Err(io::Error::new(io::ErrorKind::NotFound, why.to_string())))
    }
}

fn listed(answer: Answer<IpAddr>) -> Vec<IpAddr> {
    match answer {
        Answer::Found(addresses, _) => addresses,
        Answer::Nothing(_) | Answer::Failed(_) => Vec::new(),
    }
}

fn nobody() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "names are not resolved at the moment")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_while_it_is_held_or_asked_for() {
        let (table, now) = (Table::default(), clock::now());
        let held = |name: &str, seconds| (name.to_owned(), Duration::from_secs(seconds));
        assert_eq!(table.hold(&[held("a", 9), held("b", 5), held("a", 7), held("localhost", 1)]).len(), 2);
        assert_eq!(table.longest("a").as_secs(), 7);
        assert!(table.is_wanted("a", now + 2 * FORGET));
        assert!(table.hold(&[held("b", 5)]).is_empty(), "both are kept already");
        assert_eq!(table.longest("a"), LONGEST);
        assert!(table.is_wanted("a", now + FORGET / 2));
        assert!(!table.is_wanted("a", now + 2 * FORGET));
        assert_eq!(table.hold(&[held("a", 9)]).len(), 1, "it was out of the table");
    }

    #[test]
    fn the_table_has_an_end() {
        let table = Table::default();
        assert!(table.known_or_asked("a").is_err(), "nobody resolves");
        let _asked = table.attach();
        for number in 0..MOST_NAMES {
            assert!(table.known_or_asked(&number.to_string()).is_ok());
        }
        assert!(table.known_or_asked("one.more").is_err());
        assert!(table.known_or_asked("0").is_ok());
    }
}
