//! Authorities to trust: a file's, or the system's, which are read once for the process.

use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;

use super::{Error, explain, pem};
use crate::config::Pem;

/// The authorities of a file, in place of the system's.
pub(super) fn own(file: &Pem) -> Result<Arc<RootCertStore>, Error> {
    let mut store = RootCertStore::empty();
    for certificate in pem::certificates(file)? {
        store.add(certificate).map_err(|error| pem::wrong(file, explain::words(&error)))?;
    }
    Ok(Arc::new(store))
}

/// The system's authorities. Only success is remembered, so that a reload finds what was installed since.
pub(super) fn system() -> Result<Arc<RootCertStore>, Error> {
    static KNOWN: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(store) = KNOWN.get() {
        return Ok(store.clone());
    }
    let store = Arc::new(load()?);
    Ok(KNOWN.get_or_init(|| store).clone())
}

/// Certificates that cannot be read do not spoil the others: systems carry odd ones.
fn load() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (_, ignored) = store.add_parsable_certificates(found.certs);
    tracing::debug!(authorities = store.len(), ignored, "the system's authorities are read");
    if store.is_empty() {
        let why = found.errors.first().map_or_else(|| "none were found".to_owned(), ToString::to_string);
        return Err(Error::Roots(why));
    }
    Ok(store)
}
