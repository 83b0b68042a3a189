//! Certificates that tests make for themselves, and the server's side of TLS with them.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, PKCS_RSA_SHA256, PublicKeyData as _, RevokedCertParams, SerialNumber,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::websocket::base64;

/// Of the next certificate, or authority.
static SERIAL: AtomicU64 = AtomicU64::new(1);

/// Somebody who certifies names, and whom configs may trust.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
    pem: String,
    serial: SerialNumber,
}

/// What an origin saw of a handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// SNI.
    pub server_name: Option<String>,
    /// What was chosen by ALPN.
    pub protocol: Option<String>,
    /// Whether the other side had a certificate.
    pub is_certified: bool,
}

pub(crate) type TlsStream = StreamOwned<ServerConnection, TcpStream>;

impl Authority {
    pub fn found() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no name is wrong");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Two of one name would be taken for each other.
        let number = SERIAL.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("Authority {number}"));
        let key = KeyPair::generate().expect("keys can be made");
        Authority(CertifiedIssuer::self_signed(params, key).expect("a certificate can be made"))
    }

    /// As a file for a config's `ca`.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Its key, for whoever signs in its name.
    pub fn key_pem(&self) -> String {
        self.0.key().serialize_pem()
    }

    /// For a name or an address.
    pub fn certify(&self, name: &str) -> Identity {
        self.certify_key(name, KeyPair::generate().expect("keys can be made"))
    }

    /// The same with an RSA key instead of an elliptic one.
    pub fn certify_rsa(&self, name: &str) -> Identity {
        self.certify_key(name, KeyPair::generate_for(&PKCS_RSA_SHA256).expect("keys can be made"))
    }

    /// A list of what does not hold any more, as a file for a config's `client-crl`.
    pub fn revoke(&self, gone: &[&Identity]) -> String {
        let then = rcgen::date_time_ymd(2024, 1, 1);
        let revoked = |identity: &&Identity| RevokedCertParams {
            serial_number: identity.serial.clone(),
            revocation_time: then,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: then,
            next_update: rcgen::date_time_ymd(2124, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: gone.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).and_then(|list| list.pem()).expect("an authority can sign")
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    fn certify_key(&self, name: &str, key: KeyPair) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("tests write names as they should be");
        let serial = SerialNumber::from(SERIAL.fetch_add(1, Ordering::Relaxed));
        params.serial_number = Some(serial.clone());
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.0).expect("an authority can sign");
        Identity { certificate: certificate.der().clone(), pem: certificate.pem(), key, serial }
    }
}

impl Identity {
    /// As a file for a config's `certificate`.
    pub fn pem(&self) -> String {
        self.pem.clone()
    }

    /// As a file for a config's `key`.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// As an entry of a config's `pins`.
    pub fn pin(&self) -> String {
        let suite = aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256.tls13().expect("it is one of TLS 1.3");
        let digest = suite.common.hash_provider.hash(&self.key.subject_public_key_info());
        format!("sha256/{}", base64(digest.as_ref()))
    }

    /// The certificate, as a handshake shows it.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()))
    }

    /// A server's settings: what it offers by ALPN, and who has to have certified its clients.
    pub(crate) fn server(&self, protocols: &[&str], clients: Option<&Authority>) -> Arc<ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider knows its own versions");
        let builder = match clients {
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).expect("an authority has a certificate");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("there is somebody to trust"))
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(self.chain(), self.key()).expect("the key is the certificate's");
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

impl Handshake {
    pub(crate) fn of(connection: &ServerConnection) -> Handshake {
        let protocol = connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        Handshake {
            server_name: connection.server_name().map(str::to_owned),
            protocol,
            is_certified: connection.peer_certificates().is_some(),
        }
    }
}

/// A connection that shakes hands when it is first read.
pub(crate) fn accept(config: &Arc<ServerConfig>, socket: TcpStream) -> io::Result<TlsStream> {
    let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, socket))
}
