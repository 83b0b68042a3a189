//! For tests, here and in the rooms above: an authority that certifies anybody, and servers that hold what it signed.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, PKCS_RSA_SHA256, PublicKeyData as _, RevokedCertParams,
    RsaKeySize, SanType, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, SupportedProtocolVersion};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio_rustls::TlsAcceptor;

use super::pem;
use crate::config::{Pem, UpstreamTls};

/// Somebody to trust.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    pub(crate) files: (Pem, Pem),
    pub(crate) pin: [u8; 32],
}

impl Authority {
    pub(crate) fn found() -> Self {
        let mut params = CertificateParams::new(owned(&["authority.example"])).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("authority {}", fastrand::u64(..)));
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> Pem {
        file("ca.pem", &self.0.pem())
    }

    /// An identity for names and addresses.
    pub(crate) fn certify(&self, names: &[&str]) -> Identity {
        self.sign(CertificateParams::new(owned(names)).unwrap())
    }

    /// An identity of the last century.
    pub(crate) fn certify_expired(&self, names: &[&str]) -> Identity {
        let mut params = CertificateParams::new(owned(names)).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(1998, 1, 1), date_time_ymd(1999, 1, 1));
        self.sign(params)
    }

    /// The same, ending so many days from now; with an RSA key, if asked for.
    pub(super) fn certify_for(&self, names: &[&str], days: i64, rsa: bool) -> Identity {
        let mut params = CertificateParams::new(owned(names)).unwrap();
        params.not_after = OffsetDateTime::now_utc() + time::Duration::days(days);
        let key = match rsa {
            true => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
            false => KeyPair::generate().unwrap(),
        };
        self.sign_with(params, &key)
    }

    /// An identity of a person, by a number.
    pub(super) fn certify_person(&self, name: &str, serial: u64, names: Vec<SanType>) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Shop, Ltd.");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(serial.into());
        params.not_after = date_time_ymd(2099, 12, 31);
        params.subject_alt_names = names;
        self.sign(params)
    }

    /// A list of revoked certificates by their numbers, to be replaced so many days from now.
    pub(super) fn revoke(&self, serials: &[u64], days: i64) -> Pem {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: OffsetDateTime::now_utc() + time::Duration::days(days),
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        file("revoked.pem", &params.signed_by(&self.0).unwrap().pem().unwrap())
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        self.sign_with(params, &KeyPair::generate().unwrap())
    }

    fn sign_with(&self, params: CertificateParams, key: &KeyPair) -> Identity {
        let certificate = params.signed_by(key, &self.0).unwrap();
        Identity {
            chain: vec![certificate.der().clone()],
            files: (file("member.pem", &certificate.pem()), file("member.key", &key.serialize_pem())),
            pin: Sha256::digest(key.subject_public_key_info()).into(),
        }
    }

    /// The authority's own certificate, as if it were a server's.
    pub(crate) fn itself(&self) -> Identity {
        let key = self.0.key();
        Identity {
            chain: vec![self.0.der().clone()],
            files: (self.pem(), file("ca.key", &key.serialize_pem())),
            pin: Sha256::digest(key.subject_public_key_info()).into(),
        }
    }

    /// The plan of somebody who trusts this authority.
    pub(crate) fn trusted(&self) -> UpstreamTls {
        UpstreamTls { ca: Some(self.pem()), ..plan() }
    }
}

impl Identity {
    /// Its chain, as it is sent.
    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The same certificate in the hands of somebody who has not got its key.
    pub(super) fn stolen_by(mut self, thief: Self) -> Self {
        self.files = thief.files;
        self
    }

    /// The same, but it says that it is of X.509's first version; nobody's signature is on that.
    pub(super) fn of_the_first_version(mut self) -> Self {
        const VERSION: &[u8] = &[0xa0, 3, 2, 1, 2];
        let mut certificate = self.chain[0].to_vec();
        let at = certificate.windows(VERSION.len()).position(|window| window == VERSION).unwrap();
        certificate[at + VERSION.len() - 1] = 0;
        self.chain[0] = certificate.into();
        self
    }

    /// A server's side of TLS. Clients have to be certified by `clients`, if given.
    pub(crate) fn acceptor(&self, alpn: &[&str], clients: Option<&Authority>) -> TlsAcceptor {
        self.acceptor_of(rustls::DEFAULT_VERSIONS, alpn, clients)
    }

    /// The same, of certain versions of TLS.
    pub(super) fn acceptor_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
        clients: Option<&Authority>,
    ) -> TlsAcceptor {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).unwrap();
        let builder = match clients {
            Some(authority) => {
                let roots = super::roots::own(&authority.pem()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
            None => builder.with_no_client_auth(),
        };
        let key = provider.key_provider.load_private_key(pem::key(&self.files.1).unwrap()).unwrap();
        let pair = SingleCertAndKey::from(CertifiedKey::new(self.chain.clone(), key));
        let mut config = builder.with_cert_resolver(Arc::new(pair));
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A plan that says nothing in particular: verify, by the system's authorities.
pub(crate) fn plan() -> UpstreamTls {
    UpstreamTls { server_name: None, verify: true, ca: None, certificate: None, pins: Vec::new() }
}

pub(crate) fn file(path: &str, text: &str) -> Pem {
    Pem { path: PathBuf::from(path), text: text.as_bytes().into() }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
