//! Files that change under a server, and responses to staple.

use std::fs;
use std::path::{Path, PathBuf};

use x509_parser::parse_x509_certificate;

use super::*;
use crate::config::{Pem, Staple};

/// A folder of its own, gone when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn made(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("weir-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, content: &[u8]) -> Pem {
        // As it should be done: beside, then in its place.
        let (path, beside) = (self.0.join(name), self.0.join("beside"));
        fs::write(&beside, content).unwrap();
        fs::rename(&beside, &path).unwrap();
        Pem { path, text: content.into() }
    }

    fn certificate(&self, identity: &Identity) -> Certificate {
        let (chain, key) = (&identity.files.0.text, &identity.files.1.text);
        Certificate { chain: self.write("chain.pem", chain), key: self.write("key.pem", key), staple: None }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn names(files: &[PathBuf]) -> Vec<&str> {
    files.iter().map(|path| path.file_name().and_then(|name| name.to_str()).unwrap()).collect()
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_a_bad_one_is_not() {
    let folder = Folder::made("renewed");
    let authority = Authority::found();
    let (first, second) = (authority.certify(&["shop.example"]), authority.certify(&["shop.example"]));
    let mut plan = tls(&[]);
    plan.certificates = vec![folder.certificate(&first)];
    let server = server(&listener(plan), &[]);
    let quic = server.quic();
    let caller = Caller::trusting(&authority);
    let shown = async || caller.meet(&server, "shop.example").await.certificate().unwrap().to_vec();
    assert!(matches!(server.refresh(), Refreshed::Same));
    folder.write("chain.pem", &first.files.0.text);
    assert!(matches!(server.refresh(), Refreshed::Same));

    // The certificate is there, its key is not yet.
    folder.write("chain.pem", &second.files.0.text);
    let Refreshed::Refused(error) = server.refresh() else { panic!("it is no pair") };
    assert!(error.to_string().ends_with("they are no pair"), "{error}");
    assert!(matches!(server.refresh(), Refreshed::Same) && Arc::ptr_eq(&quic, &server.quic()));
    assert_eq!(shown().await, first.chain()[0][..]);
    folder.write("key.pem", &second.files.1.text);
    let Refreshed::Changed { files, remarks } = server.refresh() else { panic!("it has changed") };
    assert_eq!((names(&files), remarks.len()), (vec!["key.pem"], 0));
    assert!(!Arc::ptr_eq(&quic, &server.quic()));
    // The session from before goes on, so the new certificate is seen by somebody else.
    let other = Caller::trusting(&authority).meet(&server, "shop.example").await;
    assert_eq!(other.certificate(), Ok(&second.chain()[0][..]));
    assert!(caller.meet(&server, "shop.example").await.secured().is_resumed);

    fs::remove_file(folder.0.join("key.pem")).unwrap();
    let Refreshed::Refused(error) = server.refresh() else { panic!("it is gone") };
    assert!(error.to_string().contains("key.pem\": cannot be read: "), "{error}");
    assert!(matches!(server.refresh(), Refreshed::Same));
    folder.write("key.pem", &second.files.1.text);
    assert!(matches!(server.refresh(), Refreshed::Changed { .. }));
    let ending = authority.certify_for(&["shop.example"], 3, false);
    folder.certificate(&ending);
    let Refreshed::Changed { files, remarks } = server.refresh() else { panic!("it has changed") };
    assert_eq!(names(&files), ["chain.pem", "key.pem"]);
    assert!(remarks[0].ends_with("holds for 2 more days only"), "{remarks:?}");
}

#[tokio::test]
async fn what_changed_after_the_config_was_read_is_found_by_the_first_look() {
    let folder = Folder::made("late");
    let authority = Authority::found();
    let (first, second) = (authority.certify(&["shop.example"]), authority.certify(&["shop.example"]));
    let certificate = folder.certificate(&first);
    folder.certificate(&second);
    let mut shop = site(&["shop.example"], &[]);
    shop.certificates = vec![certificate];
    let server = server(&listener(tls(&[])), &[shop]);
    assert!(matches!(server.refresh(), Refreshed::Changed { .. }));
    let met = Caller::trusting(&authority).meet(&server, "shop.example").await;
    assert_eq!(met.certificate(), Ok(&second.chain()[0][..]));
}

#[tokio::test]
async fn who_is_revoked_is_out_with_the_next_look() {
    let folder = Folder::made("revoked");
    let authority = Authority::found();
    let list = |serials: &[u64]| folder.write("revoked.pem", &authority.revoke(serials, 30).text);
    let revoked = vec![list(&[])];
    let ca = folder.write("ca.pem", &authority.pem().text);
    let mut plan = tls(&[]);
    plan.certificates = vec![folder.certificate(&authority.certify(&["shop.example"]))];
    plan.client = ClientAuth::Required(ClientAuthorities { ca, revoked });
    let server = server(&listener(plan), &[]);
    let anna = Caller::trusting(&authority).showing(&authority.certify_person("anna", 7, Vec::new()));
    assert!(anna.meet(&server, "shop.example").await.client.is_ok());
    assert!(anna.meet(&server, "shop.example").await.secured().is_resumed);
    list(&[7]);
    assert!(matches!(server.refresh(), Refreshed::Changed { .. }));
    assert!(anna.meet(&server, "shop.example").await.server.err().unwrap().ends_with("it is revoked"));
    folder.write("revoked.pem", b"nothing");
    let Refreshed::Refused(error) = server.refresh() else { panic!("it is no list") };
    assert!(error.to_string().contains("there is no list of revoked certificates in it"), "{error}");
    assert!(anna.meet(&server, "shop.example").await.client.is_err());
}

/// An element of DER.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x82], &length[..], &content].concat()
}

/// An OCSP response about a certificate, unsigned: nobody here checks that.
fn response(certificate: &[u8], status: u8, ends: Option<&str>) -> Vec<u8> {
    let (_, parsed) = parse_x509_certificate(certificate).unwrap();
    let time = |text: &str| der(0x18, &[text.as_bytes()]);
    let hash = der(0x30, &[&der(6, &[&[0x2b, 0x0e, 3, 2, 0x1a]])]);
    let subject = der(0x30, &[&hash, &der(4, &[&[1; 20]]), &der(4, &[&[2; 20]]), &der(2, &[parsed.raw_serial()])]);
    let next = ends.map(|ends| der(0xa0, &[&time(ends)])).unwrap_or_default();
    let single = der(0x30, &[&subject, &[status, 0], &time("20200101000000Z"), &next]);
    let data = der(0x30, &[&der(0xa2, &[&der(4, &[&[3; 20]])]), &time("20200101000000Z"), &der(0x30, &[&single])]);
    let basic = der(0x30, &[&data, &der(0x30, &[]), &der(3, &[&[0]])]);
    let bytes = der(0x30, &[&der(6, &[&[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1]]), &der(4, &[&basic])]);
    der(0x30, &[&[0x0a, 1, 0], &der(0xa0, &[&bytes])])
}

#[test]
fn only_what_helps_a_client_is_stapled() {
    let authority = Authority::found();
    let (own, other) = (authority.certify(&["shop.example"]), authority.certify(&["shop.example"]));
    let certificate = &own.chain()[0][..];
    let good = response(certificate, 0x80, Some("20990101000000Z"));
    let now = clock::wall();
    assert_eq!(staple::read(&good, certificate, now).unwrap().der, good);
    assert!(staple::read(&good, certificate, now).unwrap().ends.unwrap() > now);
    assert_eq!(staple::read(&response(certificate, 0x80, None), certificate, now).unwrap().ends, None);
    for (response, said) in [
        (response(&other.chain()[0], 0x80, None), "it is about another certificate"),
        (response(certificate, 0xa1, None), "it does not say that the certificate is good"),
        (response(certificate, 0x82, None), "it does not say that the certificate is good"),
        (response(certificate, 0x80, Some("20210101000000Z")), "its time is over"),
        (b"-----BEGIN OCSP RESPONSE-----".to_vec(), "it is not an OCSP response (DER)"),
        // `tryLater` and nothing more.
        (vec![0x30, 3, 0x0a, 1, 3], "it is not an OCSP response (DER)"),
    ] {
        assert_eq!(staple::read(&response, certificate, now).unwrap_err(), said);
    }
    for length in 0..good.len() {
        assert!(staple::read(&good[..length], certificate, now).is_err());
    }
}

#[tokio::test]
async fn a_response_that_comes_later_is_stapled_and_one_that_is_bad_is_not() {
    let folder = Folder::made("staple");
    let authority = Authority::found();
    let identity = authority.certify(&["shop.example"]);
    let path = folder.0.join("staple.der");
    let staple = Some(Staple { path: path.clone(), der: Vec::new().into() });
    let mut plan = tls(&[]);
    plan.certificates = vec![Certificate { staple, ..folder.certificate(&identity) }];
    let server = server(&listener(plan), &[]);
    let stapled = |server: &Server| server.settings().names.shown_by_default().ocsp.clone();
    assert!(matches!(server.refresh(), Refreshed::Same) && stapled(&server).is_none());
    let good = response(&identity.chain()[0], 0x80, Some("20990101000000Z"));
    folder.write("staple.der", &good);
    assert!(matches!(server.refresh(), Refreshed::Changed { .. }));
    assert_eq!(stapled(&server), Some(good));
    folder.write("staple.der", b"nothing");
    let Refreshed::Changed { remarks, .. } = server.refresh() else { panic!("it has changed") };
    assert!(remarks[0].ends_with("is not stapled: it is not an OCSP response (DER)"), "{remarks:?}");
    assert!(stapled(&server).is_none() && Path::exists(&path));
}
