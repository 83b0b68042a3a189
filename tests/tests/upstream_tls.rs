//! How members are reached: TLS and who is believed, HTTP/2, the PROXY protocol, connections of one client, local sockets.

use std::thread;

use weir_tests::{Authority, Client, Config, Gateway, H2Origin, Handshake, Identity, Origin, Place, eventually};

const LOG: &str = "${failure} ${response.status}";

/// A pool with these members and lines, and this authority's certificate as `ca.pem`.
fn pool(members: &[String], authority: &Authority, lines: &str) -> Config {
    Config::of(members).file("ca.pem", authority.pem()).pool(lines).access_log(LOG)
}

/// What the one member's handshakes were, last first.
fn handshake(origin: &Origin) -> Handshake {
    origin.requests().pop().and_then(|request| request.handshake).expect("a request under TLS has arrived")
}

#[test]
fn a_member_is_believed_when_its_certificate_is_right_and_not_otherwise() {
    let (ours, others) = (Authority::found(), Authority::found());
    let (by_address, by_name) = (ours.certify("127.0.0.1"), ours.certify("app.internal"));
    let (pin, other_pin) = (by_address.pin(), by_name.pin());
    let pinned = format!("ca = \"ca.pem\", pins = [\"{other_pin}\", \"{pin}\"]");
    let only_pinned = format!("verify = false, pins = [\"{pin}\"]");
    let wrong_pin = format!("ca = \"ca.pem\", pins = [\"{other_pin}\"]");
    let only_wrong_pin = format!("verify = false, pins = [\"{other_pin}\"]");
    let cases: [(&str, &Identity, &str, bool); 11] = [
        ("our authority", &by_address, "ca = \"ca.pem\"", true),
        ("its own name", &by_name, "ca = \"ca.pem\", server-name = \"app.internal\"", true),
        ("another name", &by_name, "ca = \"ca.pem\"", false),
        ("another name too", &by_address, "ca = \"ca.pem\", server-name = \"app.internal\"", false),
        ("nobody's authority", &by_address, "verify = true", false),
        ("another authority", &by_address, "ca = \"others.pem\"", false),
        ("nobody asks", &by_name, "verify = false", true),
        ("its key", &by_address, &pinned, true),
        ("its key alone", &by_address, &only_pinned, true),
        ("another key", &by_address, &wrong_pin, false),
        ("another key alone", &by_address, &only_wrong_pin, false),
    ];
    for (what, identity, tls, is_believed) in cases {
        let origin = Origin::on_tls("a", identity, None);
        let config = pool(&[origin.url()], &ours, &format!("tls = {{ {tls} }}")).file("others.pem", others.pem());
        let gateway = Gateway::start(&config);
        let response = gateway.get("/");
        let expected = if is_believed { (200, "- 200") } else { (502, "tls-failed 502") };
        assert_eq!(response.status, expected.0, "{what}: {response}");
        assert_eq!(gateway.access_lines(1), [expected.1], "{what}");
        assert_eq!(origin.requests().len(), usize::from(is_believed), "{what}");
        if is_believed {
            let name = tls.contains("server-name").then(|| "app.internal".to_owned());
            assert_eq!(handshake(&origin).server_name, name, "{what}");
        }
    }
}

#[test]
fn a_member_that_asks_for_a_certificate_gets_it() {
    let (ours, theirs) = (Authority::found(), Authority::found());
    let origin = Origin::on_tls("a", &ours.certify("127.0.0.1"), Some(&theirs));
    let own = theirs.certify("gateway.internal");
    for (lines, status) in [("", 502), (", certificate = \"own.pem\", key = \"own.key\"", 200)] {
        let config = pool(&[origin.url()], &ours, &format!("tls = {{ ca = \"ca.pem\"{lines} }}"));
        let gateway = Gateway::start(&config.file("own.pem", own.pem()).file("own.key", own.key_pem()));
        gateway.get("/").expect(status);
        // Under TLS 1.3 the member says so only after the handshake was over for the gateway.
        let word = if status == 200 { "-" } else { "tls-failed" };
        assert_eq!(gateway.access_lines(1), [format!("{word} {status}")]);
    }
    assert!(handshake(&origin).is_certified);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn another_member_serves_when_tls_fails_if_that_is_tried_again() {
    let ours = Authority::found();
    let wrong = Origin::on_tls("wrong", &ours.certify("elsewhere.internal"), None);
    let right = Origin::on_tls("right", &ours.certify("127.0.0.1"), None);
    for (lines, status) in [("", 200), ("failover = { on = [\"connect\"] }", 502)] {
        let lines = format!("balance = \"first\"\ntls = {{ ca = \"ca.pem\" }}\n{lines}");
        let gateway = Gateway::start(&pool(&[wrong.url(), right.url()], &ours, &lines));
        assert_eq!(gateway.client().request("PUT", "/", &[], b"body").status, status, "{lines}");
        // Whoever cannot be believed is left alone for a while.
        assert_eq!(gateway.get("/").expect(200).field("x-member"), "right");
    }
    assert!(wrong.requests().is_empty());
}

#[test]
fn a_member_under_tls_may_have_settings_of_its_own_and_connections_are_not_mixed_up() {
    let ours = Authority::found();
    let (one, two) = (ours.certify("one.internal"), ours.certify("two.internal"));
    let (one, two) = (Origin::on_tls("one", &one, None), Origin::on_tls("two", &two, None));
    let plain = Origin::named("plain");
    let own =
        |origin: &Origin, name: &str| format!("{{ url = \"{}\", tls = {{ server-name = \"{name}\" }} }}", origin.url());
    let members = [own(&one, "one.internal"), own(&two, "two.internal"), plain.url()];
    let gateway = Gateway::start(&pool(&members, &ours, "tls = { ca = \"ca.pem\" }"));
    assert_eq!(gateway.client().tally(30).into_values().collect::<Vec<_>>(), [10, 10, 10]);
    assert_eq!((one.connections(), two.connections(), plain.connections()), (1, 1, 1), "connections are kept");
}

#[test]
fn http_2_is_spoken_where_it_is_agreed_on_or_asked_for() {
    let ours = Authority::found();
    let identity = ours.certify("127.0.0.1");
    // Under TLS the default is what the member chooses.
    for (identity, lines) in
        [(Some(&identity), ""), (Some(&identity), "protocol = \"auto\""), (None, "protocol = \"h2\"")]
    {
        let origin = H2Origin::start("h2", identity);
        let tls = if identity.is_some() { "tls = { ca = \"ca.pem\" }" } else { "" };
        let gateway = Gateway::start(&pool(&[origin.url()], &ours, &format!("{lines}\n{tls}")));
        let mut client = gateway.client();
        client.get("/").expect(200);
        // One connection carries all of them.
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(gateway.client().tally(10).get("h2"), Some(&10)));
            }
        });
        client.request("POST", "/", &[], &[b'x'; 20_000]).expect(200);
        assert_eq!((origin.connections(), origin.requests()), (1, 42), "{lines}");
    }
}

#[test]
fn http_1_1_is_spoken_with_members_that_choose_it_and_never_in_place_of_http_2() {
    let ours = Authority::found();
    let identity = ours.certify("127.0.0.1");
    for (lines, status) in
        [("", 200), ("protocol = \"auto\"", 200), ("protocol = \"http/1.1\"", 200), ("protocol = \"h2\"", 502)]
    {
        let origin = Origin::on_tls("a", &identity, None);
        let gateway = Gateway::start(&pool(&[origin.url()], &ours, &format!("{lines}\ntls = {{ ca = \"ca.pem\" }}")));
        gateway.get("/").expect(status);
        if status == 200 {
            assert_eq!(handshake(&origin).protocol.as_deref(), Some("http/1.1"), "{lines}");
        }
    }
    // Whoever offers HTTP/2 alone cannot be spoken to in HTTP/1.1.
    let origin = H2Origin::start("h2", Some(&identity));
    let lines = "protocol = \"http/1.1\"\ntls = { ca = \"ca.pem\" }";
    let gateway = Gateway::start(&pool(&[origin.url()], &ours, lines));
    gateway.get("/").expect(502);
    assert_eq!(gateway.access_lines(1), ["tls-failed 502"]);
}

/// The address of a client and of the gateway, as a header of the PROXY protocol says it.
fn header(version: &str, client: &Client, gateway: &str) -> String {
    let own = client.local_address();
    let (source, destination) = (own.port(), gateway.rsplit(':').next().unwrap().parse::<u16>().unwrap());
    match version {
        "v1" => format!("PROXY TCP4 127.0.0.1 127.0.0.1 {source} {destination}"),
        _ => format!("v2 21 11 7f0000017f000001{source:04x}{destination:04x}"),
    }
}

#[test]
fn members_hear_of_the_client_by_the_proxy_protocol() {
    for version in ["v1", "v2"] {
        let origin = Origin::named("a");
        origin.wants_proxy_protocol();
        let gateway = Gateway::start(&Config::of(&[origin.url()]).pool(&format!("proxy-protocol = \"{version}\"")));
        let mut clients = [gateway.client(), gateway.client()];
        for client in &mut clients {
            client.tally(3);
        }
        assert_eq!(origin.connections(), 2, "{version}: one for each client");
        for (client, requests) in clients.iter().zip(origin.requests().chunks(3)) {
            let expected = header(version, client, &gateway.addr("web"));
            assert!(requests.iter().all(|request| request.connection == requests[0].connection), "{version}");
            assert_eq!(requests[0].preface.as_deref(), Some(expected.as_str()), "{version}");
        }
        assert_eq!(origin.violations(), Vec::<String>::new(), "{version}");
        drop(clients);
        eventually("they end with their clients", || (origin.open_connections() == 0).then_some(()));
    }
}

#[test]
fn exclusive_connections_belong_to_one_client_and_end_with_it() {
    let origin = Origin::named("a");
    let gateway = Gateway::start(&Config::of(&[origin.url()]).pool("exclusive = true"));
    let (mut first, mut second) = (gateway.client(), gateway.client());
    for _ in 0..3 {
        first.get("/first").expect(200);
        second.get("/second").expect(200);
    }
    let connections = |target: &str| -> Vec<usize> {
        let mut of: Vec<_> =
            origin.requests().into_iter().filter(|it| it.target == target).map(|it| it.connection).collect();
        of.dedup();
        of
    };
    assert_eq!((connections("/first"), connections("/second")), (vec![1], vec![2]));
    assert_eq!(origin.open_connections(), 2);
    drop(first);
    eventually("the first one's connection ends", || (origin.open_connections() == 1).then_some(()));
    second.get("/second").expect(200);
    gateway.get("/third").expect(200);
    assert_eq!((connections("/second"), connections("/third")), (vec![2], vec![3]));
    drop(second);
    eventually("all connections have ended", || (origin.open_connections() == 0).then_some(()));
}

#[test]
fn members_listen_on_unix_sockets_with_a_path_or_a_name() {
    let place = Place::fresh();
    let name = format!("weir-test-{}", std::process::id());
    let origins = [Origin::on_unix(&place.join("app.sock")), Origin::on_abstract(&name)];
    for origin in &origins {
        origin.otherwise(weir_tests::behaviour::is_named("local"));
        let gateway = Gateway::start(&Config::of(&[origin.url()]));
        gateway.client().tally(5);
        assert_eq!(origin.connections(), 1, "{}", origin.url());
        assert_eq!(origin.request("/").fields.get("host").as_deref(), Some("localhost"));
    }
    let gone = Config::of(&["unix:@nobody-listens-here"]);
    Gateway::start(&gone).get("/").expect(502);
}

#[test]
fn connections_come_from_the_address_they_are_to_come_from() {
    for (lines, expected) in [("", "127.0.0.1"), ("source-address = \"127.0.0.42\"", "127.0.0.42")] {
        let origin = Origin::named("a");
        let gateway = Gateway::start(&Config::of(&[origin.url()]).pool(lines));
        gateway.get("/").expect(200);
        let peer = origin.request("/").peer.expect("it came over TCP");
        assert_eq!(peer.ip().to_string(), expected);
    }
}
