//! From a client's first packet to a connection that is known: the handshake, when it is its turn, and what came of it.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, ConnectionError, Incoming, ServerConfig};

use super::connection;
use crate::config::{ClientAuth, Listener};
use crate::front::Worker;
use crate::front::drain::Drain;
use crate::front::seats::ListenerShared;
use crate::message::forwarding::Peer;
use crate::message::{Scheme, Secured};
use crate::pipeline::Client;
use crate::tls;

/// A client at the door.
pub(super) struct Arrival {
    pub(super) worker: Rc<Worker>,
    pub(super) listener: Arc<ListenerShared>,
    pub(super) plan: Arc<Listener>,
    pub(super) server: Arc<ServerConfig>,
    /// The address goes.
    pub(super) leaving: Rc<Drain>,
    pub(super) from: SocketAddr,
    pub(super) to: Option<SocketAddr>,
}

impl Arrival {
    /// Serves the connection to its end.
    pub(super) async fn serve(self, incoming: Incoming) {
        let Some(limit) = &self.plan.tls else { return };
        let deadline = self.worker.thread().ticker.deadline();
        deadline.arm(limit.handshake_timeout);
        let shaken = async {
            let _turn = self.listener.handshake(limit.max_handshakes).await;
            self.shake(incoming).await
        };
        let (connection, secured) = match deadline.limit(shaken).await {
            Ok(Ok(shaken)) => shaken,
            Ok(Err(error)) => return tracing::debug!(listener = &*self.plan.name, %error, "no QUIC"),
            Err(_) => {
                return tracing::debug!(listener = &*self.plan.name, "no QUIC within {:?}", limit.handshake_timeout);
            }
        };
        let client = client(&self.plan, self.from, self.to, Some(Arc::new(secured)));
        connection::serve(&self.worker, connection, &self.plan, Rc::new(client), &self.leaving).await;
    }

    async fn shake(&self, incoming: Incoming) -> Result<(Connection, Secured), ConnectionError> {
        let mut connecting = incoming.accept_with(self.server.clone())?;
        if self.takes_early_data() {
            connecting.handshake_data().await?;
            connecting = match connecting.into_0rtt() {
                Ok((connection, _)) => return Ok(known(connection)),
                Err(connecting) => connecting,
            };
        }
        connecting.await.map(known)
    }

    /// Whose certificate is asked for is known only when the handshake is over.
    fn takes_early_data(&self) -> bool {
        let asks = self.plan.tls.as_ref().is_none_or(|tls| tls.client != ClientAuth::None);
        self.plan.h3.early_data && !asks
    }
}

/// Who is at the other end.
pub(super) fn client(
    plan: &Listener,
    from: SocketAddr,
    to: Option<SocketAddr>,
    secured: Option<Arc<Secured>>,
) -> Client {
    Client {
        peer: Peer::of(Some(from.ip()), false),
        port: from.port(),
        listener: plan.name.clone(),
        scheme: Scheme::Https,
        to,
        secured,
        own: OnceCell::new(),
    }
}

fn known(connection: Connection) -> (Connection, Secured) {
    let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    let (name, protocol) = data.map_or((None, None), |data| (data.server_name, data.protocol));
    let identity = connection.peer_identity();
    let secured = tls::secured_of_quic(name.as_deref(), protocol.as_deref(), identity.as_deref());
    (connection, secured)
}
