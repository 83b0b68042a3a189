//! Checks of members that answer, refuse, hang or lie, over real sockets on one local runtime.

mod http2;
mod tls;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::*;
use crate::clock::now;
use crate::config::{Check, HttpCheck, MemberAddress, Protocol, StatusSet, Transport, UpstreamHttp2};
use crate::message::Method;

/// Far more than anything here needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// As good as never.
const HOUR: Duration = Duration::from_secs(3600);

/// A check that asks for a path and takes 2xx and 3xx.
pub(super) fn get(path: &str) -> HttpCheck {
    HttpCheck {
        method: Method::GET,
        path: path.into(),
        host: None,
        fields: Vec::new(),
        protocol: None,
        expect: StatusSet { classes: vec![2, 3], exact: Vec::new() },
        expect_fields: Vec::new(),
        expect_body: None,
        reject_body: None,
    }
}

/// Health by this check.
pub(super) fn every_second(check: Check) -> Health {
    let second = Duration::from_secs(1);
    Health { check, interval: second, timeout: second, passes: 1, fails: 1, port: None, tls: None, gate: false }
}

/// A check that is done once while a test lasts.
fn once(check: Check) -> Health {
    Health { interval: HOUR, timeout: PATIENCE, ..every_second(check) }
}

struct Judge {
    wanted: Mutex<Wanted>,
    told: UnboundedSender<Outcome>,
}

impl Judge {
    fn that(wanted: Wanted) -> (Arc<Self>, UnboundedReceiver<Outcome>) {
        let (told, hears) = unbounded_channel();
        (Arc::new(Self { wanted: Mutex::new(wanted), told }), hears)
    }

    fn want(&self, wanted: Wanted) {
        *self.wanted.lock().unwrap() = wanted;
    }
}

impl Judged for Judge {
    fn judged(&self, outcome: &Outcome) {
        let _ = self.told.send(outcome.clone());
    }

    fn wants(&self) -> Wanted {
        *self.wanted.lock().unwrap()
    }
}

/// A member that serves one connection after the other with the same bytes, and remembers what it read.
struct Member {
    endpoint: Arc<Endpoint>,
    seen: Rc<RefCell<Vec<String>>>,
    accepted: Rc<Cell<usize>>,
}

impl Member {
    async fn that_says(answer: impl Into<Vec<u8>>) -> Self {
        let (listener, endpoint) = listener().await;
        let member = Self { endpoint, seen: Rc::default(), accepted: Rc::default() };
        let (answer, seen, accepted) = (answer.into(), member.seen.clone(), member.accepted.clone());
        tokio::task::spawn_local(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                accepted.set(accepted.get() + 1);
                let head = read_head(&mut stream).await;
                seen.borrow_mut().push(head);
                let _ = stream.write_all(&answer).await;
            }
        });
        member
    }
}

async fn listener() -> (TcpListener, Arc<Endpoint>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(listener.local_addr().unwrap());
    (listener, endpoint)
}

fn endpoint(address: std::net::SocketAddr) -> Arc<Endpoint> {
    let transport = Transport {
        protocol: Protocol::Http1,
        tls: None,
        source: None,
        proxy_protocol: None,
        h2: UpstreamHttp2::USUAL,
    };
    Endpoint::of(&MemberAddress::Tcp(address), &Arc::new(transport))
}

/// What comes up to an empty line, or to the end.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap_or(0) > 0 {}
    String::from_utf8(head).unwrap()
}

fn subject(name: &str, endpoint: &Arc<Endpoint>, health: Option<Health>, judge: &Arc<Judge>) -> Subject {
    Subject {
        pool: "app".into(),
        member: name.into(),
        endpoint: endpoint.clone(),
        host: Value::from_static("member.example"),
        health: health.map(Arc::new),
        reprobe: Duration::ZERO,
        connect_timeout: PATIENCE,
        judge: judge.clone(),
    }
}

fn run<F: Future>(test: impl FnOnce(Probes) -> F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(tokio::runtime::LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let ticker = Ticker::start();
        tokio::task::spawn_local(ticker.clone().run());
        timeout(PATIENCE * 4, test(Probes::start(ticker))).await.expect("a test comes to its end")
    })
}

async fn hear(hears: &mut UnboundedReceiver<Outcome>) -> Outcome {
    timeout(PATIENCE, hears.recv()).await.expect("an outcome is told").expect("the judge is there")
}

/// The first outcome of a check.
async fn outcome(probes: &Probes, endpoint: &Arc<Endpoint>, health: Health) -> Outcome {
    let (judge, mut hears) = Judge::that(Wanted::Check);
    probes.attend(vec![subject("one", endpoint, Some(health), &judge)]);
    hear(&mut hears).await
}

#[test]
fn answers_are_judged() {
    let regex = |text: &str| Some(text.parse().unwrap());
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n";
    let (up, cut) = (&*format!("{head}I'm up"), &*format!("{head}I'm"));
    let far = format!("HTTP/1.1 200 OK\r\n\r\n{}up", "x".repeat(64 << 10));
    let near = format!("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n{}up{}", "x".repeat(65_534), "x".repeat(9));
    let early = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    for (answer, check, passes, detail) in [
        (up, get("/up"), true, "status 200"),
        (early, get("/up"), true, "status 204"),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", get("/"), false, "status 503, expected 2xx 3xx"),
        (up, HttpCheck { expect_body: regex("I.m"), ..get("/") }, true, "status 200"),
        (up, HttpCheck { expect_body: regex("down"), ..get("/") }, false, "status 200, but the body does not match"),
        (up, HttpCheck { reject_body: regex("u"), ..get("/") }, false, "status 200, but the body matches"),
        (&far, HttpCheck { expect_body: regex("up"), ..get("/") }, false, "status 200, but the body does not match"),
        (&near, HttpCheck { expect_body: regex("up$"), ..get("/") }, true, "status 200"),
        (cut, HttpCheck { expect_body: regex("m"), ..get("/") }, false, "the answer broke off: "),
        (head, HttpCheck { method: Method::HEAD, ..get("/") }, true, "status 200"),
        (up, HttpCheck { method: Method::OPTIONS, ..get("*") }, true, "status 200"),
        ("", get("/"), false, "upstream-reset: "),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", get("/"), false, "bad-response: "),
    ] {
        run(async |probes| {
            let member = Member::that_says(answer).await;
            let outcome = outcome(&probes, &member.endpoint, once(Check::Http(check.clone()))).await;
            assert!(
                outcome.passed == passes && outcome.detail.starts_with(detail),
                "{answer:.60?} {check:?}: {outcome:?}"
            );
            let line = format!("{} {} HTTP/1.1\r\n", check.method, check.path);
            let head = member.seen.borrow()[0].clone();
            assert!(head.starts_with(&line) && head.contains("host: member.example\r\n"), "{head}");
            assert!(head.contains("connection: close\r\n"), "{head}");
        });
    }
}

#[test]
fn a_member_that_takes_longer_fails() {
    let check = HttpCheck { expect_body: Some("up".parse().unwrap()), ..get("/") };
    let limit = Duration::from_millis(900);
    for (said, detail) in [
        ("", "no answer within 900ms"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nup", "no end of the answer within 900ms"),
    ] {
        run(async |probes| {
            let (listener, endpoint) = listener().await;
            let (judge, mut hears) = Judge::that(Wanted::Check);
            let health = Health { timeout: limit, ..once(Check::Http(check.clone())) };
            probes.attend(vec![subject("slow", &endpoint, Some(health), &judge)]);
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            let outcome = hear(&mut hears).await;
            assert!(!outcome.passed && outcome.detail.ends_with(detail), "{outcome:?}");
            assert!(outcome.took >= limit, "{outcome:?}");
            // Given up means closed.
            let _ = read_head(&mut stream).await;
            assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
        });
    }
}

#[test]
fn connecting_is_enough_for_a_tcp_check_and_nothing_is_said() {
    run(async |probes| {
        let (listener, endpoint) = listener().await;
        let transport = Transport { protocol: Protocol::Http2, ..(*endpoint.transport).clone() };
        let endpoint = Endpoint::of(&endpoint.address, &Arc::new(transport));
        let outcome = outcome(&probes, &endpoint, once(Check::Tcp)).await;
        assert!(outcome.passed && outcome.detail == "connected", "{outcome:?}");
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(read_head(&mut stream).await, "");
    });
}

#[test]
fn a_port_where_nobody_listens_fails_every_check() {
    run(async |probes| {
        // Bound, so that nobody else gets it, and not listening.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let endpoint = endpoint(socket.local_addr().unwrap());
        for check in [Check::Tcp, Check::Http(get("/")), Check::Grpc(String::new())] {
            let outcome = outcome(&probes, &endpoint, once(check)).await;
            assert!(!outcome.passed && outcome.detail.starts_with("connect-refused: "), "{outcome:?}");
        }
    });
}

#[test]
fn another_port_is_where_the_check_goes() {
    run(async |probes| {
        let member = Member::that_says("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").await;
        let admin = Member::that_says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        let MemberAddress::Tcp(address) = admin.endpoint.address else { panic!("a TCP member") };
        let health = Health { port: Some(address.port()), ..once(Check::Http(get("/"))) };
        let outcome = outcome(&probes, &member.endpoint, health).await;
        assert!(outcome.passed, "{outcome:?}");
        assert_eq!((member.accepted.get(), admin.accepted.get()), (0, 1));
    });
}

#[test]
fn checks_come_at_their_interval_and_every_one_is_told() {
    run(async |probes| {
        let member = Member::that_says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        let (judge, mut hears) = Judge::that(Wanted::Check);
        let interval = Duration::from_millis(40);
        let health = Health { interval, timeout: PATIENCE, ..every_second(Check::Http(get("/"))) };
        let began = now();
        probes.attend(vec![subject("one", &member.endpoint, Some(health), &judge)]);
        for _ in 0..6 {
            assert!(hear(&mut hears).await.passed);
        }
        let took = now().duration_since(began);
        assert!(took >= interval * 5 * 9 / 10, "{took:?}");
        assert!(member.accepted.get() >= 6);
    });
}

#[test]
fn a_check_goes_on_over_a_reload_and_is_told_to_the_new_judge() {
    run(async |probes| {
        let member = Member::that_says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        let (judge, mut hears) = Judge::that(Wanted::Check);
        let same = || once(Check::Http(get("/")));
        probes.attend(vec![subject("one", &member.endpoint, Some(same()), &judge)]);
        hear(&mut hears).await;
        // The same again is not begun anew: its next turn is in an hour.
        let (next, mut hears_next) = Judge::that(Wanted::Check);
        let (other, mut hears_other) = Judge::that(Wanted::Check);
        let kept = subject("one", &member.endpoint, Some(same()), &next);
        probes.attend(vec![kept, subject("two", &member.endpoint, Some(same()), &other)]);
        hear(&mut hears_other).await;
        assert_eq!(member.accepted.get(), 2);
        // Something else is.
        let changed = Health { passes: 3, ..same() };
        probes.attend(vec![subject("one", &member.endpoint, Some(changed), &next)]);
        hear(&mut hears_next).await;
        assert_eq!(member.accepted.get(), 3);
        assert!(hears.try_recv().is_err() && hears_other.try_recv().is_err());
    });
}

#[test]
fn a_check_in_flight_is_told_to_whoever_judges_when_it_ends() {
    run(async |probes| {
        let (listener, endpoint) = listener().await;
        let (judge, mut hears) = Judge::that(Wanted::Check);
        let (next, mut hears_next) = Judge::that(Wanted::Check);
        let same = || Some(once(Check::Http(get("/"))));
        probes.attend(vec![subject("one", &endpoint, same(), &judge)]);
        let (mut stream, _) = listener.accept().await.unwrap();
        probes.attend(vec![subject("one", &endpoint, same(), &next)]);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        assert!(hear(&mut hears_next).await.passed);
        assert!(hears.try_recv().is_err());
    });
}

#[test]
fn who_is_gone_is_not_checked_to_the_end() {
    run(async |probes| {
        let (listener, endpoint) = listener().await;
        let (judge, mut hears) = Judge::that(Wanted::Check);
        probes.attend(vec![subject("one", &endpoint, Some(once(Check::Http(get("/")))), &judge)]);
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        probes.attend(Vec::new());
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        drop(judge);
        assert!(hears.recv().await.is_none(), "nothing is told, and nobody holds the judge");
    });
}

#[test]
fn stopped_members_are_left_alone_until_they_are_started() {
    run(async |probes| {
        let member = Member::that_says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        let (judge, mut hears) = Judge::that(Wanted::Nothing);
        let health = Health { interval: Duration::from_millis(10), ..once(Check::Http(get("/"))) };
        probes.attend(vec![subject("one", &member.endpoint, Some(health), &judge)]);
        assert!(timeout(Duration::from_millis(100), hears.recv()).await.is_err());
        assert_eq!(member.accepted.get(), 0);
        judge.want(Wanted::Check);
        assert!(hear(&mut hears).await.passed);
    });
}

#[test]
fn members_in_error_are_dialled_until_they_are_back() {
    run(async |probes| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let endpoint = endpoint(socket.local_addr().unwrap());
        let (judge, mut hears) = Judge::that(Wanted::Check);
        let reprobe = Duration::from_millis(20);
        let (never, mut hears_never) = Judge::that(Wanted::Reprobe);
        let unprobed = subject("never", &endpoint, None, &never);
        probes.attend(vec![Subject { reprobe, ..subject("one", &endpoint, None, &judge) }, unprobed]);
        judge.want(Wanted::Reprobe);
        assert!(timeout(Duration::from_millis(100), hears.recv()).await.is_err(), "it is not back");
        let listener = socket.listen(8).unwrap();
        let outcome = hear(&mut hears).await;
        assert!(outcome.passed && outcome.detail == "connected", "{outcome:?}");
        judge.want(Wanted::Check);
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(read_head(&mut stream).await, "");
        assert!(hears_never.try_recv().is_err());
    });
}

#[test]
fn a_member_in_error_is_left_alone_between_re_probes() {
    run(async |probes| {
        let (_listener, endpoint) = listener().await;
        let (judge, mut hears) = Judge::that(Wanted::Reprobe);
        let reprobe = Duration::from_millis(50);
        let began = now();
        probes.attend(vec![Subject { reprobe, ..subject("one", &endpoint, None, &judge) }]);
        for turn in 1..=3 {
            assert!(hear(&mut hears).await.passed);
            let took = now().duration_since(began);
            assert!(took >= reprobe * turn * 9 / 10, "{turn}: {took:?}");
        }
    });
}

#[test]
fn a_member_that_moved_is_checked_where_it_is_now() {
    run(async |probes| {
        let old = Member::that_says("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").await;
        let now = Member::that_says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        assert!(!outcome(&probes, &old.endpoint, once(Check::Http(get("/")))).await.passed);
        assert!(outcome(&probes, &now.endpoint, once(Check::Http(get("/")))).await.passed);
        assert_eq!((old.accepted.get(), now.accepted.get()), (1, 1));
    });
}

#[test]
fn no_more_than_64_checks_are_in_flight() {
    run(async |probes| {
        let (listener, endpoint) = listener().await;
        let (judge, mut hears) = Judge::that(Wanted::Check);
        let health = || Some(Health { gate: true, ..once(Check::Http(get("/"))) });
        let subjects = (0..100).map(|number| subject(&number.to_string(), &endpoint, health(), &judge));
        probes.attend(subjects.collect());
        let mut open = Vec::new();
        for _ in 0..64 {
            open.push(listener.accept().await.unwrap().0);
        }
        assert!(timeout(Duration::from_millis(200), listener.accept()).await.is_err(), "one too many");
        // Each that ends lets one more begin, until all had their turn.
        for turn in 64..164 {
            let mut stream = open.remove(0);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            assert!(hear(&mut hears).await.passed);
            if turn < 100 {
                open.push(listener.accept().await.unwrap().0);
            }
        }
    });
}

#[test]
fn a_gate_is_not_kept_shut_by_the_spread() {
    run(async |probes| {
        let member = Member::that_says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        let (judge, _hears) = Judge::that(Wanted::Check);
        let firsts = |gate| {
            let health = Health { gate, ..once(Check::Http(get("/"))) };
            let subject = subject("one", &member.endpoint, Some(health), &judge);
            [0, 5, 9].map(|index| rhythm::first(&subject, index, 10).as_millis())
        };
        assert_eq!(firsts(true), [0, 50, 90]);
        assert_eq!(firsts(false), [0, 500, 900]);
        drop(probes);
    });
}
