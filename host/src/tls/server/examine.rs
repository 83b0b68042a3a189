//! What an operator is told of certificates before clients find out.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use x509_parser::{parse_x509_certificate, parse_x509_crl};

use super::super::{Error, pem};
use super::files::Source;
use super::identity::Identity;
use super::{clients, names};
use crate::clock;
use crate::config::{Certificate, ClientAuth};

/// What is wrong, and what is only worth saying.
#[derive(Debug, Default)]
pub struct Findings {
    /// TLS cannot be spoken with this.
    pub faults: Vec<Error>,
    /// It can, but somebody will be sorry.
    pub remarks: Vec<String>,
}

/// Who renews by hand needs two weeks; who has it done by a program does it a month ahead.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Looks at certificates that are for some hosts, perhaps none in particular.
#[must_use]
pub fn examine(certificates: &[Certificate], hosts: &[String]) -> Findings {
    let (mut findings, now) = (Findings::default(), clock::wall());
    for certificate in certificates {
        match Identity::of(certificate, &aws_lc_rs::default_provider(), now) {
            Ok(identity) => findings.remarks.extend(remarks(certificate, &identity, hosts, now)),
            Err(error) => findings.faults.push(error),
        }
    }
    findings
}

/// Looks at what is asked of clients.
#[must_use]
pub fn examine_clients(plan: &ClientAuth) -> Findings {
    let faults = clients::verifier(plan, &Arc::new(aws_lc_rs::default_provider())).err();
    let lists = match plan {
        ClientAuth::None => &[][..],
        ClientAuth::Optional(authorities) | ClientAuth::Required(authorities) => &authorities.revoked,
    };
    let now = clock::wall();
    let is_old = |list: &&[u8]| {
        let (_, list) = parse_x509_crl(list).ok()?;
        Some(instant(list.next_update()?.timestamp())? <= now)
    };
    let remarks = lists.iter().filter(|file| {
        let lists = pem::revoked(file).unwrap_or_default();
        lists.iter().any(|list| is_old(&list.as_ref()).unwrap_or(false))
    });
    let remarks = remarks.map(|file| {
        format!(
            "\"{}\": the list of revoked certificates should have been replaced by a newer one",
            file.path.display()
        )
    });
    Findings { faults: faults.into_iter().collect(), remarks: remarks.collect() }
}

/// What is worth saying of everything that a listener's TLS is made from.
pub(super) fn remarks_of(source: &Source) -> Vec<String> {
    let sites = source.sites.iter().map(|site| examine(&site.certificates, &site.hosts));
    let own = [examine(&source.tls.certificates, &[]), examine_clients(&source.tls.client)];
    sites.chain(own).flat_map(|findings| findings.remarks).collect()
}

fn remarks(plan: &Certificate, identity: &Identity, hosts: &[String], now: SystemTime) -> Vec<String> {
    let (path, mut remarks) = (plan.chain.path.display(), Vec::new());
    if let Some(certificate) = identity.shown.cert.first() {
        remarks.extend(time(certificate, now).map(|said| format!("certificate \"{path}\" {said}")));
        let uncovered = hosts.iter().filter(|host| !covers(certificate, host));
        remarks.extend(uncovered.map(|host| format!("certificate \"{path}\" is not for \"{host}\"")));
    }
    if let (Some(why), Some(staple)) = (&identity.unstapled, &plan.staple) {
        remarks.push(format!("OCSP response \"{}\" is not stapled: {why}", staple.path.display()));
    }
    remarks
}

fn time(certificate: &CertificateDer<'_>, now: SystemTime) -> Option<String> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let validity = certificate.validity();
    let (begins, ends) = (instant(validity.not_before.timestamp())?, instant(validity.not_after.timestamp())?);
    match ends.duration_since(now) {
        _ if begins > now => Some("has not begun to hold yet".to_owned()),
        Err(_) => Some("does not hold any more: its time is over".to_owned()),
        Ok(left) if left < SOON => Some(format!("holds for {} more days only", left.as_secs() / (24 * 3600))),
        Ok(_) => None,
    }
}

/// Whether a client would take the certificate for a host, or for any name of one label before a wildcard's.
fn covers(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let name = match host.strip_prefix('*') {
        Some(parent) => format!("any{parent}"),
        None => host.to_owned(),
    };
    let Ok(name) = ServerName::try_from(names::canonical(&name).into_owned()) else { return false };
    ParsedCertificate::try_from(certificate).is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
}

fn instant(seconds: i64) -> Option<SystemTime> {
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}
