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
