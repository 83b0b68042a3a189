//! Connections that live longer than one exchange, on both sides.

use std::thread;
use std::time::Duration;

use weir_tests::{Client, Config, Gate, Gateway, Origin, behaviour, eventually};

fn pair(config: impl FnOnce(Config) -> Config) -> (Origin, Gateway) {
    let origin = Origin::start();
    let gateway = Gateway::start(&config(Config::to(&origin)));
    (origin, gateway)
}

#[test]
fn a_client_asks_many_things_on_one_connection() {
    let (_origin, gateway) = pair(|config| config);
    let mut client = gateway.client();
    for number in 0..20 {
        let target = format!("/{number}");
        assert_eq!(client.get(&target).json()["target"], target.as_str());
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (origin, gateway) = pair(|config| config);
    origin.on("/slow", behaviour::trickles(Duration::from_millis(2), 20));
    let mut client = gateway.client();
    client.send(
        "GET /slow HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi\
         GET /c HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!(client.response().body.len(), 20);
    assert_eq!(client.response().json()["body"], "hi");
    assert_eq!(client.response().json()["target"], "/c");
}

#[test]
fn close_is_honoured() {
    let (_origin, gateway) = pair(|config| config);
    let mut client = gateway.client();
    let response = client.ask("/", &[("Connection", "close")]);
    assert!(response.says_close(), "{response}");
    client.expect_close();
}

#[test]
fn an_http_1_0_client_is_kept_only_if_it_asks() {
    let (_origin, gateway) = pair(|config| config);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.0\r\nHost: x\r\n\r\n");
    client.response().expect(200);
    client.expect_close();
    let mut client = gateway.client();
    client.send("GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");
    client.response().expect(200);
    client.send("GET / HTTP/1.0\r\nHost: x\r\n\r\n");
    client.response().expect(200);
}

#[test]
fn upstream_connections_are_used_again() {
    let (origin, gateway) = pair(|config| config);
    for number in 0..10 {
        gateway.get(&format!("/{number}")).expect(200);
    }
    gateway.client().request("POST", "/body", &[], b"body").expect(200);
    assert_eq!((origin.requests().len(), origin.connections()), (11, 1));
}

#[test]
fn a_pool_can_do_without_keeping() {
    let (origin, gateway) = pair(|config| config.pool("keepalive = false"));
    let mut client = gateway.client();
    for _ in 0..4 {
        client.get("/").expect(200);
    }
    assert_eq!((origin.requests().len(), origin.connections()), (4, 4));
    eventually("all of them are closed", || (origin.open_connections() == 0).then_some(()));
}

#[test]
fn an_upstream_that_closes_is_believed() {
    let (origin, gateway) = pair(|config| config);
    let mut client = gateway.client();
    origin.next(behaviour::answers_with(200, &[("Connection", "close")], "bye"));
    origin.next(behaviour::speaks_http_1_0());
    assert_eq!(client.get("/1").text(), "bye");
    client.get("/2").expect(200);
    client.get("/3").expect(200);
    client.get("/4").expect(200);
    assert_eq!(origin.connections(), 3);
}

#[test]
fn only_so_many_idle_connections_are_kept() {
    let (origin, gateway) = pair(|config| config.pool("max-idle-connections = 2"));
    let gate = Gate::closed();
    origin.otherwise(behaviour::waits_for(&gate, behaviour::echoes()));
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let mut client = gateway.client();
            thread::spawn(move || client.get("/").status)
        })
        .collect();
    eventually("six requests are under way at once", || (origin.open_connections() == 6).then_some(()));
    gate.open();
    for client in clients {
        assert_eq!(client.join().expect("a client ends"), 200);
    }
    eventually("two connections are kept", || (origin.open_connections() == 2).then_some(()));
    gateway.get("/more").expect(200);
    assert_eq!(origin.connections(), 6);
}

#[test]
fn an_idle_upstream_connection_is_closed_after_its_time() {
    let (origin, gateway) = pair(|config| config.pool("idle-timeout = \"200ms\""));
    gateway.get("/").expect(200);
    eventually("the kept connection is closed", || (origin.open_connections() == 0).then_some(()));
    gateway.get("/").expect(200);
    assert_eq!(origin.connections(), 2);
}

#[test]
fn a_connection_that_went_stale_is_replaced_without_the_client_noticing() {
    for behaviour in
        [behaviour::closes_on_the_next(), behaviour::resets_on_the_next(), behaviour::closes_after_response()]
    {
        let (origin, gateway) = pair(|config| config.access_log("${response.status} ${attempts}"));
        origin.next(behaviour);
        let mut client = gateway.client();
        client.get("/first").expect(200);
        client.get("/second").expect(200);
        assert_eq!(origin.connections(), 2);
        assert!(gateway.access_lines(2)[1].starts_with("200 "));
    }
}

#[test]
fn the_access_log_tells_how_many_attempts_there_were() {
    let (origin, gateway) = pair(|config| config.access_log("${response.status} ${attempts}"));
    origin.next(behaviour::closes_on_the_next());
    let mut client = gateway.client();
    client.get("/first").expect(200);
    client.get("/second").expect(200);
    assert_eq!(gateway.access_lines(2), ["200 1", "200 2"]);
}

#[test]
fn an_idempotent_request_with_its_whole_body_still_in_hand_may_be_repeated_but_only_once() {
    let (origin, gateway) = pair(|config| config);
    origin.next(behaviour::closes_on_the_next());
    let mut client = gateway.client();
    client.get("/first").expect(200);
    origin.next(behaviour::closes_before_response());
    origin.next(behaviour::answers(200, "a third attempt"));
    client.get("/second").expect(502);
    assert_eq!(origin.connections(), 2);
}

#[test]
fn an_idempotent_request_that_waits_for_permission_is_repeated_with_its_body_untouched() {
    for behaviour in [behaviour::closes_on_the_next(), behaviour::resets_on_the_next()] {
        let (origin, gateway) = pair(|config| config.access_log("${response.status} ${attempts}"));
        origin.next(behaviour);
        let mut client = gateway.client();
        client.get("/first").expect(200);
        let gate = Gate::closed();
        origin.next(behaviour::sends_100_after(&gate));
        client.send("PUT /second HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        origin.await_requests(2);
        gate.open();
        assert_eq!(client.response_head().0, 100);
        client.send("hello");
        client.response().expect(200);
        assert_eq!(origin.request("/second").body, b"hello");
        assert_eq!(gateway.access_lines(2), ["200 1", "200 2"]);
    }
}

#[test]
fn a_request_that_is_not_idempotent_is_not_repeated_once_it_was_sent() {
    let (origin, gateway) = pair(|config| config);
    origin.next(behaviour::closes_on_the_next());
    let mut client = gateway.client();
    client.get("/first").expect(200);
    client.request("POST", "/second", &[], b"an order").expect(502);
    assert_eq!(origin.count("/second"), 0, "it was sent a second time");
    client.request("POST", "/third", &[], b"another order").expect(200);
}

#[test]
fn a_fresh_connection_that_fails_is_not_tried_again() {
    let (origin, gateway) = pair(|config| config);
    origin.next(behaviour::closes_before_response());
    gateway.get("/").expect(502);
    assert_eq!((origin.connections(), origin.requests().len()), (1, 1));
}

#[test]
fn an_answer_that_began_is_never_repeated() {
    let (origin, gateway) = pair(|config| config);
    let mut client = gateway.client();
    client.get("/first").expect(200);
    origin.next(behaviour::resets_after(5));
    client.send("GET /second HTTP/1.1\r\nHost: x\r\n\r\n");
    if let Ok(response) = client.try_response() {
        assert!(response.cut.is_some() || response.status == 502);
    }
    assert_eq!(origin.count("/second"), 1);
}

#[test]
fn a_connection_whose_request_was_answered_too_early_is_not_used_again() {
    let (origin, gateway) = pair(|config| config);
    origin.next(behaviour::does(|exchange| {
        exchange.write_head(200, &[("Content-Length", "5")])?;
        exchange.write("early")?;
        exchange.wait_for_end();
        Ok(weir_tests::origin::Then::Close)
    }));
    let mut client = gateway.client();
    client.send("POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n");
    client.response().expect(200);
    drop(client);
    assert_eq!(gateway.get("/second").json()["target"], "/second");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn one_clients_end_does_not_touch_anothers_upstream() {
    let (origin, gateway) = pair(|config| config);
    let gate = Gate::closed();
    origin.on("/held", behaviour::waits_for(&gate, behaviour::echoes()));
    let mut held = gateway.client();
    held.send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
    origin.await_requests(1);
    for _ in 0..10 {
        let mut other = Client::connect(&gateway.addr("web"));
        other.send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
        other.reset();
    }
    gate.open();
    held.response().expect(200);
}
