//! Members by name: their addresses are followed while they change, kept when a name server fails, and may be members each.

use std::collections::BTreeMap;

use weir_tests::{Config, Dns, DnsMood, Gateway, Origin, Signal, eventually};

const HERE: &str = "127.0.0.1";
const THERE: &str = "127.0.0.2";
const V6: &str = "[::1]";

/// Members that are resolved by this name server, and whose names' addresses are looked at as often as may be.
fn pool(dns: &Dns, members: &[String], lines: &str) -> Config {
    Config::of(members).top(&format!("resolvers = [\"{}\"]", dns.address())).pool("address-ttl = \"1s\"").pool(lines)
}

fn url(origins: &[Origin]) -> String {
    format!("http://app.test:{}", origins[0].port())
}

fn of_each(origins: &[Origin]) -> String {
    format!("{{ url = \"{}\", each-address = true }}", url(origins))
}

#[track_caller]
fn served_by(gateway: &Gateway, name: &str) {
    eventually(name, || (gateway.get("/").expect(200).field("x-member") == name).then_some(()));
}

#[track_caller]
fn tallies(gateway: &Gateway, count: usize, expected: &[(&str, usize)]) {
    let expected: BTreeMap<String, usize> = expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    eventually(&format!("{expected:?}"), || (gateway.client().tally(count) == expected).then_some(()));
}

/// Waits until the name server was asked so many times more.
#[track_caller]
fn asked(dns: &Dns, name: &str, count: usize) {
    let before = dns.asked(name);
    eventually("the name server is asked", || (dns.asked(name) >= before + count).then_some(()));
}

#[test]
fn a_name_that_changes_its_address_is_followed() {
    let (dns, origins) = (Dns::start(), Origin::on_one_port(&[HERE, THERE, V6]));
    dns.set("app.test", 1, &[HERE]);
    let gateway = Gateway::start(&pool(&dns, &[url(&origins)], ""));
    assert_eq!(gateway.get("/").expect(200).field("x-member"), HERE);
    for (address, name) in [(THERE, THERE), ("::1", V6), (HERE, HERE)] {
        dns.set("app.test", 1, &[address]);
        served_by(&gateway, name);
    }
    let host = origins[0].request("/").fields.get("host");
    assert_eq!(host, Some(format!("app.test:{}", origins[0].port())));
}

#[test]
fn the_last_answer_is_kept_while_the_name_server_fails() {
    let (dns, origins) = (Dns::start(), Origin::on_one_port(&[HERE, THERE]));
    dns.set("app.test", 1, &[HERE]);
    let gateway = Gateway::start(&pool(&dns, &[url(&origins)], "keepalive = false"));
    served_by(&gateway, HERE);
    dns.feel(DnsMood::Fails);
    asked(&dns, "app.test", 4);
    served_by(&gateway, HERE);
    gateway.logged("the last answer is kept");
    dns.feel(DnsMood::Sleeps);
    gateway.get("/").expect(200);
    // A name that is said to be gone may be so by mistake.
    dns.feel(DnsMood::Answers);
    dns.remove("app.test");
    asked(&dns, "app.test", 4);
    gateway.get("/").expect(200);
    dns.set("app.test", 1, &[THERE]);
    served_by(&gateway, THERE);
    gateway.logged("a name is answered about again");
}

#[test]
fn a_name_that_has_no_address_yet_keeps_nobody_waiting_and_is_found_later() {
    for mood in [DnsMood::Answers, DnsMood::Fails, DnsMood::Sleeps] {
        let (dns, origins) = (Dns::start(), Origin::on_one_port(&[HERE]));
        dns.feel(mood);
        let gateway = Gateway::start(&pool(&dns, &[url(&origins)], "connect-timeout = \"700ms\""));
        let response = gateway.get("/");
        assert!(matches!(response.status, 502 | 504), "{mood:?}: {response}");
        dns.set("app.test", 1, &[HERE]);
        dns.feel(DnsMood::Answers);
        eventually("the name is found", || (gateway.get("/").status == 200).then_some(()));
    }
}

#[test]
fn an_address_where_nobody_listens_is_passed_over() {
    let (dns, origins) = (Dns::start(), Origin::on_one_port(&[THERE, HERE, "127.0.0.3", V6]));
    origins[1..].iter().for_each(Origin::stop);
    dns.set("app.test", 60, &[HERE, "127.0.0.3", THERE, "::1"]);
    let gateway = Gateway::start(&pool(&dns, &[url(&origins)], "keepalive = false\nfailover = { attempts = 1 }"));
    for _ in 0..5 {
        assert_eq!(gateway.get("/").expect(200).field("x-member"), THERE);
    }
}

#[test]
fn each_address_is_a_member_when_it_is_to() {
    let (dns, origins) = (Dns::start(), Origin::on_one_port(&[HERE, THERE, V6]));
    dns.set("app.test", 1, &[HERE, THERE]);
    let gateway = Gateway::start(&pool(&dns, &[of_each(&origins)], "retry = \"1h\"\nreprobe = \"100ms\""));
    tallies(&gateway, 10, &[(HERE, 5), (THERE, 5)]);
    dns.set("app.test", 1, &[HERE, THERE, "::1"]);
    tallies(&gateway, 9, &[(HERE, 3), (THERE, 3), (V6, 3)]);
    // One that dies is left alone, and its neighbours serve what would have been its share.
    origins[1].stop();
    tallies(&gateway, 10, &[(HERE, 5), (V6, 5)]);
    origins[1].start_again();
    tallies(&gateway, 9, &[(HERE, 3), (THERE, 3), (V6, 3)]);
    dns.set("app.test", 1, &[THERE]);
    tallies(&gateway, 4, &[(THERE, 4)]);
    eventually("connections to who is gone end", || (origins[0].open_connections() == 0).then_some(()));
}

#[test]
fn the_targets_of_a_service_are_members() {
    let (dns, origins) = (Dns::start(), ["a", "b", "c"].map(Origin::named));
    let [a, b, c] = &origins;
    let record =
        |first: u8, weight: u8, origin: &Origin, host: &str| format!("{first} {weight} {} {host}", origin.port());
    let set = |records: &[String]| {
        dns.set("_http._tcp.app.test", 1, &records.iter().map(String::as_str).collect::<Vec<_>>());
    };
    for name in ["one.test", "two.test"] {
        dns.set(name, 1, &[HERE]);
    }
    set(&[record(1, 3, a, "one.test"), record(1, 1, b, "two.test"), record(2, 1, c, "two.test")]);
    let lines = "retry = \"1h\"\nreprobe = \"100ms\"";
    let gateway = Gateway::start(&pool(&dns, &["srv://_http._tcp.app.test".to_owned()], lines));
    eventually("the service is known", || (gateway.get("/").status == 200).then_some(()));
    tallies(&gateway, 40, &[("a", 30), ("b", 10)]);
    // The next priority serves when nobody of the first one does.
    a.stop();
    tallies(&gateway, 4, &[("b", 4)]);
    b.stop();
    tallies(&gateway, 4, &[("c", 4)]);
    a.start_again();
    tallies(&gateway, 4, &[("a", 4)]);
    set(&[record(7, 1, c, "one.test")]);
    tallies(&gateway, 4, &[("c", 4)]);
    assert_eq!(c.request("/").fields.get("host").as_deref(), Some("app.test"));
    dns.feel(DnsMood::Fails);
    asked(&dns, "_http._tcp.app.test", 2);
    tallies(&gateway, 4, &[("c", 4)]);
}

#[test]
fn a_reload_asks_other_name_servers() {
    let (one, two, origins) = (Dns::start(), Dns::start(), Origin::on_one_port(&[HERE, THERE]));
    one.set("app.test", 3600, &[HERE]);
    two.set("app.test", 3600, &[THERE]);
    for members in [[url(&origins)], [of_each(&origins)]] {
        let gateway = Gateway::start(&pool(&one, &members, ""));
        served_by(&gateway, HERE);
        gateway.rewrite_config(&pool(&two, &members, ""));
        gateway.signal(Signal::Reload);
        gateway.logged("reloaded");
        served_by(&gateway, THERE);
    }
}
