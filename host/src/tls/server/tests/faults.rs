//! What is said of files that are not what they should be, and of certificates that somebody will be sorry about.

use super::super::super::testing::file;
use super::*;

#[test]
fn faults_are_told_with_their_files() {
    let authority = Authority::found();
    let (one, other) = (authority.certify(&["shop.example"]), authority.certify(&["shop.example"]));
    let certificate = |chain: &crate::config::Pem, key: &crate::config::Pem| Certificate {
        chain: chain.clone(),
        key: key.clone(),
        staple: None,
    };
    let (chain, key) = one.files.clone();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIHs\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let traditional = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIHs\n-----END EC PRIVATE KEY-----\n";
    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (certificate, said) in [
        (certificate(&file("c.pem", ""), &key), "\"c.pem\": there is no certificate in it"),
        (
            certificate(&file("c.pem", garbled), &key),
            "certificate \"c.pem\" with key \"member.key\": not a valid certificate",
        ),
        (certificate(&chain, &file("k.pem", "")), "\"k.pem\": there is no private key in it"),
        (certificate(&chain, &file("k.pem", encrypted)), "\"k.pem\": its private key is encrypted"),
        (certificate(&chain, &file("k.pem", traditional)), "\"k.pem\": its private key is encrypted"),
        (certificate(&chain, &other.files.1), "certificate \"member.pem\" with key \"member.key\": they are no pair"),
    ] {
        let findings = examine(&[certificate.clone(), certificate.clone()], &[]);
        assert_eq!(findings.faults.len(), 2);
        assert!(findings.faults[0].to_string().starts_with(said), "{}", findings.faults[0]);
        let mut plan = tls(&[]);
        plan.certificates = vec![certificate];
        assert!(Server::of(&listener(plan), &[], &Tickets::default()).is_err());
    }
    let clients = |ca: &crate::config::Pem, revoked: &[crate::config::Pem]| {
        ClientAuth::Optional(ClientAuthorities { ca: ca.clone(), revoked: revoked.to_vec() })
    };
    let list = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    for (client, said) in [
        (clients(&key, &[]), "\"member.key\": there is no certificate in it"),
        (clients(&file("ca.pem", garbled), &[]), "\"ca.pem\": not a valid certificate"),
        (clients(&authority.pem(), &[chain]), "\"member.pem\": there is no list of revoked certificates in it"),
        (clients(&authority.pem(), &[file("l.pem", list)]), "\"l.pem\": not a valid list of revoked certificates"),
    ] {
        let findings = examine_clients(&client);
        assert!(findings.faults[0].to_string().starts_with(said), "{}", findings.faults[0]);
        assert!(Server::of(&listener(ListenerTls { client, ..tls(&[&one]) }), &[], &Tickets::default()).is_err());
    }
}

#[test]
fn what_somebody_will_be_sorry_about_is_said() {
    let authority = Authority::found();
    let hosts = |hosts: &[&str]| hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>();
    let good = authority.certify_for(&["shop.example", "*.shop.example"], 90, false);
    for (identity, names, said) in [
        (&good, &["shop.example", "*.shop.example", "www.shop.example"][..], &[][..]),
        (&good, &["a.b.shop.example", "*.example"], &["is not for \"a.b.shop.example\"", "is not for \"*.example\""]),
        (&authority.certify_for(&["a.example"], 10, false), &[], &["holds for 9 more days only"]),
        (&authority.certify_expired(&["a.example"]), &["a.example"], &["does not hold any more: its time is over"]),
    ] {
        let findings = examine(&[certificate(identity)], &hosts(names));
        assert_eq!((findings.faults.len(), findings.remarks.len()), (0, said.len()), "{findings:?}");
        assert!(findings.remarks.iter().zip(said).all(|(remark, said)| remark.ends_with(said)), "{findings:?}");
    }
    for (days, remarks) in [(30, 0), (-1, 1)] {
        let authorities = ClientAuthorities { ca: authority.pem(), revoked: vec![authority.revoke(&[], days)] };
        assert_eq!(examine_clients(&ClientAuth::Required(authorities)).remarks.len(), remarks);
    }
}
