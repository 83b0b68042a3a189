//! `weir demo`: every line that it prints for trying is tried.

use weir_tests::{Client, Gateway, Origin, PATIENCE, Place, RefusedPort, Signal, curl, eventually};

/// A demo on a port that nobody else gets.
fn demo() -> (Gateway, RefusedPort) {
    let port = RefusedPort::take();
    let gateway = Gateway::run(Place::fresh(), &["demo", "--port", &port.port().to_string()]);
    eventually("the demo says what to try", || {
        assert!(!gateway.has_ended(), "the demo ended: {}", gateway.log().join("\n"));
        gateway.out().iter().any(|line| line.contains("Ctrl-C")).then_some(())
    });
    (gateway, port)
}

#[test]
fn every_printed_line_works() {
    let (gateway, port) = demo();
    let address = port.address();
    let lines: Vec<String> = gateway.out().into_iter().filter(|line| line.trim_start().starts_with("curl ")).collect();
    assert!(lines.len() >= 4, "{lines:?}");
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        assert!(line.contains(&address) || line.contains("https://127.0.0.1:"), "{line}");
        let got = curl(&words);
        assert_eq!(got.code, Some(0), "{line}: {got:?}");
        assert!(!got.out.is_empty(), "{line} prints nothing");
    }
}

#[test]
fn it_shows_balancing_rewriting_header_rules_and_an_error_page() {
    let (_gateway, port) = demo();
    let mut client = Client::connect(&port.address());
    let (first, second) = (client.get("/"), client.get("/"));
    assert_ne!(first.text(), second.text(), "two members take turns");
    assert_eq!(first.field("x-demo"), "weir");
    assert!(!first.fields.has("x-powered-by"));
    assert!(client.get("/old/page").text().contains("/new/page"));
    let broken = client.get("/broken");
    assert!(broken.status >= 500 && broken.text().contains("sorry"), "{broken}");
    let lost = client.get("/private");
    assert_eq!(lost.status, 404);
}

#[test]
fn it_ends_when_told() {
    let (mut gateway, _port) = demo();
    gateway.signal(Signal::Interrupt);
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
}

#[test]
fn a_port_that_is_taken_is_said() {
    let taken = Origin::start();
    let number = taken.port().to_string();
    let ended = weir_tests::weir(&Place::fresh(), &["demo", "--port", &number]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains(&number), "{ended:?}");
}
