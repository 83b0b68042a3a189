//! Limits of members, and the queue before them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use weir_tests::{Config, Gate, Gateway, Origin, behaviour, eventually};

/// One member that takes `most` exchanges at once, with these lines in its pool.
fn full(origin: &Origin, limit: &str, lines: &str) -> Config {
    Config::default().top("threads = 2").pool(&format!("member = [{{ url = \"{}\", {limit} }}]\n{lines}", origin.url()))
}

/// Waits until this many exchanges have come to the queue.
fn await_queue(gateway: &Gateway, count: usize) {
    eventually("they wait", || (gateway.log_count("waiting for a member") >= count).then_some(()));
}

#[test]
fn a_full_member_gets_no_more_and_the_client_is_told_when_to_come_back() {
    for limit in ["max-requests = 2", "max-connections = 2"] {
        let (origin, gate) = (Origin::start(), Gate::closed());
        origin.otherwise(behaviour::waits_for(&gate, behaviour::answers(200, "done")));
        let gateway = Gateway::start(&full(&origin, limit, ""));
        let mut first = gateway.client();
        first.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut second = gateway.client();
        second.send("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
        origin.await_requests(2);
        let response = gateway.get("/3");
        assert!(!response.expect(503).field("retry-after").is_empty(), "{limit}");
        gate.open();
        first.response().expect(200);
        second.response().expect(200);
        eventually("there is room again", || (gateway.get("/4").status == 200).then_some(()));
        assert!(origin.requests().len() >= 3 && origin.count("/3") == 0, "{limit}");
    }
}

#[test]
fn exchanges_wait_in_the_queue_in_their_order() {
    let (origin, gate) = (Origin::start(), Gate::closed());
    origin.on("/0", behaviour::waits_for(&gate, behaviour::answers(200, "done")));
    let gateway = Gateway::start(&full(&origin, "max-requests = 1", "queue = { length = 3, timeout = \"30s\" }"));
    let mut clients: Vec<_> = (0..4).map(|_| gateway.client()).collect();
    clients[0].send("GET /0 HTTP/1.1\r\nHost: x\r\n\r\n");
    origin.await_requests(1);
    for (number, client) in clients.iter_mut().enumerate().skip(1) {
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n"));
        await_queue(&gateway, number);
    }
    gateway.get("/late").expect(503);
    gate.open();
    for client in &mut clients {
        client.response().expect(200);
    }
    let order: Vec<_> = origin.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(order, ["/0", "/1", "/2", "/3"]);
    assert_eq!(origin.count("/late"), 0);
}

#[test]
fn nobody_waits_longer_than_the_queue_allows() {
    let (origin, gate) = (Origin::start(), Gate::closed());
    origin.otherwise(behaviour::waits_for(&gate, behaviour::answers(200, "done")));
    let gateway = Gateway::start(&full(&origin, "max-requests = 1", "queue = { length = 9, timeout = \"200ms\" }"));
    let mut first = gateway.client();
    first.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
    origin.await_requests(1);
    gateway.get("/2").expect(503);
    gate.open();
    first.response().expect(200);
}

/// What an origin hears of ends and dials comes in no order; what it answers at once, it has connections for.
#[test]
fn connections_are_limited_over_all_threads() {
    let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let answers = behaviour::answers(200, "done");
    let origin = Origin::that(behaviour::does({
        let most = most.clone();
        move |exchange| {
            most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            (0..100).for_each(|_| thread::yield_now());
            at_once.fetch_sub(1, Ordering::SeqCst);
            answers(exchange)
        }
    }));
    let lines = "queue = { length = 1000, timeout = \"30s\" }";
    let gateway = Gateway::start(&full(&origin, "max-connections = 3", lines));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = gateway.client();
                for _ in 0..40 {
                    client.get("/").expect(200);
                }
            });
        }
    });
    let most = most.load(Ordering::SeqCst);
    assert!(most <= 3, "{most} at once");
    assert_eq!(origin.requests().len(), 640);
    eventually("no more than three are left", || (origin.open_connections() <= 3).then_some(()));
}

#[test]
fn a_client_that_leaves_the_queue_leaves_its_place() {
    let (origin, gate) = (Origin::start(), Gate::closed());
    origin.on("/1", behaviour::waits_for(&gate, behaviour::answers(200, "done")));
    let config = full(&origin, "max-requests = 1", "queue = { length = 1, timeout = \"30s\" }");
    let gateway = Gateway::start(&config.access_log("${request.path} ${response.status}"));
    let mut first = gateway.client();
    first.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
    origin.await_requests(1);
    let mut leaver = gateway.client();
    leaver.send("GET /gone HTTP/1.1\r\nHost: x\r\n\r\n");
    await_queue(&gateway, 1);
    gateway.get("/late").expect(503);
    drop(leaver);
    eventually("it is gone", || gateway.lines("access.log").contains(&"/gone 499".to_owned()).then_some(()));
    let mut third = gateway.client();
    third.send("GET /3 HTTP/1.1\r\nHost: x\r\n\r\n");
    await_queue(&gateway, 2);
    gate.open();
    first.response().expect(200);
    third.response().expect(200);
    assert_eq!(origin.count("/gone"), 0);
}

#[test]
fn who_waits_for_the_member_of_a_session_keeps_nobody_from_the_others() {
    let (own, other, gate) = (Origin::start(), Origin::that(behaviour::answers(200, "other")), Gate::closed());
    own.otherwise(behaviour::waits_for(&gate, behaviour::answers(200, "own")));
    let members = format!(
        "{{ url = \"{}\", route = \"a\", max-requests = 1 }}, {{ url = \"{}\", route = \"b\", max-requests = 9 }}",
        own.url(),
        other.url()
    );
    let lines = "sticky = { cookie = \"S\" }\nqueue = { length = 5, timeout = \"30s\" }";
    let gateway = Gateway::start(&Config::default().pool(&format!("member = [{members}]\n{lines}")));
    let ask = "GET / HTTP/1.1\r\nHost: x\r\nCookie: S=x.a\r\n\r\n";
    let mut first = gateway.client();
    first.send(ask);
    own.await_requests(1);
    let mut second = gateway.client();
    second.send(ask);
    await_queue(&gateway, 1);
    for _ in 0..3 {
        assert_eq!(gateway.client().ask("/", &[("Cookie", "S=x.b")]).expect(200).body, b"other");
        assert_eq!(gateway.get("/").expect(200).body, b"other");
    }
    gate.open();
    assert_eq!(first.response().expect(200).body, b"own");
    assert_eq!(second.response().expect(200).body, b"own");
}
