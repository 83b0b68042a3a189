//! Programs that run to their end: `weir check` and its like, and curl.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::eventually::{PROGRAM, eventually_within};
use crate::place::Place;

#[derive(Debug)]
pub struct Finished {
    /// Absent when a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Finished {
    /// Both outputs, for tests to which it does not matter where a text stood.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// Runs `weir` with these arguments in `place`.
#[track_caller]
pub fn weir(place: &Place, arguments: &[&str]) -> Finished {
    let mut command = Command::new(weir_file());
    command.args(arguments).current_dir(place.path());
    finish(command, place)
}

/// The same with less of something, as the shell's `ulimit` takes it away: `-v 1000000`.
#[track_caller]
pub fn weir_within(limit: &str, place: &Place, arguments: &[&str]) -> Finished {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")]).arg(weir_file());
    command.args(arguments).current_dir(place.path());
    finish(command, place)
}

/// Runs curl, quietly and with a bound of its own.
#[track_caller]
pub fn curl(arguments: &[&str]) -> Finished {
    let place = Place::fresh();
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "110"]).args(arguments).current_dir(place.path());
    finish(command, &place)
}

/// The program under test: `WEIR_BIN`, or what the same build made.
pub(crate) fn weir_file() -> PathBuf {
    if let Some(file) = std::env::var_os("WEIR_BIN") {
        return PathBuf::from(file);
    }
    let test = std::env::current_exe().expect("a running program has a file");
    let built = test.ancestors().map(|folder| folder.join("weir")).find(|file| file.is_file());
    built.unwrap_or_else(|| panic!("no `weir` beside {}: run `cargo build -p weir` or set WEIR_BIN", test.display()))
}

/// A filter that `make filters` has built: `url_rewrite`, `hostile`.
#[track_caller]
pub fn filter_file(name: &str) -> PathBuf {
    let folder = std::env::var_os("WEIR_FILTERS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../filters/out"));
    let file = folder.join(format!("{name}.wasm"));
    assert!(file.is_file(), "{} is missing: run `make filters`", file.display());
    file
}

#[track_caller]
pub(crate) fn finish(mut command: Command, place: &Place) -> Finished {
    let open = |name: &str| File::create(place.join(name)).expect("the test's own directory is writable");
    command.stdin(Stdio::null()).stdout(open(".stdout")).stderr(open(".stderr"));
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let mut child = Bounded(child);
    let status = eventually_within(PROGRAM, &format!("{command:?} ends"), || child.0.try_wait().ok().flatten());
    Finished { code: status.code(), out: place.read(".stdout"), err: place.read(".stderr") }
}

/// A program that does not outlive the test that waits for it.
struct Bounded(Child);

impl Drop for Bounded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a signal by its name. The shell's own `kill` is on every machine.
pub(crate) fn kill(process: u32, signal: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {process}")]).status();
    assert!(sent.is_ok_and(|status| status.success()), "no signal to process {process}");
}

/// The process groups whose leaders are children of a process (proc(5), /proc/PID/stat).
pub(crate) fn groups_led_by_children_of(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let stats = entries.filter_map(|entry| {
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((number, std::fs::read_to_string(entry.path().join("stat")).ok()?))
    });
    stats
        .filter(|(number, stat)| {
            let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(1);
            let mut next = || fields.next().and_then(|field| field.parse::<u32>().ok());
            (next(), next()) == (Some(parent), Some(*number))
        })
        .map(|(number, _)| number)
        .collect()
}

/// Kills what is left of a process group.
pub(crate) fn end_group(group: u32) {
    let _ = Command::new("sh").args(["-c", &format!("kill -s KILL -- -{group} 2>/dev/null")]).status();
}
