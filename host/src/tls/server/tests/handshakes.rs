//! Protocols and versions.

use super::*;

#[tokio::test]
async fn a_protocol_is_agreed_on_in_the_gateways_order() {
    let authority = Authority::found();
    let identity = authority.certify(&["shop.example"]);
    for ((h1, h2), offered, agreed) in [
        ((true, true), &["http/1.1", "h2"][..], Ok(Some("h2"))),
        ((true, true), &["h2", "http/1.1"], Ok(Some("h2"))),
        ((true, true), &["spdy/3", "http/1.1"], Ok(Some("http/1.1"))),
        ((true, true), &[], Ok(None)),
        ((true, false), &["h2", "http/1.1"], Ok(Some("http/1.1"))),
        ((false, true), &["h2", "http/1.1"], Ok(Some("h2"))),
        ((true, true), &["h3"], Err("the client offers no protocol that is spoken here (ALPN)")),
        ((true, false), &["h2"], Err("the client offers no protocol that is spoken here (ALPN)")),
    ] {
        let mut listener = listener(tls(&[&identity]));
        listener.protocols = Protocols { h1, h2, h3: true };
        let met = Caller::trusting(&authority).offering(offered).meet(&server(&listener, &[]), "shop.example").await;
        match agreed {
            Ok(agreed) => assert_eq!(met.secured().protocol, agreed, "{offered:?}"),
            Err(said) => {
                assert_eq!(met.server.err().unwrap(), said);
                assert!(met.client.unwrap_err().contains("NoApplicationProtocol"));
            }
        }
    }
}

#[tokio::test]
async fn versions_are_those_of_the_plan() {
    let authority = Authority::found();
    let identity = authority.certify(&["shop.example"]);
    let (older, newer) = (&[&rustls::version::TLS12][..], &[&rustls::version::TLS13][..]);
    let (v2, v3) = (TlsVersion::Tls12, TlsVersion::Tls13);
    for (min, max, spoken, agreed) in [
        (v2, v3, rustls::DEFAULT_VERSIONS, Some("TLSv1.3")),
        (v2, v3, older, Some("TLSv1.2")),
        (v2, v3, newer, Some("TLSv1.3")),
        (v2, v2, rustls::DEFAULT_VERSIONS, Some("TLSv1.2")),
        (v2, v2, newer, None),
        (v3, v3, rustls::DEFAULT_VERSIONS, Some("TLSv1.3")),
        (v3, v3, older, None),
    ] {
        let mut plan = tls(&[&identity]);
        (plan.min_version, plan.max_version) = (min, max);
        let met = Caller::speaking(&authority, spoken).meet(&server(&listener(plan), &[]), "shop.example").await;
        match agreed {
            Some(version) => assert_eq!(met.secured().version, version),
            None => {
                assert!(met.client.unwrap_err().contains("ProtocolVersion"));
                let said = met.server.err().unwrap();
                assert!(said.contains("it speaks no version of TLS that is spoken here"), "{said}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_known_of_a_connection() {
    let authority = Authority::found();
    let server = server(&listener(tls(&[&authority.certify(&["shop.example"])])), &[]);
    let secured = Caller::trusting(&authority).offering(&["h2"]).meet(&server, "Shop.Example").await.secured();
    assert!(secured.cipher.starts_with("TLS_AES_"), "{}", secured.cipher);
    assert_eq!((secured.server_name.as_deref(), secured.protocol), (Some("shop.example"), Some("h2")));
    assert!(!secured.is_resumed && secured.client.is_none());
    let older = Caller::speaking(&authority, &[&rustls::version::TLS12]).meet(&server, "shop.example").await.secured();
    assert!(older.cipher.starts_with("TLS_ECDHE_ECDSA_WITH_AES_"), "{}", older.cipher);
}

#[tokio::test]
async fn what_is_not_tls_is_told_so() {
    let authority = Authority::found();
    let server = server(&listener(tls(&[&authority.certify(&["shop.example"])])), &[]);
    for (bytes, said, alert) in [
        (&b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"[..], "what came is not TLS", true),
        (&[0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10], "what came is not TLS", true),
        (&[22, 3, 1, 0, 200, 1], "the client closed the connection in the middle of the handshake", false),
        (&[], "the client closed the connection in the middle of the handshake", false),
    ] {
        let (mut ours, theirs) = tokio::io::duplex(16 << 10);
        ours.write_all(bytes).await.unwrap();
        ours.shutdown().await.unwrap();
        let error = server.accept(theirs).await.map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}");
        let mut answer = Vec::new();
        ours.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer.first() == Some(&21), alert, "{bytes:?}: {answer:?}");
    }
}
