//! The control thread: starts everything, then waits for signals and does what they say until the end.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::bind::Refusal;
use super::inherited::Inherited;
use super::listeners::{Listeners, Prepared};
use super::reload::{self, Built};
use super::workers::Workers;
use super::{Ending, Options, Source, StartError, admin, certificates, system};
use crate::clock::Ticker;
use crate::config::{Place, Plan, Problem};
use crate::generation::{Current, Lasting};
use crate::log::{AccessLog, OperatorLog};
use crate::pool::Caretaker;
use crate::wasm::{Engine, EngineOptions};

/// For the last lines of the access log when the gateway ends; a disk that takes longer loses them.
const SETTLE: Duration = Duration::from_secs(2);

/// For threads to end that were told to drop what they have.
const QUIT: Duration = Duration::from_secs(1);

struct Gateway {
    source: Source,
    operator: OperatorLog,
    engine: Arc<Engine>,
    lasting: Arc<Lasting>,
    current: Arc<Current>,
    caretaker: Rc<Caretaker>,
    access: AccessLog,
    listeners: Listeners,
    door: admin::Door,
    workers: Workers,
    plan: Plan,
    number: u64,
    signals: Signals,
}

struct Signals {
    stop: Stop,
    hangup: Signal,
    reopen: Signal,
}

struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

/// What happens to a running gateway.
enum Event {
    Stop,
    Reopen,
    Reload,
    Built(Box<Result<Built, Vec<Problem>>>),
    WorkerEnded(usize),
}

/// A build that goes on beside everything else; at most one at a time.
type Building = Option<JoinHandle<Result<Built, Vec<Problem>>>>;

/// Runs a gateway to its end, on this thread and as many workers as its plan says.
///
/// # Errors
/// When it cannot start. What happens later is logged.
pub fn run(options: Options) -> Result<Ending, StartError> {
    let files = system::raise_open_files();
    let plan = (options.source)().map_err(StartError::Config)?;
    options.operator.apply(&plan.log);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(StartError::System)?;
    let ending = runtime.block_on(async {
        let gateway = Gateway::start(options, plan).await?;
        tracing::info!(threads = gateway.workers.count(), files, "started");
        Ok(gateway.live().await)
    });
    leave(runtime);
    ending
}

/// A build that is still going on is not waited for.
fn leave(runtime: LocalRuntime) {
    runtime.shutdown_background();
}

impl Gateway {
    async fn start(options: Options, plan: Plan) -> Result<Self, StartError> {
        let signals = Signals::take().map_err(StartError::System)?;
        let engine = EngineOptions { cache_directory: plan.cache_directory.clone(), threads: plan.threads };
        let engine = Engine::start(engine).map_err(StartError::Engine)?;
        let threads = plan.threads.max(1);
        let lasting = Arc::new(Lasting::default());
        let Built { plan, generation, output } = reload::build(plan, &engine, &lasting, 1)?;
        let refused = |refusals: Vec<_>| StartError::Bind(refusals.into_iter().map(|(_, refusal)| refusal).collect());
        let mut listeners = Listeners::of(Inherited::of_environment());
        let mut door = admin::Door::default();
        let prepared = prepare(&listeners, &door, &plan, threads).map_err(refused)?;
        let access = AccessLog::start(output).map_err(StartError::System)?;
        let ticker = Ticker::start();
        tokio::task::spawn_local(ticker.clone().run());
        let caretaker = Caretaker::start(ticker, &plan.resolvers);
        let generation = Arc::new(generation);
        caretaker.attend(generation.pools().to_vec(), &plan.resolvers);
        let current = Arc::new(Current::of(generation));
        tokio::task::spawn_local(certificates::keep_fresh(current.clone()));
        let workers = Workers::start(threads, &current, &access).map_err(StartError::System)?;
        listeners.apply(prepared.0, &workers).await;
        door.apply(prepared.1, &current);
        (options.ready)(&listeners.listening());
        let (source, operator, engine) = (options.source, options.operator, Arc::new(engine));
        Ok(Self {
            source,
            operator,
            engine,
            lasting,
            current,
            caretaker,
            access,
            listeners,
            door,
            workers,
            plan,
            number: 1,
            signals,
        })
    }

    async fn live(mut self) -> Ending {
        let mut building: Building = None;
        loop {
            match self.next_event(&mut building).await {
                Event::Stop => return self.drain(Ending::Drained).await,
                Event::Reopen => self.access.reopen(),
                Event::Reload => building = Some(self.begin_reload()),
                Event::Built(built) => {
                    building = None;
                    self.finish_reload(*built).await;
                }
                Event::WorkerEnded(number) => {
                    tracing::error!(worker = number, "a worker thread ended by itself, stopping");
                    return self.drain(Ending::Broken).await;
                }
            }
        }
    }

    /// While a build goes on, SIGHUP waits: it may be about a config newer than the one being built.
    async fn next_event(&mut self, building: &mut Building) -> Event {
        let idle = building.is_none();
        let built = async {
            match building {
                Some(build) => build.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.signals.stop.told() => Event::Stop,
            Some(number) = self.workers.next_end() => Event::WorkerEnded(number),
            built = built => Event::Built(Box::new(built.unwrap_or_else(|error| Err(vec![self.broken_build(&error)])))),
            _ = self.signals.reopen.recv() => Event::Reopen,
            _ = self.signals.hangup.recv(), if idle => Event::Reload,
        }
    }

    fn begin_reload(&self) -> JoinHandle<Result<Built, Vec<Problem>>> {
        tracing::info!("reloading");
        let (source, engine, number) = (self.source.clone(), self.engine.clone(), self.number + 1);
        let lasting = self.lasting.clone();
        tokio::task::spawn_blocking(move || reload::rebuild(&source, &engine, &lasting, number))
    }

    async fn finish_reload(&mut self, built: Result<Built, Vec<Problem>>) {
        match built.and_then(|built| self.prepare(&built.plan).map(|prepared| (built, prepared))) {
            Ok((built, prepared)) => self.swap(built, prepared).await,
            Err(problems) => {
                for problem in &problems {
                    tracing::error!(%problem, "config problem");
                }
                tracing::error!(problems = problems.len(), generation = self.number, "reload refused, nothing changed");
            }
        }
    }

    fn prepare(&self, plan: &Plan) -> Result<(Prepared, admin::Prepared), Vec<Problem>> {
        let problems = |refusals: Vec<_>| -> Vec<Problem> {
            refusals.iter().map(|(place, refusal): &(_, Refusal)| Problem::at(place, refusal.to_string())).collect()
        };
        prepare(&self.listeners, &self.door, plan, self.workers.count()).map_err(problems)
    }

    /// The generation goes first, so that new listeners never meet one that does not know them.
    async fn swap(&mut self, built: Built, prepared: (Prepared, admin::Prepared)) {
        let Built { plan, generation, output } = built;
        self.number += 1;
        let generation = Arc::new(generation);
        self.caretaker.attend(generation.pools().to_vec(), &plan.resolvers);
        self.current.swap(generation);
        self.operator.apply(&plan.log);
        self.access.switch(output);
        self.listeners.apply(prepared.0, &self.workers).await;
        self.door.apply(prepared.1, &self.current);
        if plan.threads != self.workers.count() {
            tracing::warn!(
                running = self.workers.count(),
                wanted = plan.threads,
                "`threads` changes at the next start"
            );
        }
        if plan.cache_directory != self.plan.cache_directory {
            tracing::warn!("the cache directory changes at the next start");
        }
        self.plan = plan;
        tracing::info!(generation = self.number, "reloaded");
    }

    async fn drain(mut self, ending: Ending) -> Ending {
        let timeout = self.plan.shutdown_timeout;
        tracing::info!(timeout = ?timeout, "draining");
        self.door.close();
        let ending = tokio::select! {
            () = finish(&mut self.listeners, &mut self.workers) => ending,
            () = tokio::time::sleep(timeout) => {
                tracing::warn!("shutdown-timeout is over, what is still in flight is cut");
                ending
            }
            () = self.signals.stop.told() => {
                tracing::warn!("told to stop again, what is in flight is cut");
                Ending::Hurried
            }
        };
        self.workers.quit();
        let _ = tokio::time::timeout(QUIT, all_end(&mut self.workers)).await;
        self.caretaker.stop().await;
        if !self.access.settle(SETTLE) {
            tracing::error!("the last lines of the access log are not written");
        }
        tracing::info!("stopped");
        ending
    }

    fn broken_build(&self, error: &tokio::task::JoinError) -> Problem {
        let place = Place { file: "config".into(), line: 0, column: 0 };
        Problem::at(&place, format!("the build of generation {} broke: {error}", self.number + 1))
    }
}

/// Everything that is listened on, or every address that cannot be had.
fn prepare(
    listeners: &Listeners,
    door: &admin::Door,
    plan: &Plan,
    threads: usize,
) -> Result<(Prepared, admin::Prepared), Vec<(Place, Refusal)>> {
    match (listeners.prepare(plan, threads), door.prepare(plan.admin.as_ref())) {
        (Ok(listeners), Ok(door)) => Ok((listeners, door)),
        (listeners, door) => Err(listeners.err().into_iter().flatten().chain(door.err()).collect()),
    }
}

async fn finish(listeners: &mut Listeners, workers: &mut Workers) {
    listeners.close().await;
    workers.drain();
    all_end(workers).await;
}

async fn all_end(workers: &mut Workers) {
    while workers.next_end().await.is_some() {}
}

impl Signals {
    fn take() -> io::Result<Self> {
        Ok(Self {
            stop: Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? },
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
        })
    }
}

impl Stop {
    /// SIGTERM or SIGINT. Cancellation safe.
    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
