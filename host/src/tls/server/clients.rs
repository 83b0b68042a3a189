//! What is asked of clients' certificates, and who vouches for them.
//!
//! With lists of revoked certificates, a client's own certificate has to be covered by one: that of an authority without a
//! list is refused, because nobody can say whether it still holds. Authorities between are not looked up. A list past its
//! `nextUpdate` holds on: whoever it names stays out.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientCertVerifierBuilder, VerifierBuilderError, WebPkiClientVerifier};

use super::super::{Error, pem, roots};
use crate::config::{ClientAuth, ClientAuthorities, Pem};

/// Who checks clients' certificates.
pub(super) fn verifier(
    plan: &ClientAuth,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    match plan {
        ClientAuth::None => Ok(WebPkiClientVerifier::no_client_auth()),
        ClientAuth::Optional(authorities) => {
            build(authorities, provider, ClientCertVerifierBuilder::allow_unauthenticated)
        }
        ClientAuth::Required(authorities) => build(authorities, provider, |builder| builder),
    }
}

fn build(
    plan: &ClientAuthorities,
    provider: &Arc<CryptoProvider>,
    ask: impl Fn(ClientCertVerifierBuilder) -> ClientCertVerifierBuilder,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let roots = roots::own(&plan.ca)?;
    let mut lists = Vec::new();
    for file in &plan.revoked {
        lists.extend(revoked(file, &roots, provider)?);
    }
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).with_crls(lists);
    let verifier = ask(builder).only_check_end_entity_revocation().build();
    verifier.map_err(|error| pem::wrong(&plan.ca, words(&error)))
}

/// All lists of a file, each of which is looked at.
fn revoked(
    file: &Pem,
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let lists = pem::revoked(file)?;
    let builder = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
    builder.with_crls(lists.iter().cloned()).build().map_err(|error| pem::wrong(file, words(&error)))?;
    Ok(lists)
}

fn words(error: &VerifierBuilderError) -> String {
    match error {
        VerifierBuilderError::InvalidCrl(why) => {
            // `openssl ca` makes lists of version 1 when its config names no `crlnumber`.
            format!("not a valid list of revoked certificates of version 2 (RFC 5280, section 5): {why:?}")
        }
        error => error.to_string(),
    }
}
