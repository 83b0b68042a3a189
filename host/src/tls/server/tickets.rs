//! What sessions are taken up again with: keys of their own for each listener, what it asks of clients, and how it is reached.
//!
//! A session carries what its client has shown, and the codec does not check that again. So a session that began under other
//! demands (another authority, another list of revoked certificates, none at all) is unknown here, and its client shows
//! what is asked for now. A generation finds the keys that the one before it used; nobody else has them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use sha2::{Digest, Sha256};

use super::sessions::Sessions;
use super::ticketer::Ticketer;
use crate::clock::{Duration, Instant};
use crate::config::{ClientAuth, ClientAuthorities, Listener, ListenerTls, Pem};

/// What sessions are taken up again with, for the whole process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tickets(Arc<Shelves>);

#[derive(Debug, Default)]
struct Shelves {
    ticketers: Shelf<Ticketer>,
    sessions: Shelf<Sessions>,
}

/// What is in use, by what it is for. Kept by those who use it.
#[derive(Debug)]
struct Shelf<T>(Mutex<HashMap<Purpose, Weak<T>>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Purpose {
    listener: Arc<str>,
    is_quic: bool,
    rotation: Duration,
    demands: [u8; 32],
}

/// How the sessions of one config are taken up again.
#[derive(Debug, Clone)]
pub(super) enum Resumption {
    /// Not at all.
    Never,
    /// By tickets that hold the session, under a key of ours.
    Tickets(Arc<Ticketer>),
    /// By tickets that name a session kept here, each of them good for one time (RFC 8446, section 8.1): early data, which can be
    /// sent by somebody who has only listened, needs that.
    Sessions(Arc<Sessions>),
}

/// A client may use a ticket of TLS 1.3 once (RFC 8446, section C.4). With two of them, one that opens two connections at once
/// (browsers over HTTP/1, and whoever tries IPv4 beside IPv6) has one for each; more cost every handshake something.
const TICKETS: usize = 2;

impl Tickets {
    /// For connections over TCP.
    pub(super) fn tcp(&self, listener: &Listener, plan: &ListenerTls) -> Resumption {
        match plan.ticket_rotation {
            Some(rotation) => self.ticketer(Purpose::of(listener, plan, rotation, false)),
            None => Resumption::Never,
        }
    }

    /// For connections over QUIC.
    pub(super) fn quic(&self, listener: &Listener, plan: &ListenerTls) -> Resumption {
        match plan.ticket_rotation {
            Some(rotation) if listener.h3.early_data => self.sessions(Purpose::of(listener, plan, rotation, true)),
            Some(rotation) => self.ticketer(Purpose::of(listener, plan, rotation, true)),
            None => Resumption::Never,
        }
    }

    fn ticketer(&self, purpose: Purpose) -> Resumption {
        let rotation = purpose.rotation;
        Resumption::Tickets(self.0.ticketers.find(purpose, || Ticketer::rotating(rotation)))
    }

    fn sessions(&self, purpose: Purpose) -> Resumption {
        let rotation = purpose.rotation;
        Resumption::Sessions(self.0.sessions.find(purpose, || Sessions::rotating(rotation)))
    }
}

impl<T> Shelf<T> {
    fn find(&self, purpose: Purpose, make: impl FnOnce() -> T) -> Arc<T> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&purpose).and_then(Weak::upgrade) {
            return found;
        }
        known.retain(|_, one| one.strong_count() > 0);
        let made = Arc::new(make());
        known.insert(purpose, Arc::downgrade(&made));
        made
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl Purpose {
    fn of(listener: &Listener, plan: &ListenerTls, rotation: Duration, is_quic: bool) -> Self {
        Self { listener: listener.name.clone(), is_quic, rotation, demands: demands(&plan.client) }
    }
}

impl Resumption {
    /// Sets a config up for this. Sessions of TLS 1.2 are never kept by their identifiers: its tickets do the same.
    pub(super) fn apply(&self, config: &mut ServerConfig) {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        (config.send_tls13_tickets, config.max_tls13_tickets) = (TICKETS, TICKETS);
        match self {
            Self::Never => (config.send_tls13_tickets, config.max_tls13_tickets) = (0, 0),
            Self::Tickets(ticketer) => config.ticketer = ticketer.clone(),
            Self::Sessions(sessions) => config.session_storage = sessions.clone(),
        }
    }

    /// Forgets what is over its time, also when no client comes.
    pub(super) fn tend(&self, now: Instant) {
        match self {
            Self::Never => {}
            Self::Tickets(ticketer) => ticketer.tend(now),
            Self::Sessions(sessions) => sessions.tend(now),
        }
    }
}

/// A digest of everything that a client is asked for.
fn demands(plan: &ClientAuth) -> [u8; 32] {
    let (kind, files): (u8, Vec<&Pem>) = match plan {
        ClientAuth::None => (0, Vec::new()),
        ClientAuth::Optional(authorities) => (1, files(authorities)),
        ClientAuth::Required(authorities) => (2, files(authorities)),
    };
    let mut digest = Sha256::new_with_prefix([kind]);
    files.iter().for_each(|file| digest.update(Sha256::digest(&file.text)));
    digest.finalize().into()
}

fn files(authorities: &ClientAuthorities) -> Vec<&Pem> {
    std::iter::once(&authorities.ca).chain(&authorities.revoked).collect()
}
