//! Clients that others wrote talk to the gateway, each in the versions of HTTP that it knows.

use weir_tests::origin::{Behaviour, Then};
use weir_tests::peers::{browse, h2load, python_says, python_serves};
use weir_tests::{Authority, Config, Gate, Gateway, Identity, Origin, RefusedPort, behaviour, curl, eventually};

/// A gateway for `any.example` with a port in the clear and a secure one that speaks everything.
struct House {
    gateway: Gateway,
    identity: Identity,
}

impl House {
    fn stand(config: Config, lines: &str) -> House {
        let authority = Authority::found();
        let identity = authority.certify("any.example");
        let secure = format!(
            "[listener.secure]\nbind = \"127.0.0.1:0\"\nprotocols = [\"h1\", \"h2\", \"h3\"]\n\
             tls.certificate = {{ chain = \"web.pem\", key = \"web.key\" }}\n{lines}"
        );
        let config = config.identity("web", &identity).file("ca.pem", authority.pem()).tables(&secure);
        House { gateway: Gateway::start(&config.top("threads = 2")), identity }
    }

    fn before(origin: &Origin) -> House {
        House::stand(Config::to(origin), "")
    }

    fn port(&self, listener: &str) -> String {
        self.gateway.addr(listener).rsplit(':').next().expect("addresses have ports").to_owned()
    }

    fn ca(&self) -> String {
        self.gateway.place().join("ca.pem").display().to_string()
    }
}

#[test]
fn curl_asks_in_the_clear_and_under_tls_by_http_1_and_by_http_2() {
    let origin = Origin::start();
    let sinks = behaviour::sinks();
    let wants = behaviour::does(move |exchange| {
        // curl asks first before it sends so much, and waits a second when nobody says anything.
        if exchange.request.fields.has("expect") {
            exchange.write_head(100, &[])?;
        }
        sinks(exchange)
    });
    origin.on("/big", behaviour::big_body(8 << 20)).on("/sink", wants);
    let house = House::before(&origin);
    let body = house.gateway.place().write("upload", vec![b'u'; 5 << 20]).display().to_string();
    let (upload, ca) = (format!("@{body}"), house.ca());
    for (listener, scheme, flag, version) in [
        ("web", "http", "--http1.1", "1.1"),
        ("web", "http", "--http2-prior-knowledge", "2"),
        ("secure", "https", "--http1.1", "1.1"),
        ("secure", "https", "--http2", "2"),
    ] {
        let port = house.port(listener);
        let (base, resolve) = (format!("{scheme}://any.example:{port}"), format!("any.example:{port}:127.0.0.1"));
        let ask = |arguments: &[&str]| {
            let form = "\n%{http_code} %{http_version} %{size_download} %{num_connects}\n";
            let usual = ["--cacert", ca.as_str(), "--resolve", &resolve, flag, "--write-out", form];
            let finished = curl(&[&usual[..], arguments].concat());
            assert_eq!(finished.code, Some(0), "{scheme} {flag} {arguments:?}: {}", finished.err);
            finished.out
        };
        let answer = ask(&[&format!("{base}/a?b=c")]);
        assert!(answer.contains("\"target\":\"/a?b=c\"") && answer.contains(&format!("\n200 {version} ")), "{answer}");
        let answer = ask(&["--head", &format!("{base}/head")]);
        assert!(answer.starts_with(&format!("HTTP/{version} 200")), "{answer}");
        let answer = ask(&["--output", "/dev/null", &format!("{base}/big")]);
        assert_eq!(answer, format!("\n200 {version} {} 1\n", 8 << 20));
        for framing in ["X-Any: x", "Transfer-Encoding: chunked"] {
            // HTTP/2 has no chunks, and curl knows that.
            let answer = ask(&["--data-binary", &upload, "--header", framing, &format!("{base}/sink")]);
            assert_eq!(answer, format!("{}\n200 {version} 7 1\n", 5 << 20), "{framing}");
        }
        // The second one goes over the same connection; by prior knowledge curl 7.88 fails at that by itself.
        if flag != "--http2-prior-knowledge" {
            let two = ask(&[&format!("{base}/one"), &format!("{base}/two")]);
            assert!(two.ends_with(" 0\n"), "{two}");
        }
    }
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[test]
fn h2load_loses_no_request() {
    let origin = Origin::that(behaviour::answers(200, "a small body"));
    let house = House::before(&origin);
    for (listener, scheme, more) in
        [("web", "http", &["-p", "h2c"][..]), ("secure", "https", &[]), ("secure", "https", &["--h1"])]
    {
        let url = format!("{scheme}://127.0.0.1:{}/", house.port(listener));
        let finished = h2load(&[&["-n", "3000", "-c", "10", "-m", "20"], more, &[url.as_str()]].concat());
        let said = finished.all();
        let expected = "requests: 3000 total, 3000 started, 3000 done, 3000 succeeded, 0 failed, 0 errored, 0 timeout";
        assert!(said.contains(expected), "{scheme} {more:?}: {said}");
    }
}

#[test]
fn websockets_of_python_talk_to_each_other_through_the_gateway() {
    let server = python_serves("websocket_server", &[]);
    let config = Config::to_url(&format!("http://127.0.0.1:{}", server.said))
        .route("path = \"/socket\"\nupgrade = [\"websocket\"]")
        .pool("preserve-host = true")
        .tables("[[site.all.route]]\npool = \"app\"");
    let house = House::stand(config, "");
    for (listener, ca) in [("web", "-".to_owned()), ("secure", house.ca())] {
        assert_eq!(python_says("websocket_client", &[&house.port(listener), &ca]), "all well\n", "{listener}");
    }
}

#[test]
fn grpc_calls_and_streams_go_through_the_gateway() {
    let (server, dead) = (python_serves("grpc_server", &[]), RefusedPort::take());
    let config = Config::text(
        r#"
[listener.web]
bind = "127.0.0.1:0"
[pool.app]
member = ["{app}"]
protocol = "h2"
[pool.dead]
member = ["{dead}"]
protocol = "h2"
[site.all]
[[site.all.route]]
path = "/echo.Echo"
pool = "app"
[[site.all.route]]
path = "/dead.Dead"
pool = "dead"
"#,
    );
    let config = config.fill("app", &format!("http://127.0.0.1:{}", server.said)).fill("dead", &dead.url());
    let house = House::stand(config, "");
    for (listener, ca) in [("web", "-".to_owned()), ("secure", house.ca())] {
        assert_eq!(python_says("grpc_client", &[&house.gateway.addr(listener), &ca]), "all well\n", "{listener}");
    }
}

fn for_h3() -> Origin {
    let origin = Origin::start();
    origin
        .on("/sink", behaviour::sinks())
        .on("/large", behaviour::big_body(100 << 20))
        .on("/medium", behaviour::big_body(16 << 20))
        .on("/trailers", behaviour::chunked_with_trailers(&["one ", "two"]))
        .on("/nothing", behaviour::answers(204, ""));
    origin
}

/// Runs a deed of `h3_client.py` against a listener with more lines of its own.
#[track_caller]
fn h3(lines: &str, deed: &[&str]) -> (Origin, House, String) {
    let origin = for_h3();
    let house = House::stand(Config::to(&origin), lines);
    let said = python_says("h3_client", &[&[house.port("secure").as_str(), &house.ca()], deed].concat());
    assert!(said.ends_with("all well\n"), "{said}");
    assert_eq!(house.gateway.log_count("panicked"), 0);
    (origin, house, said)
}

#[test]
fn aioquic_asks_by_http_3() {
    h3("", &["requests"]);
}

#[test]
fn aioquic_takes_a_hundred_mebibytes_in_bounded_memory() {
    let (_origin, house, said) = h3("", &["transfer"]);
    assert!(house.gateway.peak_rss_kib() < 64 * 1024, "{} KiB were resident: {said}", house.gateway.peak_rss_kib());
}

#[test]
fn aioquic_changes_its_address_in_the_middle_of_an_answer() {
    h3("", &["migration"]);
}

#[test]
fn aioquic_is_not_let_in_early_unless_the_listener_says_so() {
    let (origin, ..) = h3("", &["early", "refused"]);
    assert_eq!(origin.requests().iter().filter(|request| request.fields.has("early-data")).count(), 0);
    let (origin, ..) = h3("h3.early-data = true", &["early", "taken"]);
    assert_eq!(origin.request("/early").fields.get("early-data").as_deref(), Some("1"));
    assert!(!origin.request("/first").fields.has("early-data"));
}

#[test]
fn aioquic_shows_its_address_where_it_has_to() {
    h3("h3.retry = \"always\"", &["retry"]);
}

#[test]
fn aioquic_learns_which_versions_are_spoken() {
    h3("", &["versions"]);
}

#[test]
fn aioquic_is_turned_away_when_nobody_has_the_name_that_it_asks_for() {
    let (authority, origin) = (Authority::found(), Origin::start());
    let config = Config::to(&origin).identity("web", &authority.certify("any.example")).file("ca.pem", authority.pem());
    let config = config.listener("protocols = [\"h3\"]\ntls = {}");
    let config = config.site("host = \"any.example\"\ncertificate = { chain = \"web.pem\", key = \"web.key\" }");
    let gateway = Gateway::start(&config);
    let (address, ca) = (gateway.addr("web"), gateway.place().join("ca.pem").display().to_string());
    let port = address.rsplit(':').next().expect("addresses have ports");
    for deed in ["stranger", "versions"] {
        assert_eq!(python_says("h3_client", &[port, &ca, deed]), "all well\n", "{deed}");
    }
}

/// A page with forty files beside it, which says which of them it got and how.
fn page() -> Behaviour {
    let files: String = (0..20)
        .map(|number| format!("<script src=\"/file/{number}.js\"></script><img src=\"/file/{number}.svg\">\n"))
        .collect();
    let page = format!(
        "<!doctype html><title>page</title><script>loaded = 0</script>{files}<pre id=said></pre><script>
        addEventListener('load', () => {{
            const entries = performance.getEntriesByType('resource').filter(entry => entry.name.includes('/file/'));
            const images = [...document.images].filter(image => image.naturalWidth == 7).length;
            const versions = [...new Set(entries.map(entry => entry.nextHopProtocol))].sort().join();
            const own = performance.getEntriesByType('navigation')[0].nextHopProtocol;
            said.textContent = `${{entries.length}} files, ${{loaded}} scripts, ${{images}} images, ` +
                `by ${{versions}}, page by ${{own}}`;
        }})</script>"
    );
    behaviour::does(move |exchange| {
        let target = exchange.request.target.as_str();
        let (kind, body) = match target.rsplit('.').next() {
            _ if target == "/" => ("text/html", page.clone()),
            Some("js") => ("text/javascript", format!("loaded += 1; // {}", "x".repeat(2000))),
            _ => ("image/svg+xml", "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"7\" height=\"7\"/>".to_owned()),
        };
        let length = body.len().to_string();
        exchange.write_head(200, &[("Content-Type", kind), ("Content-Length", &length)])?;
        exchange.write(body)?;
        Ok(Then::Keep)
    })
}

/// Lets a browser load the page at `/` by HTTP/2 or HTTP/3, and expects it to say this.
#[track_caller]
fn browsed(house: &House, version: &str, expected: &str) {
    let (port, pin) = (house.port("secure"), house.identity.pin());
    let trust = format!("--ignore-certificate-errors-spki-list={}", pin.trim_start_matches("sha256/"));
    let way = match version {
        "h3" => format!("--origin-to-force-quic-on=any.example:{port}"),
        _ => "--disable-quic".to_owned(),
    };
    let url = format!("https://any.example:{port}/");
    let finished = browse(&url, &["--host-resolver-rules=MAP any.example 127.0.0.1", &trust, &way]);
    assert!(finished.out.contains(expected), "{version}: {}\n{}", finished.out, finished.err);
}

#[test]
fn a_browser_loads_a_page_with_forty_files() {
    let origin = Origin::that(page());
    let house = House::before(&origin);
    for version in ["h2", "h3"] {
        browsed(&house, version, &format!("40 files, 20 scripts, 20 images, by {version}, page by {version}"));
    }
}

/// A page that is loaded when its WebSocket has said something and heard it again.
const TALK: &str = "<!doctype html><title>page</title><pre id=said></pre><img src=/held.svg><script>
    const socket = new WebSocket(`wss://${location.host}/socket`);
    socket.onopen = () => socket.send('hello');
    socket.onmessage = event => { said.textContent = `heard ${event.data}`; fetch('/release'); };
    socket.onerror = () => { said.textContent = 'no socket'; fetch('/release'); };
    </script>";

#[test]
fn a_browser_opens_a_websocket_on_its_connection_of_http_2() {
    let (origin, heard) = (Origin::start(), Gate::closed());
    let release = heard.clone();
    let releases = behaviour::answers(204, "");
    origin
        .on("/", behaviour::answers_with(200, &[("Content-Type", "text/html")], TALK))
        .on("/socket", behaviour::echoes_websockets())
        .on("/held.svg", behaviour::waits_for(&heard, behaviour::answers(204, "")))
        .on(
            "/release",
            behaviour::does(move |exchange| {
                release.open();
                releases(exchange)
            }),
        );
    let log = "${request.version} ${request.path} ${response.status}";
    let config = Config::to(&origin).route("upgrade = [\"websocket\"]").access_log(log);
    let house = House::stand(config, "");
    browsed(&house, "h2", "heard hello");
    // RFC 8441: the tunnel is a stream like others, answered with 200.
    eventually("the tunnel has ended", || {
        house.gateway.lines("access.log").contains(&"HTTP/2.0 /socket 200".to_owned()).then_some(())
    });
}
