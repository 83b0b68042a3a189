//! Clients and servers of other people: Python programs in `tests/peers`, h2load, nginx, and a browser without a screen.
//!
//! What they need is installed by `tests/peers.sh`. None of them runs longer than its bound.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use crate::eventually::{PROGRAM, eventually};
use crate::place::Place;
use crate::program::{Finished, finish};
use crate::stream::Stream;

/// A Python program that serves until the value goes.
pub struct Serving {
    child: Child,
    /// What it said when it was ready, such as the port it listens on.
    pub said: String,
}

/// An nginx that serves until the value goes.
pub struct Nginx {
    child: Child,
    place: Place,
}

/// Runs `tests/peers/NAME.py` with these arguments to its end.
#[track_caller]
pub fn python(name: &str, arguments: &[&str]) -> Finished {
    finish(python_command(name, arguments), &Place::fresh())
}

/// The same, when it must go well: what it wrote. A program says what it finds wrong by failing.
#[track_caller]
pub fn python_says(name: &str, arguments: &[&str]) -> String {
    let finished = python(name, arguments);
    assert_eq!(finished.code, Some(0), "{name}.py {arguments:?}: {}", finished.all());
    finished.out
}

/// Starts `tests/peers/NAME.py`, waits for the first line that it writes, and lets it run.
#[track_caller]
pub fn python_serves(name: &str, arguments: &[&str]) -> Serving {
    let mut command = python_command(name, arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}.py does not start: {error}"));
    let mut out = BufReader::new(child.stdout.take().expect("stdout was asked for"));
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let _ = out.read_line(&mut line);
        let _ = tell.send(line.trim().to_owned());
        // A program whose output nobody takes would stop.
        let _ = out.read_to_end(&mut Vec::new());
    });
    let mut serving = Serving { child, said: String::new() };
    serving.said = told.recv_timeout(PROGRAM).unwrap_or_default();
    assert!(!serving.said.is_empty(), "{name}.py was not ready within {PROGRAM:?}");
    serving
}

/// Runs h2load with these arguments to its end.
#[track_caller]
pub fn h2load(arguments: &[&str]) -> Finished {
    let mut command = Command::new("h2load");
    command.args(arguments);
    finish(command, &Place::fresh())
}

/// Lets a browser load a page and gives back what became of it, as HTML, once its scripts have run.
#[track_caller]
pub fn browse(url: &str, arguments: &[&str]) -> Finished {
    let place = Place::fresh();
    let mut command = Command::new("chromium-headless-shell");
    // It does not run as root with its sandbox, and in containers its shared memory is small.
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions"]);
    command.args(["--no-first-run", "--disable-background-networking", "--disable-component-update"]);
    command.arg(format!("--user-data-dir={}", place.join("profile").display()));
    command.args(["--virtual-time-budget=20000", "--timeout=100000"]).args(arguments).args(["--dump-dom", url]);
    finish(command, &place)
}

impl Nginx {
    /// Starts nginx with these lines in its only `server`, and waits until it answers connections.
    #[track_caller]
    pub fn serving(lines: &str) -> Nginx {
        let place = Place::fresh();
        let home = place.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {home}/{kind};\n"))
            .concat();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {home}/pid;\nerror_log {home}/error.log;\nevents {{}}\n\
            http {{\naccess_log off;\n{temporary}server {{\nlisten unix:{home}/socket;\n{lines}\n}}\n}}\n"
        );
        place.write("nginx.conf", config);
        let mut command = Command::new("nginx");
        command.arg("-p").arg(place.path()).arg("-c").arg(place.join("nginx.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("no nginx, run tests/peers.sh: {error}"));
        let mut nginx = Nginx { child, place };
        eventually("nginx listens", || {
            let ended = nginx.child.try_wait().is_ok_and(|status| status.is_some());
            assert!(!ended, "nginx ended: {}", nginx.place.read("error.log"));
            Stream::connect(&nginx.address()).ok()
        });
        nginx
    }

    /// Where it listens, for a client.
    pub fn address(&self) -> String {
        format!("unix:{}", self.place.join("socket").display())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn python_command(name: &str, arguments: &[&str]) -> Command {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python: PathBuf = tests.join(".peers/bin/python");
    assert!(python.is_file(), "{} is missing: run tests/peers.sh", python.display());
    let mut command = Command::new(python);
    command.arg("-B").arg(tests.join("peers").join(format!("{name}.py"))).args(arguments);
    command
}
