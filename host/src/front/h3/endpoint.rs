//! One worker's endpoint on one address: who is let in, and under which settings.
//!
//! Settings are made when the first client comes after a reload, and hold for those that come then; connections keep theirs.
//! When the address goes, its connections are told so, and the socket stays until they are gone.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use quinn::rustls::ServerConfig as QuicTls;
use quinn::{Endpoint, Incoming, ServerConfig, TokioRuntime, VarInt};
use tokio::sync::watch;

use super::arrival::Arrival;
use super::settings;
use super::socket::Datagrams;
use crate::clock;
use crate::config::{Listener, Retry};
use crate::failure::{Failure, Kind};
use crate::front::Worker;
use crate::front::drain::Drain;
use crate::front::seats::{ClientSeat, ListenerShared, Seat};
use crate::pipeline;

/// For whom connections are accepted; for nobody any more when `None`.
pub type Holder = watch::Receiver<Option<Arc<ListenerShared>>>;

struct Door {
    worker: Rc<Worker>,
    endpoint: Endpoint,
    port: u16,
    settings: Option<Settings>,
    leaving: Rc<Drain>,
}

/// What new connections are made from, and what that was made from.
struct Settings {
    plan: Arc<Listener>,
    tls: Arc<QuicTls>,
    server: Arc<ServerConfig>,
}

/// Serves an address as long as there is somebody to say for whom. Without a holder, clients are refused and those that are
/// here are told to go; there may be one again.
pub async fn serve(worker: Rc<Worker>, datagrams: Datagrams, mut holder: Holder) {
    let mut door = match Door::open(worker, datagrams) {
        Ok(door) => door,
        Err(error) => return tracing::error!(%error, "no HTTP/3 on this thread"),
    };
    loop {
        let listener = holder.borrow_and_update().clone();
        match &listener {
            Some(listener) => door.renew(listener),
            None => door.leave(),
        }
        let incoming = tokio::select! {
            incoming = door.endpoint.accept() => incoming,
            changed = holder.changed() => match changed {
                Ok(()) => continue,
                Err(_) => break,
            },
        };
        match (incoming, &listener) {
            (Some(incoming), Some(listener)) => door.receive(listener, incoming),
            (Some(incoming), None) => incoming.refuse(),
            (None, _) => return tracing::error!("no HTTP/3 on this thread any more"),
        }
    }
    door.close();
}

impl Door {
    fn open(worker: Rc<Worker>, datagrams: Datagrams) -> std::io::Result<Self> {
        let (socket, ids) = datagrams.open()?;
        let port = socket.local_addr()?.port();
        let config = settings::endpoint(ids);
        let endpoint = Endpoint::new_with_abstract_socket(config, None, socket, Arc::new(TokioRuntime))?;
        Ok(Self { worker, endpoint, port, settings: None, leaving: Rc::default() })
    }

    /// Sees to it that what new connections are made from is what the current generation says.
    fn renew(&mut self, listener: &ListenerShared) {
        let local = self.worker.local();
        let plan = local.generation.listener(&listener.name);
        let (Some(plan), Some(tls)) = (plan, local.generation.tls(&listener.name)) else {
            return self.endpoint.set_server_config(None);
        };
        let tls = tls.quic();
        let is_same = |known: &Settings| Arc::ptr_eq(&known.plan, plan) && Arc::ptr_eq(&known.tls, &tls);
        if self.settings.as_ref().is_some_and(is_same) {
            return;
        }
        self.settings = settings::server(plan, tls.clone()).map(|server| Settings { plan: plan.clone(), tls, server });
        let server = self.settings.as_ref().map(|settings| (*settings.server).clone());
        self.endpoint.set_server_config(server);
    }

    /// A client's first packet. Whoever is not let in is told so, and gets nothing else.
    fn receive(&mut self, listener: &Arc<ListenerShared>, incoming: Incoming) {
        // It may have come after a reload that nobody has told this thread of.
        self.renew(listener);
        let Some(Settings { plan, server, .. }) = &self.settings else { return incoming.refuse() };
        let is_retried = match plan.h3.retry {
            Retry::Always => true,
            Retry::UnderLoad => listener.is_pressed(),
            Retry::Never => false,
        };
        if is_retried && !incoming.remote_address_validated() {
            // It says only of those that were validated that they cannot be.
            let _ = incoming.retry();
            return;
        }
        let address = incoming.remote_address();
        let Some(seat) = Seat::take(listener, plan.max_connections) else {
            let detail = format!("listener \"{}\" has its {} connections", plan.name, plan.max_connections);
            return self.refuse(incoming, Failure::of(Kind::Overloaded, detail));
        };
        let client_seat = match plan.max_connections_per_client {
            Some(most) => match ClientSeat::take(listener, address.ip(), most) {
                Some(seat) => Some(seat),
                None => {
                    let detail = format!("{} has its {most} connections", address.ip());
                    return self.refuse(incoming, Failure::of(Kind::TooManyConnections, detail));
                }
            },
            None => None,
        };
        let to = incoming.local_ip().map(|own| SocketAddr::new(own, self.port));
        let arrival = Arrival {
            worker: self.worker.clone(),
            listener: listener.clone(),
            plan: plan.clone(),
            server: server.clone(),
            leaving: self.leaving.clone(),
            from: address,
            to,
        };
        let open = self.worker.open();
        tokio::task::spawn_local(async move {
            arrival.serve(incoming).await;
            drop((open, seat, client_seat));
        });
    }

    fn refuse(&self, incoming: Incoming, failure: Failure) {
        let Some(settings) = &self.settings else { return incoming.refuse() };
        let client = super::arrival::client(&settings.plan, incoming.remote_address(), None, None);
        incoming.refuse();
        pipeline::refused(&self.worker.local(), &Rc::new(client), &failure, &pipeline::request_id(), clock::now());
    }

    /// Tells those that are here to go.
    fn leave(&mut self) {
        std::mem::take(&mut self.leaving).tell();
    }

    /// Nobody comes any more. The socket stays until those that are here are gone.
    fn close(mut self) {
        self.leave();
        tokio::task::spawn_local(async move {
            tokio::select! {
                () = async {
                    while let Some(incoming) = self.endpoint.accept().await {
                        incoming.refuse();
                    }
                } => {}
                () = self.endpoint.wait_idle() => {}
            }
            self.endpoint.close(VarInt::from_u32(0), b"");
        });
    }
}
