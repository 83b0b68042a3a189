//! No path leaves its root: whatever it says, however it is spelled, whatever lies there, and whatever is moved meanwhile;
//! asked for by a client, named by an upstream as `X-Sendfile` or as `X-Accel-Redirect`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use weir_tests::origin::{Behaviour, Then};
use weir_tests::{Client, Config, Gateway, Origin, PATIENCE, Place, Response, Tree, behaviour, eventually, weir};

const SECRET: &str = "what nobody may see";
const INSIDE: &str = "what everybody may see";
/// Of files that are there and may not be had, the answers that say so.
const REFUSED: [u16; 3] = [400, 403, 404];

const CONFIG: &str = r#"
[listener.web]
bind = "127.0.0.1:0"
[pool.app]
member = ["{origin}"]
[files]
open = {open}
revalidate = "10ms"
[root.deny]
path = "{tree}/www"
symlinks = "deny"
accel = true
[root.beneath]
path = "{tree}/linked"
symlinks = "beneath"
accel = true
temporary = true
[site.all]
[[site.all.route]]
path = "/deny"
root = "deny"
strip-prefix = true
[[site.all.route]]
path = "/beneath"
root = "beneath"
strip-prefix = true
[[site.all.route]]
path = "/internal/deny"
root = "deny"
strip-prefix = true
internal = true
[[site.all.route]]
path = "/internal/beneath"
root = "beneath"
strip-prefix = true
internal = true
[[site.all.route]]
path = "/app"
pool = "app"
"#;

/// Who names a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Client,
    Sendfile,
    Redirect,
}

const WAYS: [By; 3] = [By::Client, By::Sendfile, By::Redirect];

struct World {
    tree: Tree,
    _origin: Origin,
    gateway: Gateway,
    has_device: bool,
}

impl World {
    fn stand() -> World {
        World::with("")
    }

    /// With more lines at the config's top.
    fn with(top: &str) -> World {
        let tree = Tree::fresh();
        let has_device = plant(&tree);
        let origin = Origin::that(repeats());
        let config = Config::text(CONFIG).fill("origin", &origin.url()).fill("tree", &tree.path("")).top(top);
        let config = config.fill("open", if top.contains("threads") { "0" } else { "64" });
        World { gateway: Gateway::start(&config), tree, _origin: origin, has_device }
    }

    /// Has a path below a root named, percent-encoded where that is usual.
    fn try_ask(&self, client: &mut Client, by: By, root: &str, path: &str) -> std::io::Result<Response> {
        let request = match by {
            By::Client => format!("GET /{root}/{path} HTTP/1.1\r\nHost: x\r\n\r\n"),
            By::Sendfile => {
                let directory = self.tree.path(if root == "deny" { "www" } else { "linked" });
                format!("GET /app HTTP/1.1\r\nHost: x\r\nSay: X-Sendfile: {directory}/{path}\r\n\r\n")
            }
            By::Redirect => {
                format!("GET /app HTTP/1.1\r\nHost: x\r\nSay: X-Accel-Redirect: /internal/{root}/{path}\r\n\r\n")
            }
        };
        client.try_send(request)?;
        client.try_response()
    }

    #[track_caller]
    fn ask(&self, by: By, root: &str, path: &str) -> Response {
        let answer = self.try_ask(&mut self.gateway.client(), by, root, path);
        answer.unwrap_or_else(|error| panic!("{path:?} by {by:?}: {error}"))
    }

    /// Has an upstream say this line.
    #[track_caller]
    fn said(&self, line: &str) -> Response {
        self.gateway.client().ask("/app", &[("Say", line)])
    }

    /// The path is not served, nor is anything told of what lies there, and the next one is served well.
    #[track_caller]
    fn refuses(&self, by: By, root: &str, path: &str) {
        let response = self.ask(by, root, path);
        assert!(REFUSED.contains(&response.status), "{path:?} by {by:?}: {response}");
        harmless(&response, path);
        let canary = self.ask(by, "deny", "a.txt");
        assert_eq!((canary.status, canary.text().as_str()), (200, INSIDE), "after {path:?} by {by:?}");
    }
}

/// Says the line that the request tells it in `Say`.
fn repeats() -> Behaviour {
    behaviour::does(|exchange| {
        exchange.read_body()?;
        let line = exchange.request.fields.get("say").unwrap_or_default();
        let line: Vec<u8> = line.chars().map(|byte| u8::try_from(u32::from(byte)).unwrap_or(b'?')).collect();
        exchange.write([b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", &line[..], b"\r\n\r\nbody"].concat())?;
        Ok(Then::Keep)
    })
}

/// What there is beneath the roots, and beside them. Whether there is a device, too.
fn plant(tree: &Tree) -> bool {
    tree.file("outside/secret", SECRET).file("outside/a.txt", SECRET).file("www-beside/secret", SECRET);
    tree.file("secret", SECRET);
    for root in ["www", "linked"] {
        let at = |name: &str| format!("{root}/{name}");
        tree.file(&at("a.txt"), INSIDE).file(&at("sub/deep/a.txt"), INSIDE).file(&at(".hidden"), SECRET);
        tree.file(&at(".git/config"), SECRET).directory(&at("directory"));
        tree.link(&at("absolute"), &tree.path("outside/secret")).link(&at("relative"), "../outside/secret");
        tree.link(&at("absolute-directory"), &tree.path("outside")).link(&at("relative-directory"), "../outside");
        tree.link(&at("up"), "..").link(&at("root"), "/").link(&at("sub/deep/up"), "../../../outside");
        tree.link(&at("chain-1"), "chain-2").link(&at("chain-2"), "sub/chain-3");
        tree.link(&at("sub/chain-3"), "../../outside/secret");
        // Out and in again: where it ends is not where it went.
        tree.link(&at("round"), &format!("../{root}/a.txt")).link(&at("round-absolute"), &tree.path(&at("a.txt")));
        tree.link(&at("loop"), "loop").link(&at("loop-1"), "loop-2").link(&at("loop-2"), "loop-1");
        tree.link(&at("nowhere"), "not-there");
        tree.link(&at("own"), "/proc/self/root").link(&at("cwd"), "/proc/self/cwd/weir.toml");
        tree.link(&at("environ"), "/proc/self/environ").link(&at("program"), "/proc/self/exe");
        for descriptor in 0..20 {
            tree.link(&at(&format!("fd-{descriptor}")), &format!("/proc/self/fd/{descriptor}"));
        }
        tree.link(&at("within"), "a.txt").link(&at("sub/within"), "../a.txt").link(&at("within-directory"), "sub/deep");
        tree.link(&at("to-hidden"), ".git/config").link(&at("to-pipe"), "pipe");
        tree.pipe(&at("pipe")).socket(&at("socket"));
        tree.hard_link(&at("hard"), "outside/a.txt");
    }
    tree.device("www/device") & tree.device("linked/device")
}

#[track_caller]
fn harmless(response: &Response, what: &str) {
    let all = response.to_string() + &response.text();
    assert!(!all.contains(SECRET) && !all.contains("root:"), "{what:?}: {response}");
}

#[test]
fn dots_never_climb_however_they_are_spelled() {
    let world = World::stand();
    let mut paths = vec![
        "..".to_owned(),
        "../".to_owned(),
        "../..".to_owned(),
        "sub/../../outside/secret".to_owned(),
        "sub/deep/../../../outside/secret".to_owned(),
        "not-there/../../outside/secret".to_owned(),
        "a.txt/../../outside/secret".to_owned(),
        "./../outside/secret".to_owned(),
        ".//../outside/secret".to_owned(),
        "//../outside/secret".to_owned(),
        "/outside/secret".to_owned(),
        "..;/outside/secret".to_owned(),
        "..;x=1/outside/secret".to_owned(),
        "....//outside/secret".to_owned(),
        "..././outside/secret".to_owned(),
        "www-beside/secret".to_owned(),
        "../www-beside/secret".to_owned(),
        "-beside/secret".to_owned(),
    ];
    for dots in [
        "..",
        "%2e%2e",
        "%2E.",
        ".%2e",
        "%252e%252e",
        "%25%32%65%25%32%65",
        "%c0%ae%c0%ae",
        "%e0%80%ae%e0%80%ae",
        "%uff0e%uff0e",
        "..%00",
        "%00..",
        "..%0a",
        "..%20",
        "%ef%bc%8e%ef%bc%8e",
        "..\\",
        "..%5c",
    ] {
        for slash in ["/", "%2f", "%2F", "%252f", "%5c", "\\", "%c0%af", "%e2%88%95", "//", "/./"] {
            paths.push(format!("{dots}{slash}outside{slash}secret"));
            paths.push(format!("sub{slash}{dots}{slash}{dots}{slash}outside{slash}secret"));
        }
    }
    for by in WAYS {
        let mut client = world.gateway.client();
        for path in &paths {
            let response = world.try_ask(&mut client, by, "deny", path);
            let response = response.unwrap_or_else(|error| panic!("{path:?} by {by:?}: {error}"));
            // What an upstream may not even say is no answer of it.
            assert!(REFUSED.contains(&response.status) || response.status == 502, "{path:?} by {by:?}: {response}");
            harmless(&response, path);
            if response.says_close() {
                client = world.gateway.client();
            }
        }
        assert_eq!(world.ask(by, "deny", "sub/deep/a.txt").expect(200).text(), INSIDE, "by {by:?}");
    }
}

#[test]
fn an_upstream_names_nothing_but_files_below_roots() {
    let world = World::stand();
    let [root, outside] = [world.tree.path("www"), world.tree.path("outside/secret")];
    let mut table = vec![
        outside.clone(),
        format!("file://{outside}"),
        format!("{root}-beside/secret"),
        format!("{root}/../outside/secret"),
        format!("{root}/%2e%2e/outside/secret"),
        format!("{root}/sub/../../outside/secret"),
        format!("{root}/relative"),
        format!("/{root}/../outside/secret"),
        format!("{root}{outside}"),
        format!("{root}/a.txt/"),
        format!("{root}/a.txt/x"),
        root.clone(),
        format!("{root}/"),
        format!("{root}/directory"),
        format!("{root}/.hidden"),
        "relative".to_owned(),
        "../outside/secret".to_owned(),
        "a.txt".to_owned(),
        "/etc/passwd".to_owned(),
        "//etc/passwd".to_owned(),
        "/../../../../../../etc/passwd".to_owned(),
        "http://127.0.0.1:1/etc/passwd".to_owned(),
        "/".to_owned(),
        ".".to_owned(),
        "..".to_owned(),
        "~root/.profile".to_owned(),
        "@".to_owned(),
        "@nobody".to_owned(),
        "%".to_owned(),
        "/%".to_owned(),
        "/%zz".to_owned(),
        "/%00".to_owned(),
        format!("{root}/%00"),
        format!("{root}/a.txt%00.html"),
        format!("/{}", "a/".repeat(3000)),
        format!("{root}/{}", "x".repeat(5000)),
    ];
    table.extend((0..20).map(|descriptor| format!("/proc/self/fd/{descriptor}")));
    for value in &table {
        for name in ["X-Sendfile", "X-Accel-Redirect", "X-SENDFILE", "x-accel-redirect"] {
            let response = world.said(&format!("{name}: {value}"));
            let refused = [400, 403, 404, 500, 502].contains(&response.status);
            assert!(refused, "{name}: {value:?} got {response}");
            harmless(&response, value);
            assert!(!response.text().contains(&root), "{name}: {value:?} tells of paths: {response}");
        }
    }
    assert_eq!(world.said(&format!("X-Sendfile: {root}/a.txt")).expect(200).text(), INSIDE);
    assert_eq!(world.gateway.log_count("panicked"), 0);
}

#[test]
fn links_that_lead_out_lead_nowhere() {
    let world = World::stand();
    let mut names: Vec<String> = [
        "absolute",
        "relative",
        "absolute-directory/secret",
        "relative-directory/secret",
        "up/outside/secret",
        "up/secret",
        "root/etc/passwd",
        "sub/deep/up/secret",
        "chain-1",
        "chain-2",
        "sub/chain-3",
        "round",
        "round-absolute",
        "up/www/a.txt",
        "up/linked/a.txt",
        "loop",
        "loop-1",
        "loop/a.txt",
        "nowhere",
        "nowhere/x",
        "own/etc/passwd",
        "cwd",
        "environ",
        "program",
        "absolute-directory",
        "relative-directory",
        "up",
        "root",
        "own",
        "to-hidden",
        "to-pipe",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend((0..20).map(|descriptor| format!("fd-{descriptor}")));
    for by in WAYS {
        for name in &names {
            world.refuses(by, "deny", name);
            // Where a link leads to decides, and its name does not: to what is hidden it may lead beneath the root.
            if name != "to-hidden" {
                world.refuses(by, "beneath", name);
            }
        }
    }
}

#[test]
fn links_beneath_the_root_are_followed_where_they_may_be() {
    let world = World::stand();
    for by in WAYS {
        for name in ["within", "sub/within", "within-directory/a.txt"] {
            assert_eq!(world.ask(by, "beneath", name).expect(200).text(), INSIDE, "{name} by {by:?}");
            world.refuses(by, "deny", name);
        }
    }
}

#[test]
fn what_is_no_file_is_not_opened_and_nobody_waits_for_it() {
    let world = World::with("threads = 1");
    let start = Instant::now();
    for by in WAYS {
        for root in ["deny", "beneath"] {
            for name in ["pipe", "socket", "directory/", "pipe/x", "socket/x", "a.txt/x", "a.txt/"] {
                world.refuses(by, root, name);
            }
            if world.has_device {
                world.refuses(by, root, "device");
            }
        }
    }
    if !world.has_device {
        eprintln!("no device was tried: only root may make one, and only where devices are allowed");
    }
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn a_writer_at_the_other_end_of_a_pipe_is_not_heard() {
    let world = World::stand();
    let path = world.tree.path("www/pipe");
    // Opened for both, a pipe waits for nobody (fifo(7)).
    let pipe = std::fs::OpenOptions::new().read(true).write(true).open(path);
    let mut pipe = pipe.expect("its owner may");
    std::io::Write::write_all(&mut pipe, SECRET.as_bytes()).expect("it has room");
    for by in WAYS {
        world.refuses(by, "deny", "pipe");
    }
}

#[test]
fn what_the_kernel_makes_up_is_no_file_even_where_everything_is_a_root() {
    let text = "threads = 1\n[listener.web]\nbind = \"127.0.0.1:0\"\n[root.all]\npath = \"/\"\naccel = false\nhidden = true\n\
        [site.all]\nroute = [{ root = \"all\" }]\n";
    let gateway = Gateway::start(&Config::text(text));
    let (pid, home) = (gateway.pid(), gateway.place().path().display().to_string());
    assert!(gateway.get(&format!("{home}/weir.toml")).expect(200).text().contains("[root.all]"));
    let mut names: Vec<String> = [
        "/proc/self/environ",
        "/proc/self/root/etc/passwd",
        "/proc/self/cwd/weir.toml",
        "/proc/self/exe",
        "/proc/version",
        "/proc/thread-self/root/etc/passwd",
        "/proc/self/ns/net",
        "/proc/self/mem",
        "/proc/kcore",
        "/proc/kmsg",
        "/sys/kernel/notes",
        "/dev/zero",
        "/dev/random",
        "/dev/null",
        "/dev/fd/0",
        "/dev/stdin",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend([
        format!("/proc/{pid}/environ"),
        format!("/proc/{pid}/root{home}/weir.toml"),
        format!("/proc/{pid}/cwd/weir.toml"),
        format!("/proc/self/task/{pid}/root/etc/passwd"),
    ]);
    names.extend((0..20).map(|descriptor| format!("/proc/self/fd/{descriptor}")));
    for name in &names {
        let response = gateway.get(name);
        assert!(REFUSED.contains(&response.status), "{name}: {response}");
        harmless(&response, name);
    }
    // As a root of its own it is refused before anything is served.
    let place = Place::fresh();
    place.write("weir.toml", text.replace("path = \"/\"", "path = \"/proc\""));
    let check = weir(&place, &["check", "-c", "weir.toml"]);
    assert!(check.code != Some(0) && check.all().contains("/proc"), "{}", check.all());
}

#[test]
fn a_hard_link_is_the_file() {
    let world = World::stand();
    world.tree.file("www/one", INSIDE).hard_link("www/two", "www/one");
    for by in WAYS {
        assert_eq!(world.ask(by, "deny", "two").expect(200).text(), INSIDE);
    }
}

#[test]
fn hidden_names_are_not_there() {
    let world = World::stand();
    for by in WAYS {
        for name in [".hidden", ".git/config", ".git/", ".git", "sub/../.hidden", "%2ehidden", ".%67it/config"] {
            world.refuses(by, "deny", name);
        }
    }
}

#[test]
fn a_file_that_the_gateway_may_not_read_is_refused() {
    let tree = Tree::fresh();
    tree.file("www/shut", SECRET).file("www/open", INSIDE).file("www/shut-directory/a.txt", SECRET);
    for (name, mode) in [("www/shut", 0o200), ("www/shut-directory", 0o600)] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(tree.path(name), mode).expect("its owner may");
    }
    let config = Config::text(concat!(
        "cache-directory = \"off\"\n[listener.web]\nbind = \"127.0.0.1:0\"\n",
        "[site.all]\nroute = [{ root = \"{tree}/www\" }]\n"
    ));
    // Root may read everything: the gateway gives that up before it begins.
    let nobody = "import os, sys\n\
        if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n\
        os.access(sys.argv[1], os.X_OK) or sys.exit('out of reach')\n\
        os.execv(sys.argv[1], sys.argv[1:])";
    let gateway = Gateway::become_by(&config.fill("tree", &tree.path("")), nobody);
    let reached = eventually("it listens, or cannot", || {
        (gateway.log_count("listening") > 0 || gateway.has_ended()).then(|| !gateway.has_ended())
    });
    if !reached && gateway.log_count("out of reach") > 0 {
        return eprintln!("nobody but root reaches the program here: not tried");
    }
    for name in ["/shut", "/shut-directory/a.txt", "/shut-directory/"] {
        let response = gateway.get(name);
        assert!([403, 404].contains(&response.status), "{name}: {response}");
        harmless(&response, name);
    }
    gateway.get("/shut").expect(403);
    assert_eq!(gateway.get("/open").expect(200).text(), INSIDE);
}

/// Has names exchanged over and over while clients ask for what lies there. Says how often it was had.
fn race(world: &World, one: &str, other: &str, asked: &[(&str, &str)]) -> usize {
    let over = AtomicBool::new(false);
    let (start, swaps, had) = (Instant::now(), AtomicUsize::new(0), AtomicUsize::new(0));
    // A second, or as much longer as it takes until it was a race.
    let is_enough = || {
        let (swaps, had) = (swaps.load(Ordering::Relaxed), had.load(Ordering::Relaxed));
        start.elapsed() >= PATIENCE || (start.elapsed() >= Duration::from_secs(1) && swaps > 1000 && had > 0)
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                world.tree.exchange(one, other);
                swaps.fetch_add(1, Ordering::Relaxed);
            }
            // Left as it was found.
            if swaps.load(Ordering::Relaxed) % 2 == 1 {
                world.tree.exchange(one, other);
            }
        });
        let visits: Vec<_> = WAYS
            .into_iter()
            .map(|by| {
                let (had, is_enough) = (&had, &is_enough);
                scope.spawn(move || {
                    let mut client = world.gateway.client();
                    while !is_enough() {
                        for (root, path) in asked {
                            let answer = world.try_ask(&mut client, by, root, path);
                            let response = answer.unwrap_or_else(|error| panic!("{path} by {by:?}: {error}"));
                            harmless(&response, path);
                            match response.status {
                                200 => assert_eq!(response.text(), INSIDE, "{path} by {by:?}"),
                                status => assert!(REFUSED.contains(&status), "{path} by {by:?}: {response}"),
                            }
                            had.fetch_add(usize::from(response.status == 200), Ordering::Relaxed);
                            if response.says_close() {
                                client = world.gateway.client();
                            }
                        }
                    }
                })
            })
            .collect();
        let ends: Vec<_> = visits.into_iter().map(|visit| visit.join()).collect();
        over.store(true, Ordering::Relaxed);
        assert!(ends.iter().all(Result::is_ok), "something went wrong");
    });
    assert!(swaps.into_inner() > 1000, "too slow to be a race");
    had.into_inner()
}

#[test]
fn a_directory_that_becomes_a_link_out_while_it_is_asked_for() {
    for top in ["", "threads = 1"] {
        let world = World::with(top);
        for root in ["www", "linked"] {
            world.tree.file(&format!("{root}/swapped/a.txt"), INSIDE).file(&format!("{root}/swapped/x/a.txt"), INSIDE);
            world.tree.link(&format!("{root}/away"), &world.tree.path("outside"));
        }
        for (directory, root) in [("www", "deny"), ("linked", "beneath")] {
            let asked = [(root, "swapped/a.txt"), (root, "away/a.txt"), (root, "swapped/x/a.txt")];
            let had = race(&world, &format!("{directory}/swapped"), &format!("{directory}/away"), &asked);
            assert!(had > 0, "it was never had");
        }
    }
}

#[test]
fn a_file_that_becomes_a_link_out_or_a_pipe_while_it_is_asked_for() {
    for (what, top) in [("absolute", ""), ("relative", "threads = 1"), ("pipe", ""), ("pipe", "threads = 1")] {
        let world = World::with(top);
        world.tree.file("www/swapped", INSIDE);
        let other = format!("www/{what}");
        assert!(race(&world, "www/swapped", &other, &[("deny", "swapped"), ("deny", what)]) > 0, "{what}");
    }
}

#[test]
fn a_directory_that_moves_out_while_a_link_climbs_through_it() {
    let world = World::with("threads = 1");
    // From `linked/moving/deep` two steps up are beneath the root; once `moving` has moved, they are not.
    world.tree.file("linked/moving/deep/x", INSIDE).link("linked/moving/deep/climbs", "../../a.txt");
    world.tree.directory("outside/moving/deep").link("outside/moving/deep/climbs", "../../a.txt");
    let asked = [("beneath", "moving/deep/climbs"), ("beneath", "moving/deep/x")];
    assert!(race(&world, "linked/moving", "outside/moving", &asked) > 0, "it was never had");
}

#[test]
fn nothing_outside_is_deleted_when_a_temporary_file_was_sent() {
    let world = World::with("threads = 1");
    world.tree.directory("linked/real").file("outside/f", SECRET).file("linked/.f", SECRET);
    world.tree.link("linked/swapped", "real").link("linked/away", &world.tree.path("outside"));
    let temporary = |path: &str| world.said(&format!("X-Sendfile-Temporary: {}/{path}", world.tree.path("linked")));
    // What may not be sent is not deleted either.
    for path in
        ["../outside/f", "%2e%2e/outside/f", "away/f", "absolute", "relative", ".f", "hard/x", "pipe", "directory"]
    {
        let response = temporary(path);
        assert!(REFUSED.contains(&response.status), "{path}: {response}");
        harmless(&response, path);
    }
    for path in ["outside/f", "outside/secret", "linked/.f", "linked/absolute", "linked/relative", "linked/pipe"] {
        assert!(world.tree.is_there(path), "{path} is gone");
    }
    let (over, start) = (AtomicBool::new(false), Instant::now());
    let sent = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                world.tree.exchange("linked/swapped", "linked/away");
            }
        });
        let mut sent = 0;
        while start.elapsed() < Duration::from_secs(1) || (sent == 0 && start.elapsed() < PATIENCE) {
            world.tree.file("linked/real/f", INSIDE);
            let response = temporary("swapped/f");
            harmless(&response, "swapped/f");
            assert!(response.status == 200 || REFUSED.contains(&response.status), "{response}");
            sent += usize::from(response.status == 200);
            assert!(world.tree.is_there("outside/f"), "a file outside was deleted");
        }
        over.store(true, Ordering::Relaxed);
        sent
    });
    assert!(sent > 0, "it was never sent");
    world.tree.file("linked/real/f", INSIDE);
    assert_eq!(temporary("real/f").expect(200).text(), INSIDE);
    eventually("it is deleted", || (!world.tree.is_there("linked/real/f")).then_some(()));
    assert!(world.tree.is_there("outside/f"));
}

#[test]
fn roots_are_not_mixed_up() {
    let tree = Tree::fresh();
    tree.file("a/only-a", INSIDE).file("b/only-b", SECRET);
    let text = r#"
[listener.web]
bind = "127.0.0.1:0"
[pool.app]
member = ["{origin}"]
accel = { roots = ["a"] }
[root.a]
path = "{tree}/a"
accel = true
[root.b]
path = "{tree}/b"
accel = true
[root.c]
path = "{tree}"
[site.all]
[[site.all.route]]
path = "/b"
root = "b"
strip-prefix = true
[[site.all.route]]
pool = "app"
"#;
    let origin = Origin::that(repeats());
    let gateway = Gateway::start(&Config::text(text).fill("origin", &origin.url()).fill("tree", &tree.path("")));
    let said = |line: String| gateway.client().ask("/", &[("Say", &line)]);
    assert_eq!(said(format!("X-Sendfile: {}/a/only-a", tree.path(""))).expect(200).text(), INSIDE);
    for (name, path) in
        [("not granted", "b/only-b"), ("no root of upstreams", "c"), ("through the parent", "a/../b/only-b")]
    {
        let response = said(format!("X-Sendfile: {}/{path}", tree.path("")));
        assert_ne!(response.status, 200, "{name}: {response}");
        harmless(&response, name);
    }
}
