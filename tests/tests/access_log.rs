//! One line for each exchange: in which formats, with what in it, and where it goes.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_tests::{Config, Gateway, Origin, PATIENCE, Signal, behaviour, eventually};

fn logging(origin: &Origin, format: &str) -> Gateway {
    Gateway::start(&Config::to(origin).access_log(format))
}

#[test]
fn the_combined_format_is_apaches() {
    let origin = Origin::that(behaviour::answers(200, "hello"));
    let gateway = logging(&origin, "combined");
    gateway.client().ask("/a?b", &[("Referer", "http://from.example/"), ("User-Agent", "agent \"x\"")]).expect(200);
    let line = gateway.access_lines(1).remove(0);
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.contains("] \"GET /a?b HTTP/1.1\" 200 5 \"http://from.example/\" \"agent "), "{line}");
    assert!(!line.contains("\"agent \"x\"\""), "a quote was not escaped: {line}");
}

#[test]
fn the_json_format_is_one_object_a_line() {
    let origin = Origin::that(behaviour::answers(201, "hello"));
    let gateway = logging(&origin, "json");
    gateway.client().request("POST", "/a?b=c", &[("Host", "Shop.example:81")], b"four").expect(201);
    let line: Value = serde_json::from_str(&gateway.access_lines(1)[0]).expect("a JSON object");
    let table = [
        ("client_address", Value::from("127.0.0.1")),
        ("listener", "web".into()),
        ("site", "all".into()),
        ("pool", "app".into()),
        ("member", origin.url().into()),
        ("request_method", "POST".into()),
        ("request_path", "/a".into()),
        ("request_query", "b=c".into()),
        ("request_bytes", 4.into()),
        ("response_status", 201.into()),
        ("response_bytes", 5.into()),
        ("attempts", 1.into()),
        ("failure", Value::Null),
    ];
    for (key, value) in table {
        assert_eq!(line[key], value, "{key} in {line}");
    }
    for key in ["duration", "duration_connect", "duration_first_byte"] {
        assert!(line[key].as_f64().is_some_and(|seconds| (0.0..30.0).contains(&seconds)), "{key} in {line}");
    }
    for key in ["time", "client_port", "request_id", "route"] {
        assert!(!line[key].is_null(), "{key} in {line}");
    }
}

#[test]
fn a_format_of_ones_own_may_name_everything_there_is() {
    let origin = Origin::that(behaviour::answers_with(200, &[("X-Out", "out")], "hello"));
    let variables = [
        "time.local",
        "time.iso",
        "time.unix",
        "client.address",
        "client.port",
        "listener",
        "site",
        "route",
        "pool",
        "member",
        "request.line",
        "request.method",
        "request.host",
        "request.path",
        "request.query",
        "request.scheme",
        "request.version",
        "request.id",
        "request.bytes",
        "response.status",
        "response.bytes",
        "duration",
        "duration.connect",
        "duration.first-byte",
        "duration.filter",
        "attempts",
        "failure",
        "tls.version",
        "tls.cipher",
        "tls.sni",
        "tls.alpn",
        "tls.resumed",
        "tls.client.sha256",
        "tls.client.subject",
        "tls.client.issuer",
        "tls.client.serial",
        "tls.client.not-after",
        "tls.client.names",
        "request.header.x-in",
        "response.header.x-out",
    ];
    let format: Vec<_> = variables.iter().map(|name| format!("${{{name}}}")).collect();
    let gateway = logging(&origin, &format.join("|"));
    gateway.client().ask("/a?b", &[("X-In", "in")]).expect(200);
    let line = gateway.access_lines(1).remove(0);
    let values: Vec<_> = line.split('|').collect();
    assert_eq!(values.len(), variables.len(), "{line}");
    let value = |name: &str| variables.iter().position(|n| *n == name).map(|at| values[at]);
    assert_eq!(value("request.line"), Some("GET /a?b HTTP/1.1"));
    assert_eq!(value("request.path"), Some("/a"));
    assert_eq!(value("request.query"), Some("b"));
    assert_eq!(value("request.scheme"), Some("http"));
    assert_eq!((value("tls.version"), value("tls.client.names")), (Some("-"), Some("-")));
    assert_eq!(value("member"), Some(origin.url().as_str()));
    assert_eq!(value("request.header.x-in"), Some("in"));
    assert_eq!(value("response.header.x-out"), Some("out"));
    assert_eq!(value("attempts"), Some("1"));
    assert!(values.iter().all(|value| !value.contains('$')), "{line}");
}

#[test]
fn nobody_writes_lines_of_their_own_into_the_log() {
    let origin = Origin::start();
    let gateway = logging(&origin, "${request.header.user-agent} ${request.path}");
    let mut client = gateway.client();
    client.send(b"GET /x%0d%0aevil HTTP/1.1\r\nHost: x\r\nUser-Agent: a\"b\\\xff\x80c\r\n\r\n");
    let _ = client.try_response();
    gateway.get("/last").expect(200);
    let lines = gateway.access_lines(2);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{lines:?}");
}

#[test]
fn bytes_are_counted_both_ways() {
    let origin = Origin::start();
    origin.on("/down", behaviour::big_body(1_000_000)).on("/up", behaviour::sinks());
    let gateway = logging(&origin, "${request.bytes} ${response.bytes}");
    let mut client = gateway.client();
    client.get("/down").expect(200);
    client.request("POST", "/up", &[], &vec![b'x'; 500_000]).expect(200);
    client.send("POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    client.response().expect(200);
    client.request("HEAD", "/", &[], b"").expect(200);
    assert_eq!(gateway.access_lines(4), ["0 1000000", "500000 6", "5 1", "0 0"]);
}

#[test]
fn what_the_gateway_answers_itself_is_logged_too() {
    let origin = Origin::start();
    let route = "path = \"/own\"\nrespond = { status = 200, body = \"own\" }";
    let format = "${request.path} ${response.status} ${pool} ${member} ${failure}";
    let gateway = Gateway::start(&Config::to(&origin).route(route).access_log(format));
    let mut client = gateway.client();
    client.get("/own").expect(200);
    client.get("/lost").expect(404);
    assert_eq!(gateway.access_lines(2), ["/own 200 - - -", "/lost 404 - - no-route"]);
}

#[test]
fn the_log_can_go_to_standard_output() {
    let origin = Origin::start();
    let table = "[access-log]\npath = \"-\"\nformat = '${request.path} ${response.status}'";
    let gateway = Gateway::start(&Config::to(&origin).tables(table));
    gateway.get("/x").expect(200);
    eventually("the line is on stdout", || gateway.out().contains(&"/x 200".to_owned()).then_some(()));
}

#[test]
fn the_log_can_be_off() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).tables("[access-log]\npath = \"access.log\"\nformat = \"off\""));
    gateway.get("/x").expect(200);
    assert!(gateway.lines("access.log").is_empty());
    assert!(gateway.out().is_empty());
}

#[test]
fn the_log_is_opened_again_when_asked() {
    let origin = Origin::start();
    let gateway = logging(&origin, "${request.path}");
    gateway.get("/before").expect(200);
    gateway.access_lines(1);
    let (now, moved) = (gateway.place().join("access.log"), gateway.place().join("access.log.1"));
    fs::rename(&now, &moved).expect("the log can be moved");
    gateway.get("/between").expect(200);
    eventually("the moved file is still written", || (gateway.lines("access.log.1").len() == 2).then_some(()));
    gateway.signal(Signal::ReopenLogs);
    eventually("there is a new file", || now.exists().then_some(()));
    gateway.get("/after").expect(200);
    assert_eq!(gateway.access_lines(1), ["/after"]);
    assert_eq!(gateway.lines("access.log.1"), ["/before", "/between"]);
}

#[test]
fn no_line_is_lost_when_the_gateway_ends() {
    let origin = Origin::start();
    let mut gateway = logging(&origin, "${request.path}");
    let mut client = gateway.client();
    for number in 0..200 {
        client.get(&format!("/{number}")).expect(200);
    }
    gateway.signal(Signal::Terminate);
    assert_eq!(gateway.wait_exit(weir_tests::PATIENCE), Some(0));
    assert_eq!(gateway.lines("access.log").len(), 200);
}

#[test]
fn the_operators_log_is_text_when_asked() {
    let origin = Origin::start();
    let gateway = Gateway::spawn(&Config::to(&origin).tables("[log]\nformat = \"text\"\nlevel = \"info\""));
    let line = gateway.logged("listening");
    assert!(serde_json::from_str::<Value>(&line).is_err(), "{line}");
    assert!(line.contains("INFO") && line.contains("127.0.0.1:"), "{line}");
}

#[test]
fn the_operators_log_is_json_when_asked_and_says_why_an_upstream_failed() {
    let refused = weir_tests::RefusedPort::take();
    let gateway = Gateway::start(&Config::to_url(&refused.url()));
    gateway.get("/").expect(502);
    let line = gateway.logged("connect-refused");
    let line: Value = serde_json::from_str(&line).expect("a JSON object");
    assert!(line.to_string().contains(&refused.address()), "{line}");
    assert_eq!(gateway.log_count("connect-refused"), 1, "a failure is logged once");
}

#[test]
fn a_full_disk_is_told_of_at_once_and_then_once_in_a_while_with_every_line_counted() {
    let origin = Origin::start();
    let config = Config::to(&origin).tables("[access-log]\npath = \"/dev/full\"").tables("[log]\nformat = \"json\"");
    let mut gateway = Gateway::start(&config);
    // Lines are handed over several times a second, and each time there is no room.
    let (begun, mut requests) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_millis(1500) {
        gateway.get("/").expect(200);
        requests += 1;
    }
    gateway.logged("access log lines not written");
    gateway.get("/").expect(200);
    gateway.signal(Signal::Terminate);
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
    // The second one is the end's, and may still be on its way.
    let told = eventually("the end is told of", || {
        let told = gateway.log().into_iter().filter(|line| line.contains("access log lines not written"));
        let told: Vec<Value> = told.map(|line| serde_json::from_str(&line).unwrap()).collect();
        (told.len() >= 2).then_some(told)
    });
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told.iter().filter_map(|line| line["lines"].as_u64()).sum::<u64>(), requests + 1);
}
