//! How much a client may send: heads, targets, fields, bodies, connections.

use weir_tests::{Client, Config, Gateway, Origin, eventually};

fn gateway(origin: &Origin, config: impl FnOnce(Config) -> Config) -> Gateway {
    Gateway::start(&config(Config::to(origin)).access_log("${response.status} ${failure}"))
}

#[test]
fn a_target_that_is_too_long_gets_414() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config.listener("max-target = \"100B\""));
    gateway.get(&format!("/{}", "a".repeat(99))).expect(200);
    let mut client = gateway.client();
    client.get(&format!("/{}", "a".repeat(100))).expect(414);
    client.expect_close();
    assert_eq!(origin.requests().len(), 1);
    assert_eq!(gateway.access_lines(2)[1], "414 uri-too-long");
}

#[test]
fn a_head_that_is_too_large_gets_431() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config.listener("max-head = \"10KiB\""));
    gateway.client().ask("/", &[("X-Fits", &"a".repeat(9000))]).expect(200);
    let mut client = gateway.client();
    client.ask("/", &[("X-Large", &"a".repeat(11_000))]).expect(431);
    client.expect_close();
    assert_eq!(origin.requests().len(), 1);
    assert_eq!(gateway.access_lines(2)[1], "431 head-too-large");
}

#[test]
fn a_head_without_an_end_gets_431_too() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config.listener("max-head = \"10KiB\""));
    let mut client = gateway.client();
    let _ = client.try_send(format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "a".repeat(200_000)));
    if let Ok(response) = client.try_response() {
        response.expect(431);
    }
    assert_eq!(gateway.access_lines(1), ["431 head-too-large"]);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_target_without_an_end_gets_414() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config);
    let mut client = gateway.client();
    let _ = client.try_send(format!("GET /{}", "a".repeat(1_000_000)));
    if let Ok(response) = client.try_response() {
        assert!(matches!(response.status, 414 | 431), "{response}");
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn too_many_fields_get_431() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config);
    let mut client = gateway.client();
    let many: String = (0..3000).map(|number| format!("X-{number}: 1\r\n")).collect();
    let _ = client.try_send(format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"));
    client.response().expect(431);
    assert_eq!(origin.connections(), 0);
    gateway.get("/next").expect(200);
}

#[test]
fn a_body_that_announces_too_much_gets_413_and_nothing_goes_upstream() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config.listener("max-body = \"1KiB\""));
    gateway.client().request("POST", "/fits", &[], &[b'x'; 1024]).expect(200);
    let mut client = gateway.client();
    client.send("POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 1025\r\n\r\n");
    client.response().expect(413);
    client.expect_close();
    assert_eq!(origin.count("/large"), 0);
    assert_eq!(gateway.access_lines(2)[1], "413 body-too-large");
}

#[test]
fn a_body_that_turns_out_too_large_gets_413_and_never_reaches_its_end() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config.listener("max-body = \"1KiB\""));
    let mut client = gateway.client();
    client.send("POST /large HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..3 {
        let _ = client.try_send(format!("200\r\n{}\r\n", "x".repeat(512)));
    }
    let _ = client.try_send("0\r\n\r\n");
    client.response().expect(413);
    client.expect_close();
    assert_eq!(gateway.access_lines(1), ["413 body-too-large"]);
    eventually("the upstream's connection ends", || (origin.open_connections() == 0).then_some(()));
    assert!(origin.requests().iter().all(|request| !request.whole));
}

#[test]
fn a_client_that_expects_to_continue_is_told_413_at_once() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config.listener("max-body = \"1KiB\""));
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.interim.len()), (413, 0));
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn a_route_may_have_a_body_limit_of_its_own() {
    let origin = Origin::start();
    let config = |config: Config| {
        config
            .listener("max-body = \"1KiB\"")
            .route("path = \"/upload\"\nmax-body = \"4KiB\"")
            .tables("[[site.all.route]]\npath = \"/tiny\"\nmax-body = \"10B\"\npool = \"app\"\n[[site.all.route]]\npool = \"app\"")
    };
    let gateway = gateway(&origin, config);
    let table = [
        ("/upload", 4096, 200),
        ("/upload", 4097, 413),
        ("/tiny", 10, 200),
        ("/tiny", 11, 413),
        ("/", 1024, 200),
        ("/", 1025, 413),
    ];
    for (target, length, status) in table {
        let mut client = gateway.client();
        client.send(format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"));
        let _ = client.try_send(vec![b'x'; length]);
        assert_eq!(client.response().status, status, "{target} {length}");
    }
}

#[test]
fn so_many_connections_and_no_more() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config.top("threads = 2").listener("max-connections = 4"));
    let mut kept: Vec<Client> = (0..4).map(|_| gateway.client()).collect();
    for client in &mut kept {
        client.get("/").expect(200);
    }
    let mut fifth = gateway.client();
    let _ = fifth.try_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    match fifth.try_response() {
        Ok(response) => assert_eq!(response.status, 503),
        Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::InvalidData, "{error}"),
    }
    for client in &mut kept {
        client.get("/").expect(200);
    }
    kept.pop();
    eventually("a place is free again", || {
        let mut client = gateway.client();
        client.try_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
        client.try_response().ok().filter(|response| response.status == 200)
    });
}

#[test]
fn a_burst_over_the_limit_costs_only_the_excess() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config.top("threads = 1").listener("max-connections = 8"));
    let mut clients: Vec<Client> = (0..24).map(|_| gateway.client()).collect();
    let statuses: Vec<u16> = clients
        .iter_mut()
        .filter_map(|client| {
            let _ = client.try_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            client.try_response().ok().map(|response| response.status)
        })
        .collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 8, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 16, "{statuses:?}");
}

#[test]
fn hundreds_of_connections_at_once_are_no_trouble() {
    let origin = Origin::start();
    let gateway = gateway(&origin, |config| config);
    let mut clients: Vec<Client> = (0..400).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for client in &mut clients {
        client.response().expect(200);
    }
    let before = gateway.descriptors();
    drop(clients);
    eventually("their descriptors are given back", || (gateway.descriptors() + 390 <= before).then_some(()));
}
