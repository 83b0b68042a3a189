//! Nobody may keep a connection by being slow: each side's patience, and what is said when it ends.

use std::time::{Duration, Instant};

use weir_tests::{Config, DeafPort, Gateway, Origin, behaviour, eventually};

const SHORT: &str = "\"300ms\"";

/// Long enough for any answer of a busy machine, short enough to tell a configured timeout from a default.
const SOON: Duration = Duration::from_secs(9);

fn gateway(origin: &Origin, config: impl FnOnce(Config) -> Config) -> Gateway {
    Gateway::start(&config(Config::to(origin)).access_log("${response.status} ${failure}"))
}

#[test]
fn a_head_that_does_not_arrive_in_time_gets_408() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config.listener(&format!("head-timeout = {SHORT}")));
    let start = Instant::now();
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n");
    let response = client.response();
    assert_eq!(response.status, 408);
    assert!(response.says_close());
    client.expect_close();
    assert!(start.elapsed() < SOON);
    assert_eq!(origin.connections(), 0);
    assert_eq!(gateway.access_lines(1), ["408 head-timeout"]);
}

#[test]
fn a_head_that_trickles_in_gets_no_more_time_for_it() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config.listener(&format!("head-timeout = {SHORT}")));
    let start = Instant::now();
    let mut client = gateway.client();
    let endless = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "a".repeat(2000));
    client.trickle(endless, Duration::from_millis(20));
    assert!(start.elapsed() < SOON + Duration::from_secs(10), "the trickle was taken to its end");
    if let Ok(response) = client.try_response() {
        assert_eq!(response.status, 408);
    }
    assert_eq!(gateway.access_lines(1), ["408 head-timeout"]);
}

#[test]
fn the_second_head_of_a_connection_has_the_same_time() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config.listener(&format!("head-timeout = {SHORT}")));
    let mut client = gateway.client();
    client.get("/").expect(200);
    client.send("GET / HTT");
    client.response().expect(408);
    client.expect_close();
}

#[test]
fn a_body_that_stops_arriving_gets_408() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config.listener(&format!("body-timeout = {SHORT}")));
    let start = Instant::now();
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
    client.response().expect(408);
    client.expect_close();
    assert!(start.elapsed() < SOON);
    assert_eq!(gateway.access_lines(1), ["408 body-timeout"]);
    eventually("the upstream gets no more", || (origin.open_connections() == 0).then_some(()));
    assert!(origin.requests().iter().all(|request| !request.whole));
}

#[test]
fn a_body_that_keeps_arriving_may_take_its_time() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config.listener("body-timeout = \"4s\""));
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n");
    client.trickle([b'x'; 40], Duration::from_millis(120));
    client.response().expect(200);
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config.listener(&format!("idle-timeout = {SHORT}\nhead-timeout = \"1s\"")));
    let start = Instant::now();
    let mut client = gateway.client();
    client.get("/").expect(200);
    client.expect_close();
    assert!(start.elapsed() < SOON);
    let mut never_asked = gateway.client();
    never_asked.expect_close();
}

#[test]
fn a_client_that_takes_no_byte_is_given_up() {
    let origin = Origin::that(behaviour::big_body(1 << 32));
    let gateway = gateway(&origin, |config| config.listener(&format!("write-timeout = {SHORT}")));
    let mut client = weir_tests::Client::connect_narrow(&gateway.addr("web"));
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("the upstream is let go", || {
        (origin.connections() == 1 && origin.open_connections() == 0).then_some(())
    });
    assert_eq!(gateway.access_lines(1), ["200 client-stalled"]);
}

#[test]
fn a_member_that_does_not_accept_gets_504() {
    let deaf = DeafPort::take();
    let config = Config::to_url(&deaf.url()).pool(&format!("connect-timeout = {SHORT}"));
    let gateway = Gateway::start(&config.access_log("${response.status} ${failure}"));
    let start = Instant::now();
    gateway.get("/").expect(504);
    assert!(start.elapsed() < SOON);
    assert_eq!(gateway.access_lines(1), ["504 connect-timeout"]);
}

#[test]
fn a_member_that_does_not_answer_gets_504() {
    let origin = Origin::that(behaviour::never_answers());
    let gateway = gateway(&origin, |config| config.pool(&format!("read-timeout = {SHORT}")));
    let start = Instant::now();
    let mut client = gateway.client();
    client.get("/").expect(504);
    assert!(start.elapsed() < SOON);
    assert_eq!(gateway.access_lines(1), ["504 response-timeout"]);
    eventually("the upstream's connection is closed", || (origin.open_connections() == 0).then_some(()));
    assert_eq!(origin.requests().len(), 1, "a request that timed out was repeated");
}

#[test]
fn a_member_that_stops_in_the_middle_cuts_the_answer() {
    let origin = Origin::that(behaviour::does(|exchange| {
        exchange.write_head(200, &[("Content-Length", "10")])?;
        exchange.write("half")?;
        exchange.wait_for_end();
        Ok(weir_tests::origin::Then::Close)
    }));
    let gateway = gateway(&origin, |config| config.pool(&format!("read-timeout = {SHORT}")));
    let start = Instant::now();
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = client.try_response().expect("the head had arrived");
    assert_eq!((response.status, response.text().as_str()), (200, "half"));
    assert!(response.cut.is_some());
    assert!(start.elapsed() < SOON);
    assert_eq!(gateway.access_lines(1), ["200 response-cut"]);
}

#[test]
fn a_member_that_keeps_sending_may_take_its_time() {
    let origin = Origin::that(behaviour::trickles(Duration::from_millis(120), 40));
    let gateway = gateway(&origin, |config| config.pool("read-timeout = \"4s\""));
    assert_eq!(gateway.get("/").body.len(), 40);
}

#[test]
fn the_first_byte_is_waited_for_while_the_client_still_sends() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config.pool("read-timeout = \"4s\""));
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n");
    client.trickle([b'x'; 40], Duration::from_millis(120));
    client.response().expect(200);
}

/// Sends a body until the other side takes no more of it for two seconds, or does not want it any more.
fn send_until_it_sticks(client: &mut weir_tests::Client) {
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");
    client.stream().set_patience(Duration::from_secs(2)).expect("sockets have timeouts");
    let block = vec![0; 1 << 20];
    let _ = (0..900).try_for_each(|_| client.try_send(&block));
    client.stream().set_patience(weir_tests::PATIENCE).expect("sockets have timeouts");
}

#[test]
fn a_member_that_does_not_read_gets_504() {
    let origin = Origin::that(behaviour::never_reads());
    let gateway = gateway(&origin, |config| config.pool(&format!("write-timeout = {SHORT}")));
    let start = Instant::now();
    let mut client = gateway.client();
    send_until_it_sticks(&mut client);
    client.response().expect(504);
    assert!(start.elapsed() < SOON);
    assert_eq!(gateway.access_lines(1), ["504 upstream-stalled"]);
}

#[test]
fn a_client_whose_body_nobody_wants_any_more_is_let_go() {
    let origin = Origin::that(behaviour::never_reads());
    let gateway = gateway(&origin, |config| config.pool(&format!("write-timeout = {SHORT}")));
    let mut client = gateway.client();
    send_until_it_sticks(&mut client);
    client.response().expect(504);
    let start = Instant::now();
    client.expect_close();
    assert!(start.elapsed() < SOON, "it was kept for {:?}", start.elapsed());
}

#[test]
fn a_whole_exchange_has_a_bound_of_its_own() {
    let origin = Origin::that(behaviour::never_answers());
    let gateway = gateway(&origin, |config| config.pool(&format!("timeout = {SHORT}")));
    let start = Instant::now();
    gateway.get("/").expect(504);
    assert!(start.elapsed() < SOON);
    assert_eq!(gateway.access_lines(1), ["504 exchange-timeout"]);
}

#[test]
fn an_exchange_begins_with_its_own_first_byte_not_with_the_body_before_it() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).access_log("${duration}"));
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n");
    origin.await_requests(1);
    client.send("body");
    client.response().expect(200);
    assert!(client.is_silent_for(Duration::from_secs(3)), "the connection is kept");
    let begun = Instant::now();
    client.get("/").expect(200);
    let most = begun.elapsed().as_secs_f64() + 2.5;
    let duration: f64 = gateway.access_lines(2)[1].parse().expect("a number of seconds");
    assert!(duration < most, "{duration} s");
}

#[test]
fn a_whole_exchange_is_bounded_although_bytes_keep_coming() {
    let origin = Origin::that(behaviour::trickles(Duration::from_millis(20), 5000));
    let gateway = gateway(&origin, |config| config.pool("timeout = \"500ms\""));
    let start = Instant::now();
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = client.try_response().expect("the head had arrived");
    assert!(response.cut.is_some());
    assert!(start.elapsed() < SOON);
}

#[test]
fn slow_neighbours_do_not_slow_anyone_else() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config);
    let mut slow: Vec<_> = (0..50).map(|_| gateway.client()).collect();
    for client in &mut slow {
        client.send("GET / HTTP/1.1\r\nHo");
    }
    let start = Instant::now();
    for _ in 0..20 {
        gateway.get("/").expect(200);
    }
    assert!(start.elapsed() < SOON);
}
