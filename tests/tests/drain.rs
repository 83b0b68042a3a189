//! SIGTERM and SIGINT: what is in flight is finished, nothing new begins, and the process ends with 0.

use std::time::{Duration, Instant};

use weir_tests::{Client, Config, Gate, Gateway, Origin, PATIENCE, Signal, Stream, behaviour, eventually};

#[test]
fn an_idle_gateway_ends_at_once() {
    for signal in [Signal::Terminate, Signal::Interrupt] {
        let origin = Origin::start();
        let mut gateway = Gateway::start(&Config::to(&origin).top("shutdown-timeout = \"20s\""));
        let start = Instant::now();
        gateway.signal(signal);
        assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
        assert!(start.elapsed() < Duration::from_secs(10), "{signal:?} took {:?}", start.elapsed());
    }
}

#[test]
fn idle_connections_do_not_keep_it() {
    let origin = Origin::start();
    let mut gateway = Gateway::start(&Config::to(&origin).top("shutdown-timeout = \"20s\""));
    let mut kept = gateway.client();
    kept.get("/").expect(200);
    let mut silent = gateway.client();
    let start = Instant::now();
    gateway.signal(Signal::Terminate);
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10));
    kept.expect_close();
    silent.expect_close();
}

#[test]
fn a_request_under_way_is_finished_and_its_connection_closed() {
    let origin = Origin::start();
    let gate = Gate::closed();
    origin.otherwise(behaviour::waits_for(&gate, behaviour::answers(200, "finished")));
    let mut gateway = Gateway::start(&Config::to(&origin));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    origin.await_requests(1);
    gateway.signal(Signal::Terminate);
    gateway.logged("draining");
    let address = gateway.addr("web");
    eventually("connections are refused", || Stream::connect(&address).is_err().then_some(()));
    assert!(gateway.is_running());
    gate.open();
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "finished"));
    assert!(response.says_close(), "{response}");
    client.expect_close();
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
}

#[test]
fn nothing_new_is_accepted_meanwhile() {
    let origin = Origin::start();
    let gate = Gate::closed();
    origin.otherwise(behaviour::waits_for(&gate, behaviour::echoes()));
    let mut gateway = Gateway::start(&Config::to(&origin));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    origin.await_requests(1);
    let address = gateway.addr("web");
    gateway.signal(Signal::Terminate);
    eventually("connections are refused", || Stream::connect(&address).is_err().then_some(()));
    gate.open();
    client.response().expect(200);
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn an_upload_and_a_download_under_way_are_finished() {
    let origin = Origin::start();
    origin.on("/down", behaviour::trickles(Duration::from_millis(10), 60));
    let mut gateway = Gateway::start(&Config::to(&origin));
    let (mut down, mut up) = (gateway.client(), gateway.client());
    down.send("GET /down HTTP/1.1\r\nHost: x\r\n\r\n");
    up.send("POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfirst");
    origin.await_requests(2);
    gateway.signal(Signal::Terminate);
    gateway.logged("draining");
    up.send("later");
    assert_eq!(up.response().json()["body"], "firstlater");
    assert_eq!(down.response().body.len(), 60);
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
}

#[test]
fn what_does_not_end_is_cut_when_the_time_is_over() {
    let origin = Origin::that(behaviour::never_answers());
    let mut gateway = Gateway::start(&Config::to(&origin).top("shutdown-timeout = \"300ms\""));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    origin.await_requests(1);
    let start = Instant::now();
    gateway.signal(Signal::Terminate);
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
    assert!(start.elapsed() >= Duration::from_millis(250) && start.elapsed() < Duration::from_secs(10));
}

#[test]
fn no_answered_request_is_lost_when_many_are_under_way() {
    let origin = Origin::that(behaviour::trickles(Duration::from_millis(2), 20));
    let mut gateway = Gateway::start(&Config::to(&origin).top("threads = 2"));
    let mut clients: Vec<Client> = (0..40).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    origin.await_requests(40);
    gateway.signal(Signal::Terminate);
    for client in &mut clients {
        assert_eq!(client.response().body.len(), 20);
    }
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
}

#[test]
fn a_first_request_that_was_on_its_way_is_answered() {
    for protocols in ["[\"h1\"]", "[\"h1\", \"h2\"]"] {
        let origin = Origin::start();
        let mut gateway =
            Gateway::start(&Config::to(&origin).listener(&format!("protocols = {protocols}")).top("threads = 1"));
        let (mut fresh, mut kept) = (gateway.client(), gateway.client());
        // Who asks behind it on the same thread is served behind it: it was accepted.
        kept.get("/").expect(200);
        gateway.signal(Signal::Terminate);
        // One that is idle goes when it hears of the end. A request may come right after that.
        kept.expect_close();
        fresh.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let response = fresh.response();
        assert!(response.expect(200).says_close(), "{protocols}: {response}");
        fresh.expect_close();
        assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
    }
}

#[test]
fn connections_that_were_waiting_to_be_accepted_are_served_or_refused_but_not_left_hanging() {
    let origin = Origin::start();
    let mut gateway = Gateway::start(&Config::to(&origin));
    let mut clients: Vec<Client> = (0..20).map(|_| gateway.client()).collect();
    gateway.signal(Signal::Terminate);
    for client in &mut clients {
        let _ = client.try_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        if let Ok(response) = client.try_response() {
            response.expect(200);
        }
    }
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
}

#[test]
fn a_unix_socket_is_removed_at_the_end() {
    let origin = Origin::start();
    let mut gateway = Gateway::start(&Config::to(&origin).listener("bind = \"unix:{place}/web.sock\""));
    let path = gateway.place().join("web.sock");
    gateway.get("/").expect(200);
    assert!(path.exists());
    gateway.signal(Signal::Terminate);
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
    assert!(!path.exists());
}
