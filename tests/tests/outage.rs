//! Members that die, come back and misbehave under load: what their neighbours serve is never touched.

use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use weir_tests::origin::Behaviour;
use weir_tests::{Client, Config, Gate, Gateway, Origin, Response, behaviour, eventually};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A request with each of these may be sent again without harm (RFC 9110, section 9.2.2).
const IDEMPOTENT: [(&str, &[u8]); 3] = [("GET", b""), ("PUT", b"the same again"), ("DELETE", b"")];

fn three() -> Vec<Origin> {
    NAMES.into_iter().map(Origin::named).collect()
}

fn pool(origins: &[Origin], lines: &str) -> Config {
    Config::of(&origins.iter().map(Origin::url).collect::<Vec<_>>()).top("threads = 2").pool(lines)
}

/// Clients that ask without a pause, until they are told to stop.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    answered: AtomicUsize,
    names: Mutex<BTreeSet<String>>,
    failed: Mutex<Vec<String>>,
}

impl Load {
    /// Half of the clients keep their connection, the others take a fresh one for every request.
    fn run(&self, address: &str, number: usize) {
        let mut client = Client::connect(address);
        for (method, body) in IDEMPOTENT.iter().cycle() {
            if self.over.load(Ordering::Acquire) {
                return;
            }
            match ask(&mut client, method, body) {
                Ok(response) if response.status == 200 && response.cut.is_none() => {
                    self.names.lock().unwrap().insert(response.field("x-member"));
                }
                Ok(response) => self.failed.lock().unwrap().push(format!("{method}: {response} {:?}", response.cut)),
                Err(error) => self.failed.lock().unwrap().push(format!("{method}: {error}")),
            }
            self.answered.fetch_add(1, Ordering::AcqRel);
            if number % 2 == 1 || !self.failed.lock().unwrap().is_empty() {
                client = Client::connect(address);
            }
        }
    }

    /// Waits until so many more requests were answered.
    fn goes_on(&self, count: usize) {
        let before = self.answered.load(Ordering::Acquire);
        eventually("requests are answered", || (self.answered.load(Ordering::Acquire) >= before + count).then_some(()));
    }
}

fn ask(client: &mut Client, method: &str, body: &[u8]) -> io::Result<Response> {
    let head = format!("{method} /x HTTP/1.1\r\nHost: any.example\r\nContent-Length: {}\r\n\r\n", body.len());
    client.try_send([head.as_bytes(), body].concat())?;
    client.try_response_to(method)
}

#[test]
fn no_idempotent_request_is_lost_while_one_member_after_the_other_dies_and_comes_back() {
    for lines in ["", "retry = \"300ms\"\nreprobe = \"100ms\""] {
        let origins = three();
        let gateway = Gateway::start(&pool(&origins, lines));
        let (load, address) = (Load::default(), gateway.addr("web"));
        thread::scope(|scope| {
            for number in 0..4 {
                let (load, address) = (&load, &address);
                scope.spawn(move || load.run(address, number));
            }
            for origin in origins.iter().cycle().take(12) {
                origin.stop();
                load.goes_on(60);
                origin.start_again();
                load.goes_on(60);
                let before = origin.requests().len();
                if !lines.is_empty() {
                    eventually("the member serves again", || (origin.requests().len() > before).then_some(()));
                }
            }
            load.over.store(true, Ordering::Release);
        });
        let failed = load.failed.lock().unwrap();
        let answered = load.answered.load(Ordering::Acquire);
        assert!(failed.is_empty(), "{lines} {} of {answered}: {:?}", failed.len(), failed.first());
        assert_eq!(*load.names.lock().unwrap(), NAMES.map(str::to_owned).into(), "{lines}");
    }
}

#[test]
fn when_all_members_die_and_come_back_service_resumes() {
    for lines in ["", "forced-recovery = false\nreprobe = \"100ms\"", "forced-recovery = false\nretry = \"300ms\""] {
        let origins = three();
        let gateway = Gateway::start(&pool(&origins, lines));
        gateway.get("/").expect(200);
        origins.iter().for_each(Origin::stop);
        for _ in 0..20 {
            let response = gateway.get("/");
            assert!(matches!(response.status, 502 | 503), "{lines}: {response}");
        }
        origins.iter().for_each(Origin::start_again);
        eventually("service resumes", || (gateway.get("/").status == 200).then_some(()));
        eventually("with all members", || {
            (gateway.client().tally(6).into_keys().eq(NAMES.map(str::to_owned))).then_some(())
        });
    }
}

/// Says nothing and ends its side.
fn ends_without_an_answer() -> Behaviour {
    behaviour::does(|exchange| {
        exchange.read_body()?;
        exchange.half_close();
        exchange.wait_for_end();
        Ok(weir_tests::origin::Then::Close)
    })
}

#[test]
fn neighbours_of_a_member_that_misbehaves_are_not_touched() {
    // What it does, the pool's lines, and how many of 60 requests may be lost by it at most: none where the request can be
    // sent again, a streak per client until it is ejected, or its share of the rotation.
    let cases: [(&str, Behaviour, &str, usize); 8] = [
        (
            "accepts and hangs",
            behaviour::never_answers(),
            "failover = { on = [\"timeout\"], try-timeout = \"5s\" }\nfail-on-timeout = true",
            0,
        ),
        ("half-closes before its answer", ends_without_an_answer(), "", 0),
        ("resets before its answer", behaviour::resets_before_response(), "", 0),
        ("speaks something else", behaviour::bad_status_line(), "failover = { on = [\"bad-response\"] }", 0),
        ("answers 503, tried again", behaviour::answers(503, "busy"), "failover = { on = [503] }", 0),
        ("answers 503, passed on", behaviour::answers(503, "busy"), "", 9),
        ("resets in mid-body", behaviour::resets_after(100), "", 20),
        ("half-closes in mid-body", behaviour::half_closes(100), "", 20),
    ];
    for (name, bad, lines, most) in cases {
        let origins = [Origin::that(bad), Origin::named("b"), Origin::named("c")];
        let gateway = Gateway::start(&pool(&origins, lines));
        let address = gateway.addr("web");
        let lost: usize = thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| lost_of(&address, 15))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert!(lost <= most, "{name}: {lost} lost");
        assert!(!origins[0].requests().is_empty(), "{name}: it was asked");
        assert!(origins[1].requests().len() + origins[2].requests().len() >= 60 - lost, "{name}");
    }
}

/// How many of so many requests the bad member spoiled; the others are answered whole.
fn lost_of(address: &str, count: usize) -> usize {
    let is_lost = || {
        let response = ask(&mut Client::connect(address), "GET", b"").expect("there always is a head");
        let is_whole = response.status == 200 && response.cut.is_none();
        assert!(is_whole || !response.fields.has("x-member"), "{response} {:?}", response.cut);
        !is_whole
    };
    (0..count).filter(|_| is_lost()).count()
}

#[test]
fn a_member_that_is_slow_to_finish_keeps_nobody_else_waiting() {
    let gate = Gate::closed();
    let held = gate.clone();
    let slow = Origin::that(behaviour::does(move |exchange| {
        exchange.write_head(200, &[("Content-Length", "2")])?;
        exchange.write("1")?;
        held.pass();
        exchange.write("2")?;
        Ok(weir_tests::origin::Then::Keep)
    }));
    let origins = [slow, Origin::named("b")];
    // One thread: who waits for the slow member there must not hold the others up.
    let gateway = Gateway::start(&Config::of(&[origins[0].url(), origins[1].url()]).pool("balance = \"by-busyness\""));
    let mut waiting: Vec<_> = (0..8)
        .map(|_| {
            let mut client = gateway.client();
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            client
        })
        .collect();
    eventually("somebody waits for the slow member", || (!origins[0].requests().is_empty()).then_some(()));
    for _ in 0..30 {
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let (status, fields) = client.response_head();
        assert_eq!(status, 200);
        if !fields.has("x-member") {
            waiting.push(client);
        }
    }
    assert!(origins[1].requests().len() >= 15, "{}", origins[1].requests().len());
    gate.open();
}

#[test]
fn a_burst_of_errors_ejects_a_member_for_a_while_only() {
    let origins = three();
    origins[0].next_times(5, &behaviour::answers(503, "busy"));
    let lines = "balance = \"first\"\noutlier = { consecutive = 5, base-ejection = \"3s\" }";
    let gateway = Gateway::start(&pool(&origins, lines));
    let mut client = gateway.client();
    for _ in 0..5 {
        client.get("/").expect(503);
    }
    assert_eq!(client.get("/").expect(200).field("x-member"), "b");
    eventually("the burst is over", || (client.get("/").expect(200).field("x-member") == "a").then_some(()));
    assert_eq!(gateway.log_count("member is ejected"), 1);
}
