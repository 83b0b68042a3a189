//! Checks of members that speak TLS or the PROXY protocol.

use super::*;
use crate::config::{ProxyVersion, UpstreamTls};
use crate::tls::testing::Authority;

fn over(endpoint: &Endpoint, tls: Option<UpstreamTls>) -> Arc<Endpoint> {
    let transport = Transport { tls, ..(*endpoint.transport).clone() };
    Endpoint::of(&endpoint.address, &Arc::new(transport))
}

#[test]
fn a_connection_means_tls_where_the_member_speaks_it_or_the_check_says_so() {
    let (authority, stranger) = (Authority::found(), Authority::found());
    let identity = authority.certify(&["127.0.0.1"]);
    let (known, unknown) = (Some(authority.trusted()), Some(stranger.trusted()));
    for (member, check, detail) in [
        (known.clone(), None, "connected"),
        (unknown.clone(), None, "tls-failed: "),
        (None, Some(known.clone()), "connected"),
        (known.clone(), Some(unknown), "tls-failed: "),
        (known, Some(None), "connected"),
    ] {
        run(async |probes| {
            let (listener, endpoint) = listener().await;
            let acceptor = identity.acceptor(&["http/1.1"], None);
            tokio::task::spawn_local(async move {
                let (stream, _) = listener.accept().await.unwrap();
                let _ = acceptor.accept(stream).await;
            });
            let health = Health { tls: check.clone(), ..once(Check::Tcp) };
            let outcome = outcome(&probes, &over(&endpoint, member.clone()), health).await;
            assert!(outcome.detail.starts_with(detail), "{check:?}: {outcome:?}");
            assert_eq!(outcome.passed, detail == "connected");
        });
    }
}

#[test]
fn a_handshake_that_never_ends_is_named() {
    run(async |probes| {
        let (_listener, endpoint) = listener().await;
        let endpoint = over(&endpoint, Some(Authority::found().trusted()));
        let health = Health { timeout: Duration::from_millis(500), ..once(Check::Http(get("/"))) };
        let outcome = outcome(&probes, &endpoint, health).await;
        assert!(!outcome.passed && outcome.detail.contains("no TLS handshake within "), "{outcome:?}");
    });
}

#[test]
fn members_of_the_proxy_protocol_hear_that_no_client_asks() {
    run(async |probes| {
        let (listener, endpoint) = listener().await;
        let transport = Transport { proxy_protocol: Some(ProxyVersion::V2), ..(*endpoint.transport).clone() };
        let endpoint = Endpoint::of(&endpoint.address, &Arc::new(transport));
        assert!(outcome(&probes, &endpoint, once(Check::Tcp)).await.passed);
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    });
}
