//! Members that the gateway starts itself: on need, again when they die, never longer than it runs, and nobody waits for
//! one that does not come.

use std::fs;
use std::time::Instant;

use weir_tests::{Config, Gateway, PATIENCE, Place, RefusedPort, Signal, eventually};

/// A server that says in `X-Member` which process it is, and in its body what it was asked for. It listens at what its
/// first argument says: a port of 127.0.0.1, or the path of a socket.
const SERVER: &str = r#"
import http.server, os, socketserver, sys
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = (self.path + " " + os.environ.get("COLOUR", "none") + " " + os.getcwd()).encode()
        self.send_response(200)
        self.send_header("X-Member", str(os.getpid()))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def address_string(self):
        return "client"
    def log_message(self, format, *args):
        print("served", self.path, flush=True)
where = sys.argv[1]
if where.startswith("/"):
    if os.path.exists(where):
        os.unlink(where)
    Server, address = socketserver.ThreadingUnixStreamServer, where
else:
    Server, address = socketserver.ThreadingTCPServer, ("127.0.0.1", int(where))
Server.allow_reuse_address = True
Server.daemon_threads = True
print("about to listen", flush=True)
print("a complaint", file=sys.stderr, flush=True)
Server(address, Answer).serve_forever()
"#;

/// A member with a program and these further keys of `command`.
fn member(url: &str, argv: &[&str], more: &str) -> String {
    format!("{{ url = \"{url}\", command = {{ argv = {argv:?}{more} }} }}")
}

/// The server at a port, as the only member.
fn server(port: &RefusedPort, more: &str) -> Config {
    let member = member(&port.url(), &["python3", "{place}/server.py", &port.port().to_string()], more);
    Config::of(&[member]).file("server.py", SERVER).top("shutdown-timeout = \"5s\"")
}

/// The process that serves.
fn process(gateway: &Gateway) -> u32 {
    gateway.get("/").expect(200).field("x-member").parse().expect("the server says a number")
}

/// Whether a process is there, and not only as a remainder that nobody has waited for.
fn is_alive(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn kill(process: u32) {
    let killed = std::process::Command::new("sh").args(["-c", &format!("kill -KILL {process}")]).status();
    assert!(killed.is_ok_and(|status| status.success()));
}

#[test]
fn a_program_is_started_by_the_first_request_and_serves_the_next_ones_too() {
    let port = RefusedPort::take();
    let gateway = Gateway::start(&server(&port, ""));
    assert_eq!(gateway.log_count("started a program"), 0, "nobody needs it yet");
    let first = process(&gateway);
    assert!(is_alive(first));
    for _ in 0..5 {
        assert_eq!(process(&gateway), first);
    }
    assert_eq!(gateway.log_count("started a program"), 1);
    for line in ["about to listen", "a complaint", "served /"] {
        gateway.logged(line);
    }
}

#[test]
fn requests_that_come_together_start_one_program_and_all_are_served() {
    let port = RefusedPort::take();
    let gateway = Gateway::start(&server(&port, "").top("threads = 2"));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| process(&gateway))).collect();
        let processes: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        assert!(processes.iter().all(|process| *process == processes[0]), "{processes:?}");
    });
    assert_eq!(gateway.log_count("started a program"), 1);
}

#[test]
fn a_program_that_is_killed_is_started_again() {
    let port = RefusedPort::take();
    let gateway = Gateway::start(&server(&port, ""));
    let mut before = process(&gateway);
    for round in 1..=2 {
        kill(before);
        eventually("its end is noticed", || (gateway.log_count("a program failed") == round).then_some(()));
        // Nobody has to ask for it, and whoever asks meanwhile waits for it.
        let after = process(&gateway);
        assert_ne!(after, before);
        assert!(!is_alive(before));
        before = after;
    }
    assert_eq!(gateway.log_count("started a program"), 3);
}

#[test]
fn a_program_ends_with_the_gateway_and_with_its_member() {
    let (port, other) = (RefusedPort::take(), RefusedPort::take());
    let mut gateway = Gateway::start(&server(&port, ""));
    let first = process(&gateway);
    // A reload that does not concern it leaves it alone.
    gateway.rewrite_config(&server(&port, "").pool("keepalive = false"));
    gateway.signal(Signal::Reload);
    gateway.logged("\"reloaded\"");
    assert_eq!(process(&gateway), first);
    gateway.rewrite_config(&Config::of(&[other.url()]).top("shutdown-timeout = \"5s\""));
    gateway.signal(Signal::Reload);
    eventually("it ends with its member", || (!is_alive(first)).then_some(()));
    gateway.rewrite_config(&server(&port, ""));
    gateway.signal(Signal::Reload);
    eventually("the config holds", || (gateway.log_count("\"reloaded\"") == 3).then_some(()));
    let second = process(&gateway);
    assert_ne!(second, first);
    gateway.signal(Signal::Terminate);
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
    assert!(!is_alive(second));
    gateway.logged("stopping a program");
}

#[test]
fn a_program_that_does_not_want_to_end_is_killed() {
    let port = RefusedPort::take();
    let deaf = format!("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SERVER}");
    let config = server(&port, ", stop-timeout = \"300ms\"").file("server.py", deaf);
    let mut gateway = Gateway::start(&config);
    let process = process(&gateway);
    gateway.signal(Signal::Terminate);
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
    assert!(!is_alive(process));
}

#[test]
fn nobody_waits_for_a_program_that_does_not_listen() {
    let port = RefusedPort::take();
    // One that never listens, one that ends at once, and one that ends with a complaint.
    let cases: [(&[&str], &str); 3] = [
        (&["sleep", "600"], "did not listen"),
        (&["true"], "did not listen"),
        (&["sh", "-c", "echo no such luck >&2; exit 3"], "no such luck"),
    ];
    for (argv, line) in cases {
        let config = Config::of(&[member(&port.url(), argv, ", start-timeout = \"500ms\"")]);
        let gateway = Gateway::start(&config);
        let began = Instant::now();
        for _ in 0..3 {
            let response = gateway.get("/");
            assert!(matches!(response.status, 502..=504), "{argv:?}: {response}");
        }
        assert!(began.elapsed() < PATIENCE, "{argv:?}: {:?}", began.elapsed());
        gateway.logged(line);
    }
}

#[test]
fn neighbours_serve_while_a_program_does_not() {
    let (port, other) = (RefusedPort::take(), weir_tests::Origin::named("other"));
    let broken = member(&port.url(), &["true"], ", start-timeout = \"500ms\"");
    let gateway = Gateway::start(&Config::of(&[broken, other.url()]));
    assert_eq!(gateway.client().tally(10).get("other"), Some(&10));
}

#[test]
fn a_program_listens_on_a_socket_with_the_environment_and_directory_it_is_given() {
    let place = Place::fresh();
    let path = place.join("app.sock");
    let (socket, directory) = (path.display().to_string(), fs::canonicalize(place.path()).unwrap());
    let more = format!(
        ", environment = {{ COLOUR = \"green\" }}, inherit-environment = false, directory = \"{}\"",
        place.path().display()
    );
    let member = member(&format!("unix:{socket}"), &["python3", "{place}/server.py", &socket], &more);
    let gateway = Gateway::start(&Config::of(&[member]).file("server.py", SERVER));
    assert_eq!(gateway.get("/x").expect(200).text(), format!("/x green {}", directory.display()));
}
