//! Whether the other side is who it should be: its chain, its name, its key.
//!
//! Who has to show a certain key has to prove that it is theirs, also when nothing else is asked: a pin alone would say nothing.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use sha2::{Digest, Sha256};

use super::{Error, roots};
use crate::config::UpstreamTls;

/// What is asked of a certificate.
#[derive(Debug)]
pub(super) struct Verifier {
    /// A chain to somebody trusted, and the name; `None` when neither matters.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// Its key is one of these; empty: any.
    pins: Vec<[u8; 32]>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// A key that is none of those pinned, by its own pin.
#[derive(Debug)]
struct Unpinned([u8; 32]);

impl Verifier {
    pub(super) fn of(plan: &UpstreamTls, provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let chain = match (&plan.ca, plan.verify) {
            (_, false) => None,
            (Some(file), true) => Some(roots::own(file)?),
            (None, true) => Some(roots::system()?),
        };
        let chain = chain.map(|roots| {
            let builder = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
            builder.build().expect("there are authorities and no revocation lists")
        });
        let algorithms = provider.signature_verification_algorithms;
        Ok(Self { chain, pins: plan.pins.clone(), algorithms })
    }

    /// Whether any certificate will do. Then it is not even read: some are too old for that.
    fn takes_any(&self) -> bool {
        self.chain.is_none() && self.pins.is_empty()
    }

    fn check_pin(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        if self.pins.is_empty() {
            return Ok(());
        }
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        let pin = Sha256::digest(&key).into();
        if self.pins.contains(&pin) {
            return Ok(());
        }
        Err(CertificateError::Other(OtherError(Arc::new(Unpinned(pin)))).into())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(chain) = &self.chain {
            chain.verify_server_cert(certificate, intermediates, name, ocsp, now)?;
        }
        self.check_pin(certificate)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.takes_any() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.takes_any() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Display for Unpinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate's key is none of those pinned; its SHA-256 is ")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::error::Error for Unpinned {}
