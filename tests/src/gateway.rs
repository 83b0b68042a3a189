//! The gateway under test: the real program, on ports the system picks, in a directory of its own.
//!
//! What it writes is kept line by line. It is killed when the value goes, and if the test failed its log is shown.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Client;
use crate::config::Config;
use crate::eventually::{PROGRAM, eventually, eventually_within};
use crate::place::Place;
use crate::program::{end_group, groups_led_by_children_of, kill, weir_file};

pub struct Gateway {
    child: Child,
    place: Place,
    log: Lines,
    out: Lines,
}

#[derive(Clone, Copy, Debug)]
pub enum Signal {
    Reload,
    Terminate,
    Interrupt,
    ReopenLogs,
    /// Nothing is said any more.
    Kill,
}

type Lines = Arc<Mutex<Vec<String>>>;

/// What is freed is given back at once. The allocator would keep some of it for seconds, more of it with more processors, and a
/// test that looks at memory would see that instead of what the gateway holds.
const ALLOCATOR: &str = "dirty_decay_ms:0,muzzy_decay_ms:0";

impl Gateway {
    /// Starts `weir run` and waits until it listens.
    #[track_caller]
    pub fn start(config: &Config) -> Gateway {
        let gateway = Gateway::spawn(config);
        // It may have filters to compile.
        eventually_within(PROGRAM, "the gateway listens", || {
            assert!(!gateway.has_ended(), "the gateway ended instead of listening:\n{}", gateway.log().join("\n"));
            (!gateway.addresses_of(None).is_empty()).then_some(())
        });
        gateway
    }

    /// Starts `weir run` and waits for nothing.
    #[track_caller]
    pub fn spawn(config: &Config) -> Gateway {
        let place = Place::fresh();
        config.write(&place);
        Gateway::run(place, &["run", "-c", "weir.toml"])
    }

    /// Starts the program with these arguments in `place`.
    #[track_caller]
    pub fn run(place: Place, arguments: &[&str]) -> Gateway {
        let mut command = Command::new(weir_file());
        command.args(arguments);
        Gateway::launch(place, command)
    }

    /// Starts `weir run` by a Python program that becomes it: the program finds the command line in `sys.argv[1:]`.
    #[track_caller]
    pub fn become_by(config: &Config, python: &str) -> Gateway {
        let place = Place::fresh();
        config.write(&place);
        let mut command = Command::new("python3");
        command.args(["-c", python]).arg(weir_file()).args(["run", "-c", "weir.toml"]);
        Gateway::launch(place, command)
    }

    #[track_caller]
    fn launch(place: Place, mut command: Command) -> Gateway {
        command.current_dir(place.path()).env("_RJEM_MALLOC_CONF", ALLOCATOR);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let out = collect(child.stdout.take().expect("stdout was asked for"));
        let log = collect(child.stderr.take().expect("stderr was asked for"));
        Gateway { child, place, log, out }
    }

    /// A connection to the listener `web`.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(&self.addr("web"))
    }

    /// One GET on a connection of its own.
    #[track_caller]
    pub fn get(&self, target: &str) -> crate::Response {
        self.client().get(target)
    }

    /// Where a listener listens, first address.
    #[track_caller]
    pub fn addr(&self, listener: &str) -> String {
        eventually(&format!("listener {listener} listens"), || self.addresses_of(Some(listener)).into_iter().next())
    }

    /// Where a listener with several addresses listens.
    #[track_caller]
    pub fn addrs(&self, listener: &str, count: usize) -> Vec<String> {
        eventually(&format!("listener {listener} listens on {count} addresses"), || {
            Some(self.addresses_of(Some(listener))).filter(|addresses| addresses.len() >= count)
        })
    }

    /// The log lines so far (stderr).
    pub fn log(&self) -> Vec<String> {
        lines_of(&self.log)
    }

    /// Waits for a log line with this text and returns it.
    #[track_caller]
    pub fn logged(&self, text: &str) -> String {
        eventually(&format!("the log says {text:?}"), || self.log().into_iter().find(|line| line.contains(text)))
    }

    pub fn log_count(&self, text: &str) -> usize {
        self.log().iter().filter(|line| line.contains(text)).count()
    }

    /// The lines on stdout so far.
    pub fn out(&self) -> Vec<String> {
        lines_of(&self.out)
    }

    /// The lines of a file beside the config.
    pub fn lines(&self, file: &str) -> Vec<String> {
        self.place.read(file).lines().map(str::to_owned).collect()
    }

    /// Waits until `access.log` has this many lines.
    #[track_caller]
    pub fn access_lines(&self, count: usize) -> Vec<String> {
        eventually(&format!("access.log has {count} lines"), || {
            Some(self.lines("access.log")).filter(|lines| lines.len() >= count)
        })
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::Reload => "HUP",
            Signal::Terminate => "TERM",
            Signal::Interrupt => "INT",
            Signal::ReopenLogs => "USR1",
            Signal::Kill => "KILL",
        };
        kill(self.pid(), name);
    }

    pub fn rewrite_config(&self, config: &Config) {
        config.write(&self.place);
    }

    /// Has this config read, and waits until it holds.
    #[track_caller]
    pub fn reload(&self, config: &Config) {
        let before = self.log_count("\"reloaded\"");
        self.rewrite_config(config);
        self.signal(Signal::Reload);
        eventually("the new config holds", || (self.log_count("\"reloaded\"") > before).then_some(()));
    }

    /// Waits for the end of the process; the code is absent when a signal ended it.
    #[track_caller]
    pub fn wait_exit(&mut self, bound: Duration) -> Option<i32> {
        let start = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.code(),
                Ok(None) => assert!(start.elapsed() < bound, "the gateway has not ended within {bound:?}"),
                Err(error) => panic!("the gateway cannot be waited for: {error}"),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Memory that it holds now, in KiB. Without pages of files: those of the program's own code come as it is first used, which
    /// in a debug build is tens of MiB that say nothing of what is tested.
    pub fn rss_kib(&self) -> u64 {
        self.memory("RssAnon:") + self.memory("RssShmem:")
    }

    /// The most memory that was ever resident, in KiB, pages of files with it: compare it with itself.
    pub fn peak_rss_kib(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Threads of the process.
    pub fn threads(&self) -> u64 {
        self.memory("Threads:")
    }

    /// Open descriptors of the process.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, |entries| entries.count())
    }

    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("no {name} of process {}", self.pid()))
    }

    fn addresses_of(&self, listener: Option<&str>) -> Vec<String> {
        let lines = self.log();
        let listening = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        listening
            .filter(|line| log_field(line, "message") == Some("listening"))
            .filter(|line| listener.is_none() || log_field(line, "listener") == listener)
            .filter_map(|line| log_field(&line, "address").map(str::to_owned))
            .collect()
    }

    /// Whether the process is over, waited for or not.
    pub fn has_ended(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let programs = groups_led_by_children_of(self.pid());
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A gateway that is killed leaves the programs that it started.
        programs.into_iter().for_each(end_group);
        if thread::panicking() {
            let log = self.log();
            let tail = &log[log.len().saturating_sub(60)..];
            eprintln!("--- weir.toml\n{}--- log\n{}\n---", self.place.read("weir.toml"), tail.join("\n"));
        }
    }
}

/// A field of a JSON log line.
fn log_field<'a>(line: &'a Value, name: &str) -> Option<&'a str> {
    line.get(name).or_else(|| line.get("fields")?.get(name)).and_then(Value::as_str)
}

fn collect(pipe: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let kept = Arc::clone(&lines);
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            kept.lock().expect("no thread panics with the lines locked").push(text);
            line.clear();
        }
    });
    lines
}

fn lines_of(lines: &Lines) -> Vec<String> {
    lines.lock().expect("no thread panics with the lines locked").clone()
}
