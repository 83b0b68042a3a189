//! When a member does not serve: who does, when nobody may, and what the client hears then.

use std::time::{Duration, Instant};

use weir_tests::{Config, DeafPort, Gate, Gateway, Origin, RefusedPort, behaviour, eventually};

/// A pool of these members, tried in this order.
fn pool(urls: &[String], lines: &str) -> Config {
    let members: Vec<String> = urls.iter().map(|url| format!("{url:?}")).collect();
    Config::default().pool(&format!("member = [{}]\nbalance = \"first\"\n{lines}", members.join(", ")))
}

fn named(name: &'static str) -> Origin {
    Origin::that(behaviour::answers(200, name))
}

#[test]
fn a_member_that_refuses_is_passed_over_and_left_alone() {
    let (dead, alive) = (RefusedPort::take(), named("b"));
    let config = pool(&[dead.url(), alive.url()], "").access_log("${attempts} ${response.status} ${member}");
    let gateway = Gateway::start(&config);
    for _ in 0..3 {
        assert_eq!(gateway.get("/").expect(200).body, b"b");
    }
    let url = alive.url();
    assert_eq!(gateway.access_lines(3), [format!("2 200 {url}"), format!("1 200 {url}"), format!("1 200 {url}")]);
    gateway.logged("member is in error");
}

#[test]
fn what_is_repeated_and_what_is_not() {
    let cases: &[(&str, &str, &[u8], u16)] = &[
        ("", "GET", b"", 200),
        ("", "PUT", b"whole", 200),
        ("", "DELETE", b"", 200),
        ("", "POST", b"once", 502),
        ("", "PATCH", b"once", 502),
        ("failover = { non-idempotent = true }", "POST", b"twice", 200),
        ("failover = { attempts = 1 }", "GET", b"", 502),
        ("failover = { on = [\"connect\"] }", "GET", b"", 502),
    ];
    for (lines, method, body, status) in cases {
        let (broken, fine) = (Origin::that(behaviour::resets_before_response()), Origin::start());
        let gateway = Gateway::start(&pool(&[broken.url(), fine.url()], lines));
        let response = gateway.client().request(method, "/x", &[], body);
        assert_eq!(response.status, *status, "{lines} {method}: {response}");
        assert_eq!(broken.requests().len(), 1, "{lines} {method}");
        match status {
            200 => assert_eq!(fine.request("/x").body, *body, "{lines} {method}"),
            _ => assert_eq!(fine.requests().len(), 0, "{lines} {method}"),
        }
    }
}

#[test]
fn what_was_not_sent_at_all_goes_to_another_member_whatever_it_is() {
    let (dead, alive) = (RefusedPort::take(), Origin::start());
    let gateway = Gateway::start(&pool(&[dead.url(), alive.url()], "failover = { replay-body = \"0B\" }"));
    gateway.client().request("POST", "/big", &[], &vec![b'x'; 300_000]).expect(200);
    assert_eq!(alive.request("/big").length, 300_000);
}

#[test]
fn a_body_beyond_what_is_kept_is_not_sent_again() {
    let (broken, fine) = (Origin::that(behaviour::resets_before_response()), Origin::start());
    let gateway = Gateway::start(&pool(&[broken.url(), fine.url()], "failover = { replay-body = \"8KiB\" }"));
    gateway.client().request("PUT", "/big", &[], &vec![b'x'; 200_000]).expect(502);
    assert_eq!(fine.requests().len(), 0);
    gateway.client().request("PUT", "/small", &[], &vec![b'y'; 5_000]).expect(200);
    assert_eq!(fine.request("/small").body, vec![b'y'; 5_000]);
}

#[test]
fn statuses_are_tried_again_when_they_are_listed() {
    let busy = Origin::that(behaviour::answers(503, "busy"));
    let gateway = Gateway::start(&pool(&[busy.url(), named("b").url()], ""));
    assert_eq!(gateway.get("/").expect(503).body, b"busy");
    let fine = named("b");
    let gateway = Gateway::start(&pool(&[busy.url(), fine.url()], "failover = { on = [503] }"));
    assert_eq!(gateway.get("/").expect(200).body, b"b");
    // The last answer is the client's, whatever it is.
    let other = Origin::that(behaviour::answers(503, "also busy"));
    let gateway = Gateway::start(&pool(&[busy.url(), other.url()], "failover = { on = [\"5xx\"] }"));
    assert_eq!(gateway.get("/").expect(503).body, b"also busy");
}

#[test]
fn a_member_that_is_slow_to_begin_is_given_up_after_the_try_timeout() {
    let (slow, fine) = (Origin::that(behaviour::never_answers()), named("b"));
    let lines = "failover = { on = [\"timeout\"], try-timeout = \"4s\" }";
    let gateway = Gateway::start(&pool(&[slow.url(), fine.url()], lines));
    assert_eq!(gateway.get("/").expect(200).body, b"b");
}

#[test]
fn a_member_that_never_accepts_is_given_up_after_the_connect_timeout() {
    let (deaf, fine) = (DeafPort::take(), named("b"));
    let gateway = Gateway::start(&pool(&[deaf.url(), fine.url()], "connect-timeout = \"1s\""));
    assert_eq!(gateway.get("/").expect(200).body, b"b");
}

#[test]
fn attempts_are_counted() {
    let origins: Vec<_> = (0..4).map(|_| Origin::that(behaviour::resets_before_response())).collect();
    let urls: Vec<_> = origins.iter().map(Origin::url).collect();
    let gateway = Gateway::start(&pool(&urls, "failover = { attempts = 2 }"));
    gateway.get("/").expect(502);
    let asked: Vec<_> = origins.iter().map(|origin| origin.requests().len()).collect();
    assert_eq!(asked, [1, 1, 0, 0]);
}

#[test]
fn the_budget_bounds_retries() {
    let (broken, fine) = (Origin::that(behaviour::resets_before_response()), named("b"));
    let lines = "failover = { budget = 0, budget-floor = 1 }\noutlier = { consecutive = 0 }";
    let gateway = Gateway::start(&pool(&[broken.url(), fine.url()], lines));
    let statuses: Vec<_> = (0..30).map(|_| gateway.get("/").status).collect();
    let served = statuses.iter().filter(|status| **status == 200).count();
    // One a second over ten seconds; a slow machine may see a few more while the window moves on.
    assert!((10..=20).contains(&served), "{served} of 30: {statuses:?}");
    assert!(statuses.contains(&502), "{statuses:?}");
}

#[test]
fn nothing_is_tried_again_once_the_client_has_a_byte() {
    let (cut, fine) = (Origin::that(behaviour::resets_after(100)), named("b"));
    let gateway = Gateway::start(&pool(&[cut.url(), fine.url()], ""));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = client.try_response().unwrap();
    assert!(response.cut.is_some(), "{response}");
    assert_eq!(fine.requests().len(), 0);
}

#[test]
fn a_member_in_error_is_tried_again_after_retry() {
    let (flaky, fine) = (named("a"), named("b"));
    flaky.next(behaviour::answers(500, "sick"));
    let lines = "retry = \"3s\"\nreprobe = \"0s\"\nfail-on-status = [500]";
    let gateway = Gateway::start(&pool(&[flaky.url(), fine.url()], lines));
    assert_eq!(gateway.get("/").expect(500).body, b"sick");
    let failed = Instant::now();
    assert_eq!(gateway.get("/").expect(200).body, b"b");
    eventually("the first member serves again", || (gateway.get("/").body == b"a").then_some(()));
    assert!(failed.elapsed() >= Duration::from_millis(2900), "{:?}", failed.elapsed());
}

#[test]
fn failures_in_a_row_eject_a_member() {
    let (sick, fine) = (Origin::that(behaviour::answers(502, "sick")), named("b"));
    let lines = "outlier = { consecutive = 3, base-ejection = \"1m\" }";
    let gateway = Gateway::start(&pool(&[sick.url(), fine.url()], lines));
    let bodies: Vec<_> = (0..5).map(|_| gateway.get("/").body).collect();
    assert_eq!(bodies, [b"sick".to_vec(), b"sick".to_vec(), b"sick".to_vec(), b"b".to_vec(), b"b".to_vec()]);
    gateway.logged("member is ejected");
}

#[test]
fn when_every_member_is_in_error_all_are_tried() {
    let origin = named("a");
    origin.next(behaviour::answers(500, "sick"));
    let gateway = Gateway::start(&pool(&[origin.url()], "fail-on-status = [500]"));
    gateway.get("/").expect(500);
    gateway.get("/").expect(200);
}

#[test]
fn without_forced_recovery_nobody_serves_and_the_client_is_told_when_to_come_back() {
    let origin = named("a");
    origin.next(behaviour::answers(500, "sick"));
    let gateway =
        Gateway::start(&pool(&[origin.url()], "fail-on-status = [500]\nforced-recovery = false\nreprobe = \"0s\""));
    gateway.get("/").expect(500);
    let response = gateway.get("/");
    assert!(!response.expect(503).field("retry-after").is_empty());
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_fallback_serves_when_nobody_can() {
    let (dead, spare) = (RefusedPort::take(), Origin::start());
    let tables = format!("[pool.other]\nmember = [\"{}\"]", spare.url());
    let gateway = Gateway::start(&pool(&[dead.url()], "fallback = \"other\"").tables(&tables));
    let response = gateway.client().request("POST", "/x", &[], b"body");
    assert_eq!(response.expect(200).json()["body"], "body");
    let answer = "fallback = { status = 503, body = \"closed for today\" }";
    let gateway = Gateway::start(&pool(&[dead.url()], answer));
    assert_eq!(gateway.get("/").expect(503).body, b"closed for today");
    let of_route = pool(&[dead.url()], "fallback = \"other\"")
        .tables(&tables)
        .route("fallback = { status = 200, body = \"route\" }");
    assert_eq!(Gateway::start(&of_route).get("/").expect(200).body, b"route");
}

#[test]
fn a_request_that_somebody_saw_does_not_go_to_the_fallback() {
    let (broken, spare) = (Origin::that(behaviour::resets_before_response()), Origin::start());
    let tables = format!("[pool.other]\nmember = [\"{}\"]", spare.url());
    let gateway = Gateway::start(&pool(&[broken.url()], "fallback = \"other\"").tables(&tables));
    gateway.client().request("POST", "/x", &[], b"body").expect(502);
    assert_eq!(spare.requests().len(), 0);
}

#[test]
fn a_request_that_waits_for_permission_goes_to_another_member() {
    let (broken, fine) = (Origin::that(behaviour::does(|_| Ok(weir_tests::origin::Then::Reset))), Origin::start());
    let gateway = Gateway::start(&pool(&[broken.url(), fine.url()], ""));
    let mut client = gateway.client();
    client.send("PUT /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let gate = Gate::closed();
    fine.next(behaviour::sends_100_after(&gate));
    gate.open();
    let (status, _) = client.response_head();
    assert_eq!(status, 100);
    client.send("hello");
    client.response().expect(200);
    assert_eq!(fine.request("/x").body, b"hello");
}
