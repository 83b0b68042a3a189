//! How objects leave the disk, and who waits for it: read from traces of the gateway's system calls.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use weir_tests::{Ask, Authority, Config, Door, Gateway, Origin, Version, Visitor, behaviour, eventually};

use super::{Store, only_stored, said};

/// What the bodies here are made of: any 32 bytes of them show it.
const MARK: &str = "never-in-memory!";

/// Becomes the gateway, with its calls written down. The tracer is no child and no parent of it.
const TRACED: &str = "import os, sys
os.execvp('strace', ['strace', '-D', '-f', '-qq', '-y', '-s', '96', '-o', 'trace', *sys.argv[1:]])";

/// An upstream with marked bodies as long as the last word of their path says, fresh for an hour.
fn marked() -> Origin {
    let origin = Origin::start();
    origin.otherwise(behaviour::does(|exchange| {
        exchange.read_body()?;
        let length: usize = exchange.request.target.rsplit('/').next().and_then(|word| word.parse().ok()).unwrap_or(9);
        let fields = [("Cache-Control", "max-age=3600"), ("Content-Length", &length.to_string())];
        exchange.write_head(200, &fields)?;
        exchange.write(MARK.bytes().cycle().take(length).collect::<Vec<u8>>())?;
        Ok(weir_tests::origin::Then::Keep)
    }));
    origin
}

/// The calls since a line, once the one that ends them is among them.
fn calls(gateway: &Gateway, since: usize) -> Vec<String> {
    assert_eq!(gateway.get("/end").text(), "end of it");
    eventually("the trace has its end", || {
        let lines = joined(gateway.lines("trace").split_off(since));
        lines.iter().any(|line| is_end(line)).then_some(lines)
    })
}

/// The config has these words as well.
fn is_end(line: &str) -> bool {
    line.contains("end of it") && !line.contains(" read(")
}

/// Calls that others came between, in one line each.
fn joined(lines: Vec<String>) -> Vec<String> {
    let mut begun: HashMap<String, String> = HashMap::new();
    let joined = lines.into_iter().filter_map(|line| {
        if let Some(line) = line.strip_suffix(" <unfinished ...>") {
            begun.insert(thread(line).to_owned(), line.to_owned());
            return None;
        }
        match line.split_once(" resumed>") {
            Some((_, rest)) => Some(begun.remove(thread(&line)).unwrap_or_default() + rest),
            None => Some(line),
        }
    });
    joined.collect()
}

fn with<'t>(lines: &'t [String], what: &str) -> Vec<&'t String> {
    lines.iter().filter(|line| line.contains(what)).collect()
}

fn thread(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

/// Bytes that went by a call.
fn moved(lines: &[String], name: &str, of: &str) -> u64 {
    let done = lines.iter().filter(|line| line.contains(&format!(" {name}(")) && line.contains(of));
    done.filter_map(|line| line.rsplit_once(" = ")?.1.split(' ').next()?.parse::<u64>().ok()).sum()
}

#[test]
fn hits_leave_by_sendfile_and_no_byte_of_them_is_seen() {
    let (store, app) = (Store::fresh(), marked());
    let gateway = Gateway::become_by(&store.config(&app), TRACED);
    let mut client = gateway.client();
    for length in [3_000_000, 16_384] {
        client.get(&format!("/{length}")).expect(200);
    }
    store.holds(2);
    // Opened for the first time by a thread that may wait.
    assert_eq!(said(&only_stored(&gateway, "/3000000")), "hit");
    let since = gateway.lines("trace").len();
    let whole = client.get("/3000000");
    assert_eq!((said(&whole), whole.body.len()), ("hit".to_owned(), 3_000_000));
    let part = client.ask("/3000000", &[("Range", "bytes=100000-299999")]);
    assert_eq!((said(part.expect(206)), part.body.len()), ("hit".to_owned(), 200_000));
    let lines = calls(&gateway, since);
    let seen = with(&lines, MARK);
    assert!(seen.is_empty(), "{} calls brought the object into memory, such as {}", seen.len(), seen[0]);
    assert_eq!(moved(&lines, "sendfile", "/objects/"), 3_200_000);
    assert_eq!(app.count("/3000000"), 1);
    // A small one leaves with its head.
    assert_eq!(said(&client.get("/16384")), "hit");
    let since = gateway.lines("trace").len();
    assert_eq!(said(&client.get("/16384")), "hit");
    let lines = calls(&gateway, since);
    assert!(with(&lines, " sendfile(").is_empty());
    assert_eq!(lines.iter().filter(|line| line.contains(" writev(") && line.contains(MARK)).count(), 1);
}

#[test]
fn under_tls_they_are_read_in_pieces() {
    let (store, app, authority) = (Store::fresh(), marked(), Authority::found());
    let listener = "protocols = [\"h1\", \"h2\"]\ntls.certificate = { chain = \"web.pem\", key = \"web.key\" }";
    let config = store.config_listening(&app, listener).identity("web", &authority.certify("any.example"));
    let gateway = Gateway::become_by(&config, TRACED);
    let address = gateway.addr("web");
    let get = |version| Door::secure(version, &address, &Visitor::trusting(&authority)).ask(&Ask::get("/3000000"));
    assert_eq!(get(Version::H1).body.len(), 3_000_000);
    store.holds(1);
    let since = gateway.lines("trace").len();
    for version in [Version::H1, Version::H2] {
        assert!(get(version).body == MARK.bytes().cycle().take(3_000_000).collect::<Vec<u8>>(), "{version:?}");
    }
    let lines = eventually("the trace has every piece", || {
        let lines = joined(gateway.lines("trace").split_off(since));
        (moved(&lines, "preadv2", "/objects/") + moved(&lines, "pread64", "/objects/") >= 6_000_000).then_some(lines)
    });
    let reads = lines.iter().filter(|line| line.contains("/objects/") && line.contains("pread"));
    let longest = reads.filter_map(|line| line.rsplit_once(" = ")?.1.split(' ').next()?.parse::<u64>().ok()).max();
    assert_eq!((longest, moved(&lines, "sendfile", "/objects/")), (Some(65_536), 0));
    assert_eq!(app.count("/3000000"), 1);
}

/// Storing, finding, revalidating and forgetting, as the worker sees it: it asks what is in memory, and nothing else.
#[test]
fn the_worker_never_waits_for_the_disk() {
    let (store, app) = (Store::fresh(), marked());
    let gateway = Gateway::become_by(&store.config(&app), TRACED);
    let since = gateway.lines("trace").len();
    for _ in 0..3 {
        for length in [10, 10_000, 600_000] {
            gateway.get(&format!("/{length}")).expect(200);
        }
        store.holds(3);
    }
    gateway.client().request("PURGE", "/10", &[], b"").expect(200);
    store.holds(2);
    let lines = calls(&gateway, since);
    let worker = lines.iter().find(|line| is_end(line)).map(|line| thread(line).to_owned()).unwrap();
    let name = store.path().display().to_string();
    let own = lines.iter().filter(|line| thread(line) == worker && line.contains(&name));
    // Unoptimised, the standard library asks whether a descriptor is open before it closes it.
    let harmless = ["sendfile(", "close(", "F_GETFD", "fstat(", "statx(", "cachestat", "RWF_NOWAIT", "syscall_0x1c3"];
    let waited: Vec<_> = own.filter(|line| !harmless.iter().any(|call| line.contains(call))).collect();
    assert!(waited.is_empty(), "{waited:#?}");
    let others = lines.iter().filter(|line| thread(line) != worker && line.contains(&name)).count();
    assert!(others > 10, "the disk's threads made {others} calls");
}

/// Becomes the gateway, with some of its calls slower than they are; only what waits for a disk makes these.
fn slowed(calls: &str, milliseconds: u64) -> String {
    format!(
        "import os, sys
calls = ['-e', 'trace={calls}', '-e', 'inject={calls}:delay_enter={milliseconds}000']
os.execvp('strace', ['strace', '-D', '-f', '--seccomp-bpf', '-qq', '-y', '-o', 'trace', *calls, *sys.argv[1:]])"
    )
}

#[test]
fn while_a_disk_is_slow_everything_else_goes_on() {
    let (store, app) = (Store::fresh(), marked());
    let gateway = Gateway::start(&store.config(&app));
    gateway.get("/20000").expect(200);
    store.holds(1);
    drop(gateway);
    let gateway = Gateway::become_by(&store.config(&app), &slowed("pread64,pwrite64,rename,unlink", 1000));
    gateway.logged("the directory of a cache was read");
    let mut client = gateway.client();
    let begun = Instant::now();
    let (slowest, hit) = std::thread::scope(|scope| {
        // One that is on the disk and not open yet, and others that are to be written.
        let hit = scope.spawn(|| (gateway.get("/20000"), begun.elapsed()));
        let news = || (0..20).map(|number| gateway.get(&format!("/{number}/300000")).body.len()).sum::<usize>();
        let stored = scope.spawn(news);
        let mut slowest = Duration::ZERO;
        while !hit.is_finished() || !stored.is_finished() {
            let asked = Instant::now();
            client.get("/end").expect(200);
            slowest = slowest.max(asked.elapsed());
        }
        assert_eq!(stored.join().expect("they are answered"), 20 * 300_000);
        (slowest, hit.join().expect("it is answered"))
    });
    assert_eq!((said(&hit.0).as_str(), hit.0.body.len()), ("hit", 20_000));
    assert!(hit.1 >= Duration::from_secs(1), "the disk was not slow: {:?}", hit.1);
    assert!(slowest < Duration::from_secs(1), "the worker was held up for {slowest:?}");
    let threads = |what: &str| {
        let lines = gateway.lines("trace").into_iter().filter(|line| line.contains(what));
        lines.map(|line| thread(&line).to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    assert!(!threads("/objects/").is_empty() && !threads("/objects/").contains(&gateway.pid().to_string()));
}

/// What is removed slowly would still be there if nobody had waited for it.
#[test]
fn a_purge_is_answered_when_a_kill_brings_nothing_back() {
    let (store, app) = (Store::fresh(), marked());
    let mut gateway = Gateway::become_by(&store.config(&app), &slowed("unlink,unlinkat", 700));
    gateway.get("/20000").expect(200);
    store.holds(1);
    assert_eq!(gateway.client().request("PURGE", "/20000", &[], b"").expect(200).text(), "1\n");
    gateway.signal(weir_tests::Signal::Kill);
    gateway.wait_exit(weir_tests::PATIENCE);
    let gateway = Gateway::start(&store.config(&app));
    gateway.logged("the directory of a cache was read");
    only_stored(&gateway, "/20000").expect(504);
}

impl Store {
    fn config_listening(&self, app: &Origin, listener: &str) -> Config {
        self.config_of(app, "memory = \"off\"", "", listener)
    }
}
