//! Which addresses are listened on, and how that changes with a plan: what stays is not touched, so no client is refused.
//!
//! The kernel resets every connection that stands in a socket's queue, or is half made, when the socket is closed. So an
//! address that goes first begins no more handshakes, then gives those that had begun a moment, and is closed by the
//! workers right after they saw its queue empty. A client further away than that moment can still be reset.

use std::collections::HashMap;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Listening;
use super::bind::{self, Refusal, SocketFile, Sockets};
use super::inherited::Inherited;
use super::workers::Workers;
use crate::config::{Bind, Listener, Place, Plan};
use crate::front::{Datagrams, ListenerShared, Socket};

/// For handshakes that had begun: more than the round trip between most places on Earth.
const HANDSHAKE: Duration = Duration::from_millis(200);

/// Everything that is listened on.
#[derive(Default)]
pub(super) struct Listeners {
    bound: Vec<Bound>,
    shared: HashMap<Arc<str>, Arc<ListenerShared>>,
    inherited: Inherited,
}

/// What a plan wants, its new addresses bound already. Dropping it gives them back.
pub(super) struct Prepared {
    wanted: Vec<Wanted>,
}

struct Wanted {
    key: Key,
    listener: Arc<Listener>,
    /// `None` where the address is listened on already.
    fresh: Option<Sockets>,
    /// For HTTP/3, where it is not spoken yet.
    datagrams: Vec<Datagrams>,
}

struct Bound {
    key: Key,
    listener: Arc<str>,
    address: String,
    /// For handing the address to another listener; the workers have their own.
    sockets: Vec<Socket>,
    file: Option<SocketFile>,
    stop: watch::Sender<bool>,
    /// Tells who serves HTTP/3 here for whom; none where it was never spoken.
    holder: Option<watch::Sender<Option<Arc<ListenerShared>>>>,
}

/// What makes an address the same over a reload. With port 0 it is whose it is, and which of theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    bind: Bind,
    holder: Option<(Arc<str>, usize)>,
}

impl Listeners {
    /// Nothing yet, beside what the service manager passed on.
    pub(super) fn of(inherited: Inherited) -> Self {
        Self { inherited, ..Self::default() }
    }

    /// Binds what a plan wants and is not there yet.
    ///
    /// # Errors
    /// Every address that cannot be had; then nothing has changed.
    pub(super) fn prepare(&self, plan: &Plan, threads: usize) -> Result<Prepared, Vec<(Place, Refusal)>> {
        let (mut wanted, mut refusals) = (Vec::new(), Vec::new());
        for listener in &plan.listeners {
            for (nth, bind) in listener.bind.iter().enumerate() {
                let key = Key::of(bind, &listener.name, nth);
                let fresh = match self.bound.iter().find(|bound| bound.key == key) {
                    Some(bound) => bound.datagrams(listener, threads).map(|datagrams| (None, datagrams)),
                    None => {
                        bind::bind(listener, bind, threads, self.may_share(bind), &self.inherited).map(|mut fresh| {
                            let datagrams = mem::take(&mut fresh.datagrams);
                            (Some(fresh), datagrams)
                        })
                    }
                };
                match fresh {
                    Ok((fresh, datagrams)) => {
                        wanted.push(Wanted { key, listener: listener.clone(), fresh, datagrams });
                    }
                    Err(refusal) if refusal.is_lack_of_ipv6() && has_ipv4_twin(listener, bind) => {
                        tracing::warn!(%refusal, "this system has no IPv6, listening on IPv4 alone");
                    }
                    Err(refusal) => refusals.push((listener.place.clone(), refusal)),
                }
            }
        }
        if refusals.is_empty() { Ok(Prepared { wanted }) } else { Err(refusals) }
    }

    /// Makes what was prepared true: serves new addresses, keeps those that stay, lets the others go.
    pub(super) async fn apply(&mut self, prepared: Prepared, workers: &Workers) {
        let mut before = mem::take(&mut self.bound);
        for wanted in prepared.wanted {
            let known = before.iter().position(|bound| bound.key == wanted.key).map(|index| before.swap_remove(index));
            let mut bound = match (known, wanted.fresh) {
                (Some(known), _) => self.keep(known, &wanted.listener, workers),
                (None, Some(sockets)) => self.open(wanted.key, &wanted.listener, sockets, workers),
                (None, None) => continue,
            };
            bound.hold(&wanted.listener, wanted.datagrams, &self.shared(&wanted.listener.name), workers);
            self.bound.push(bound);
        }
        close(before).await;
        let Self { bound, shared, .. } = self;
        shared.retain(|name, _| bound.iter().any(|bound| bound.listener == *name));
    }

    /// Lets every address go. To be run to its end.
    pub(super) async fn close(&mut self) {
        close(mem::take(&mut self.bound)).await;
    }

    /// Every address, in the plan's order.
    pub(super) fn listening(&self) -> Vec<Listening> {
        let each = |bound: &Bound| Listening { listener: bound.listener.clone(), address: bound.address.clone() };
        self.bound.iter().map(each).collect()
    }

    /// Whether we listen on that port already, on another address: `0.0.0.0:80` may become `127.0.0.1:80` that way.
    fn may_share(&self, wanted: &Bind) -> bool {
        let Bind::Tcp(wanted) = wanted else { return false };
        self.bound.iter().any(|bound| matches!(&bound.key.bind, Bind::Tcp(ours) if ours.port() == wanted.port()))
    }

    fn open(&mut self, key: Key, listener: &Listener, sockets: Sockets, workers: &Workers) -> Bound {
        set_options(&sockets.each, &sockets.address, listener);
        let listener = &listener.name;
        let stop = watch::channel(false).0;
        let copies = copies(&sockets.each);
        workers.serve(&self.shared(listener), sockets.each, &stop);
        tracing::info!(listener = &**listener, address = sockets.address, "listening");
        let Sockets { address, file, .. } = sockets;
        Bound { key, listener: listener.clone(), address, sockets: copies, file, stop, holder: None }
    }

    fn keep(&mut self, mut bound: Bound, listener: &Listener, workers: &Workers) -> Bound {
        set_options(&bound.sockets, &bound.address, listener);
        let listener = &listener.name;
        if bound.listener != *listener {
            let stop = watch::channel(false).0;
            workers.serve(&self.shared(listener), copies(&bound.sockets), &stop);
            mem::replace(&mut bound.stop, stop).send_replace(true);
            bound.listener = listener.clone();
            tracing::info!(listener = &**listener, address = bound.address, "listening");
        }
        bound
    }

    fn shared(&mut self, listener: &Arc<str>) -> Arc<ListenerShared> {
        self.shared.entry(listener.clone()).or_insert_with(|| ListenerShared::of(listener.clone())).clone()
    }
}

impl Bound {
    /// Sockets for HTTP/3 where it is to be spoken and is not yet.
    fn datagrams(&self, listener: &Listener, threads: usize) -> Result<Vec<Datagrams>, Refusal> {
        match (&self.key.bind, self.address.parse()) {
            (Bind::Tcp(_), Ok(address)) if listener.protocols.h3 && self.holder.is_none() => {
                bind::datagrams(address, threads, false)
                    .map_err(|error| Refusal::of(&listener.name, &self.key.bind, error))
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Sees to it that HTTP/3 is spoken here for a listener, or is not.
    fn hold(
        &mut self,
        listener: &Listener,
        datagrams: Vec<Datagrams>,
        shared: &Arc<ListenerShared>,
        workers: &Workers,
    ) {
        match &self.holder {
            Some(holder) if listener.protocols.h3 => {
                holder.send_replace(Some(shared.clone()));
            }
            // Whoever comes by what `Alt-Svc` once said is refused, and asks over TCP.
            Some(holder) => {
                holder.send_replace(None);
            }
            None if !datagrams.is_empty() => {
                let (holder, told) = watch::channel(Some(shared.clone()));
                workers.serve_datagrams(datagrams, &told);
                tracing::info!(listener = &*listener.name, address = self.address, "listening for HTTP/3");
                self.holder = Some(holder);
            }
            None => {}
        }
    }

    fn let_go(&mut self) {
        if let Some(holder) = self.holder.take() {
            holder.send_replace(None);
        }
    }
}

impl Key {
    fn of(bind: &Bind, listener: &Arc<str>, nth: usize) -> Self {
        let any_port = matches!(bind, Bind::Tcp(address) if address.port() == 0);
        Self { bind: bind.clone(), holder: any_port.then(|| (listener.clone(), nth)) }
    }
}

/// Whether it is the IPv6 half of "every address" in a listener that has the other half too.
fn has_ipv4_twin(listener: &Listener, bind: &Bind) -> bool {
    let Bind::Tcp(SocketAddr::V6(six)) = bind else { return false };
    let twin = Bind::Tcp((Ipv4Addr::UNSPECIFIED, six.port()).into());
    six.ip().is_unspecified() && listener.bind.contains(&twin)
}

/// Our handles go before the workers are told, so that theirs are the last and close each socket when its queue is empty.
async fn close(mut bound: Vec<Bound>) {
    if bound.is_empty() {
        return;
    }
    for one in &mut bound {
        drop(one.file.take());
        // A socket that was passed on goes on without us.
        let ours = one.sockets.iter().filter(|_| !matches!(one.key.bind, Bind::Inherited(_)));
        for error in ours.filter_map(|socket| bind::begin_nothing(socket).err()) {
            tracing::debug!(listener = &*one.listener, %error, "new handshakes are not held off");
        }
    }
    tokio::time::sleep(HANDSHAKE).await;
    for mut one in bound {
        one.let_go();
        let Bound { listener, address, sockets, stop, .. } = one;
        drop(sockets);
        stop.send_replace(true);
        tracing::info!(listener = &*listener, address, "no longer listening");
    }
}

fn set_options(sockets: &[Socket], address: &str, listener: &Listener) {
    for socket in sockets {
        if let Err(error) = bind::set_options(socket, listener.backlog, listener.tcp_keep_alive) {
            tracing::warn!(listener = &*listener.name, address, %error, "a socket's options are not what they should be");
        }
    }
}

/// Other handles of the same sockets; where the system has none left, the address cannot move to another listener.
fn copies(sockets: &[Socket]) -> Vec<Socket> {
    sockets.iter().filter_map(|socket| bind::another(socket).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::path::PathBuf;

    use super::*;
    use crate::config::{AccessFormat, AccessLog, Log, LogFormat, LogOutput};
    use crate::generation::{Current, Generation, Lasting};
    use crate::log;
    use crate::wasm::{Engine, EngineOptions};

    fn plan(listeners: &[(&str, &[&str])]) -> Plan {
        let bind = |text: &&str| match text.strip_prefix("unix:") {
            Some(path) => Bind::Unix(PathBuf::from(path)),
            None => Bind::Tcp(text.parse().unwrap()),
        };
        let listener = |(name, binds): &(&str, &[&str])| {
            let bind = binds.iter().map(bind).collect();
            Arc::new(Listener { bind, ..Listener::plain(name) })
        };
        Plan {
            threads: 1,
            shutdown_timeout: Duration::ZERO,
            trusted_proxies: Vec::new(),
            resolvers: Vec::new(),
            cache_directory: None,
            log: Log { level: tracing::level_filters::LevelFilter::INFO, format: LogFormat::Text },
            access_log: AccessLog { output: LogOutput::Stdout, format: AccessFormat::Off },
            admin: None,
            files: crate::config::Files::default(),
            roots: Vec::new(),
            caches: Vec::new(),
            listeners: listeners.iter().map(listener).collect(),
            pools: Vec::new(),
            filters: Vec::new(),
            sites: Vec::new(),
            default_site: None,
        }
    }

    /// Workers without a thread: what is bound is all that matters here.
    fn nobody(plan: Plan) -> Workers {
        let engine = Engine::start(EngineOptions { cache_directory: None, threads: 1 }).unwrap();
        let current =
            Arc::new(Current::of(Arc::new(Generation::build(plan, &engine, &Lasting::default(), 1).unwrap())));
        Workers::start(0, &current, &log::AccessLog::start(log::Output::default()).unwrap()).unwrap()
    }

    async fn change(listeners: &mut Listeners, to: &[(&str, &[&str])]) -> Vec<(String, String)> {
        let prepared = listeners.prepare(&plan(to), 1).ok().unwrap();
        listeners.apply(prepared, &nobody(plan(to))).await;
        listeners.listening().into_iter().map(|one| (one.listener.to_string(), one.address)).collect()
    }

    #[tokio::test]
    async fn what_stays_is_kept_and_what_goes_is_closed() {
        let mut listeners = Listeners::default();
        let first = change(&mut listeners, &[("a", &["127.0.0.1:0", "127.0.0.1:0"]), ("b", &["127.0.0.1:0"])]).await;
        assert_eq!(first.len(), 3);
        let second = change(&mut listeners, &[("b", &["127.0.0.1:0"]), ("a", &["127.0.0.1:0"])]).await;
        assert_eq!(second, [first[2].clone(), first[0].clone()]);
        assert!(TcpStream::connect(&first[0].1).is_ok());
        assert!(TcpStream::connect(&first[1].1).is_err());
    }

    #[tokio::test]
    async fn an_address_moves_to_another_listener_without_being_closed() {
        let mut listeners = Listeners::default();
        let path = std::env::temp_dir().join(format!("weir-moves-{}.sock", std::process::id()));
        let unix = format!("unix:{}", path.display());
        change(&mut listeners, &[("a", &[&unix])]).await;
        let queued = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let moved = change(&mut listeners, &[("b", &[&unix])]).await;
        assert_eq!(moved, [("b".to_owned(), unix.clone())]);
        assert!(path.exists() && queued.peer_addr().is_ok());
        listeners.close().await;
        assert!(!path.exists() && listeners.listening().is_empty());
    }

    #[test]
    fn the_ipv6_half_of_everything_has_a_twin() {
        for (binds, expected) in [
            (&["[::]:80", "0.0.0.0:80"][..], true),
            (&["[::]:80"], false),
            (&["[::]:80", "0.0.0.0:81"], false),
            (&["[::1]:80", "0.0.0.0:80"], false),
            (&["0.0.0.0:80"], false),
        ] {
            let plan = plan(&[("a", binds)]);
            assert_eq!(has_ipv4_twin(&plan.listeners[0], &plan.listeners[0].bind[0]), expected, "{binds:?}");
        }
    }

    #[tokio::test]
    async fn every_refusal_is_said_and_nothing_changes() {
        let mut listeners = Listeners::default();
        let before = change(&mut listeners, &[("a", &["127.0.0.1:0"])]).await;
        let wanted = plan(&[("a", &["240.0.0.1:1"]), ("b", &["127.0.0.1:0", "240.0.0.2:1"])]);
        let refusals = listeners.prepare(&wanted, 1).err().unwrap();
        let texts: Vec<_> = refusals.iter().map(|(_, refusal)| refusal.to_string()).collect();
        assert!(texts[0].starts_with("listener \"a\": cannot bind 240.0.0.1:1: "), "{texts:?}");
        assert!(texts[1].starts_with("listener \"b\": cannot bind 240.0.0.2:1: "), "{texts:?}");
        assert!(TcpStream::connect(&before[0].1).is_ok());
    }
}
