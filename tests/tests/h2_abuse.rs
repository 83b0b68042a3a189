//! HTTP/2 clients that abuse the protocol: each is cut off or kept small, and clients beside it notice nothing.

use std::thread;
use std::time::Duration;

use serde_json::Value;
use weir_tests::{Config, Gateway, Origin, behaviour, peers};

/// `ENHANCE_YOUR_CALM` (RFC 9113, section 7).
const CALM: u64 = 11;

/// What a client beside an attack does meanwhile.
const ERRANDS: usize = 20;

fn gateway(origin: &Origin) -> Gateway {
    origin.on("/large", behaviour::big_body(64 << 20));
    let limits = "write-timeout = \"1s\"\nbody-timeout = \"1s\"\nidle-timeout = \"5s\"\nmin-rate = { response = \"1KiB\", grace = \"1s\" }";
    Gateway::start(&Config::to(origin).listener(limits))
}

/// Attacks while another client goes about its errands; what became of the attacker.
fn attack(gateway: &Gateway, name: &str) -> Value {
    let address = gateway.addr("web");
    let port = address.rsplit(':').next().unwrap().to_owned();
    let said = thread::scope(|scope| {
        let attacker = scope.spawn(|| peers::python_says("abuse", &[&port, name]));
        let mut client = gateway.client();
        for _ in 0..ERRANDS {
            client.get("/").expect(200);
        }
        attacker.join().unwrap()
    });
    gateway.get("/").expect(200);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{name}: {error}: {said}"))
}

#[test]
fn floods_are_cut_off_with_a_word() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    gateway.get("/").expect(200);
    let before = gateway.rss_kib();
    for name in [
        "rapid-reset",
        "made-you-reset",
        "malformed",
        "continuation",
        "empty-continuation",
        "settings",
        "ping",
        "priority",
        "window-update",
        "empty-data",
        "hpack-bomb",
        "huge-head",
    ] {
        let ended = attack(&gateway, name);
        assert_eq!((ended["goaway"].as_u64(), ended["closed"].as_bool()), (Some(CALM), Some(true)), "{ended}");
        assert!(ended["frames"].as_u64().unwrap() < 100_000, "{ended}");
    }
    assert!(gateway.rss_kib() < before + (24 << 10), "{} KiB, {before} before", gateway.rss_kib());
}

#[test]
fn cookies_in_crumbs_cost_a_431_each() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    let ended = attack(&gateway, "crumbs");
    assert!(ended["heads"] == 100 && ended["resets"] == 0, "{ended}");
    assert_eq!(origin.requests().iter().filter(|request| request.fields.has("cookie")).count(), 0);
}

#[test]
fn who_takes_nothing_holds_nothing_for_long() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    gateway.get("/").expect(200);
    let before = gateway.rss_kib();
    for name in ["zero-window", "slow-read", "unfinished"] {
        let ended = attack(&gateway, name);
        assert!(ended["seconds"].as_f64().unwrap() < 30.0, "{ended}");
        assert!(ended["resets"].as_u64().unwrap() >= 50 || ended["closed"] == true, "{ended}");
    }
    // A hundred answers of 64 MiB were asked for.
    assert!(gateway.rss_kib() < before + (48 << 10), "{} KiB, {before} before", gateway.rss_kib());
    weir_tests::eventually("the origin is left alone", || (origin.open_connections() < 50).then_some(()));
}

/// Not an attack: what a browser does that leaves a page with two hundred images, twice.
#[test]
fn a_client_that_changes_its_mind_is_served_on() {
    let origin = Origin::start();
    origin.on("/slow", behaviour::trickles(Duration::from_millis(20), 20));
    let gateway = gateway(&origin);
    let address = gateway.addr("web");
    let port = address.rsplit(':').next().unwrap();
    assert_eq!(peers::python_says("fickle", &[port]).trim(), "200");
}
