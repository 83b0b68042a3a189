//! Handshakes as QUIC does them, in memory.

use std::any::Any;

use rustls::quic::{ClientConnection, KeyChange, ServerConnection, Version};

use super::*;

/// What came of a handshake.
struct Spoken {
    secured: Secured,
    is_early: bool,
    is_resumed: bool,
}

impl Caller {
    /// A handshake, and the tickets that follow it.
    fn speak(&self, server: &Server, name: &str) -> Result<Spoken, String> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client =
            ClientConnection::new(Arc::new(self.config.clone()), Version::V1, name, b"c".to_vec()).unwrap();
        let mut server = ServerConnection::new(server.quic(), Version::V1, b"s".to_vec()).unwrap();
        for _ in 0..4 {
            while let Some(part) = part(|bytes| client.write_hs(bytes)) {
                server.read_hs(&part).map_err(|error| format!("{error}: {:?}", server.alert()))?;
            }
            while let Some(part) = part(|bytes| server.write_hs(bytes)) {
                client.read_hs(&part).map_err(|error| error.to_string())?;
            }
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
        let identity = server.peer_certificates().map(|chain| Box::new(chain.to_vec()) as Box<dyn Any>);
        let secured = secured_of_quic(server.server_name(), server.alpn_protocol(), identity.as_deref());
        let is_resumed = server.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        Ok(Spoken { secured, is_early: client.is_early_data_accepted(), is_resumed })
    }

    fn by_quic(authority: &Authority) -> Self {
        let mut caller = Self::speaking(authority, &[&rustls::version::TLS13]).offering(&["h3"]);
        caller.config.enable_early_data = true;
        caller
    }
}

/// What one side says under one key; none when it has nothing to say.
fn part(write: impl FnOnce(&mut Vec<u8>) -> Option<KeyChange>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let next = write(&mut bytes);
    (next.is_some() || !bytes.is_empty()).then_some(bytes)
}

#[test]
fn quic_is_spoken_with_the_same_certificates() {
    let authority = Authority::found();
    let site = site(&["shop.example"], &[&authority.certify(&["shop.example"])]);
    let client = ClientAuth::Optional(ClientAuthorities { ca: authority.pem(), revoked: Vec::new() });
    let server = server(&listener(ListenerTls { client, ..tls(&[]) }), &[site]);
    let caller = Caller::by_quic(&authority);
    let spoken = caller.speak(&server, "shop.example").unwrap();
    assert_eq!((spoken.secured.version, spoken.secured.protocol), ("TLSv1.3", Some("h3")));
    assert_eq!((spoken.secured.server_name.as_deref(), spoken.secured.client), (Some("shop.example"), None));
    let anna = Caller::by_quic(&authority).showing(&authority.certify_person("anna", 1, Vec::new()));
    let spoken = anna.speak(&server, "shop.example").unwrap();
    assert!(spoken.secured.client.unwrap().subject.starts_with("CN=anna,"));
    let error = caller.speak(&server, "other.example").err().unwrap();
    assert!(error.contains("AccessDenied"), "{error}");
    let error = Caller::by_quic(&authority).offering(&["h2"]).speak(&server, "shop.example").err().unwrap();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
}

#[test]
fn early_data_is_taken_where_the_plan_allows_it() {
    let authority = Authority::found();
    let plan = tls(&[&authority.certify(&["shop.example"])]);
    for (early_data, rotation, is_resumed) in [(true, true, true), (false, true, true), (false, false, false)] {
        let rotation = plan.ticket_rotation.filter(|_| rotation);
        let mut listener = listener(ListenerTls { ticket_rotation: rotation, ..plan.clone() });
        listener.h3.early_data = early_data;
        let tickets = Tickets::default();
        let made = || Server::of(&listener, &[], &tickets).unwrap().unwrap();
        let (first, next) = (made(), made());
        assert_eq!(first.quic().max_early_data_size, if early_data { u32::MAX } else { 0 });
        let caller = Caller::by_quic(&authority);
        let spoken = caller.speak(&first, "shop.example").unwrap();
        assert!(!spoken.is_resumed && !spoken.is_early);
        drop(first);
        let spoken = caller.speak(&next, "shop.example").unwrap();
        assert_eq!((spoken.is_resumed, spoken.is_early), (is_resumed, early_data));
    }
}

#[tokio::test]
async fn early_data_is_not_for_tcp() {
    let authority = Authority::found();
    let mut listener = listener(tls(&[&authority.certify(&["shop.example"])]));
    listener.h3.early_data = true;
    let server = server(&listener, &[]);
    let mut caller = Caller::trusting(&authority);
    caller.config.enable_early_data = true;
    assert!(!caller.meet(&server, "shop.example").await.secured().is_resumed);
    let met = caller.meet(&server, "shop.example").await;
    assert!(!met.client.as_ref().unwrap().get_ref().1.is_early_data_accepted());
    assert!(met.secured().is_resumed);
}

#[test]
fn the_config_is_the_same_until_something_changes() {
    let authority = Authority::found();
    let server = server(&listener(tls(&[&authority.certify(&["shop.example"])])), &[]);
    assert!(Arc::ptr_eq(&server.quic(), &server.quic()));
}
