//! Handshakes in memory between this room and a server of the same library, and files that are not what they should be.

use rustls::HandshakeKind;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsAcceptor;

use super::testing::{Authority, file, plan};
use super::*;

const HOST: &str = "member.example";

/// Made by `openssl req -x509`, its pin by `openssl pkey -pubin -outform der | sha256sum`.
const FOREIGN: &str = "-----BEGIN CERTIFICATE-----
MIIBmjCCAT+gAwIBAgIUZEcLvm8MftdTFLife8xEFXhnhCwwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLcGluLmV4YW1wbGUwHhcNMjYxMTIxMDc1NDA3WhcNMzYxMTE4
MDc1NDA3WjAWMRQwEgYDVQQDDAtwaW4uZXhhbXBsZTBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABEs7dXEbSa3ObTJFUncTrpJnrC8sHTC6/+WObWw28nnEzY11wOgQ
l3fBG8744sVWzMwms3U7A0GdF1ypCMBMMbCjazBpMB0GA1UdDgQWBBRACX90Fdj0
7subQgxCQqVOzxKkHTAfBgNVHSMEGDAWgBRACX90Fdj07subQgxCQqVOzxKkHTAP
BgNVHRMBAf8EBTADAQH/MBYGA1UdEQQPMA2CC3Bpbi5leGFtcGxlMAoGCCqGSM49
BAMCA0kAMEYCIQDKvPryhncThn4cnBYyll287LXzNUO8zWrq+0UQRBIEEQIhALVK
XSGehyUiPeZq8ug7zC08aL488MUBHdQhO5g6l1bt
-----END CERTIFICATE-----
";
const FOREIGN_PIN: [u8; 32] = [
    0xd1, 0xb3, 0x5d, 0x81, 0xef, 0xf3, 0x86, 0xe1, 0xaf, 0x2e, 0x1a, 0xda, 0x3f, 0x57, 0x36, 0x63, 0xd1, 0x98, 0x84,
    0x7b, 0xf8, 0x2f, 0x03, 0x92, 0x1e, 0xd4, 0x19, 0x3e, 0xb6, 0x9c, 0x2f, 0x69,
];

/// A handshake and one byte from the server, which is when a client hears that its certificate was not good enough.
async fn meet(client: &Client, host: &str, acceptor: &TlsAcceptor) -> Result<Stream<DuplexStream>, String> {
    let (ours, theirs) = tokio::io::duplex(16 << 10);
    let serving = async {
        if let Ok(mut stream) = acceptor.accept(theirs).await {
            let _ = stream.write_all(b"!").await;
            let _ = stream.flush().await;
        }
    };
    let asking = async {
        let mut stream = client.connect(ours, host).await?;
        stream.read_u8().await?;
        Ok(stream)
    };
    let (met, ()) = tokio::join!(asking, serving);
    met.map_err(|error: io::Error| error.to_string())
}

fn client(plan: &UpstreamTls) -> Client {
    Client::of(plan, Protocol::Http1).unwrap()
}

#[tokio::test]
async fn certificates_are_verified_as_the_plan_says() {
    let (authority, stranger) = (Authority::found(), Authority::found());
    let identity = authority.certify(&[HOST, "127.0.0.1"]);
    let trusting = authority.trusted();
    let strangers_member = stranger.certify(&[HOST]);
    let unverified = UpstreamTls { verify: false, ..plan() };
    let pinned = UpstreamTls { pins: vec![[7; 32], identity.pin], ..trusting.clone() };
    let pinned_only = UpstreamTls { verify: false, ..pinned.clone() };
    let mispinned = UpstreamTls { pins: vec![[7; 32]], ..trusting.clone() };
    let mispinned_only = UpstreamTls { verify: false, ..mispinned.clone() };
    let named = UpstreamTls { server_name: Some(HOST.into()), ..trusting.clone() };
    let misnamed = UpstreamTls { server_name: Some("other.example".into()), ..trusting.clone() };
    let expired = authority.certify_expired(&[HOST]);
    let itself = authority.itself();
    let pinned_authority = UpstreamTls { verify: false, pins: vec![itself.pin], ..plan() };
    let misused = "the certificate is an authority's and not a server's";
    for (what, plan, identity, host, said) in [
        ("an authority as a server", &trusting, &itself, "authority.example", misused),
        ("an authority as a server, pinned", &pinned_authority, &itself, "authority.example", ""),
        ("own authority", &trusting, &identity, HOST, ""),
        ("an absolute name", &trusting, &identity, "member.example.", ""),
        ("an address", &trusting, &identity, "127.0.0.1", ""),
        ("another address", &trusting, &identity, "127.0.0.2", "certificate not valid for name \"127.0.0.2\""),
        ("wrong name", &trusting, &identity, "other.example", "not valid for name \"other.example\""),
        ("no name at all", &trusting, &identity, "no name", "\"no name\" is not a host name or an address"),
        ("the plan's name", &named, &identity, "other.example", ""),
        ("the plan's wrong name", &misnamed, &identity, HOST, "not valid for name \"other.example\""),
        ("unknown authority", &trusting, &strangers_member, HOST, "signed by no authority that is trusted"),
        ("expired", &trusting, &expired, HOST, "certificate expired"),
        ("unverified", &unverified, &strangers_member, "other.example", ""),
        ("unverified and expired", &unverified, &expired, HOST, ""),
        ("pinned", &pinned, &identity, HOST, ""),
        ("pinned, wrong name", &pinned, &identity, "other.example", "not valid for name"),
        ("pinned and unverified", &pinned_only, &identity, "other.example", ""),
        ("another pin", &mispinned, &identity, HOST, "key is none of those pinned; its SHA-256 is "),
        ("another pin and unverified", &mispinned_only, &identity, HOST, "key is none of those pinned"),
    ] {
        let met = meet(&client(plan), host, &identity.acceptor(&[], None)).await;
        match met {
            Ok(_) => assert_eq!(said, "", "{what}: it should have failed"),
            Err(error) => assert!(!said.is_empty() && error.contains(said), "{what}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_certificate_is_shown_to_those_who_ask_for_one() {
    let (authority, stranger) = (Authority::found(), Authority::found());
    let acceptor = authority.certify(&[HOST]).acceptor(&[], Some(&authority));
    let with = |identity: testing::Identity| UpstreamTls { certificate: Some(identity.files), ..authority.trusted() };
    assert!(meet(&client(&with(authority.certify(&["gateway.example"]))), HOST, &acceptor).await.is_ok());
    let error = meet(&client(&authority.trusted()), HOST, &acceptor).await.unwrap_err();
    assert!(error.contains("CertificateRequired"), "{error}");
    assert!(meet(&client(&with(stranger.certify(&["gateway.example"]))), HOST, &acceptor).await.is_err());
}

#[tokio::test]
async fn a_certificate_alone_proves_nothing() {
    let authority = Authority::found();
    let stolen = authority.certify(&[HOST]).stolen_by(authority.certify(&[HOST]));
    let pinned = UpstreamTls { verify: false, pins: vec![stolen.pin], ..plan() };
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        for plan in [&authority.trusted(), &pinned] {
            let error = meet(&client(plan), HOST, &stolen.acceptor_of(versions, &[], None)).await.unwrap_err();
            assert!(error.starts_with("a signature is not valid"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_certificate_too_old_to_be_read_is_enough_when_nothing_is_asked_of_it() {
    let authority = Authority::found();
    let ancient = authority.certify(&[HOST]).of_the_first_version();
    let unverified = UpstreamTls { verify: false, ..plan() };
    let pinned = UpstreamTls { pins: vec![ancient.pin], ..unverified.clone() };
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        let acceptor = ancient.acceptor_of(versions, &[], None);
        assert!(meet(&client(&unverified), HOST, &acceptor).await.is_ok());
        for plan in [&authority.trusted(), &pinned] {
            let error = meet(&client(plan), HOST, &acceptor).await.unwrap_err();
            assert!(error.starts_with("the certificate is older than version 3 of X.509"), "{error}");
        }
    }
}

#[tokio::test]
async fn the_older_version_is_spoken_too() {
    let authority = Authority::found();
    let identity = authority.certify(&[HOST]);
    let older = |clients| identity.acceptor_of(&[&rustls::version::TLS12], &["http/1.1"], clients);
    let pinned = UpstreamTls { pins: vec![identity.pin], ..authority.trusted() };
    let met = meet(&client(&pinned), HOST, &older(None)).await.unwrap();
    assert_eq!(met.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    assert!(meet(&client(&pinned), HOST, &older(Some(&authority))).await.is_err());
    let certified = UpstreamTls { certificate: Some(authority.certify(&["gateway"]).files), ..pinned };
    assert!(meet(&client(&certified), HOST, &older(Some(&authority))).await.is_ok());
}

#[tokio::test]
async fn the_protocol_is_agreed_on() {
    let authority = Authority::found();
    let identity = authority.certify(&[HOST]);
    let refused = "the member refused the handshake: it speaks no version of HTTP that it was offered";
    for (protocol, served, chosen) in [
        (Protocol::Http1, &["h2", "http/1.1"][..], Ok(false)),
        (Protocol::Http2, &["h2", "http/1.1"], Ok(true)),
        (Protocol::Auto, &["h2", "http/1.1"], Ok(true)),
        (Protocol::Auto, &["http/1.1"], Ok(false)),
        (Protocol::Auto, &[], Ok(false)),
        (Protocol::Http2, &[], Ok(false)),
        (Protocol::Http2, &["http/1.1"], Err(refused)),
        (Protocol::Http1, &["h2"], Err(refused)),
    ] {
        let client = Client::of(&authority.trusted(), protocol).unwrap();
        let met = meet(&client, HOST, &identity.acceptor(served, None)).await;
        match (met, chosen) {
            (Ok(stream), Ok(h2)) => assert_eq!(chose_h2(&stream), h2, "{protocol:?} {served:?}"),
            (Err(error), Err(said)) => assert!(error.starts_with(said), "{error}"),
            (met, _) => panic!("{protocol:?} {served:?}: {:?}", met.err()),
        }
    }
}

#[tokio::test]
async fn sessions_are_resumed() {
    let authority = Authority::found();
    let acceptor = authority.certify(&[HOST]).acceptor(&[], None);
    let client = client(&authority.trusted());
    let first = meet(&client, HOST, &acceptor).await.unwrap();
    assert_eq!(first.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    let second = meet(&client.clone(), HOST, &acceptor).await.unwrap();
    assert_eq!(second.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[tokio::test]
async fn what_is_not_tls_is_told_so() {
    let client = client(&UpstreamTls { verify: false, ..plan() });
    for (bytes, said) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "what came is not TLS"),
        (b"", "the connection was closed in the middle of the handshake"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "there is nothing that both sides accept (alert HandshakeFailure)"),
        (b"\x15\x03\x03\x00\x02\x02\x50", "the member refused the handshake with the alert InternalError"),
    ] {
        let (ours, mut theirs) = tokio::io::duplex(16 << 10);
        theirs.write_all(bytes).await.unwrap();
        theirs.shutdown().await.unwrap();
        let error = client.connect(ours, HOST).await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_pin_is_what_openssl_says_it_is() {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certificate = pem::certificates(&file("foreign.pem", FOREIGN)).unwrap().remove(0);
    let name = ServerName::try_from(HOST).unwrap();
    for (pin, is_ok) in [(FOREIGN_PIN, true), ([0; 32], false)] {
        let plan = UpstreamTls { verify: false, pins: vec![pin], ..plan() };
        let verifier = Verifier::of(&plan, &provider).unwrap();
        let verified = verifier.verify_server_cert(&certificate, &[], &name, &[], UnixTime::now());
        assert_eq!(verified.is_ok(), is_ok);
        let garbage = rustls::pki_types::CertificateDer::from(vec![0x30, 0x82, 0xff, 0xff, 0x02]);
        assert!(verifier.verify_server_cert(&garbage, &[], &name, &[], UnixTime::now()).is_err());
    }
}

#[test]
fn files_that_are_not_what_they_should_be_are_named() {
    let (one, other) = (Authority::found().certify(&[HOST]), Authority::found().certify(&[HOST]));
    let pair = |certificate, key| UpstreamTls { certificate: Some((certificate, key)), ..plan() };
    let trusting = |text: &str| UpstreamTls { ca: Some(file("ca.pem", text)), ..plan() };
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIHs\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cut = FOREIGN.replace("-----END CERTIFICATE-----", "");
    let (certificate, key) = one.files.clone();
    for (plan, said) in [
        (trusting(""), "\"ca.pem\": there is no certificate in it (no line `-----BEGIN CERTIFICATE-----`)"),
        (trusting(&cut), "\"ca.pem\": not valid PEM: the line `-----END CERTIFICATE-----` is missing"),
        (trusting(garbled), "\"ca.pem\": not a valid certificate"),
        (trusting("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n"), "\"ca.pem\": not valid PEM: "),
        (pair(certificate.clone(), file("k.pem", "")), "\"k.pem\": there is no private key in it"),
        (pair(certificate.clone(), file("k.pem", encrypted)), "\"k.pem\": its private key is encrypted"),
        (pair(key.clone(), key.clone()), "\"member.key\": there is no certificate in it"),
        (
            pair(certificate.clone(), other.files.1),
            "certificate \"member.pem\" with key \"member.key\": they are no pair",
        ),
        (pair(file("c.pem", garbled), key), "certificate \"c.pem\" with key \"member.key\": not a valid certificate"),
        (
            UpstreamTls { server_name: Some("not\na name".into()), verify: false, ..plan() },
            "\"not\\na name\" is not a host name or an address",
        ),
    ] {
        // What the system trusts is not what this is about.
        let plan = UpstreamTls { verify: plan.ca.is_some(), ..plan };
        let error = Client::of(&plan, Protocol::Auto).unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn the_systems_authorities_are_read_once() {
    match (roots::system(), roots::system()) {
        (Ok(first), Ok(second)) => assert!(!first.is_empty() && Arc::ptr_eq(&first, &second)),
        (Err(Error::Roots(first)), Err(Error::Roots(second))) => assert_eq!(first, second),
        (first, second) => panic!("{:?} {:?}", first.err(), second.err()),
    }
}
