//! TLS towards clients: who is shown which certificate, who is turned away, what upstreams hear of it, and what changes while it runs.

use std::fs;
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use weir_tests::peers::python_says;
use weir_tests::{
    Ask, Authority, Client, Config, Door, Gateway, Identity, Origin, Signal, Version, Visitor, behaviour, curl,
    eventually, stays,
};

const LOG: &str = "${tls.version} ${tls.alpn} ${tls.sni} ${tls.resumed}";

struct House {
    authority: Authority,
    origin: Origin,
    gateway: Gateway,
    visitor: Visitor,
}

impl House {
    /// A listener under TLS for `any.example`, with more lines of its own.
    fn stand(lines: &str) -> House {
        House::with(|config| config.listener(lines))
    }

    fn with(more: impl FnOnce(Config) -> Config) -> House {
        let (authority, origin) = (Authority::found(), Origin::start());
        let config = Config::to(&origin).secure(&authority.certify("any.example")).file("ca.pem", authority.pem());
        let gateway = Gateway::start(&more(config).access_log(LOG));
        let visitor = Visitor::trusting(&authority);
        House { authority, origin, gateway, visitor }
    }

    fn address(&self) -> String {
        self.gateway.addr("web")
    }

    /// That somebody who does everything right is served, now.
    #[track_caller]
    fn serves(&self) {
        self.visitor.connect(&self.address()).get("/served").expect(200);
    }

    /// What becomes of a handshake: why it failed, in lower case.
    #[track_caller]
    fn refused(&self, visitor: &Visitor) -> String {
        match visitor.shake(&self.address()) {
            // In TLS 1.3 the client is done before the server has looked at its certificate (RFC 8446, section 4.4.2.4).
            Ok(shaken) => match shaken.client().rest_or_error() {
                Err(error) => error.to_string().to_lowercase(),
                Ok(rest) => panic!("it was not refused, but sent {rest:?}"),
            },
            Err(error) => error.to_string().to_lowercase(),
        }
    }
}

fn shown(identity: &Identity) -> Vec<u8> {
    identity.chain()[0].to_vec()
}

#[test]
fn clients_are_shown_the_certificate_of_the_site_they_ask_for() {
    let authority = Authority::found();
    let origin = Origin::start();
    let [shop, wild, fallback] = ["shop.example", "*.wild.example", "any.example"].map(|name| authority.certify(name));
    let sites = r#"
[site.shop]
host = ["shop.example"]
certificate = { chain = "shop.pem", key = "shop.key" }
[[site.shop.route]]
pool = "app"
[site.wild]
host = "*.wild.example"
certificate = { chain = "wild.pem", key = "wild.key" }
[[site.wild.route]]
pool = "app"
"#;
    let config = Config::to(&origin).identity("shop", &shop).identity("wild", &wild).tables(sites);
    let with_default = Gateway::start(&config.clone().secure(&fallback).access_log(LOG));
    let without = Gateway::start(&config.listener("tls = {}").access_log(LOG));
    let visitor = Visitor::trusting(&authority);
    for (name, expected) in [("shop.example", &shop), ("SHOP.example", &shop), ("one.wild.example", &wild)] {
        for gateway in [&with_default, &without] {
            let shaken = visitor.clone().to(name).shake(&gateway.addr("web")).unwrap();
            assert_eq!(shaken.certificate.to_vec(), shown(expected), "{name}");
            shaken.client().ask("/", &[("Host", name)]).expect(200);
        }
    }
    for stranger in [visitor.clone(), visitor.clone().unsaid()] {
        let shaken = stranger.shake(&with_default.addr("web")).unwrap();
        assert_eq!(shaken.certificate.to_vec(), shown(&fallback));
        let error = stranger.shake(&without.addr("web")).err().expect("nobody has a certificate for it").to_string();
        assert!(error.to_lowercase().contains("unrecognisedname"), "{error}");
    }
    assert_eq!(without.access_lines(3)[2], "TLSv1.3 http/1.1 one.wild.example false");
    // Whom it has let in under one name may ask for any site (the names in the handshake only choose a certificate).
    visitor.to("shop.example").connect(&without.addr("web")).ask("/", &[("Host", "other.example")]).expect(200);
}

#[test]
fn of_several_certificates_a_client_gets_one_that_it_understands() {
    let authority = Authority::found();
    let (elliptic, rsa) = (authority.certify("any.example"), authority.certify_rsa("any.example"));
    let list = "tls.certificate = [{ chain = \"e.pem\", key = \"e.key\" }, { chain = \"r.pem\", key = \"r.key\" }]";
    let origin = Origin::start();
    let config = Config::to(&origin).identity("e", &elliptic).identity("r", &rsa).listener(list);
    let gateway = Gateway::start(&config);
    let visitor = Visitor::trusting(&authority);
    for version in ["1.2", "1.3"] {
        let visitor = visitor.clone().only_tls(version);
        let both = visitor.shake(&gateway.addr("web")).unwrap();
        assert_eq!((both.version, both.certificate.to_vec()), (version, shown(&elliptic)));
        let only_rsa = visitor.only_rsa().shake(&gateway.addr("web")).unwrap();
        assert_eq!(only_rsa.certificate.to_vec(), shown(&rsa), "{version}");
        only_rsa.client().get("/").expect(200);
    }
}

#[test]
fn versions_are_spoken_within_the_bounds_of_the_config() {
    for (lines, spoken, refused) in [
        ("", &["1.2", "1.3"][..], &[][..]),
        ("tls.min-version = \"1.3\"", &["1.3"], &["1.2"]),
        ("tls.max-version = \"1.2\"", &["1.2"], &["1.3"]),
    ] {
        let house = House::stand(lines);
        for version in spoken {
            let shaken = house.visitor.clone().only_tls(version).shake(&house.address()).unwrap();
            assert_eq!(shaken.version, *version, "{lines}");
            shaken.client().get("/").expect(200);
        }
        for version in refused {
            let why = house.refused(&house.visitor.clone().only_tls(version));
            assert!(why.contains("protocolversion") || why.contains("peer is incompatible"), "{lines}: {why}");
        }
        house.serves();
    }
}

#[test]
fn the_protocol_is_agreed_on_in_the_handshake() {
    for (lines, offered, agreed) in [
        ("", &["h2", "http/1.1"][..], Ok(Some("h2"))),
        ("", &["http/1.1", "h2"], Ok(Some("h2"))),
        ("", &["http/1.1"], Ok(Some("http/1.1"))),
        ("", &[], Ok(None)),
        ("", &["spdy/3"], Err("noapplicationprotocol")),
        ("protocols = [\"h1\"]", &["h2", "http/1.1"], Ok(Some("http/1.1"))),
        ("protocols = [\"h2\"]", &["h2", "http/1.1"], Ok(Some("h2"))),
        ("protocols = [\"h2\"]", &["http/1.1"], Err("noapplicationprotocol")),
    ] {
        let house = House::stand(lines);
        let visitor = house.visitor.clone().offering(offered);
        match (visitor.shake(&house.address()), agreed) {
            (Ok(shaken), Ok(expected)) => {
                assert_eq!(shaken.protocol.as_deref(), expected, "{lines} {offered:?}");
                if expected != Some("h2") {
                    shaken.client().get("/").expect(200);
                }
            }
            (Err(error), Err(expected)) => {
                assert!(error.to_string().to_lowercase().contains(expected), "{lines} {offered:?}: {error}");
            }
            (Ok(_), Err(_)) => panic!("{lines} {offered:?}: it was not refused"),
            (Err(error), Ok(_)) => panic!("{lines} {offered:?}: {error}"),
        }
    }
}

/// Shows certificates of `clients`, or none, to listeners that want them in this way.
fn with_clients(want: &str, clients: &Authority) -> House {
    let lines = format!("tls.client-certificate = \"{want}\"\ntls.client-ca = \"clients.pem\"");
    House::with(|config| config.file("clients.pem", clients.pem()).listener(&lines))
}

#[test]
fn clients_show_certificates_where_they_have_to_and_upstreams_hear_of_them() {
    let (clients, others) = (Authority::found(), Authority::found());
    for want in ["optional", "required"] {
        for version in ["1.2", "1.3"] {
            let house = with_clients(want, &clients);
            let visitor = house.visitor.clone().only_tls(version);
            let own = clients.certify("alice.example");
            let der = shown(&own);
            let target = format!("/{want}/{version}");
            visitor
                .clone()
                .showing(own)
                .connect(&house.address())
                .ask(&target, &[("Client-Cert", ":bGll:")])
                .expect(200);
            let field = house.origin.request(&target).fields.all("client-cert").join("|");
            assert_eq!(field, format!(":{}:", weir_tests::base64(&der)), "{want} {version}");
            let why = house.refused(&visitor.clone().showing(others.certify("mallory.example")));
            assert!(why.contains("unknownca") || why.contains("badcertificate"), "{want} {version}: {why}");
            if want == "required" {
                let why = house.refused(&visitor);
                assert!(why.contains("certificaterequired") || why.contains("handshakefailure"), "{version}: {why}");
            } else {
                visitor.connect(&house.address()).ask("/none", &[("Client-Cert", ":bGll:")]).expect(200);
                assert!(!house.origin.request("/none").fields.has("client-cert"), "somebody else's word is passed on");
            }
        }
    }
}

#[test]
fn a_listener_that_wants_no_certificates_asks_for_none() {
    let house = House::stand("");
    let visitor = house.visitor.clone().showing(Authority::found().certify("alice.example"));
    visitor.connect(&house.address()).ask("/", &[("Client-Cert", ":bGll:")]).expect(200);
    assert!(!house.origin.request("/").fields.has("client-cert"));
}

#[test]
fn a_certificate_that_was_revoked_does_not_hold() {
    let clients = Authority::found();
    let (good, revoked) = (clients.certify("alice.example"), clients.certify("bob.example"));
    let lines = "tls.client-certificate = \"required\"\ntls.client-ca = \"clients.pem\"\ntls.client-crl = \"gone.crl\"";
    let house = House::with(|config| {
        config.file("clients.pem", clients.pem()).file("gone.crl", clients.revoke(&[&revoked])).listener(lines)
    });
    house.visitor.clone().showing(good).connect(&house.address()).get("/").expect(200);
    let why = house.refused(&house.visitor.clone().showing(revoked));
    assert!(why.contains("revoked"), "{why}");
}

#[test]
fn a_certificate_that_is_renewed_is_shown_without_a_restart_and_a_broken_one_is_not() {
    let house = House::stand("");
    let mut lasting = house.visitor.connect(&house.address());
    lasting.get("/before").expect(200);
    let renewed = house.authority.certify("any.example");
    let certificate = |house: &House| house.visitor.shake(&house.address()).unwrap().certificate.to_vec();
    assert_ne!(certificate(&house), shown(&renewed));
    house.gateway.place().write("web.pem", renewed.pem());
    house.gateway.place().write("web.key", renewed.key_pem());
    eventually("the new certificate is shown", || (certificate(&house) == shown(&renewed)).then_some(()));
    // The key of another certificate, and what is none at all.
    house.gateway.place().write("web.pem", "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n");
    house.gateway.logged("the ones before are kept");
    assert_eq!(certificate(&house), shown(&renewed));
    house.gateway.signal(Signal::Reload);
    house.gateway.logged("reload refused");
    assert_eq!(certificate(&house), shown(&renewed));
    lasting.get("/after").expect(200);
}

#[test]
fn a_response_of_the_authority_is_stapled_while_it_is_good() {
    let (authority, origin) = (Authority::found(), Origin::start());
    let config = Config::to(&origin)
        .identity("web", &authority.certify("any.example"))
        .file("ca.pem", authority.pem())
        .file("ca.key", authority.key_pem())
        .listener("tls.certificate = { chain = \"web.pem\", key = \"web.key\", staple = \"web.ocsp\" }");
    let gateway = Gateway::start(&config);
    let (folder, address) = (gateway.place().path().display().to_string(), gateway.addr("web"));
    let port = address.rsplit(':').next().expect("addresses have ports");
    let make = |state: &str| python_says("staple", &["make", &folder, state]);
    let stapled = || python_says("staple", &["ask", &folder, port]).trim().to_owned();
    assert_eq!(stapled(), "none", "the file may come later");
    make("good");
    eventually("what is good is stapled", || (stapled() == "good").then_some(()));
    make("revoked");
    eventually("what is bad is not", || (stapled() == "none").then_some(()));
    make("over");
    let response = fs::read(gateway.place().join("web.ocsp")).unwrap();
    let over = Gateway::start(&config.file("web.ocsp", response));
    let address = over.addr("web");
    let port = address.rsplit(':').next().expect("addresses have ports");
    assert_eq!(python_says("staple", &["ask", &folder, port]).trim(), "none");
}

#[test]
fn sessions_are_taken_up_again_also_after_a_reload() {
    for version in ["1.2", "1.3"] {
        let house = House::with(|config| config.top("threads = 2"));
        let visitor = house.visitor.clone().only_tls(version);
        let resumed = || {
            let shaken = visitor.shake(&house.address()).unwrap();
            let is_resumed = shaken.is_resumed;
            // Tickets come with the first bytes of data.
            shaken.client().get("/").expect(200);
            is_resumed
        };
        assert!(!resumed(), "{version}");
        for _ in 0..4 {
            assert!(resumed(), "{version}: on whichever thread");
        }
        house.gateway.signal(Signal::Reload);
        house.gateway.logged("\"reloaded\"");
        assert!(resumed(), "{version}: after a reload");
        // Two threads write their lines in no order.
        let lines = house.gateway.access_lines(6);
        assert_eq!(lines.iter().filter(|line| line.ends_with(" true")).count(), 5, "{lines:?}");
    }
}

/// Two listeners of one certificate: `web` wants no certificates of clients, `strict` those of `clients`.
fn lax_and_strict(clients: &Authority) -> House {
    let strict = r#"
[listener.strict]
bind = "127.0.0.1:0"
tls = { certificate = { chain = "web.pem", key = "web.key" }, client-certificate = "required", client-ca = "clients.pem", client-crl = "gone.crl" }
"#;
    let files = |config: Config| config.file("clients.pem", clients.pem()).file("gone.crl", clients.revoke(&[]));
    House::with(|config| files(config).tables(strict))
}

#[test]
fn a_session_of_one_listener_opens_no_other_one() {
    for version in ["1.2", "1.3"] {
        let clients = Authority::found();
        let house = lax_and_strict(&clients);
        let (lax, strict) = (house.address(), house.gateway.addr("strict"));
        let visitor = house.visitor.clone().only_tls(version);
        for _ in 0..2 {
            visitor.connect(&lax).get("/").expect(200);
        }
        assert!(visitor.shake(&lax).unwrap().is_resumed, "{version}");
        let (before, shaken) = (house.origin.requests().len(), visitor.shake(&strict));
        if let Ok(shaken) = shaken {
            let mut client = shaken.client();
            let _ = client.try_send("GET / HTTP/1.1\r\nHost: any.example\r\n\r\n");
            assert!(client.rest_or_error().is_err(), "{version}: it was let in without a certificate");
        }
        assert_eq!(house.origin.requests().len(), before, "{version}");
    }
}

#[test]
fn a_session_goes_on_as_whose_it_was_until_its_certificate_is_revoked() {
    for version in ["1.2", "1.3"] {
        let clients = Authority::found();
        let house = lax_and_strict(&clients);
        let strict = house.gateway.addr("strict");
        let own = clients.certify("alice.example");
        let (der, revoked) = (shown(&own), clients.revoke(&[&own]));
        let visitor = house.visitor.clone().only_tls(version).showing(own);
        for number in 0..3 {
            let shaken = visitor.shake(&strict).unwrap();
            assert_eq!(shaken.is_resumed, number > 0, "{version}");
            let target = format!("/{number}");
            shaken.client().get(&target).expect(200);
            let field = house.origin.request(&target).fields.all("client-cert").join("|");
            assert_eq!(field, format!(":{}:", weir_tests::base64(&der)), "{version} {number}");
        }
        house.gateway.place().write("gone.crl", revoked);
        house.gateway.signal(Signal::Reload);
        house.gateway.logged("\"reloaded\"");
        let before = house.origin.requests().len();
        if let Ok(shaken) = visitor.shake(&strict) {
            let mut client = shaken.client();
            let _ = client.try_send("GET / HTTP/1.1\r\nHost: any.example\r\n\r\n");
            assert!(client.rest_or_error().is_err(), "{version}: a revoked certificate was good for a session");
        }
        assert_eq!(house.origin.requests().len(), before, "{version}");
    }
}

#[test]
fn without_tickets_every_handshake_is_a_whole_one() {
    let house = House::stand("tls.ticket-rotation = \"off\"");
    for _ in 0..3 {
        let shaken = house.visitor.shake(&house.address()).unwrap();
        assert!(!shaken.is_resumed);
        shaken.client().get("/").expect(200);
    }
}

#[test]
fn who_comes_in_the_clear_is_sent_to_the_secure_door_and_told_to_remember_it() {
    let (authority, origin) = (Authority::found(), Origin::start());
    let secure = r#"
[listener.secure]
bind = "127.0.0.1:0"
protocols = ["h1", "h2", "h3"]
tls.certificate = { chain = "web.pem", key = "web.key" }
"#;
    let config = Config::to(&origin).identity("web", &authority.certify("any.example")).tables(secure);
    let config =
        config.site("https-redirect = { port = 8443 }\nhsts = { max-age = \"2d\", include-subdomains = true }");
    let gateway = Gateway::start(&config);
    let (web, secure) = (gateway.addr("web"), gateway.addr("secure"));
    let visitor = Visitor::trusting(&authority);
    for version in [Version::H1, Version::H2] {
        let sent = Door::clear(version, &web).ask(&Ask::post("/a%20b?c=d", "body"));
        sent.expect(308);
        assert_eq!(sent.field("location"), "https://any.example:8443/a%20b?c=d", "{version:?}");
        assert!(
            !sent.fields.has("strict-transport-security"),
            "it may not be said in the clear (RFC 6797, section 7.2)"
        );
        assert!(!sent.fields.has("alt-svc"), "{version:?}");
    }
    assert!(origin.requests().is_empty());
    let port = secure.rsplit(':').next().unwrap();
    for version in [Version::H1, Version::H2, Version::H3] {
        let answer = Door::secure(version, &secure, &visitor).ask(&Ask::get("/"));
        answer.expect(200);
        assert_eq!(answer.field("strict-transport-security"), "max-age=172800; includeSubDomains", "{version:?}");
        let expected = (version != Version::H3).then(|| format!("h3=\":{port}\"; ma=86400"));
        assert_eq!(answer.fields.get("alt-svc"), expected, "{version:?}");
        assert_eq!(origin.requests().pop().unwrap().fields.get("x-forwarded-proto").as_deref(), Some("https"));
    }
    Client::connect(&web).get("/.well-known/acme-challenge/token").expect(200);
}

/// The first bytes of a handshake that does not go on.
fn begun(address: &str) -> Client {
    let mut client = Client::connect(address);
    // A record of 512 bytes, of which the first are there.
    client.send([&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[7; 20]].concat());
    client
}

#[test]
fn handshakes_that_do_not_go_on_cost_nobody_else_anything_and_end() {
    let house = House::stand("tls.handshake-timeout = \"2s\"");
    let start = Instant::now();
    let mut stuck: Vec<Client> = (0..50).map(|_| begun(&house.address())).collect();
    stuck.extend((0..50).map(|_| Client::connect(&house.address())));
    house.serves();
    assert!(start.elapsed() < Duration::from_secs(10));
    for client in &mut stuck {
        client.rest();
    }
    assert!(start.elapsed() >= Duration::from_millis(1900), "they were cut off too early");
    assert!(start.elapsed() < Duration::from_secs(10), "they were not cut off");
    house.serves();
}

#[test]
fn so_many_handshakes_run_at_once_and_the_next_waits_its_turn() {
    let house = House::stand("tls.max-handshakes = 2");
    let (visitor, start) = (house.visitor.clone(), Instant::now());
    let mut stuck = vec![visitor.hesitate(&house.address()), visitor.hesitate(&house.address())];
    // Whoever has said nothing, or half a word, holds no turn.
    let _silent = (Client::connect(&house.address()), begun(&house.address()));
    thread::scope(|scope| {
        let next = scope.spawn(|| house.serves());
        // Long beside the milliseconds that a handshake takes. A turn is over after a second.
        let has_none = || !next.is_finished() || start.elapsed() >= Duration::from_secs(1);
        stays("nobody has a turn", Duration::from_millis(300), has_none);
        stuck.pop().expect("there are two").reset();
    });
    house.serves();
    // Who is slow goes on without a turn, so that nobody can keep them all.
    let _slow: Vec<Client> = (0..4).map(|_| visitor.hesitate(&house.address())).collect();
    house.serves();
}

#[test]
fn http_in_the_clear_on_a_secure_port_is_told_so_and_not_answered() {
    let house = House::stand("");
    for bytes in ["GET /secret HTTP/1.1\r\nHost: any.example\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut client = Client::connect(&house.address());
        client.send(bytes);
        client.response().expect(400);
        client.expect_close();
    }
    for bytes in [&b"\x80\x2e\x01\x03\x01"[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"\0\0\0\0\0\0\0\0"] {
        let mut client = Client::connect(&house.address());
        client.send(bytes);
        client.finish();
        let _ = client.rest();
    }
    assert!(house.origin.requests().is_empty());
    house.serves();
}

#[test]
fn tls_on_a_port_in_the_clear_is_no_request() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin));
    let authority = Authority::found();
    assert!(Visitor::trusting(&authority).shake(&gateway.addr("web")).is_err());
    assert!(origin.requests().is_empty());
    gateway.get("/").expect(200);
}

#[test]
fn an_answer_that_is_whole_ends_as_one() {
    let house = House::stand("");
    house.origin.on("/rest", behaviour::close_delimited_body("all of it"));
    let mut client = house.visitor.connect(&house.address());
    client.send("GET /rest HTTP/1.0\r\nHost: any.example\r\n\r\n");
    // The end is told under TLS too (RFC 8446, section 6.1): without close_notify this would be an error.
    assert_eq!(client.response().expect(200).text(), "all of it");
}

#[test]
fn an_answer_that_breaks_off_does_not_end_as_if_it_were_whole() {
    let house = House::stand("");
    house.origin.on("/cut", behaviour::unfinished_chunks());
    let mut client = house.visitor.connect(&house.address());
    // Nothing but the end of the connection tells HTTP/1.0 where a body ends, and only `close_notify` that nobody cut it.
    client.send("GET /cut HTTP/1.0\r\nHost: any.example\r\n\r\n");
    let response = client.try_response().expect("a head");
    assert!(response.cut.is_some(), "{response}");
    house.serves();
}

#[test]
fn a_client_that_goes_without_a_word_in_the_middle_of_a_request_is_no_one_elses_matter() {
    let house = House::stand("");
    let mut shaken = house.visitor.shake(&house.address()).unwrap();
    shaken.stream.write_all(b"POST / HTTP/1.1\r\nHost: any.example\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
    drop(shaken);
    house.serves();
}

#[test]
fn whatever_else_comes_instead_of_tls_ends_its_own_connection() {
    let house = House::stand("tls.handshake-timeout = \"2s\"");
    let port = house.address().rsplit(':').next().unwrap().to_owned();
    let ca = house.gateway.place().join("ca.pem").display().to_string();
    let said = python_says("tls_abuse", &[&port, &ca]);
    assert!(said.contains("all ended"), "{said}");
    house.serves();
    assert!(house.gateway.log_count("panicked") == 0);
}

#[test]
fn curl_comes_in_by_every_version_that_it_has() {
    let house = House::stand("");
    let address = house.address();
    let port = address.rsplit(':').next().unwrap();
    let ca = house.gateway.place().join("ca.pem").display().to_string();
    let (resolve, url) = (format!("any.example:{port}:127.0.0.1"), format!("https://any.example:{port}/curl"));
    for (flag, version) in [("--http1.1", "1.1"), ("--http1.0", "1"), ("--http2", "2"), ("--tlsv1.3", "2")] {
        let shown = [
            "--cacert",
            &ca,
            "--resolve",
            &resolve,
            flag,
            "--output",
            "-",
            "--write-out",
            "\n%{http_code} %{http_version}",
        ];
        let finished = curl(&[&shown[..], &[url.as_str()]].concat());
        assert_eq!(finished.code, Some(0), "{flag}: {}", finished.err);
        assert!(finished.out.ends_with(&format!("\n200 {version}")), "{flag}: {}", finished.out);
        assert!(finished.out.contains("\"/curl\""), "{flag}: {}", finished.out);
    }
    let strict = curl(&["--cacert", &ca, "--tls-max", "1.1", "--resolve", &resolve, &url]);
    assert_ne!(strict.code, Some(0));
}
