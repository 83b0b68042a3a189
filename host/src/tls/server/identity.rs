//! A certificate with its key, ready to be shown.

use rustls::SignatureAlgorithm;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;

use super::super::{Error, explain, pem};
use crate::config::Certificate;

/// Reads a certificate and its key, which have to be a pair.
pub(super) fn of(plan: &Certificate, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let (chain, key) = (pem::certificates(&plan.chain)?, pem::key(&plan.key)?);
    CertifiedKey::from_der(chain, key, provider).map_err(|error| Error::Pair {
        certificate: plan.chain.path.clone(),
        key: plan.key.path.clone(),
        why: explain::words(&error),
    })
}

/// Where a kind of key stands when a client understands several: a signature with RSA costs ten times as much as others.
pub(super) fn rank(identity: &CertifiedKey) -> u8 {
    u8::from(identity.key.algorithm() == SignatureAlgorithm::RSA)
}
