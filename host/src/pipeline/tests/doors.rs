//! What depends on the door a request came by: versions, TLS, early data.

use super::*;
use crate::config::HttpsRedirect;

/// A member that tells all it can of TLS when it is asked to.
fn member() -> Act {
    answering(|head| {
        let own = match head.contains("/own") {
            true => "strict-transport-security: max-age=1\r\nalt-svc: clear\r\n",
            false => "",
        };
        let status = if head.contains("/again") { "425 Too Early" } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\n{own}connection: close\r\ncontent-length: 0\r\n\r\n")
    })
}

fn everything(plan: &mut Plan) {
    let status = Status::PERMANENT_REDIRECT;
    plan.sites[0].https_redirect = Some(HttpsRedirect { port: 8443, status });
    plan.sites[0].hsts = Some(Value::from_static("max-age=31536000"));
    let listener = Arc::make_mut(&mut plan.listeners[0]);
    listener.protocols.h3 = true;
    listener.h3.advertise = Some(Duration::from_secs(86400));
}

#[test]
fn cleartext_is_redirected_but_for_challenges_and_what_a_proxy_had_under_tls() {
    run_as("redirect", member(), everything, |house| async move {
        let get = |uri: &str| asking(Version::HTTP_2, Scheme::Http, "GET", uri);
        for (asked, expected) in [
            (get("http://shop.example:8080/a?b"), Some("https://shop.example:8443/a?b")),
            (get("http://shop.example/none"), Some("https://shop.example:8443/none")),
            (get("http://shop.example/").with("x-forwarded-proto", "https"), Some("https://shop.example:8443/")),
            (get("http://shop.example/").with("x-forwarded-proto", "https").by_proxy(), None),
            (get("http://shop.example/.well-known/acme-challenge/x"), None),
        ] {
            let (head, ..) = house.ask(asked).await;
            assert_eq!(head.status, if expected.is_some() { Status::PERMANENT_REDIRECT } else { Status::OK });
            assert_eq!(field(&head, "location"), expected.unwrap_or_default());
            assert!(!head.headers.contains_key("strict-transport-security") && !head.headers.contains_key("alt-svc"));
        }
        let nameless = asking(Version::HTTP_10, Scheme::Http, "GET", "/");
        assert_eq!(house.ask(nameless).await.0.status, Status::BAD_REQUEST);
    });
}

#[test]
fn answers_over_tls_lead_on_unless_the_upstream_says_something_itself() {
    run_as("lead", member(), everything, |house| async move {
        let ours = ("max-age=31536000", "h3=\":8443\"; ma=86400");
        for (version, path, expected) in [
            (Version::HTTP_11, "/", ours),
            (Version::HTTP_2, "/", ours),
            (Version::HTTP_2, "/none", ours),
            (Version::HTTP_2, "/own", ("max-age=1", "clear")),
            (Version::HTTP_3, "/", (ours.0, "")),
        ] {
            let (head, ..) = house.ask(asking(version, Scheme::Https, "GET", &format!("https://h{path}"))).await;
            assert_eq!((field(&head, "strict-transport-security"), field(&head, "alt-svc")), expected);
            assert_eq!(head.version, version);
        }
    });
    run("lead-not", member(), |house| async move {
        let (head, ..) = house.ask(asking(Version::HTTP_2, Scheme::Https, "GET", "https://h/")).await;
        assert_eq!((field(&head, "strict-transport-security"), field(&head, "alt-svc")), ("", ""));
    });
}

#[test]
fn a_member_learns_how_the_client_came() {
    run("told", member(), |house| async move {
        let asked = asking(Version::HTTP_3, Scheme::Https, "GET", "https://h/");
        house.ask(asked.with("client-cert", ":x:").with("cookie", "a=1").with("cookie", "b=2")).await;
        let seen = house.last_seen();
        for line in [
            "client-cert: :aqi=:",
            "x-forwarded-proto: https",
            "x-forwarded-port: 443",
            "via: 3 weir",
            "cookie: a=1; b=2",
        ] {
            assert!(seen.lines().any(|known| known == line), "{line}: {seen}");
        }
        assert_eq!(house.last_logged(), "GET HTTP/3.0 200 -");
    });
}

#[test]
fn connection_fields_are_for_http_1() {
    run("hops", member(), |house| async move {
        let bad = |version| asking(version, Scheme::Http, "GET", "http://h/%");
        let (head, ..) = house.ask(bad(Version::HTTP_11)).await;
        assert_eq!((head.status, field(&head, "connection")), (Status::BAD_REQUEST, "close"));
        let (head, ..) = house.ask(bad(Version::HTTP_2)).await;
        assert_eq!((head.status, field(&head, "connection")), (Status::BAD_REQUEST, ""));
    });
}

#[test]
fn schemes_and_hosts_are_those_of_the_connection() {
    run("schemes", member(), |house| async move {
        let get = |version, scheme, uri: &str| asking(version, scheme, "GET", uri);
        for (asked, status, proto) in [
            (get(Version::HTTP_2, Scheme::Http, "https://h/"), 421, ""),
            (get(Version::HTTP_11, Scheme::Http, "https://h/").with("host", "h"), 421, ""),
            (get(Version::HTTP_2, Scheme::Http, "https://h/").by_proxy(), 200, "http"),
            (get(Version::HTTP_2, Scheme::Https, "http://h/"), 200, "https"),
            (get(Version::HTTP_2, Scheme::Https, "https://h/").with("host", "other"), 400, ""),
            (get(Version::HTTP_2, Scheme::Https, "/").with("host", "h"), 200, "https"),
            (get(Version::HTTP_2, Scheme::Https, "/"), 400, ""),
            (get(Version::HTTP_2, Scheme::Https, "https://h/").with("host", "h").with("host", "h"), 400, ""),
        ] {
            house.seen.borrow_mut().clear();
            assert_eq!(house.ask(asked).await.0.status.as_u16(), status, "{}", house.last_logged());
            let line = format!("x-forwarded-proto: {proto}");
            assert_eq!(house.last_seen().lines().any(|known| known == line), !proto.is_empty());
        }
    });
}

#[test]
fn lengths_are_what_they_say_whatever_frames_the_body() {
    run("lengths", member(), |house| async move {
        let post =
            |length: &str| asking(Version::HTTP_3, Scheme::Https, "POST", "https://h/").with("content-length", length);
        let with = |mut asked: Asking, body: &'static str| {
            asked.body = Body::from(bytes::Bytes::from(body));
            asked
        };
        for (asked, status, logged) in [
            (with(post("3"), "abc"), 200, "-"),
            (with(post("2"), "abc"), 400, "malformed-body"),
            (with(post("4"), "abc"), 400, "malformed-body"),
            (post("4"), 400, "malformed-body"),
            (post("0"), 200, "-"),
            (with(post("3").with("content-length", "3"), "abc"), 400, "ambiguous-framing"),
            (with(post("3, 3"), "abc"), 400, "ambiguous-framing"),
        ] {
            let (head, ..) = house.ask(asked).await;
            assert_eq!(head.status.as_u16(), status, "{}", house.last_logged());
            assert!(house.last_logged().ends_with(&format!(" {status} {logged}")), "{}", house.last_logged());
        }
    });
}

#[test]
fn early_data_changes_nothing_and_is_said() {
    run("early", member(), |house| async move {
        let ask = |method, path: &str| asking(Version::HTTP_3, Scheme::Https, method, &format!("https://h{path}"));
        for (asked, status, logged) in [
            (ask("GET", "/").early(), 200, "-"),
            (ask("HEAD", "/").early(), 200, "-"),
            (ask("POST", "/").early(), 425, "too-early"),
            (ask("DELETE", "/").early(), 425, "too-early"),
            (ask("CONNECT", "/socket").to("websocket").early(), 425, "too-early"),
            (ask("GET", "/again").early(), 425, "-"),
        ] {
            house.seen.borrow_mut().clear();
            assert_eq!(house.ask(asked).await.0.status.as_u16(), status);
            assert!(house.last_logged().ends_with(&format!(" {status} {logged}")), "{}", house.last_logged());
            assert_eq!(house.last_seen().contains("\r\nearly-data: 1\r\n"), logged == "-");
        }
        house.ask(ask("GET", "/")).await;
        assert!(!house.last_seen().contains("early-data"));
    });
}
