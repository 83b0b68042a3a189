//! Large bodies reach clients without passing through the gateway's memory: files by `sendfile`, members' answers by `splice`.
//! What it really does is read from a trace of its system calls.

use std::collections::HashMap;

use weir_tests::origin::{Behaviour, Then};
use weir_tests::{
    Ask, Authority, Client, Config, Door, Gateway, Origin, Tree, Version, Visitor, behaviour, byte_at, eventually,
};

/// What the bodies here are made of: any 32 bytes of them show it.
const MARK: &str = "never-in-memory!";

/// Becomes the gateway, with the calls written down that bytes come and go by, and what they are about. The tracer is no child
/// and no parent of it, so signals and the process's number are what they always are.
const TRACED: &str = "import os, sys
calls = 'read,pread64,readv,preadv,preadv2,recvfrom,recvmsg,recvmmsg,mmap,write,writev,sendto,sendmsg,sendfile,splice'
os.execvp('strace', ['strace', '-D', '-f', '-qq', '-y', '-s', '96', '-o', 'trace', '-e', 'trace=' + calls, *sys.argv[1:]])";

/// The calls that a gateway made.
struct Trace(Vec<String>);

impl Trace {
    /// What was written down since a line count, once a last exchange's call is among it.
    fn of(gateway: &Gateway, since: usize, last: &str) -> Trace {
        let lines = eventually(&format!("the trace has {last:?}"), || {
            let lines = gateway.lines("trace").split_off(since);
            lines.iter().any(|line| line.contains(last)).then_some(lines)
        });
        Trace(whole(lines))
    }

    fn calls<'t>(&'t self, name: &str) -> impl Iterator<Item = &'t String> {
        let begun = format!(" {name}(");
        self.0.iter().filter(move |line| line.contains(&begun))
    }

    /// Bytes that went by a call, as far as its line says this.
    fn moved(&self, name: &str, with: &str) -> u64 {
        let done = self.calls(name).filter(|line| line.contains(with));
        done.filter_map(|line| line.rsplit_once(" = ")?.1.split(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Lines in which the bodies' bytes are seen: they were in memory then.
    fn seen(&self) -> Vec<&String> {
        self.0.iter().filter(|line| line.contains(MARK)).collect()
    }
}

/// Calls that another thread's were written between the beginning and the end of are one line again.
fn whole(lines: Vec<String>) -> Vec<String> {
    let (mut whole, mut begun) = (Vec::new(), HashMap::new());
    for line in lines {
        let thread = line.split(' ').next().unwrap_or_default().to_owned();
        if let Some(beginning) = line.strip_suffix("<unfinished ...>") {
            begun.insert(thread, beginning.to_owned());
        } else if let Some((_, end)) = line.split_once(" resumed>") {
            whole.push(begun.remove(&thread).unwrap_or_default() + end);
        } else {
            whole.push(line);
        }
    }
    // What is going on still.
    whole.extend(begun.into_values());
    whole
}

fn marked(length: usize) -> Vec<u8> {
    MARK.bytes().cycle().take(length).collect()
}

fn serving(tree: &Tree, keys: &str) -> Config {
    let text = "threads = 1\n[listener.web]\nbind = \"127.0.0.1:0\"\n{keys}\n\
        [site.all]\nroute = [{ path = \"/end\", respond = { body = \"end of it\" } }, { root = \"{tree}\" }]\n";
    let config = Config::text(&text.replace("{keys}", keys)).fill("tree", &tree.path(""));
    config.access_log("${request.path} ${response.status} ${response.bytes} ${failure}")
}

/// The end of a part of the trace.
fn mark_end(gateway: &Gateway) {
    assert_eq!(gateway.get("/end").text(), "end of it");
}

#[test]
fn no_byte_of_a_file_enters_the_gateways_memory() {
    let tree = Tree::fresh();
    let whole = marked(5_000_000);
    tree.file("large", &whole);
    let gateway = Gateway::become_by(&serving(&tree, ""), TRACED);
    let mut client = gateway.client();
    let since = gateway.lines("trace").len();
    assert!(client.get("/large").expect(200).body == whole);
    let part = client.ask("/large", &[("Range", "bytes=1000001-4000000")]);
    assert!(part.expect(206).body == whole[1_000_001..=4_000_000]);
    let parts = client.ask("/large", &[("Range", "bytes=0-99999,3000000-3199999")]);
    assert!(parts.expect(206).body.len() > 300_000);
    mark_end(&gateway);
    let trace = Trace::of(&gateway, since, "end of it");
    let seen = trace.seen();
    assert!(seen.is_empty(), "{} calls brought the file into memory, such as {}", seen.len(), seen[0]);
    assert_eq!(trace.moved("sendfile", "/large>"), 5_000_000 + 3_000_000 + 300_000);
    for name in ["read", "pread64", "preadv2", "mmap"] {
        let of_file: Vec<_> = trace.calls(name).filter(|line| line.contains("/large>")).collect();
        assert!(of_file.is_empty(), "{of_file:#?}");
    }
    // The head goes together with the first of the file, but not where the kernel spaces packets out.
    let control = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap();
    let heads = || trace.calls("sendmsg").filter(|line| line.contains("HTTP/1.1 20"));
    let more = heads().filter(|line| line.contains("MSG_MORE")).count();
    let is_joined = !control.starts_with("bbr");
    assert!(heads().count() >= 3 && (more > 0) == is_joined, "{more} heads said that more would come, under {control}");
    let lines = gateway.access_lines(4);
    assert_eq!((lines[0].as_str(), lines[1].as_str()), ("/large 200 5000000 -", "/large 206 3000000 -"));
}

#[test]
fn small_files_leave_with_their_head() {
    let tree = Tree::fresh();
    tree.file("small", marked(10_000));
    let gateway = Gateway::become_by(&serving(&tree, ""), TRACED);
    let mut client = gateway.client();
    client.get("/small").expect(200);
    let since = gateway.lines("trace").len();
    for _ in 0..5 {
        assert_eq!(client.get("/small").expect(200).body.len(), 10_000);
    }
    mark_end(&gateway);
    let trace = Trace::of(&gateway, since, "end of it");
    assert_eq!(trace.calls("writev").filter(|line| line.contains("HTTP/1.1 200") && line.contains(MARK)).count(), 5);
    assert_eq!(trace.calls("sendfile").count(), 0);
}

#[test]
fn cold_files_are_brought_in_by_threads_that_may_wait() {
    let tree = Tree::fresh();
    tree.file("cold", marked(3_000_000));
    let gateway = Gateway::become_by(&serving(&tree, ""), TRACED);
    mark_end(&gateway);
    let cold = std::fs::File::open(tree.path("cold")).unwrap();
    cold.sync_all().unwrap();
    rustix::fs::fadvise(&cold, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let since = gateway.lines("trace").len();
    assert_eq!(gateway.get("/cold").expect(200).body.len(), 3_000_000);
    mark_end(&gateway);
    let trace = Trace::of(&gateway, since, "end of it");
    assert!(trace.seen().is_empty());
    let warmed = trace.moved("sendfile", "</dev/null");
    if warmed == 0 {
        // Where files live in memory nothing is ever cold.
        return;
    }
    let workers = |with: &str| -> Vec<&str> {
        let lines = trace.calls("sendfile").filter(|line| line.contains(with));
        lines.filter_map(|line| line.split(' ').next()).collect()
    };
    let (warming, sending) = (workers("</dev/null"), workers("socket:"));
    assert!(sending.iter().all(|worker| !warming.contains(worker)), "{warming:?} and {sending:?}");
}

#[test]
fn who_cannot_have_it_moved_gets_it_in_pieces_that_nobody_waits_for() {
    let tree = Tree::fresh();
    let authority = Authority::found();
    tree.counted("large", 3_000_000);
    let keys = "protocols = [\"h1\", \"h2\", \"h3\"]\ntls.certificate = { chain = \"web.pem\", key = \"web.key\" }";
    let config = serving(&tree, keys).identity("web", &authority.certify("any.example"));
    let gateway = Gateway::become_by(&config, TRACED);
    let address = gateway.addr("web");
    let since = gateway.lines("trace").len();
    for version in [Version::H1, Version::H2, Version::H3] {
        let response = Door::secure(version, &address, &Visitor::trusting(&authority)).ask(&Ask::get("/large"));
        assert_eq!((response.status, response.body.len()), (200, 3_000_000), "{version:?}");
        assert!(response.body.iter().zip(0..).all(|(byte, at)| *byte == byte_at(at)), "{version:?}");
    }
    let trace = eventually("the trace has every piece", || {
        let trace = Trace(whole(gateway.lines("trace").split_off(since)));
        let of_file = trace.calls("preadv2").filter(|line| line.contains("/large>") && line.contains("RWF_NOWAIT"));
        (of_file.count() >= 3 * 3_000_000 / 65_536).then_some(trace)
    });
    assert_eq!(trace.calls("sendfile").filter(|line| line.contains("socket:")).count(), 0);
}

#[test]
fn four_gibibytes_leave_without_a_trace_in_memory() {
    let tree = Tree::fresh();
    let length = 4_u64 << 30;
    tree.sparse("sparse", length);
    let gateway = Gateway::start(&serving(&tree, ""));
    mark_end(&gateway);
    let before = gateway.peak_rss_kib();
    let (status, read) = count(&gateway, "/sparse");
    assert!(status.starts_with("HTTP/1.1 200"), "{status}");
    assert_eq!(read, length);
    let grown = gateway.peak_rss_kib() - before;
    assert!(grown < 4 << 10, "{grown} KiB more for 4 GiB");
    assert_eq!(gateway.access_lines(2)[1], format!("/sparse 200 {length} -"));
}

/// The head of an answer and how many bytes follow, to the end of the connection.
fn count(gateway: &Gateway, target: &str) -> (String, u64) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(gateway.addr("web")).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let (mut piece, mut read) = (vec![0; 1 << 20], 0);
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        read += length as u64;
    }
    (String::from_utf8(head).unwrap(), read)
}

#[test]
fn a_file_that_is_cut_ends_one_connection_and_one_that_is_deleted_none() {
    let tree = Tree::fresh();
    let length = 64 << 20;
    tree.counted("cut", length).counted("deleted", length).file("small", "small");
    let gateway = Gateway::start(&serving(&tree, ""));
    for (name, is_cut) in [("cut", true), ("deleted", false)] {
        let mut client = Client::connect_narrow(&gateway.addr("web"));
        client.send(format!("GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(client.response_head().0, 200);
        match is_cut {
            true => tree.cut(name, 10 << 20),
            false => tree.remove(name),
        };
        let (mut body, mut end) = (Vec::new(), None);
        while end.is_none() && (body.len() as u64) < length {
            match client.some() {
                Ok(bytes) if bytes.is_empty() => end = Some("an end".to_owned()),
                Ok(bytes) => body.extend_from_slice(&bytes),
                Err(error) => end = Some(error.to_string()),
            }
        }
        assert_eq!(end.is_some(), is_cut, "{name}: {end:?} after {} bytes", body.len());
        assert!(body.iter().zip(0..).all(|(byte, at)| *byte == byte_at(at)), "{name}");
    }
    gateway.get("/small").expect(200);
    let lines = gateway.access_lines(3);
    assert!(lines[0].starts_with("/cut 200 ") && lines[0].ends_with(" file-cut"), "{}", lines[0]);
    let sent: u64 = lines[0].split(' ').nth(2).unwrap().parse().unwrap();
    assert!(sent <= 10 << 20, "{sent} bytes of what was cut to ten million");
    assert_eq!(lines[1], format!("/deleted 200 {length} -"));
    assert_eq!(gateway.log_count("panicked"), 0);
}

/// An answer of so many marked bytes.
fn says_marked(length: usize) -> Behaviour {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    behaviour::says([head.into_bytes(), marked(length)].concat())
}

fn proxying(origin: &Origin) -> Config {
    let end = "path = \"/end\"\nrespond = { body = \"end of it\" }\n[[site.all.route]]\npool = \"app\"";
    let config = Config::to(origin).top("threads = 1").route(end);
    config.access_log("${request.path} ${response.status} ${response.bytes} ${failure}")
}

#[test]
fn long_answers_of_members_go_through_a_pipe() {
    let origin = Origin::start();
    let length = 8_000_000;
    origin.on("/large", says_marked(length)).on("/small", says_marked(100_000));
    let gateway = Gateway::become_by(&proxying(&origin), TRACED);
    let mut client = gateway.client();
    let since = gateway.lines("trace").len();
    for _ in 0..3 {
        assert!(client.get("/large").expect(200).body == marked(length));
        assert!(client.get("/small").expect(200).body == marked(100_000));
    }
    mark_end(&gateway);
    let trace = Trace::of(&gateway, since, "end of it");
    let piped = trace.moved("splice", "");
    assert!(piped > 2 * 3 * (length as u64 - 600_000), "{piped} bytes into and out of pipes");
    let read = trace.moved("recvfrom", MARK);
    assert!(read < 3 * 700_000, "{read} bytes were read");
    assert_eq!(origin.connections(), 1, "the connection was used again");
    let lines = gateway.access_lines(7);
    assert_eq!(lines.iter().filter(|line| **line == format!("/large 200 {length} -")).count(), 3);
}

#[test]
fn a_member_that_ends_early_ends_the_clients_answer_too() {
    let origin = Origin::start();
    let length = 20_000_000;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", length + 1);
    let short = behaviour::says_and_closes([head.into_bytes(), marked(length)].concat());
    origin.on("/short", short).on("/large", behaviour::then(says_marked(length), Then::Close));
    let gateway = Gateway::start(&proxying(&origin));
    let mut client = gateway.client();
    client.send("GET /short HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = client.try_response().expect("a head");
    assert!(response.cut.is_some() && response.body == marked(length), "{:?}", response.cut);
    let mut client = gateway.client();
    for _ in 0..2 {
        assert_eq!(client.get("/large").expect(200).body.len(), length);
    }
    assert_eq!(gateway.access_lines(3)[0], format!("/short 200 {length} response-cut"));
}

#[test]
fn clients_that_leave_or_stall_give_members_and_pipes_back() {
    let origin = Origin::start();
    let length = 50_000_000;
    origin.on("/large", says_marked(length));
    let gateway = Gateway::start(&proxying(&origin).listener("write-timeout = \"3s\""));
    mark_end(&gateway);
    let before = gateway.descriptors();
    for _ in 0..20 {
        let mut client = Client::connect_narrow(&gateway.addr("web"));
        client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
        client.response_head();
    }
    let mut stalled = Client::connect_narrow(&gateway.addr("web"));
    stalled.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    let lines = gateway.access_lines(22);
    let counted = |word: &str| lines.iter().filter(|line| line.ends_with(word)).count();
    assert_eq!((counted("client-gone") + counted("client-stalled"), counted("client-stalled") > 0), (21, true));
    eventually("everything is closed", || (gateway.descriptors() <= before + 1).then_some(()));
    assert!(gateway.peak_rss_kib() < 200 << 10);
    assert_eq!(gateway.client().get("/large").expect(200).body.len(), length);
    drop(stalled);
}
