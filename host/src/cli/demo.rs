//! `weir demo`: a gateway with two small servers behind it in one process, and lines to try it with.

use std::sync::Arc;

use super::failed;
use super::run::serve;
use crate::config;

mod certificate;
mod origin;

/// The config, with addresses that are replaced by the ones in use.
const CONFIG: &str = include_str!("demo.toml");

/// What to try, `{at}` standing for the gateway and `{secure}` for its other door: a line to type and what comes of it.
const TRY: &[(&str, &str)] = &[
    ("curl -s {at}/", "again and again: anna and bert take turns (balancing)"),
    ("curl -s {at}/old/page", "the server is asked for /new/page (the filter std:url-rewrite)"),
    ("curl -s {at}/shop/cart", "the server is asked for /cart (the route takes the prefix away)"),
    ("curl -si {at}/", "X-Powered-By is hidden, X-Demo is added (the filter std:header-rules)"),
    ("curl -si {at}/broken", "the server's 500 is replaced by the site's error page"),
    ("curl -si {at}/private", "no route for that: the site's page for 404"),
    ("curl -si {at}/status", "answered by the gateway itself"),
    ("curl -si {at}/go", "a redirect to /"),
    (
        "curl -sik --http2 {secure}/status",
        "the same by HTTP/2 under TLS; browsers go on by HTTP/3 (-k: nobody vouches for the demo)",
    ),
];

pub(super) fn demo(port: u16) -> u8 {
    if let Err(error) = std::net::TcpListener::bind(("127.0.0.1", port)) {
        let other = port.checked_add(1).unwrap_or(8080);
        return failed(format_args!("127.0.0.1:{port}: {error}; choose another port: weir demo --port {other}"));
    }
    let origins = match (origin::start("anna"), origin::start("bert")) {
        (Ok(anna), Ok(bert)) => [anna, bert],
        (Err(error), _) | (_, Err(error)) => return failed(format_args!("no server for the demo: {error}")),
    };
    let certificate = match certificate::Certificate::make() {
        Ok(certificate) => certificate,
        Err(error) => return failed(format_args!("no certificate for the demo: {error}")),
    };
    let config = config_for((port, secure_port(port)), origins);
    let ready = move |listening: &[crate::gateway::Listening]| {
        let at = |name: &str| listening.iter().find(|one| &*one.listener == name).map_or("", |one| &*one.address);
        print!("{}", guide(&format!("http://{}", at("web")), &format!("https://{}", at("secure"))));
    };
    let directory = certificate.directory().to_owned();
    serve(Arc::new(move || config::parse(&config, "demo.toml", &directory)), ready)
}

/// As 8443 is to 8080; any other one where that is taken.
fn secure_port(port: u16) -> u16 {
    let usual = port.checked_add(363);
    usual.filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap_or(0)
}

/// The gateway's address comes last: it may be one of those that stand for the servers.
fn config_for((port, secure): (u16, u16), origins: [std::net::SocketAddr; 2]) -> String {
    let [anna, bert] = origins.map(|address| address.to_string());
    CONFIG
        .replace("127.0.0.1:9001", &anna)
        .replace("127.0.0.1:9002", &bert)
        .replace("127.0.0.1:8443", &format!("127.0.0.1:{secure}"))
        .replace("127.0.0.1:8080", &format!("127.0.0.1:{port}"))
}

fn guide(at: &str, secure: &str) -> String {
    let mut text = format!("\nThe gateway is on {at}, two small servers behind it. In another terminal, try:\n\n");
    for (line, expect) in TRY {
        text.push_str(&format!("  {}\n      {expect}\n", line.replace("{at}", at).replace("{secure}", secure)));
    }
    text.push_str("\nCtrl-C ends it.\n\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_the_config_is_replaced() {
        let text = config_for((1234, 1235), ["127.0.0.1:5".parse().unwrap(), "127.0.0.1:6".parse().unwrap()]);
        for (address, count) in [("127.0.0.1:1234", 1), ("127.0.0.1:5\"", 1), ("127.0.0.1:6\"", 1), ("9001", 0)] {
            assert_eq!(text.matches(address).count(), count, "{address}");
        }
        let text = config_for((9001, 0), ["127.0.0.1:5".parse().unwrap(), "127.0.0.1:6".parse().unwrap()]);
        assert!(text.contains("bind = \"127.0.0.1:9001\""), "{text}");
    }

    #[test]
    fn the_config_has_no_problems() {
        let made = certificate::Certificate::make().unwrap();
        let directory = made.directory().to_owned();
        let plan = config::parse(CONFIG, "demo.toml", &directory).unwrap();
        assert_eq!(plan.listeners.len(), 2);
        drop(made);
        assert!(!directory.exists());
    }

    #[test]
    fn the_guide_names_the_gateway_in_every_line() {
        let text = guide("http://127.0.0.1:8080", "https://127.0.0.1:8443");
        assert_eq!(text.matches("curl -s").count(), TRY.len());
        assert!(!text.contains('{'));
    }
}
