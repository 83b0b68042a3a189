//! Programs that serve at a member's address and that the gateway starts itself.
//!
//! One is started when a connect to its member failed for the first time, and kept alive from then on, over reloads that
//! do not change it. Workers only ask and wait, always within a bound; everything else is done on the control thread.
//!
//! When the gateway is killed outright (SIGKILL), its programs live on. The next gateway finds their sockets listening and
//! starts nothing, so they serve until somebody ends them; it cannot end or restart what it did not start.

mod output;
mod process;
mod reach;
mod supervise;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use self::supervise::supervise;
use crate::clock::{self, Duration, Instant};
use crate::config::{Command, MemberAddress};

/// What a caller waits beyond the program's own time to start: for the control thread to take notice and for back-offs
/// shorter than that.
const SLACK: Duration = Duration::from_secs(1);

/// A program, known by its pool, its member, its command and its address; shared by all threads.
#[derive(Debug)]
pub(super) struct Program {
    pool: Arc<str>,
    member: Arc<str>,
    command: Arc<Command>,
    address: MemberAddress,
    /// Somebody could not connect.
    wanted: Notify,
    /// Whoever waits has a receiver.
    phase: watch::Sender<Phase>,
    /// Who sees to it: one, and before that one those that are stopping it.
    attendants: AtomicUsize,
}

/// Where a program is.
#[derive(Debug, Clone)]
enum Phase {
    /// Nothing was done yet.
    Resting,
    /// It runs and does not listen yet.
    Starting,
    /// A connection was accepted. It is told anew for each time somebody asked.
    Listening,
    /// It ended or did not listen, and is not started before `until`.
    Failed { why: Arc<str>, failures: u32, until: Instant },
    /// It was stopped, and nobody sees to it any more.
    Left,
}

/// The programs of the current generation, on the control thread.
#[derive(Debug)]
pub(super) struct Programs {
    attended: Vec<Attended>,
    tasks: JoinSet<()>,
    /// Those that are being stopped, until they have ended.
    leaving: Vec<(MemberAddress, watch::Receiver<()>)>,
}

#[derive(Debug)]
struct Attended {
    program: Arc<Program>,
    stop: Rc<Notify>,
    /// Closed when its task ends.
    ended: watch::Receiver<()>,
}

impl Program {
    /// The program of a member; the same one for the same pool, member, command and address as long as anybody has it.
    #[must_use]
    pub(super) fn of(pool: &Arc<str>, member: &Arc<str>, command: &Arc<Command>, address: &MemberAddress) -> Arc<Self> {
        type Known = HashMap<(Arc<str>, Arc<str>), Vec<Weak<Program>>>;
        static KNOWN: OnceLock<Mutex<Known>> = OnceLock::new();
        let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, programs| programs.iter().any(|program| program.strong_count() > 0));
        let programs = known.entry((pool.clone(), member.clone())).or_default();
        let alive = programs.iter().filter_map(Weak::upgrade);
        if let Some(program) = alive.into_iter().find(|known| known.command == *command && known.address == *address) {
            return program;
        }
        let program = Arc::new(Self {
            pool: pool.clone(),
            member: member.clone(),
            command: command.clone(),
            address: address.clone(),
            wanted: Notify::new(),
            phase: watch::Sender::new(Phase::Resting),
            attendants: AtomicUsize::new(0),
        });
        programs.retain(|program| program.strong_count() > 0);
        programs.push(Arc::downgrade(&program));
        program
    }

    /// For a worker that could not connect: has the program started unless it runs, and waits until the member accepts a
    /// connection, at most a second longer than the program has for starting. Any number of callers wait for one start.
    /// Cancellation safe.
    ///
    /// # Errors
    /// What went wrong, for the operator. While the program fails again and again, most calls fail at once.
    pub(super) async fn listen(&self) -> Result<(), String> {
        let mut phase = self.phase.subscribe();
        let mut last = self.refusal(&phase.borrow_and_update())?;
        self.wanted.notify_one();
        let bound = self.command.start_timeout + SLACK;
        let waited = tokio::time::timeout(bound, async {
            while phase.changed().await.is_ok() {
                let now = phase.borrow_and_update().clone();
                match now {
                    Phase::Listening => return Ok(()),
                    Phase::Resting | Phase::Starting => {}
                    Phase::Failed { .. } | Phase::Left => last = self.refusal(&now)?,
                }
            }
            Err(self.say("nobody sees to it"))
        });
        match waited.await {
            Ok(outcome) => outcome,
            Err(_) => Err(last.unwrap_or_else(|| self.say(&format!("it does not listen after {bound:?}")))),
        }
    }

    /// What is wrong at the moment, if anything; an error when it is not worth waiting for.
    fn refusal(&self, phase: &Phase) -> Result<Option<String>, String> {
        let (why, failures, until) = match phase {
            Phase::Failed { why, failures, until } => (why, failures, until),
            Phase::Left => return Err(self.say("it was stopped and is not started any more")),
            Phase::Resting | Phase::Starting | Phase::Listening => return Ok(None),
        };
        let left = until.saturating_duration_since(clock::now());
        if left < SLACK {
            return Ok(Some(self.say(why)));
        }
        let (count, seconds) = (failures, left.as_secs_f64());
        Err(self.say(&format!("{why}; backing off for {seconds:.1} s more after {count} failures")))
    }

    fn say(&self, why: &str) -> String {
        let name = self.command.argv.first().map_or("", String::as_str);
        format!("the program {name} of member {} of pool {}: {why}", self.member, self.pool)
    }

    fn tell(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Somebody sees to it from now on.
    fn attended(&self) {
        self.attendants.fetch_add(1, Ordering::Relaxed);
        self.tell(Phase::Resting);
    }

    /// It was stopped, which is no news for those who wait for the next start.
    fn left(&self) {
        if self.attendants.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.tell(Phase::Left);
        }
    }

    fn is_waited_for(&self) -> bool {
        self.phase.receiver_count() > 0
    }
}

impl Programs {
    /// None yet.
    #[must_use]
    pub(super) fn start() -> Self {
        Self { attended: Vec::new(), tasks: JoinSet::new(), leaving: Vec::new() }
    }

    /// The programs from now on: those that were there before go on as they are, others are stopped, and a fresh one
    /// waits until whatever had its address before has ended. Must be called on a local runtime.
    pub(super) fn attend(&mut self, programs: Vec<Arc<Program>>) {
        while self.tasks.try_join_next().is_some() {}
        self.leaving.retain(|(_, ended)| ended.has_changed().is_ok());
        let is_wanted = |known: &Attended| programs.iter().any(|program| Arc::ptr_eq(program, &known.program));
        let (staying, leaving): (Vec<_>, Vec<_>) = self.attended.drain(..).partition(is_wanted);
        self.attended = staying;
        for Attended { program, stop, ended } in leaving {
            stop.notify_one();
            self.leaving.push((program.address.clone(), ended));
        }
        for program in programs {
            if !self.attended.iter().any(|known| Arc::ptr_eq(&known.program, &program)) {
                self.begin(program);
            }
        }
    }

    /// Stops all of them, at the same time, and returns when they have ended: after the longest of their stop timeouts
    /// at most, and a little. Cancellation safe, but then the programs that are left are killed.
    pub(super) async fn stop_all(&mut self) {
        self.attend(Vec::new());
        while self.tasks.join_next().await.is_some() {}
    }

    fn begin(&mut self, program: Arc<Program>) {
        let same_place = self.leaving.iter().filter(|(address, _)| *address == program.address);
        let before: Vec<_> = same_place.map(|(_, ended)| ended.clone()).collect();
        program.attended();
        let (end, ended) = watch::channel(());
        let stop = Rc::new(Notify::new());
        let task = supervise(program.clone(), stop.clone());
        self.tasks.spawn_local(async move {
            for mut gone in before {
                let _ = gone.changed().await;
            }
            task.await;
            drop(end);
        });
        self.attended.push(Attended { program, stop, ended });
    }
}
