//! Who is shown what.

use rustls::crypto::CryptoProvider;
use rustls::{AlertDescription, CipherSuite, SignatureScheme};

use super::*;

#[tokio::test]
async fn a_name_chooses_the_certificate() {
    let authority = Authority::found();
    let identity = || authority.certify(&["shop.example", "www.shop.example", "other.example", "a.b.shop.example"]);
    let (default, shop, www) = (identity(), identity(), identity());
    let wild = authority.certify(&["*.shop.example", "*.Eu.shop.example", "x.y.shop.example", "other.example"]);
    let sites =
        [site(&["shop.example"], &[&shop]), site(&["*.shop.example"], &[&wild]), site(&["WWW.shop.example."], &[&www])];
    let caller = Caller::trusting(&authority);
    for (name, with, without) in [
        ("shop.example", &shop, true),
        ("SHOP.example", &shop, true),
        ("www.shop.example", &www, true),
        ("api.shop.example", &wild, true),
        ("a.eu.shop.example", &wild, true),
        ("x.y.shop.example", &wild, true),
        ("a.b.shop.example", &default, false),
        ("other.example", &default, false),
    ] {
        let met = caller.meet(&server(&listener(tls(&[&default])), &sites), name).await;
        assert_eq!(met.certificate(), Ok(&with.chain()[0][..]), "{name}");
        let met = caller.meet(&server(&listener(tls(&[])), &sites), name).await;
        assert_eq!(met.client.is_ok(), without, "{name}");
        if !without {
            assert_eq!(met.server.err().unwrap(), format!("there is no certificate for \"{name}\""));
            assert!(met.client.unwrap_err().contains(&format!("{:?}", AlertDescription::UnrecognisedName)));
        }
    }
}

#[tokio::test]
async fn who_names_nobody_is_shown_the_default_or_refused() {
    let authority = Authority::found();
    let (default, shop) = (authority.certify(&["127.0.0.1"]), authority.certify(&["127.0.0.1"]));
    let sites = [site(&["shop.example"], &[&shop])];
    let met = Caller::trusting(&authority).meet(&server(&listener(tls(&[&default])), &sites), "127.0.0.1").await;
    assert_eq!(met.certificate().unwrap(), &default.chain()[0][..]);
    assert_eq!(met.secured().server_name, None);
    let met = Caller::trusting(&authority).meet(&server(&listener(tls(&[])), &sites), "127.0.0.1").await;
    assert!(met.client.unwrap_err().contains("UnrecognisedName"));
    assert!(met.server.err().unwrap().starts_with("the client names no host"));
}

#[tokio::test]
async fn the_kind_of_key_is_one_that_the_client_understands() {
    let authority = Authority::found();
    let names = ["shop.example"];
    let (rsa, ecdsa) = (authority.certify_for(&names, 90, true), authority.certify_for(&names, 90, false));
    let older = &[&rustls::version::TLS12][..];
    let newer = &[&rustls::version::TLS13][..];
    let all = |_: &CipherSuite| true;
    let rsa_suites = |suite: &CipherSuite| suite.as_str().unwrap_or_default().contains("_RSA_");
    let no_ecdsa = |scheme: &SignatureScheme| !scheme.as_str().unwrap_or_default().contains("ECDSA");
    let every = |_: &SignatureScheme| true;
    let both = server(&listener(tls(&[&rsa, &ecdsa])), &[]);
    let only_rsa = server(&listener(tls(&[&rsa])), &[]);
    let only_ecdsa = server(&listener(tls(&[&ecdsa])), &[]);
    type Suites = fn(&CipherSuite) -> bool;
    type Schemes = fn(&SignatureScheme) -> bool;
    type Row<'a> =
        (&'a str, &'a [&'static SupportedProtocolVersion], Suites, Schemes, &'a Server, Option<&'a Identity>);
    let table: [Row<'_>; 9] = [
        ("the cheaper one", newer, all, every, &both, Some(&ecdsa)),
        ("the cheaper one, before 1.3", older, all, every, &both, Some(&ecdsa)),
        ("who knows no ECDSA", newer, all, no_ecdsa, &both, Some(&rsa)),
        ("who knows no ECDSA, before 1.3", older, all, no_ecdsa, &both, Some(&rsa)),
        ("who has suites of RSA alone, before 1.3", older, rsa_suites, every, &both, Some(&rsa)),
        ("only RSA", newer, all, every, &only_rsa, Some(&rsa)),
        ("only RSA, before 1.3", older, all, every, &only_rsa, Some(&rsa)),
        ("nothing in common", newer, all, no_ecdsa, &only_ecdsa, None),
        ("nothing in common, before 1.3", older, rsa_suites, every, &only_ecdsa, None),
    ];
    for (what, versions, suites, schemes, server, shown) in table {
        let met = Caller::knowing(&authority, versions, suites, schemes).meet(server, "shop.example").await;
        match shown {
            Some(identity) => assert_eq!(met.certificate(), Ok(&identity.chain()[0][..]), "{what}"),
            None => {
                assert!(met.client.unwrap_err().contains("HandshakeFailure"), "{what}");
                assert!(met.server.err().unwrap().starts_with("the client and the gateway have nothing in common"));
            }
        }
    }
}

impl Caller {
    /// A client that knows only some suites, and only some kinds of signatures.
    fn knowing(
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
        suites: fn(&CipherSuite) -> bool,
        schemes: fn(&SignatureScheme) -> bool,
    ) -> Self {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|suite| suites(&suite.suite()));
        let known = provider.signature_verification_algorithms.mapping.iter().filter(|(scheme, _)| schemes(scheme));
        let known: Vec<_> = known.copied().collect();
        provider.signature_verification_algorithms.mapping = Vec::leak(known);
        Self::of(provider, versions, authority)
    }

    fn of(provider: CryptoProvider, versions: &[&'static SupportedProtocolVersion], authority: &Authority) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions).unwrap();
        let roots = super::super::super::roots::own(&authority.pem()).unwrap();
        Self { config: builder.with_root_certificates(roots).with_no_client_auth() }
    }
}
