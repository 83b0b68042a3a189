//! Many downloads of one large file at once, slow ones, and files that are cut or deleted while they are sent.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Barrier, Semaphore};
use weir_tests::peers::h2load;
use weir_tests::{
    Authority, Client, Config, Framing, Gateway, PATIENCE, Quic, Said, Tree, Visitor, byte_at, eventually,
};

const LARGE: u64 = 64 << 20;
/// Clients at once, unless `WEIR_DOWNLOADS` says otherwise.
const CLIENTS: usize = 10_000;
/// What each of them reads at a time, and how often before it goes.
const SIP: usize = 4096;
const SIPS: usize = 8;
/// How many stay to the end of the file.
const PATIENT: usize = 8;
/// Of the gateway for each of them: a connection, its task, and no byte of the file.
const MOST_KIB_EACH: u64 = 32;

/// Raises the bound of this process on descriptors as far as it may, and says how many clients there can be.
fn clients() -> usize {
    let wanted = std::env::var("WEIR_DOWNLOADS").ok().and_then(|count| count.parse().ok()).unwrap_or(CLIENTS);
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let most =
        getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let possible = wanted.min(most.saturating_sub(500));
    if possible < wanted {
        eprintln!("only {possible} of {wanted} clients: this machine lets a process have {most} descriptors");
    }
    possible
}

#[derive(Default)]
struct Seen {
    wrong: AtomicUsize,
    whole: AtomicUsize,
}

/// One client: reads a bit and waits for all the others, then slowly some more, and either stays to the end or goes. Where it
/// came from, and how much it read of the file.
async fn visit(address: SocketAddr, number: usize, crowd: Arc<Crowd>) -> (u16, u64) {
    let socket = TcpSocket::new_v4().expect("there are descriptors");
    if number >= PATIENT {
        // The kernel keeps little for it: what it does not read stays in the gateway's file.
        socket.set_recv_buffer_size(16 << 10).expect("a size that may be");
    }
    let mut stream = {
        let _turn = crowd.door.acquire().await.expect("nobody shuts it");
        socket.connect(address).await.expect("a connection")
    };
    let port = stream.local_addr().expect("it has one").port();
    stream.write_all(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("the gateway reads");
    skip_head(&mut stream).await;
    let mut read = sip(&mut stream, 0, SIP, &crowd.seen).await;
    crowd.all_there.wait().await;
    crowd.all_measured.wait().await;
    for _ in 0..SIPS {
        tokio::time::sleep(Duration::from_millis(100)).await;
        read += sip(&mut stream, read, SIP, &crowd.seen).await;
    }
    if number < PATIENT {
        while read < LARGE {
            let piece = usize::try_from((LARGE - read).min(1 << 16)).expect("it is small");
            read += sip(&mut stream, read, piece, &crowd.seen).await;
        }
        crowd.seen.whole.fetch_add(1, Ordering::Relaxed);
    }
    (port, read)
}

struct Crowd {
    door: Semaphore,
    all_there: Barrier,
    all_measured: Barrier,
    seen: Seen,
}

async fn skip_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains(&format!("content-length: {LARGE}\r\n")), "{head}");
}

async fn sip(stream: &mut TcpStream, offset: u64, length: usize, seen: &Seen) -> u64 {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.expect("more of the file");
    // Every byte would take the test longer than the gateway.
    let differs = (0..length).step_by(61).any(|at| bytes[at] != byte_at(offset + at as u64));
    seen.wrong.fetch_add(usize::from(differs), Ordering::Relaxed);
    length as u64
}

#[test]
fn ten_thousand_at_once_of_one_file_take_no_memory_to_speak_of_and_get_their_bytes() {
    let count = clients();
    let tree = Tree::fresh();
    tree.counted("large.bin", LARGE).file("a.txt", "small");
    let text = "threads = 2\n[log]\nlevel = \"info\"\nformat = \"json\"\n[listener.web]\nbind = \"127.0.0.1:0\"\nmax-connections = 20000\n\
        write-timeout = \"10m\"\n\
        [site.all]\nroute = [{ root = \"{tree}\" }]\n";
    let config = Config::text(text).fill("tree", &tree.path(""));
    let gateway = Gateway::start(
        &config.access_log("${client.port} ${response.status} ${response.bytes} ${request.path} ${failure}"),
    );
    gateway.get("/a.txt").expect(200);
    let address = gateway.addr("web").parse().expect("an address");
    let crowd = Arc::new(Crowd {
        door: Semaphore::new(200),
        all_there: Barrier::new(count + 1),
        all_measured: Barrier::new(count + 1),
        seen: Seen::default(),
    });
    let (before, peak_before) = (gateway.rss_kib(), gateway.peak_rss_kib());
    let start = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let visits = runtime.block_on(async {
        let visits: Vec<_> =
            (0..count).map(|number| tokio::spawn(visit(address, number, Arc::clone(&crowd)))).collect();
        crowd.all_there.wait().await;
        let each = gateway.rss_kib().saturating_sub(before) / count as u64;
        eprintln!("{count} under way after {:?}: {each} KiB each", start.elapsed());
        assert!(each < MOST_KIB_EACH, "{each} KiB for each client that is under way");
        assert!(gateway.descriptors() >= count, "they were not there at once");
        crowd.all_measured.wait().await;
        let mut read = HashMap::new();
        for visit in visits {
            let (port, length) = visit.await.expect("a visit goes well");
            read.insert(port, length);
        }
        read
    });
    eprintln!("all gone after {:?}", start.elapsed());
    let peak = (gateway.peak_rss_kib() - peak_before) / count as u64;
    assert!(peak < MOST_KIB_EACH, "{peak} KiB for each client while they read");
    assert_eq!(crowd.seen.wrong.load(Ordering::Relaxed), 0, "bytes that are not the file's");
    assert_eq!(crowd.seen.whole.load(Ordering::Relaxed), PATIENT);
    eventually("their connections are closed", || (gateway.descriptors() < 100).then_some(()));
    gateway.get("/a.txt").expect(200);
    // The log counts what was sent: no less than was read, and no more than there is.
    let lines = gateway.access_lines(count + 1);
    let mut whole = 0;
    for line in &lines {
        let words: Vec<&str> = line.split(' ').collect();
        if words[3] != "/large.bin" {
            continue;
        }
        let Some(read) = words[0].parse().ok().and_then(|port: u16| visits.get(&port)) else { continue };
        let sent: u64 = words[2].parse().expect("a count");
        assert!(words[1] == "200" && sent >= *read && sent <= LARGE, "{line}: {read} bytes were read");
        if *read == LARGE {
            assert!(sent == LARGE && !line.contains("client-gone"), "{line}");
            whole += 1;
        } else {
            assert!(line.ends_with("client-gone"), "{line}: {read} bytes were read");
        }
    }
    assert_eq!(whole, PATIENT);
    assert_eq!(gateway.log_count("panicked"), 0);
}

#[test]
fn who_reads_slowly_under_tls_holds_a_bounded_part_of_the_file() {
    const EACH: usize = 200;
    let tree = Tree::fresh();
    tree.counted("large.bin", LARGE).file("a.txt", "small");
    let (gateway, authority) = serves(&tree);
    let visitor = Visitor::trusting(&authority);
    let address = gateway.addr("secure");
    visitor.connect(&address).get("/a.txt").expect(200);
    // Connections that ask for nothing large, to know what TLS itself takes.
    let before = gateway.rss_kib();
    let mut idle: Vec<Client> = (0..EACH).map(|_| visitor.connect(&address)).collect();
    idle.iter_mut().for_each(|client| _ = client.get("/a.txt").expect(200));
    let for_idle = gateway.rss_kib().saturating_sub(before);
    let before = gateway.rss_kib();
    let mut slow: Vec<Client> = (0..EACH).map(|_| visitor.connect(&address)).collect();
    for client in &mut slow {
        client.send(ASK);
        assert_eq!(client.response_head().0, 200);
    }
    let mut last = 0;
    eventually("nothing more goes out", || {
        let now = gateway.rss_kib();
        (std::mem::replace(&mut last, now) == now).then_some(())
    });
    let each = gateway.rss_kib().saturating_sub(before + for_idle) / EACH as u64;
    eprintln!("{each} KiB each, beside {} KiB for TLS", for_idle / EACH as u64);
    // What was read and not yet sent is bounded, by hyper at 408 KiB (its default `max_buf_size`), and a piece is on its way.
    assert!(each < 640, "{each} KiB for each client that reads slowly");
    assert_eq!(idle[0].get("/a.txt").expect(200).text(), "small");
}

#[test]
fn streams_whose_windows_stay_shut_hold_no_file_in_memory() {
    let tree = Tree::fresh();
    tree.counted("large.bin", LARGE).file("a.txt", "small");
    let (gateway, _authority) = serves(&tree);
    gateway.get("/a.txt").expect(200);
    let before = gateway.rss_kib();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut held = Vec::new();
        for _ in 0..4 {
            let stream = TcpStream::connect(gateway.addr("web")).await.expect("a connection");
            let mut builder = h2::client::Builder::new();
            // Streams that want everything on a connection that takes next to nothing.
            builder.initial_window_size(16 << 20).initial_connection_window_size(65_535);
            let (send, connection) = builder.handshake::<_, Bytes>(stream).await.expect("HTTP/2");
            let driver = tokio::spawn(connection);
            let mut send = send.ready().await.expect("room for a stream");
            for _ in 0..50 {
                let get = http::Request::get("http://any.example/large.bin").body(()).expect("a request");
                let (answer, _) = send.send_request(get, true).expect("a stream");
                held.push(answer.await.expect("an answer"));
                send = send.ready().await.expect("room for a stream");
            }
            held.last().expect("there are some");
            drop(driver);
        }
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let grown = gateway.rss_kib().saturating_sub(before);
            assert!(grown < 200 * 128, "{grown} KiB are held that nobody takes");
        }
    });
    gateway.get("/a.txt").expect(200);
}

/// A gateway with one worker: whatever stops that stops everybody.
fn serves(tree: &Tree) -> (Gateway, Authority) {
    let authority = Authority::found();
    let text = "threads = 1\n[listener.web]\nbind = \"127.0.0.1:0\"\nwrite-timeout = \"10m\"\n[listener.secure]\nbind = \"127.0.0.1:0\"\n\
        protocols = [\"h1\", \"h2\", \"h3\"]\ntls.certificate = { chain = \"web.pem\", key = \"web.key\" }\n\
        [files]\nrevalidate = \"10ms\"\n[site.all]\nroute = [{ root = \"{tree}\" }]\n";
    let config = Config::text(text).fill("tree", &tree.path("")).identity("web", &authority.certify("any.example"));
    (Gateway::start(&config.access_log("${request.version} ${response.status} ${failure}")), authority)
}

#[test]
fn h2load_gets_every_file_whole_on_many_streams_at_once() {
    let tree = Tree::fresh();
    for size in [1_000, 100_000, 1_000_000] {
        tree.counted(&format!("{size}.bin"), size);
    }
    let (gateway, _authority) = serves(&tree);
    for (scheme, listener, versions) in
        [("http", "web", &["--h1"][..]), ("https", "secure", &["--h1"]), ("https", "secure", &[])]
    {
        for (size, count) in [(1_000_u64, 1000_u64), (100_000, 300), (1_000_000, 60)] {
            let (url, count_said) = (format!("{scheme}://{}/{size}.bin", gateway.addr(listener)), count.to_string());
            let most = ["-n", &count_said, "-c", "10", "-m", "10"];
            let finished = h2load(&[versions, &most, &[&url]].concat());
            assert!(finished.out.contains(&format!("{count} succeeded, 0 failed")), "{url}: {}", finished.all());
            assert!(finished.out.contains(&format!("{count} 2xx")), "{url}: {}", finished.all());
            let data = finished.out.split("space savings").nth(1).and_then(|rest| rest.split('(').nth(1));
            let data = data.and_then(|rest| rest.split(')').next()).and_then(|data| data.parse::<u64>().ok());
            assert_eq!(data, Some(size * count), "{url}: {}", finished.out);
        }
    }
}

const ASK: &str = "GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n";

/// What came of the answer to `ASK` behind its head, when it ended before its end.
#[track_caller]
fn broken_off(client: &mut Client) -> u64 {
    let mut length = 0;
    loop {
        match client.some() {
            Ok(piece) if piece.is_empty() => return length,
            Ok(piece) => length += piece.len() as u64,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                panic!("the connection does not end: {length} bytes came")
            }
            Err(_) => return length,
        }
    }
}

#[test]
fn a_file_that_is_cut_while_it_is_sent_ends_its_answer_and_nothing_else() {
    let (tree, cuts) = (Tree::fresh(), [0, 1, 5_000_000]);
    tree.file("a.txt", "small").counted("other.bin", LARGE);
    let (gateway, authority) = serves(&tree);
    let visitor = Visitor::trusting(&authority);
    // Somebody who is in the midst of another file all along.
    let mut neighbour = Client::connect_narrow(&gateway.addr("web"));
    neighbour.send("GET /other.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(neighbour.response_head().0, 200);
    for left in cuts {
        for is_secure in [false, true] {
            tree.counted("large.bin", LARGE);
            eventually("it is whole again", || {
                let told = gateway.client().request("HEAD", "/large.bin", &[], b"");
                (told.fields.get("content-length") == Some(LARGE.to_string())).then_some(())
            });
            let mut client = match is_secure {
                false => gateway.client(),
                true => visitor.connect(&gateway.addr("secure")),
            };
            client.send(ASK);
            let (status, fields) = client.response_head();
            assert_eq!((status, fields.get("content-length")), (200, Some(LARGE.to_string())));
            tree.cut("large.bin", left);
            let came = broken_off(&mut client);
            assert!(came < LARGE, "all of it came, though only {left} bytes were left");
            assert_eq!(gateway.get("/a.txt").expect(200).text(), "small");
        }
    }
    drop(neighbour.stream().set_patience(PATIENCE));
    assert_eq!(neighbour.drain(Framing::Length(LARGE)).expect("the other file comes whole"), LARGE);
    let lines = eventually("six cuts are in the log", || {
        let lines = gateway.lines("access.log");
        (lines.iter().filter(|line| line.ends_with("200 file-cut")).count() == 6).then_some(lines)
    });
    assert!(!lines.is_empty());
    assert_eq!(gateway.log_count("panicked"), 0);
}

#[test]
fn a_file_that_is_cut_resets_its_stream_over_http_2() {
    let tree = Tree::fresh();
    tree.counted("large.bin", LARGE).file("a.txt", "small");
    let (gateway, _authority) = serves(&tree);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = TcpStream::connect(gateway.addr("web")).await.expect("a connection");
        let (send, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        let driver = tokio::spawn(connection);
        let get = |path: &str| http::Request::get(format!("http://any.example{path}")).body(()).expect("a request");
        let mut send: h2::client::SendRequest<Bytes> = send.ready().await.expect("room for a stream");
        let (answer, _) = send.send_request(get("/large.bin"), true).expect("a stream");
        let mut body = answer.await.expect("an answer").into_body();
        let first = body.data().await.expect("bytes").expect("bytes");
        tree.cut("large.bin", 100);
        let mut length = first.len();
        let _ = body.flow_control().release_capacity(first.len());
        let error = loop {
            match tokio::time::timeout(PATIENCE, body.data()).await.expect("the stream ends") {
                Some(Ok(piece)) => {
                    length += piece.len();
                    let _ = body.flow_control().release_capacity(piece.len());
                }
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        assert!(error.is_some(), "{length} bytes were taken for the whole file");
        let (answer, _) = send.send_request(get("/a.txt"), true).expect("the connection goes on");
        assert_eq!(answer.await.expect("an answer").status(), 200);
        driver.abort();
    });
    eventually("the log has it", || {
        gateway.lines("access.log").contains(&"HTTP/2.0 200 file-cut".to_owned()).then_some(())
    });
}

#[test]
fn a_file_that_is_cut_resets_its_stream_over_http_3() {
    let tree = Tree::fresh();
    tree.counted("large.bin", LARGE).file("a.txt", "small");
    let (gateway, authority) = serves(&tree);
    let visitor = Visitor::trusting(&authority).offering(&["h3"]);
    let mut client = Quic::connect(&gateway.addr("secure"), &visitor).expect("a connection");
    // HEADERS: GET https://any.example/large.bin, by literals (RFC 9204, section 4.5.6).
    let mut section = vec![0, 0];
    for (name, value) in
        [(":method", "GET"), (":scheme", "https"), (":authority", "any.example"), (":path", "/large.bin")]
    {
        match name.len().checked_sub(7) {
            Some(rest) => section.extend([0x27, u8::try_from(rest).expect("short")]),
            None => section.push(0x20 | u8::try_from(name.len()).expect("short")),
        }
        section.extend(name.as_bytes());
        section.push(u8::try_from(value.len()).expect("short"));
        section.extend(value.as_bytes());
    }
    // A length of two bytes (RFC 9000, section 16).
    let length = u16::try_from(section.len()).expect("short") | 0x4000;
    let frame = [&[1][..], &length.to_be_bytes(), &section].concat();
    let mut stream = client.say(&frame).expect("a stream");
    client.end(&mut stream);
    client.read(&mut stream, 1000).expect("the beginning");
    tree.cut("large.bin", 100);
    assert!(matches!(client.hear(&mut stream), Said::Reset(_)), "a part was taken for the whole file");
    assert_eq!(client.get("/a.txt").expect("the connection goes on").0, 200);
}

#[test]
fn a_file_that_is_rewritten_again_and_again_while_it_is_asked_for_harms_nobody() {
    let tree = Tree::fresh();
    tree.counted("large.bin", 1 << 20).file("a.txt", "small");
    let (gateway, authority) = serves(&tree);
    let visitor = Visitor::trusting(&authority);
    let (over, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let start = Instant::now();
    let is_enough = || start.elapsed() >= Duration::from_secs(1) && answers.load(Ordering::Relaxed) > 20;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0_u64;
            while !over.load(Ordering::Relaxed) {
                round += 1;
                match round % 4 {
                    0 => _ = tree.cut("large.bin", round % 7 * 100_000),
                    1 => _ = tree.cut("large.bin", 1 << 20),
                    2 => _ = tree.replace("large.bin", vec![b'x'; 300_000]),
                    _ => _ = tree.remove("large.bin").counted("large.bin", 1 << 20),
                }
            }
        });
        let visits: Vec<_> = [false, true]
            .into_iter()
            .map(|is_secure| {
                let (gateway, visitor, answers, is_enough) = (&gateway, &visitor, &answers, &is_enough);
                scope.spawn(move || {
                    while !is_enough() && start.elapsed() < PATIENCE {
                        let mut client = match is_secure {
                            false => gateway.client(),
                            true => visitor.connect(&gateway.addr("secure")),
                        };
                        // Whole, short, or not there: but an answer, and never longer than it said.
                        for range in ["bytes=0-", "bytes=-1000", "bytes=500000-", "bytes=0-9,900000-", "none"] {
                            let _ = client
                                .try_send(format!("GET /large.bin HTTP/1.1\r\nHost: x\r\nRange: {range}\r\n\r\n"));
                            let Ok(response) = client.try_response() else { break };
                            assert!([200, 206, 404, 416].contains(&response.status), "{response}");
                            answers.fetch_add(1, Ordering::Relaxed);
                            if response.cut.is_some() || response.says_close() {
                                break;
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
    assert!(is_enough(), "{answers:?} answers");
    assert_eq!(gateway.get("/a.txt").expect(200).text(), "small");
    assert_eq!(gateway.log_count("panicked"), 0);
}

#[test]
fn who_stops_reading_holds_up_nobody_and_is_given_up() {
    let tree = Tree::fresh();
    tree.counted("large.bin", LARGE).file("a.txt", "small");
    let text = "threads = 1\n[listener.web]\nbind = \"127.0.0.1:0\"\nwrite-timeout = \"1s\"\n[site.all]\nroute = [{ root = \"{tree}\" }]\n";
    let config = Config::text(text).fill("tree", &tree.path("")).access_log("${response.status} ${failure}");
    let gateway = Gateway::start(&config);
    let mut stuck: Vec<Client> = (0..20).map(|_| Client::connect_narrow(&gateway.addr("web"))).collect();
    for client in &mut stuck {
        client.send(ASK);
        assert_eq!(client.response_head().0, 200);
    }
    let mut client = gateway.client();
    for _ in 0..50 {
        assert_eq!(client.get("/a.txt").expect(200).text(), "small");
    }
    eventually("those who do not read are given up", || {
        (gateway.lines("access.log").iter().filter(|line| *line == "200 client-stalled").count() == 20).then_some(())
    });
    for client in &mut stuck {
        assert!(broken_off(client) < LARGE);
    }
}

#[test]
fn pipes_hold_up_nobody_on_a_gateway_with_one_thread_for_disks() {
    let tree = Tree::fresh();
    tree.file("a.txt", "small").counted("large.bin", 1 << 20);
    for number in 0..10 {
        tree.pipe(&format!("pipe-{number}"));
    }
    let text = "threads = 1\n[listener.web]\nbind = \"127.0.0.1:0\"\n[files]\nthreads = 1\nopen = 0\n\
        [site.all]\nroute = [{ root = \"{tree}\" }]\n";
    let gateway = Gateway::start(&Config::text(text).fill("tree", &tree.path("")));
    let start = Instant::now();
    let mut waiting: Vec<Client> = (0..10).map(|_| gateway.client()).collect();
    for (number, client) in waiting.iter_mut().enumerate() {
        client.send(format!("GET /pipe-{number} HTTP/1.1\r\nHost: x\r\n\r\n"));
    }
    for _ in 0..10 {
        assert_eq!(gateway.get("/large.bin").expect(200).body.len(), 1 << 20);
        gateway.get("/a.txt").expect(200);
    }
    for client in &mut waiting {
        client.response().expect(404);
    }
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}
