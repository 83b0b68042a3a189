//! Clients that show who they are.

use std::slice;

use rcgen::SanType;

use super::*;
use crate::config::Pem;

/// What becomes of a handshake: with the client's certificate known, without one, or refused in these words.
type Outcome = Result<bool, &'static str>;

#[tokio::test]
async fn certificates_are_asked_for_and_checked_as_the_plan_says() {
    let (authority, stranger) = (Authority::found(), Authority::found());
    let server_identity = authority.certify(&["shop.example"]);
    let good = authority.certify_person("good", 1, Vec::new());
    let revoked = authority.certify_person("revoked", 2, Vec::new());
    let foreign = stranger.certify_person("foreign", 1, Vec::new());
    let expired = authority.certify_expired(&["old.example"]);
    let stolen =
        authority.certify_person("stolen", 3, Vec::new()).stolen_by(authority.certify_person("thief", 4, Vec::new()));
    let with = |revoked: &[Pem]| ClientAuthorities { ca: authority.pem(), revoked: revoked.to_vec() };
    let list = authority.revoke(&[2], 30);
    let (optional, required) = (|a| ClientAuth::Optional(a), |a| ClientAuth::Required(a));
    let (none, unknown, ended) = ("shows no certificate", "signed by no authority that is trusted", "expired");
    let table: Vec<(&str, ClientAuth, Option<&Identity>, Outcome)> = vec![
        ("not asked", ClientAuth::None, Some(&good), Ok(false)),
        ("optional, none", optional(with(&[])), None, Ok(false)),
        ("optional, good", optional(with(&[])), Some(&good), Ok(true)),
        ("optional, foreign", optional(with(&[])), Some(&foreign), Err(unknown)),
        ("optional, expired", optional(with(&[])), Some(&expired), Err(ended)),
        ("optional, revoked", optional(with(slice::from_ref(&list))), Some(&revoked), Err("it is revoked")),
        ("required, none", required(with(&[])), None, Err(none)),
        ("required, good", required(with(&[])), Some(&good), Ok(true)),
        ("required, foreign", required(with(&[])), Some(&foreign), Err(unknown)),
        ("required, expired", required(with(&[])), Some(&expired), Err(ended)),
        ("required, stolen", required(with(&[])), Some(&stolen), Err("signature")),
        ("revoked, no list", required(with(&[])), Some(&revoked), Ok(true)),
        ("revoked", required(with(slice::from_ref(&list))), Some(&revoked), Err("it is revoked")),
        ("good, with a list", required(with(slice::from_ref(&list))), Some(&good), Ok(true)),
        ("an old list", required(with(&[authority.revoke(&[2], -1)])), Some(&revoked), Err("it is revoked")),
        ("good, an old list", required(with(&[authority.revoke(&[2], -1)])), Some(&good), Ok(true)),
        ("another's list", required(with(&[stranger.revoke(&[], 30)])), Some(&good), Err("no list says")),
        ("two lists", required(with(&[stranger.revoke(&[], 30), list])), Some(&revoked), Err("it is revoked")),
    ];
    for (what, client, shown, outcome) in table {
        let server = server(&listener(ListenerTls { client, ..tls(&[&server_identity]) }), &[]);
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let caller = Caller::speaking(&authority, &[version]);
            let caller = shown.map_or_else(|| caller.clone(), |identity| caller.clone().showing(identity));
            let met = caller.meet(&server, "shop.example").await;
            match outcome {
                Ok(is_known) => assert_eq!(met.secured().client.is_some(), is_known, "{what}"),
                Err(said) => {
                    let error = met.server.err().unwrap();
                    assert!(error.contains(said), "{what}: {error}");
                    let alert = met.client.unwrap_err();
                    assert!(alert.starts_with("received fatal alert"), "{what}: {alert}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_is_passed_on_with_what_it_says() {
    let authority = Authority::found();
    let names = vec![
        SanType::DnsName("laptop.example".try_into().unwrap()),
        SanType::Rfc822Name("anna@shop.example".try_into().unwrap()),
        SanType::URI("spiffe://shop.example/anna".try_into().unwrap()),
        SanType::IpAddress("10.0.0.7".parse().unwrap()),
    ];
    let anna = authority.certify_person("Anna \"A\" +\r\nX", 0xAB01, names);
    let client = ClientAuth::Required(ClientAuthorities { ca: authority.pem(), revoked: Vec::new() });
    let server = server(&listener(ListenerTls { client, ..tls(&[&authority.certify(&["shop.example"])]) }), &[]);
    let met = Caller::trusting(&authority).showing(&anna).meet(&server, "shop.example").await;
    let known = met.secured().client.unwrap();
    assert_eq!(known.subject, r#"CN=Anna \"A\" \+\0D\0AX,O=Shop\, Ltd."#.replace("Ltd.", r"Ltd\2E"));
    assert!(known.issuer.starts_with("CN=authority "), "{}", known.issuer);
    assert_eq!((&*known.serial, &*known.not_after), ("AB01", "2099-12-31T00:00:00Z"));
    assert_eq!(known.names, ["laptop.example", "anna@shop.example", "spiffe://shop.example/anna", "10.0.0.7"]);
    let pem: String =
        String::from_utf8_lossy(&anna.files.0.text).lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(known.field.to_str().unwrap(), format!(":{pem}:"));
    assert_eq!((known.chain_field.as_ref(), known.sha256.len()), (None, 64));
}

#[tokio::test]
async fn a_session_ends_with_its_clients_certificate() {
    let authority = Authority::found();
    let client = ClientAuth::Required(ClientAuthorities { ca: authority.pem(), revoked: Vec::new() });
    let server = server(&listener(ListenerTls { client, ..tls(&[&authority.certify(&["shop.example"])]) }), &[]);
    let caller = Caller::trusting(&authority).showing(&authority.certify_for(&["anna.example"], 1, false));
    for is_resumed in [false, true] {
        let (stream, secured) = caller.meet(&server, "shop.example").await.server.unwrap();
        assert_eq!(secured.is_resumed, is_resumed);
        let after = |days: u32| secured::of(stream.get_ref().1, clock::wall() + Duration::from_secs(86_400) * days);
        assert!(after(0).is_ok());
        assert_eq!(after(2).is_err(), is_resumed);
    }
}

/// A client that has sent more than was read, over a real socket: the alert arrives all the same.
#[tokio::test]
async fn an_alert_arrives_behind_what_was_not_read() {
    let authority = Authority::found();
    let server = server(&listener(tls(&[&authority.certify(&["shop.example"])])), &[]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut near = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    near.write_all(&[b'G'; 100_000]).await.unwrap();
    let heard = async {
        let mut heard = Vec::new();
        near.read_to_end(&mut heard).await.unwrap();
        drop(near);
        heard
    };
    let (refused, heard) = tokio::join!(server.accept(far), heard);
    assert!(refused.is_err());
    assert_eq!((heard.len(), heard[0]), (7, 21));
}
