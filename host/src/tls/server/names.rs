//! Which certificate a client is shown: by the name it asks for, then by what it understands.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::SupportedCipherSuite;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::super::Error;
use super::identity;
use crate::config::{Certificate, ListenerTls, Site, TlsVersion};
use crate::message::host;

/// Certificates for one name, those that cost least first; never empty.
type Kinds = Arc<[Arc<CertifiedKey>]>;

/// Certificates by name.
#[derive(Debug)]
pub(super) struct Names {
    exact: HashMap<String, Kinds>,
    /// By what follows the star, its dot included.
    wildcard: HashMap<String, Kinds>,
    /// For names that no site with certificates has, and for clients that name nobody.
    default: Option<Kinds>,
    suites: Vec<SupportedCipherSuite>,
    speaks_13: bool,
}

impl Names {
    pub(super) fn of(plan: &ListenerTls, sites: &[Site], provider: &CryptoProvider) -> Result<Self, Error> {
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for site in sites {
            let Some(kinds) = kinds(&site.certificates, provider)? else { continue };
            for name in &site.hosts {
                match name.strip_prefix('*') {
                    Some(suffix) => wildcard.entry(canonical(suffix).into_owned()).or_insert_with(|| kinds.clone()),
                    None => exact.entry(canonical(name).into_owned()).or_insert_with(|| kinds.clone()),
                };
            }
        }
        let default = kinds(&plan.certificates, provider)?;
        let speaks_13 = plan.max_version >= TlsVersion::Tls13;
        Ok(Self { exact, wildcard, default, suites: provider.cipher_suites.clone(), speaks_13 })
    }

    /// Whether there is a certificate for a client that asks for this name.
    pub(super) fn has(&self, name: Option<&str>) -> bool {
        self.kinds(name).is_some()
    }

    /// A star stands for one label (RFC 9525, section 6.3), whatever else it may mean to routes: for more, no client would
    /// take the certificate.
    fn kinds(&self, name: Option<&str>) -> Option<&Kinds> {
        let found = name.and_then(|name| {
            let parent = || name.find('.').filter(|at| *at > 0).and_then(|at| name.get(at..));
            self.exact.get(name).or_else(|| self.wildcard.get(parent()?))
        });
        found.or(self.default.as_ref())
    }

    /// Whether a handshake can come to its end with a certificate.
    fn suits(&self, identity: &CertifiedKey, hello: &ClientHello<'_>) -> bool {
        identity.key.choose_scheme(hello.signature_schemes()).is_some()
            && self.suites.iter().filter(|suite| hello.cipher_suites().contains(&suite.suite())).any(|suite| {
                match suite {
                    SupportedCipherSuite::Tls13(_) => self.speaks_13,
                    // In TLS 1.2 the suite says with what kind of key the server signs (RFC 5246, section 7.4.2).
                    SupportedCipherSuite::Tls12(suite) => identity.key.choose_scheme(suite.sign).is_some(),
                }
            })
    }
}

impl ResolvesServerCert for Names {
    /// When the client understands none, it is shown the first one's kind: then the handshake fails with the alert that
    /// says so (`handshake_failure`).
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let kinds = self.kinds(hello.server_name().map(canonical).as_deref())?;
        kinds.iter().find(|identity| self.suits(identity, &hello)).or_else(|| kinds.first()).cloned()
    }
}

/// A name as it is compared.
pub(super) fn canonical(name: &str) -> Cow<'_, str> {
    host::key(name)
}

fn kinds(certificates: &[Certificate], provider: &CryptoProvider) -> Result<Option<Kinds>, Error> {
    let found: Result<Vec<_>, _> = certificates.iter().map(|plan| identity::of(plan, provider).map(Arc::new)).collect();
    let mut found = found?;
    found.sort_by_key(|identity| identity::rank(identity));
    Ok((!found.is_empty()).then(|| found.into()))
}
