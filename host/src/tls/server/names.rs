//! Which certificate a client is shown: by the name it asks for, then by what it understands.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::SupportedCipherSuite;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::super::Error;
use super::files::Source;
use super::identity::Identity;
use super::shown;
use crate::config::{Certificate, TlsVersion};
use crate::message::host;

/// Certificates for one name, those that cost least first; never empty.
type Kinds = Arc<[Arc<CertifiedKey>]>;

/// Certificates by name.
#[derive(Debug)]
pub(super) struct Names {
    hosts: Hosts,
    /// For names that no site with certificates has, and for clients that name nobody.
    default: Option<Kinds>,
    suites: Vec<SupportedCipherSuite>,
    speaks_13: bool,
    /// When the first of all stapled responses is over.
    pub(super) staple_ends: Option<SystemTime>,
}

#[derive(Debug, Default)]
struct Hosts {
    exact: HashMap<String, Kinds>,
    /// By what follows the star, its dot included.
    wildcard: HashMap<String, Kinds>,
}

impl Names {
    pub(super) fn of(source: &Source, provider: &CryptoProvider, now: SystemTime) -> Result<Self, Error> {
        let (mut hosts, mut staple_ends) = (Hosts::default(), None);
        let mut read = |certificates: &[_]| kinds(certificates, provider, now, &mut staple_ends);
        let mut below = Vec::new();
        for site in &source.sites {
            let Some(kinds) = read(&site.certificates)? else { continue };
            site.hosts.iter().for_each(|host| hosts.add(host, &kinds));
            below.extend(
                kinds.iter().flat_map(|shown| names_below(shown, &site.hosts)).map(|name| (name, kinds.clone())),
            );
        }
        // What sites name themselves goes before what only their certificates say.
        below.iter().for_each(|(name, kinds)| hosts.add(name, kinds));
        let default = read(&source.tls.certificates)?;
        let speaks_13 = source.tls.max_version >= TlsVersion::Tls13;
        Ok(Self { hosts, default, suites: provider.cipher_suites.clone(), speaks_13, staple_ends })
    }

    /// Whether there is a certificate for a client that asks for this name.
    pub(super) fn has(&self, name: Option<&str>) -> bool {
        self.kinds(name).is_some()
    }

    #[cfg(test)]
    pub(super) fn shown_by_default(&self) -> &CertifiedKey {
        &self.default.as_ref().unwrap()[0]
    }

    fn kinds(&self, name: Option<&str>) -> Option<&Kinds> {
        name.and_then(|name| self.hosts.find(name)).or(self.default.as_ref())
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

impl Hosts {
    /// Who comes first keeps a name.
    fn add(&mut self, name: &str, kinds: &Kinds) {
        let (map, key) = match name.strip_prefix('*') {
            Some(suffix) => (&mut self.wildcard, suffix),
            None => (&mut self.exact, name),
        };
        map.entry(canonical(key).into_owned()).or_insert_with(|| kinds.clone());
    }

    /// A star stands for one label (RFC 9525, section 6.3), whatever else it may mean to routes: for more, no client would
    /// take the certificate.
    fn find(&self, name: &str) -> Option<&Kinds> {
        let parent = || name.find('.').filter(|at| *at > 0).and_then(|at| name.get(at..));
        self.exact.get(name).or_else(|| self.wildcard.get(parent()?))
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

/// Names that a certificate is for, deeper below a site's wildcards than a star reaches: the site answers for them all.
fn names_below(shown: &CertifiedKey, hosts: &[String]) -> Vec<String> {
    let suffixes: Vec<_> = hosts.iter().filter_map(|host| host.strip_prefix('*')).map(canonical).collect();
    let mut names = shown.cert.first().filter(|_| !suffixes.is_empty()).map(shown::dns_names).unwrap_or_default();
    names.retain(|name| suffixes.iter().any(|suffix| canonical(name).ends_with(suffix.as_ref())));
    names
}

/// A name as it is compared.
pub(super) fn canonical(name: &str) -> Cow<'_, str> {
    host::key(name)
}

fn kinds(
    certificates: &[Certificate],
    provider: &CryptoProvider,
    now: SystemTime,
    staple_ends: &mut Option<SystemTime>,
) -> Result<Option<Kinds>, Error> {
    let found: Result<Vec<_>, _> = certificates.iter().map(|plan| Identity::of(plan, provider, now)).collect();
    let mut found = found?;
    found.sort_by_key(Identity::rank);
    *staple_ends = found.iter().filter_map(|identity| identity.staple_ends).chain(*staple_ends).min();
    let shown: Vec<_> = found.into_iter().map(|identity| identity.shown).collect();
    Ok((!shown.is_empty()).then(|| shown.into()))
}
