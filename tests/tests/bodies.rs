//! Bodies stream both ways, whole or visibly broken, with what HTTP lets travel beside them: trailers and interim answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use weir_tests::origin::Then;
use weir_tests::{Config, Framing, Gate, Gateway, Origin, behaviour, eventually, stays};

fn pair() -> (Origin, Gateway) {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin));
    (origin, gateway)
}

/// Bytes in which no two places look alike, so that a lost or swapped piece shows.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(step).collect()
}

#[test]
fn a_body_with_a_length_arrives_byte_for_byte() {
    let (origin, gateway) = pair();
    let mut client = gateway.client();
    for length in [0, 1, 1000, 65_536, 3_000_001] {
        let body = pattern(length);
        client.request("POST", "/up", &[], &body).expect(200);
        let seen = origin.request("/up");
        assert!(seen.body == body, "{length} bytes were changed on their way");
        assert_eq!(seen.fields.get("content-length"), Some(length.to_string()));
    }
}

#[test]
fn a_body_that_nobody_expects_arrives_too() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin));
    for method in ["GET", "DELETE", "OPTIONS", "REPORT"] {
        let mut client = gateway.client();
        client.send(format!(
            "{method} /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        ));
        assert_eq!(client.response().expect(200).json()["body"], "hello", "{method}");
    }
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[test]
fn a_chunked_body_arrives_byte_for_byte_and_with_its_trailers() {
    let (origin, gateway) = pair();
    let mut client = gateway.client();
    let body = pattern(200_000);
    client.send("POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
    for piece in body.chunks(7_777) {
        client.send(format!("{:X};name=\"value\"\r\n", piece.len())).send(piece).send("\r\n");
    }
    client.send("0\r\nX-Sum: 42\r\n\r\n");
    client.response().expect(200);
    let seen = origin.request("/up");
    assert!(seen.body == body && seen.whole);
    assert_eq!(seen.trailers.get("x-sum").as_deref(), Some("42"));
    assert_eq!(seen.fields.get("transfer-encoding").as_deref(), Some("chunked"));
}

#[test]
fn trailers_cannot_smuggle_what_belongs_in_a_head() {
    let (origin, gateway) = pair();
    let mut client = gateway.client();
    client.send("POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n");
    client.send("Content-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nX-Forwarded-For: 6.6.6.6\r\nX-Fine: 1\r\n\r\n");
    let status = client.try_response().map(|response| response.status);
    assert!(matches!(status, Ok(200 | 400) | Err(_)), "{status:?}");
    for request in origin.requests() {
        for name in ["content-length", "transfer-encoding", "host", "x-forwarded-for"] {
            assert!(!request.trailers.has(name), "{name} reached the origin as a trailer");
        }
    }
}

#[test]
fn trailers_of_a_response_reach_the_client() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).access_log("${response.status} ${failure}"));
    origin.otherwise(behaviour::chunked_with_trailers(&["one", "two"]));
    let response = gateway.client().ask("/", &[("TE", "trailers")]);
    assert_eq!((response.text().as_str(), response.framing), ("onetwo", Framing::Chunked));
    assert_eq!(response.trailers.get("x-checksum").as_deref(), Some("abc123"));
    gateway.client().get("/");
    assert_eq!(gateway.access_lines(2), ["200 -", "200 -"]);
}

#[test]
fn an_older_client_learns_that_a_body_of_unknown_length_ends_its_connection() {
    let (origin, gateway) = pair();
    origin.otherwise(behaviour::chunked_with_trailers(&["one", "two"]));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");
    let response = client.response();
    assert_eq!(response.text(), "onetwo");
    assert!(response.says_close(), "{response}");
}

#[test]
fn a_body_that_ends_with_the_upstreams_connection_keeps_the_clients() {
    let (origin, gateway) = pair();
    origin.next(behaviour::close_delimited_body("until the end"));
    let mut client = gateway.client();
    let response = client.get("/");
    assert_eq!((response.text().as_str(), response.framing), ("until the end", Framing::Chunked));
    client.get("/again").expect(200);
}

#[test]
fn answers_without_a_body_stay_without_one() {
    let (origin, gateway) = pair();
    origin.on("/204", behaviour::answers(204, ""));
    origin.on("/304", behaviour::answers_with(304, &[("ETag", "\"x\"")], ""));
    origin.on("/length", behaviour::answers(200, "twelve bytes"));
    let mut client = gateway.client();
    client.get("/204").expect(204);
    let unmodified = client.get("/304");
    assert_eq!((unmodified.status, unmodified.field("etag").as_str()), (304, "\"x\""));
    let head = client.request("HEAD", "/length", &[], b"");
    assert_eq!((head.status, head.field("content-length").as_str()), (200, "12"));
    assert_eq!(client.get("/length").text(), "twelve bytes");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_request_streams_before_its_end_is_known() {
    let (origin, gateway) = pair();
    let arrived = Gate::closed();
    let seen = arrived.clone();
    origin.otherwise(behaviour::does(move |exchange| {
        exchange.some()?;
        seen.open();
        exchange.wait_for_end();
        Ok(Then::Close)
    }));
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfirst");
    let passed = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&passed);
    thread::spawn(move || {
        arrived.pass();
        flag.store(true, Ordering::Release);
    });
    eventually("the first half arrives while the second is not sent", || passed.load(Ordering::Acquire).then_some(()));
}

#[test]
fn a_response_streams_before_its_end_is_known() {
    let (origin, gateway) = pair();
    let gate = Gate::closed();
    let held = gate.clone();
    origin.otherwise(behaviour::does(move |exchange| {
        exchange.write_head(200, &[("Content-Length", "10")])?;
        exchange.write("first")?;
        held.pass();
        exchange.write("later")?;
        Ok(Then::Keep)
    }));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response_head().0, 200);
    assert_eq!(client.some().expect("the first half"), b"first");
    gate.open();
    assert_eq!(client.some().expect("the second half"), b"later");
}

#[test]
fn a_response_head_arrives_before_its_body() {
    let (origin, gateway) = pair();
    let gate = Gate::closed();
    let held = gate.clone();
    origin.otherwise(behaviour::does(move |exchange| {
        exchange.write_head(200, &[("Transfer-Encoding", "chunked")])?;
        held.pass();
        exchange.write("2\r\nok\r\n0\r\n\r\n")?;
        Ok(Then::Keep)
    }));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response_head().0, 200);
    gate.open();
    assert_eq!(client.drain(Framing::Chunked).expect("a whole body"), 2);
}

#[test]
fn a_slow_upstream_holds_the_client_back_and_the_gateways_memory_stays_flat() {
    let (origin, gateway) = pair();
    gateway.get("/warm").expect(200);
    let before = gateway.rss_kib();
    let held = Gate::closed();
    origin.otherwise(behaviour::waits_for(&held, behaviour::sinks()));
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let total: u64 = 200 << 20;
    let mut client = gateway.client();
    let upload = thread::spawn(move || {
        client.send(format!("POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: {total}\r\n\r\n"));
        let block = vec![0; 1 << 20];
        for _ in 0..total >> 20 {
            client.send(&block);
            counted.fetch_add(1 << 20, Ordering::Relaxed);
        }
        client.response().text()
    });
    let mut last = u64::MAX;
    eventually("the client is held back", || {
        let now = sent.load(Ordering::Relaxed);
        let stands = now == last && now > 0;
        last = now;
        thread::sleep(Duration::from_millis(200));
        stands.then_some(())
    });
    assert!(last < total, "all was taken although nobody read it");
    assert!(gateway.rss_kib() < before + 32 * 1024, "{} KiB after {before} KiB", gateway.rss_kib());
    held.open();
    assert_eq!(upload.join().expect("the upload ends"), total.to_string());
}

#[test]
fn a_slow_client_holds_the_upstream_back() {
    let origin = Origin::start();
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let total: u64 = 200 << 20;
    origin.otherwise(behaviour::does(move |exchange| {
        exchange.write_head(200, &[("Content-Length", &total.to_string())])?;
        let block = vec![0; 1 << 20];
        for _ in 0..total >> 20 {
            exchange.write(&block)?;
            counted.fetch_add(1 << 20, Ordering::Relaxed);
        }
        Ok(Then::Keep)
    }));
    let gateway = Gateway::start(&Config::to(&origin));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response_head().0, 200);
    let mut last = u64::MAX;
    eventually("the upstream is held back", || {
        let now = sent.load(Ordering::Relaxed);
        let stands = now == last && now > 0;
        last = now;
        thread::sleep(Duration::from_millis(200));
        stands.then_some(())
    });
    assert!(last < total, "all was taken although nobody read it");
    assert_eq!(client.drain(Framing::Length(total)).expect("a whole body"), total);
}

#[test]
fn an_interim_response_reaches_the_client_before_the_final_one() {
    let (origin, gateway) = pair();
    let gate = Gate::closed();
    let held = gate.clone();
    origin.otherwise(behaviour::does(move |exchange| {
        exchange.write_head(103, &[("Link", "</a.css>; rel=preload"), ("Connection", "X-Hop"), ("X-Hop", "1")])?;
        exchange.write_head(103, &[("Link", "</b.css>; rel=preload")])?;
        held.pass();
        exchange.write_head(200, &[("Content-Length", "2")])?;
        exchange.write("ok")?;
        Ok(Then::Keep)
    }));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let (status, fields) = client.response_head();
    assert_eq!((status, fields.get("link").as_deref()), (103, Some("</a.css>; rel=preload")));
    assert!(!fields.has("x-hop"));
    assert_eq!(client.response_head().0, 103);
    gate.open();
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    origin.otherwise(behaviour::echoes());
    client.get("/again").expect(200);
}

#[test]
fn an_http_1_0_client_gets_no_interim_response() {
    let (origin, gateway) = pair();
    origin.otherwise(behaviour::sends_103());
    let mut client = gateway.client();
    client.send("GET / HTTP/1.0\r\nHost: x\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.interim.len()), (200, 0));
}

#[test]
fn the_upstream_decides_whether_the_client_may_continue() {
    let (origin, gateway) = pair();
    let gate = Gate::closed();
    origin.otherwise(behaviour::sends_100_after(&gate));
    let mut client = gateway.client();
    client.send("POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    let seen = origin.await_requests(1);
    assert_eq!(seen[0].fields.get("expect").as_deref(), Some("100-continue"));
    assert!(client.is_silent_for(Duration::from_millis(100)), "100 came before the upstream said so");
    gate.open();
    assert_eq!(client.response_head().0, 100);
    client.send("body");
    client.response().expect(200);
    assert_eq!(origin.request("/big").body, b"body");
}

#[test]
fn an_upstream_that_refuses_to_continue_never_sees_the_body() {
    let (origin, gateway) = pair();
    origin.otherwise(behaviour::refuses_to_continue(417));
    let mut client = gateway.client();
    client.send("POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\nExpect: 100-continue\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.interim.len(), response.text().as_str()), (417, 0, "early"));
}

#[test]
fn an_upstream_that_answers_without_continuing_gets_the_body_anyway() {
    let (origin, gateway) = pair();
    // The origin reads the body without a word; the client gives up waiting and sends it (RFC 9110, section 10.1.1).
    origin.otherwise(behaviour::echoes());
    let mut client = gateway.client();
    client.send("POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    origin.await_requests(1);
    client.send("body");
    assert_eq!(client.response().json()["body"], "body");
}

#[test]
fn an_early_answer_reaches_the_client_while_it_still_sends() {
    let (origin, gateway) = pair();
    origin.next(behaviour::answers_early(413));
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nsome");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (413, "early"));
    let _ = client.try_send(vec![0; 999_996]);
    gateway.get("/other").expect(200);
}

#[test]
fn an_early_answer_with_a_close_reaches_the_client_too() {
    let (origin, gateway) = pair();
    for _ in 0..5 {
        origin.next(behaviour::answers_early_and_closes(403));
        let mut client = gateway.client();
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n");
        let _ = client.try_send(vec![0; 100_000]);
        assert_eq!(client.response().status, 403);
        gateway.get("/other").expect(200);
    }
}

#[test]
fn a_body_that_the_upstream_cut_is_cut_for_the_client() {
    let cuts = [
        behaviour::resets_after(10),
        behaviour::closes_after(10),
        behaviour::lies_about_length(5),
        behaviour::broken_chunks(),
        behaviour::unfinished_chunks(),
    ];
    for cut in cuts {
        let (origin, gateway) = pair();
        origin.next(cut);
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        match client.try_response() {
            Ok(response) => assert!(response.cut.is_some() || response.status == 502, "a clean end: {response}"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}"),
        }
        gateway.get("/next").expect(200);
    }
}

#[test]
fn more_bytes_than_the_upstream_announced_are_nobodys_answer() {
    let (origin, gateway) = pair();
    origin.next(behaviour::says(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ));
    let mut client = gateway.client();
    assert_eq!(client.get("/").text(), "ok");
    for _ in 0..3 {
        assert_eq!(client.get("/mine").json()["target"], "/mine");
    }
}

#[test]
fn an_upload_that_the_client_gives_up_is_never_taken_for_a_whole_one() {
    let (origin, gateway) = pair();
    let heads = ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"];
    for (number, head) in heads.iter().enumerate() {
        for reset in [false, true] {
            let mut client = gateway.client();
            client.send(format!("POST /up{number}{reset} HTTP/1.1\r\nHost: x\r\n{head}"));
            let target = format!("/up{number}{reset}");
            eventually("the upload begins", || (origin.count(&target) > 0).then_some(()));
            if reset {
                client.reset();
            } else {
                drop(client);
            }
            eventually("the upstream's connection ends too", || (origin.open_connections() == 0).then_some(()));
            assert!(!origin.request(&target).whole);
        }
    }
    gateway.get("/next").expect(200);
}

#[test]
fn a_client_that_leaves_frees_the_upstream() {
    let (origin, gateway) = pair();
    origin.next(behaviour::big_body(1 << 40));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response_head().0, 200);
    client.some().expect("the body begins");
    client.reset();
    eventually("the upstream's connection ends", || (origin.open_connections() == 0).then_some(()));
    gateway.get("/next").expect(200);
}

#[test]
fn a_client_that_leaves_while_the_upstream_thinks_frees_it_too() {
    let (origin, gateway) = pair();
    origin.next(behaviour::never_answers());
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    origin.await_requests(1);
    drop(client);
    eventually("the upstream's connection ends", || (origin.open_connections() == 0).then_some(()));
}

#[test]
fn a_client_that_says_it_sends_no_more_is_answered_or_closed_but_not_left_hanging() {
    let (_origin, gateway) = pair();
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    client.finish();
    if let Ok(response) = client.try_response() {
        response.expect(200);
    }
    client.expect_close();
    gateway.get("/next").expect(200);
}

#[test]
fn a_trickling_upload_and_a_trickling_answer_pass() {
    let (origin, gateway) = pair();
    origin.on("/down", behaviour::trickles(Duration::from_millis(1), 50));
    let mut client = gateway.client();
    client.trickle("POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", Duration::from_millis(1));
    assert_eq!(client.response().json()["body"], "hello");
    assert_eq!(client.get("/down").body.len(), 50);
    stays("the connection stands", Duration::from_millis(20), || origin.violations().is_empty());
}
