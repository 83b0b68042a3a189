//! Names and services that somebody wants to be told about, each in a task of its own.
//!
//! Answers are put in order before they are compared, so that the same one is told once, whatever order it came in.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::watch as signal;
use tokio::task::{AbortHandle, JoinSet};

use super::MOST_ADDRESSES;
use super::client::{Answer, Client, Service};
use super::memory::{Memory, Standing, soon};
use crate::clock::{self, Duration, Instant};

/// Targets of one service that are asked about at the same time.
const AT_ONCE: usize = 16;

/// For asking about all targets of a service, before what is known of them is told.
const ROUND: Duration = Duration::from_secs(10);

/// Who is told. It is called on the control thread and shall not wait.
pub type Tell = Arc<dyn Fn(&[Found]) + Send + Sync>;

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Watched {
    /// Every address of a name, with this port.
    Addresses(String, u16),
    /// Every address of every target of a service's SRV records (RFC 2782).
    Services(String),
}

/// One wish to be told.
#[derive(Clone)]
pub struct Watch {
    /// About what.
    pub watched: Watched,
    /// How long an answer is believed at most; several wishes about the same take the shortest.
    pub ttl: Duration,
    /// Whom. It starts from knowing nothing, so an empty answer at first is not told.
    pub tell: Tell,
}

/// One place where something is served.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Where.
    pub address: SocketAddr,
    /// The host name it goes by: the name watched, or the SRV record's target.
    pub target: String,
    /// The SRV record's; the lowest goes first. Zero for names.
    pub priority: u16,
    /// The SRV record's; zero for names.
    pub weight: u16,
}

/// What is watched at the moment.
#[derive(Debug)]
pub(super) struct Watches {
    clients: signal::Receiver<Arc<Client>>,
    running: RefCell<HashMap<Watched, Running>>,
}

#[derive(Debug)]
struct Running {
    attended: Rc<Attended>,
    task: AbortHandle,
}

/// What a task and the list share.
struct Attended {
    ttl: Cell<Duration>,
    tells: RefCell<Vec<Tell>>,
    told: RefCell<Vec<Found>>,
}

/// A service, as far as it is known.
struct Known {
    name: String,
    standing: Standing,
    services: Vec<Service>,
    due: Instant,
    targets: HashMap<String, Target>,
}

struct Target {
    memory: Memory,
    due: Instant,
}

impl Watches {
    pub(super) fn asking(clients: signal::Receiver<Arc<Client>>) -> Self {
        Self { clients, running: RefCell::default() }
    }

    /// See [`super::Resolver::attend`].
    pub(super) fn attend(&self, watches: Vec<Watch>) {
        let mut wanted: HashMap<Watched, (Duration, Vec<Tell>)> = HashMap::new();
        for Watch { watched, ttl, tell } in watches {
            let (shortest, tells) = wanted.entry(watched).or_insert((ttl, Vec::new()));
            *shortest = ttl.min(*shortest);
            tells.push(tell);
        }
        let mut before = self.running.take();
        let mut running = HashMap::with_capacity(wanted.len());
        let mut fresh = Vec::new();
        for (watched, (ttl, tells)) in wanted {
            let known = before.remove(&watched).unwrap_or_else(|| self.begin(watched.clone()));
            fresh.push((known.attended.clone(), known.attended.replace(ttl, tells)));
            running.insert(watched, known);
        }
        self.running.replace(running);
        drop(before);
        for (attended, tells) in fresh {
            let told = attended.told.borrow().clone();
            tells.iter().filter(|_| !told.is_empty()).for_each(|tell| tell(&told));
        }
    }

    fn begin(&self, watched: Watched) -> Running {
        let attended =
            Rc::new(Attended { ttl: Cell::new(Duration::ZERO), tells: RefCell::default(), told: RefCell::default() });
        let task = tokio::task::spawn_local(watch(watched, attended.clone(), self.clients.clone())).abort_handle();
        Running { attended, task }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Attended {
    /// The tells that were not there before.
    fn replace(&self, ttl: Duration, tells: Vec<Tell>) -> Vec<Tell> {
        self.ttl.set(ttl);
        let before = self.tells.replace(tells.clone());
        tells.into_iter().filter(|tell| !before.iter().any(|old| Arc::ptr_eq(old, tell))).collect()
    }

    fn tell(&self, found: Vec<Found>) {
        if *self.told.borrow() == found {
            return;
        }
        self.told.replace(found.clone());
        let tells = self.tells.borrow().clone();
        tells.iter().for_each(|tell| tell(&found));
    }
}

impl fmt::Debug for Attended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attended").field("ttl", &self.ttl).field("told", &self.told).finish_non_exhaustive()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("watched", &self.watched).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

async fn watch(watched: Watched, attended: Rc<Attended>, mut clients: signal::Receiver<Arc<Client>>) {
    let mut asked = match watched {
        Watched::Addresses(name, port) => Asked::Name(Memory::of(&name), name, port),
        Watched::Services(name) => Asked::Service(Known::of(name)),
    };
    loop {
        let client = clients.borrow_and_update().clone();
        let most = attended.ttl.get();
        let wait = tokio::select! {
            wait = asked.look(&client, most) => wait,
            changed = clients.changed() => match changed {
                Ok(()) => {
                    asked.hurry();
                    continue;
                }
                Err(_) => return,
            }
        };
        attended.tell(asked.found());
        tokio::select! {
            () = tokio::time::sleep(soon(wait)) => {}
            changed = clients.changed() => match changed {
                Ok(()) => asked.hurry(),
                Err(_) => return,
            }
        }
    }
}

enum Asked {
    Name(Memory, String, u16),
    Service(Known),
}

impl Asked {
    /// Asks what is due, and says how long until something is again.
    async fn look(&mut self, client: &Arc<Client>, most: Duration) -> Duration {
        match self {
            Self::Name(memory, name, _) => {
                let answers = client.addresses(name).await;
                memory.learn(answers, most, clock::now())
            }
            Self::Service(known) => known.look(client, most).await,
        }
    }

    /// In order, each once.
    fn found(&self) -> Vec<Found> {
        let mut found = match self {
            Self::Name(memory, name, port) => places(memory, name, *port, 0, 0).collect(),
            Self::Service(known) => known.found(),
        };
        found.sort_unstable();
        found.dedup();
        found.truncate(MOST_ADDRESSES);
        found
    }

    /// Another server is asked: everything is due.
    fn hurry(&mut self) {
        if let Self::Service(known) = self {
            known.due = clock::now();
            known.targets.values_mut().for_each(|target| target.due = clock::now());
        }
    }
}

impl Known {
    fn of(name: String) -> Self {
        let standing = Standing::of(&name);
        Self { name, standing, services: Vec::new(), due: clock::now(), targets: HashMap::new() }
    }

    async fn look(&mut self, client: &Arc<Client>, most: Duration) -> Duration {
        if self.due <= clock::now() {
            let answer = client.services(&self.name).await;
            let wait = self.learn(answer, most, clock::now());
            self.due = after(wait);
        }
        self.look_at_targets(client, most).await;
        let next = self.targets.values().map(|target| target.due).fold(self.due, Instant::min);
        next.saturating_duration_since(clock::now())
    }

    fn learn(&mut self, answer: Answer<Service>, most: Duration, now: Instant) -> Duration {
        let is_known = !self.services.is_empty();
        match answer {
            Answer::Found(services, ttl) => {
                if services != self.services {
                    tracing::info!(name = %self.name, before = ?self.services, after = ?services, "a service");
                    self.services = services;
                }
                return self.standing.well(ttl, most);
            }
            Answer::Nothing(why) => {
                if self.standing.nothing(&why, is_known, now) {
                    self.services.clear();
                }
            }
            Answer::Failed(why) => self.standing.failed(&why, is_known),
        }
        self.standing.retry()
    }

    /// Asks about the targets that are due, within a bound: those that are left then are due again.
    async fn look_at_targets(&mut self, client: &Arc<Client>, most: Duration) {
        let names: BTreeSet<&String> = self.services.iter().map(|service| &service.target).collect();
        self.targets.retain(|name, _| names.contains(name));
        for name in names {
            self.targets.entry(name.clone()).or_insert_with(|| Target::of(name));
        }
        let is_due = |(name, target): (&String, &Target)| (target.due <= clock::now()).then(|| name.clone());
        let due: Vec<_> = self.targets.iter().filter_map(is_due).collect();
        let round = ask_all(client, due, |name, answers| {
            if let Some(target) = self.targets.get_mut(name) {
                target.due = after(target.memory.learn(answers, most, clock::now()));
            }
        });
        let _ = tokio::time::timeout(ROUND, round).await;
    }

    fn found(&self) -> Vec<Found> {
        let places = |service: &Service| {
            let Service { priority, weight, target, port } = service.clone();
            let known = self.targets.get(&target)?;
            Some(places(&known.memory, &target, port, priority, weight).collect::<Vec<_>>())
        };
        self.services.iter().filter_map(places).flatten().collect()
    }
}

impl Target {
    fn of(name: &str) -> Self {
        Self { memory: Memory::of(name), due: clock::now() }
    }
}

async fn ask_all(client: &Arc<Client>, names: Vec<String>, mut learn: impl FnMut(&str, [Answer<IpAddr>; 2])) {
    let (mut names, mut asking) = (names.into_iter(), JoinSet::new());
    loop {
        for name in names.by_ref().take(AT_ONCE - asking.len()) {
            let client = client.clone();
            asking.spawn_local(async move { (client.addresses(&name).await, name) });
        }
        match asking.join_next().await {
            Some(Ok((answers, name))) => learn(&name, answers),
            Some(Err(_)) => {}
            None => return,
        }
    }
}

fn places<'a>(
    memory: &'a Memory,
    target: &'a str,
    port: u16,
    priority: u16,
    weight: u16,
) -> impl Iterator<Item = Found> + 'a {
    let place = move |ip: &_| {
        let address = SocketAddr::new(*ip, port);
        Found { address, target: target.to_owned(), priority, weight }
    };
    memory.addresses().iter().map(place)
}

fn after(wait: Duration) -> Instant {
    // An answer that holds for ever is looked at again in a day, by which no clock overflows.
    clock::now() + wait.min(Duration::from_secs(24 * 3600))
}
