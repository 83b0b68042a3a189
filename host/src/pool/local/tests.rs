//! Real programs: small servers on Unix sockets in a directory of the test's own, and shells that misbehave.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, LocalOptions};
use tracing_subscriber::layer::SubscriberExt as _;

use super::reach::accepts;
use super::*;

/// Listens at `socket`, having written its number to `starts`; what SIGTERM does comes first.
const SERVER: &str = "
import os, signal, socket
def bye(*_):
    open('bye', 'w').close()
    os._exit(0)
signal.signal(signal.SIGTERM, BYE)
open('starts', 'a').write('%d\\n' % os.getpid())
if os.path.exists('socket'):
    os.unlink('socket')
server = socket.socket(socket.AF_UNIX)
server.bind('socket')
server.listen(64)
while True:
    server.accept()[0].close()
";

/// A directory, and the programs that run in it.
struct World {
    place: PathBuf,
    programs: Programs,
}

impl World {
    fn begin() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let place = std::env::temp_dir().join(format!("weir-local-{}-{number}", process::id()));
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).unwrap();
        Self { place, programs: Programs::start() }
    }

    fn command(&self, argv: &[&str]) -> Command {
        Command {
            argv: argv.iter().map(ToString::to_string).collect(),
            environment: Vec::new(),
            inherit_environment: true,
            user: None,
            group: None,
            directory: Some(self.place.clone()),
            start_timeout: Duration::from_secs(20),
            stop_timeout: Duration::from_secs(20),
        }
    }

    fn server(&self) -> Command {
        self.command(&["python3", "-c", &SERVER.replace("BYE", "bye")])
    }

    fn address(&self) -> MemberAddress {
        MemberAddress::Unix(self.place.join("socket"))
    }

    fn program(&self, command: Command) -> Arc<Program> {
        Program::of(&"app".into(), &self.place.display().to_string().into(), &Arc::new(command), &self.address())
    }

    /// Attends to one program.
    fn attend(&mut self, command: Command) -> Arc<Program> {
        let program = self.program(command);
        self.programs.attend(vec![program.clone()]);
        program
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.place.join(name)).unwrap_or_default()
    }

    /// The numbers of the processes that were started, in order.
    fn starts(&self) -> Vec<String> {
        self.read("starts").lines().map(str::to_owned).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.place);
    }
}

fn locally(test: impl Future<Output = ()>) {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap().block_on(test);
}

async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let within = tokio::time::timeout(Duration::from_secs(30), async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    within.await.expect("not within 30 s");
}

/// Whether a process runs; one that has ended and waits for its parent does not.
fn runs(number: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(number).join("stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

fn kill(number: &str) {
    assert!(process::Command::new("sh").args(["-c", &format!("kill -9 {number}")]).status().unwrap().success());
}

#[test]
fn one_start_on_need_is_waited_for_by_all() {
    locally(async {
        let mut world = World::begin();
        let program = world.attend(world.server());
        assert!(!accepts(&world.address()).await);
        assert!(world.starts().is_empty(), "nobody needed it yet");
        let mut waiting = JoinSet::new();
        for _ in 0..50 {
            let program = program.clone();
            waiting.spawn_local(async move { program.listen().await });
        }
        assert!(waiting.join_all().await.iter().all(Result::is_ok));
        assert!(accepts(&world.address()).await);
        assert_eq!(program.listen().await, Ok(()), "a member that listens is no news");
        assert_eq!(world.starts().len(), 1);
        world.programs.stop_all().await;
        assert!(!runs(&world.starts()[0]) && world.place.join("bye").exists());
        assert!(program.listen().await.unwrap_err().ends_with("it was stopped and is not started any more"));
        world.programs.attend(vec![program.clone()]);
        assert_eq!(program.listen().await, Ok(()), "it is attended to again");
        world.programs.stop_all().await;
    });
}

#[test]
fn what_listens_already_is_left_alone() {
    locally(async {
        let mut world = World::begin();
        let listener = UnixListener::bind(world.place.join("socket")).unwrap();
        let program = world.attend(world.server());
        assert_eq!(program.listen().await, Ok(()));
        assert!(world.starts().is_empty());
        drop(listener);
        assert_eq!(program.listen().await, Ok(()));
        assert_eq!(world.starts().len(), 1, "now it is needed");
        world.programs.stop_all().await;
    });
}

#[test]
fn a_program_that_dies_is_started_again_unasked() {
    locally(async {
        let mut world = World::begin();
        let program = world.attend(world.server());
        program.listen().await.unwrap();
        for round in 1..=2 {
            kill(world.starts().last().unwrap());
            eventually(async || world.starts().len() > round && accepts(&world.address()).await).await;
        }
        assert_eq!(program.listen().await, Ok(()));
        world.programs.stop_all().await;
        assert!(world.starts().iter().all(|number| !runs(number)));
    });
}

#[test]
fn a_program_that_ends_at_once_is_started_less_and_less_often() {
    locally(async {
        let mut world = World::begin();
        let program = world.attend(world.command(&["sh", "-c", "echo $$ >> starts; exit 3"]));
        let why = program.listen().await.unwrap_err();
        assert!(why.contains("it ended (exit status: 3) and did not listen; backing off for 1."), "{why}");
        assert!(why.starts_with("the program sh of member /") && why.contains(" of pool app: "), "{why}");
        assert_eq!(world.starts().len(), 5, "100, 200, 400 and 800 ms were worth waiting for");
        let wait = program.phase.borrow().clone();
        let Phase::Failed { until, .. } = wait else { panic!("{wait:?}") };
        let _ = program.listen().await;
        assert!(world.starts().len() == 5 || clock::now() >= until, "being asked does not shorten the wait");
        world.programs.stop_all().await;
    });
}

#[test]
fn a_program_that_does_not_listen_is_ended_and_the_wait_is_bounded() {
    locally(async {
        let mut world = World::begin();
        let start_timeout = Duration::from_millis(300);
        let sleeper = world.command(&["sh", "-c", "echo $$ >> starts; exec sleep 1000"]);
        let program = world.attend(Command { start_timeout, ..sleeper });
        let begun = clock::now();
        let why = program.listen().await.unwrap_err();
        assert!(why.contains("it did not listen within 300ms"), "{why}");
        assert!(clock::now() - begun < Duration::from_secs(10));
        world.programs.stop_all().await;
        assert!(!world.starts().is_empty() && world.starts().iter().all(|number| !runs(number)));

        let program = world.program(Command { start_timeout, ..world.server() });
        let why = program.listen().await.unwrap_err();
        assert!(why.contains("it does not listen after 1.3s"), "nobody attends to it: {why}");
    });
}

#[test]
fn a_program_that_is_not_there_is_said_to_be_so() {
    locally(async {
        let mut world = World::begin();
        let program = world.attend(world.command(&["/no/such/program"]));
        let why = program.listen().await.unwrap_err();
        assert!(why.contains("it cannot be started: No such file"), "{why}");
        world.programs.stop_all().await;
    });
}

#[test]
fn who_ignores_sigterm_is_killed_with_all_its_group() {
    locally(async {
        let mut world = World::begin();
        let server = SERVER.replace("BYE", "signal.SIG_IGN");
        fs::write(world.place.join("server.py"), server).unwrap();
        let script = "trap '' TERM; sleep 1000 & echo $! >> starts; exec python3 server.py";
        let stop_timeout = Duration::from_millis(300);
        let program = world.attend(Command { stop_timeout, ..world.command(&["sh", "-c", script]) });
        program.listen().await.unwrap();
        let starts = world.starts();
        assert!(starts.len() == 2 && starts.iter().all(|number| runs(number)), "{starts:?}");
        let begun = clock::now();
        world.programs.stop_all().await;
        assert!(clock::now() - begun >= stop_timeout);
        assert!(!starts.iter().any(|number| runs(number)) && !world.place.join("bye").exists());
    });
}

#[test]
fn the_same_program_goes_on_over_a_reload_and_a_changed_one_follows_it() {
    locally(async {
        let mut world = World::begin();
        let program = world.attend(world.server());
        program.listen().await.unwrap();
        let same = world.attend(world.server());
        assert!(Arc::ptr_eq(&program, &same));
        same.listen().await.unwrap();
        assert_eq!(world.starts().len(), 1);

        let changed = Command { environment: vec![("GREETING".into(), "hello".into())], ..world.server() };
        let changed = world.attend(changed);
        assert!(!Arc::ptr_eq(&program, &changed));
        changed.listen().await.unwrap();
        let starts = world.starts();
        assert_eq!(starts.len(), 2);
        assert!(!runs(&starts[0]) && runs(&starts[1]), "one after the other");

        world.programs.attend(Vec::new());
        eventually(async || !runs(&starts[1])).await;
        world.programs.stop_all().await;
    });
}

/// As when a config loses a member and has it again before the program has ended.
#[test]
fn a_program_that_comes_back_while_it_is_stopped_is_started_again() {
    locally(async {
        let mut world = World::begin();
        let program = world.attend(world.server());
        program.listen().await.unwrap();
        world.programs.attend(Vec::new());
        world.programs.attend(vec![program.clone()]);
        assert_eq!(program.listen().await, Ok(()));
        let starts = world.starts();
        assert!(starts.len() == 2 && !runs(&starts[0]) && runs(&starts[1]), "{starts:?}");
        world.programs.stop_all().await;
        assert!(program.listen().await.unwrap_err().ends_with("it was stopped and is not started any more"));
    });
}

#[test]
fn a_program_gets_what_was_set_for_it_and_its_words_are_logged() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let to = log.clone();
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || Shared(to.clone()));
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines));
    let is_root = fs::metadata("/proc/self").is_ok_and(|data| std::os::unix::fs::MetadataExt::uid(&data) == 0);
    locally(async {
        let mut world = World::begin();
        let script = "pwd; echo \"$GREETING ${HOME-homeless}\"; echo trouble >&2; echo ids $(id -u) $(id -G); \
                      yes | head -n 1000; exec sleep 1000";
        let environment = vec![
            ("GREETING".to_owned(), "hello".to_owned()),
            ("PATH".to_owned(), std::env::var("PATH").unwrap_or_default()),
        ];
        let start_timeout = Duration::from_secs(5);
        let command = world.command(&["sh", "-c", script]);
        let mut command = Command { environment, inherit_environment: false, start_timeout, ..command };
        if is_root {
            (command.user, command.group) = (Some(65_534), Some(65_533));
        }
        let program = world.attend(command);
        assert!(program.listen().await.is_err());
        world.programs.stop_all().await;
        let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
        let place = world.place.display();
        let stdout = format!("pool=app member={place} stream=\"stdout\"");
        assert!(text.contains(&format!("{place} {stdout}")), "{text}");
        assert!(text.contains(&format!("hello homeless {stdout}")), "{text}");
        assert!(text.contains(&format!("trouble pool=app member={place} stream=\"stderr\"")), "{text}");
        assert!(!is_root || text.contains("ids 65534 65533 pool=app"), "{text}");
        assert!(text.contains("a program writes more than 100 lines a second") && text.contains("dropped="), "{text}");
    });
    drop(guard);
}

struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
