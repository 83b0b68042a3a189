//! A certificate with its key, ready to be shown.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::SignatureAlgorithm;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;

use super::super::{Error, explain, pem};
use super::staple;
use crate::config::Certificate;

/// A certificate with its key, and perhaps an OCSP response.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) shown: Arc<CertifiedKey>,
    /// When what is stapled is over.
    pub(super) staple_ends: Option<SystemTime>,
    /// What is wrong with the response, when it is not stapled.
    pub(super) unstapled: Option<String>,
}

impl Identity {
    /// Reads a certificate and its key, which have to be a pair. A response that would do harm is left out.
    pub(super) fn of(plan: &Certificate, provider: &CryptoProvider, now: SystemTime) -> Result<Self, Error> {
        let (chain, key) = (pem::certificates(&plan.chain)?, pem::key(&plan.key)?);
        let mut shown = CertifiedKey::from_der(chain, key, provider).map_err(|error| Error::Pair {
            certificate: plan.chain.path.clone(),
            key: plan.key.path.clone(),
            why: explain::words(&error),
        })?;
        let certificate = shown.end_entity_cert().map_err(|error| pem::wrong(&plan.chain, explain::words(&error)))?;
        let response = plan.staple.as_ref().filter(|file| !file.der.is_empty());
        let (staple, unstapled) = match response.map(|file| staple::read(&file.der, certificate, now)) {
            Some(Ok(staple)) => (Some(staple), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        let staple_ends = staple.as_ref().and_then(|staple| staple.ends);
        shown.ocsp = staple.map(|staple| staple.der);
        Ok(Self { shown: Arc::new(shown), staple_ends, unstapled })
    }

    /// Where it stands when a client understands several: a signature with RSA costs ten times as much as others.
    pub(super) fn rank(&self) -> u8 {
        u8::from(self.shown.key.algorithm() == SignatureAlgorithm::RSA)
    }
}
