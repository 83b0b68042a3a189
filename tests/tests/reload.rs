//! SIGHUP: a whole new generation or none, and nobody on the wire notices the change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use weir_tests::{Client, Config, Gate, Gateway, Origin, Signal, behaviour, eventually};

fn saying(text: &str) -> Config {
    Config::to_url("http://127.0.0.1:9").route(&format!("respond = {{ status = 200, body = \"{text}\" }}"))
}

/// Rewrites the config, signals and waits until it holds; the port must stay the same.
#[test]
fn a_new_config_holds_for_new_requests_even_on_old_connections() {
    let gateway = Gateway::start(&saying("one"));
    let mut kept = gateway.client();
    assert_eq!(kept.get("/").text(), "one");
    gateway.reload(&saying("two"));
    assert_eq!(gateway.get("/").text(), "two");
    // A kept connection either moves to the new generation or is closed between two requests, never in one.
    let sent = kept.try_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    if let Ok(response) = sent.and_then(|()| kept.try_response()) {
        assert_eq!(response.text(), "two");
    }
}

#[test]
fn a_bad_config_is_refused_with_all_its_problems_and_the_old_one_goes_on() {
    let gateway = Gateway::start(&saying("one"));
    let bad = saying("two").site("no-such-key = 1").listener("max-head = \"many\"").pool("balance = \"by-luck\"");
    gateway.rewrite_config(&bad);
    gateway.signal(Signal::Reload);
    gateway.logged("reload refused");
    for word in ["no-such-key", "max-head", "balance"] {
        gateway.logged(word);
    }
    assert_eq!(gateway.get("/").text(), "one");
    gateway.reload(&saying("three"));
    assert_eq!(gateway.get("/").text(), "three");
}

#[test]
fn a_config_that_is_gone_or_is_not_toml_is_refused_too() {
    let gateway = Gateway::start(&saying("one"));
    gateway.place().write("weir.toml", "this is = = not toml");
    gateway.signal(Signal::Reload);
    eventually("the first refusal", || (gateway.log_count("reload refused") == 1).then_some(()));
    std::fs::remove_file(gateway.place().join("weir.toml")).expect("the config is there");
    gateway.signal(Signal::Reload);
    eventually("the second refusal", || (gateway.log_count("reload refused") == 2).then_some(()));
    assert_eq!(gateway.get("/").text(), "one");
}

#[test]
fn a_request_under_way_ends_in_the_generation_it_began_in() {
    let (one, two) = (Origin::start(), Origin::start());
    let gate = Gate::closed();
    one.otherwise(behaviour::waits_for(&gate, behaviour::answers(200, "from one")));
    two.otherwise(behaviour::answers(200, "from two"));
    let gateway = Gateway::start(&Config::to(&one));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    one.await_requests(1);
    gateway.reload(&Config::to(&two));
    assert_eq!(gateway.get("/").text(), "from two");
    gate.open();
    assert_eq!(client.response().text(), "from one");
    eventually("the old pool's connections are given up", || (one.open_connections() == 0).then_some(()));
}

#[test]
fn an_upload_under_way_survives_a_reload() {
    let (one, two) = (Origin::start(), Origin::start());
    let gateway = Gateway::start(&Config::to(&one));
    let mut client = gateway.client();
    client.send("POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfirst");
    one.await_requests(1);
    gateway.reload(&Config::to(&two));
    client.send("later");
    assert_eq!(client.response().json()["body"], "firstlater");
}

#[test]
fn no_request_is_lost_while_configs_change() {
    let origin = Origin::start();
    let gateway = Arc::new(Gateway::start(&Config::to(&origin).top("threads = 2")));
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (address, done) = (gateway.addr("web"), Arc::clone(&done));
            thread::spawn(move || {
                let mut count = 0;
                while !done.load(Ordering::Acquire) {
                    // Fresh connections half of the time: these must be accepted at every moment.
                    let mut client = Client::connect(&address);
                    for _ in 0..1 + number % 2 {
                        client
                            .request(
                                "POST",
                                "/",
                                &[("Connection", if number % 2 == 0 { "close" } else { "keep-alive" })],
                                b"x",
                            )
                            .expect(200);
                        count += 1;
                    }
                }
                count
            })
        })
        .collect();
    for _ in 0..10 {
        gateway.reload(&Config::to(&origin).top("threads = 2"));
    }
    done.store(true, Ordering::Release);
    let counts: Vec<usize> = clients.into_iter().map(|client| client.join().expect("no client met an error")).collect();
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

#[test]
fn listeners_come_and_go_with_a_reload() {
    let gateway = Gateway::start(&saying("one"));
    gateway.reload(&saying("two").tables("[listener.side]\nbind = \"127.0.0.1:0\""));
    let (web, side) = (gateway.addr("web"), gateway.addr("side"));
    assert_eq!(Client::connect(&side).get("/").text(), "two");
    gateway.reload(&saying("three"));
    assert_eq!(Client::connect(&web).get("/").text(), "three");
    eventually("the listener that is gone refuses", || weir_tests::Stream::connect(&side).is_err().then_some(()));
}

#[test]
fn connections_kept_upstream_are_kept_over_a_reload_that_does_not_concern_them_or_closed_but_never_leaked() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin));
    for _ in 0..5 {
        gateway.get("/").expect(200);
        gateway.reload(&Config::to(&origin));
    }
    gateway.get("/").expect(200);
    eventually("at most one kept connection", || (origin.open_connections() <= 1).then_some(()));
}

#[test]
fn reloading_often_does_not_grow_the_gateway() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin));
    let round = || {
        gateway.get("/").expect(200);
        gateway.reload(&Config::to(&origin));
    };
    (0..5).for_each(|_| round());
    let (memory, descriptors, threads) = (gateway.rss_kib(), gateway.descriptors(), gateway.threads());
    (0..25).for_each(|_| round());
    assert!(gateway.rss_kib() < memory + 8 * 1024, "{} KiB after {memory} KiB", gateway.rss_kib());
    eventually("no descriptors leak", || (gateway.descriptors() <= descriptors + 2).then_some(()));
    eventually("no threads are left over", || (gateway.threads() <= threads).then_some(()));
}
