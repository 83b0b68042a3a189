//! What is known of a connection under TLS and of the client's certificate, for logs, filters and upstreams.

use std::borrow::Cow;
use std::sync::Arc;

use super::Value;

/// A connection under TLS.
#[derive(Debug, Clone)]
pub struct Secured {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The suite by its registered name, such as `TLS_AES_128_GCM_SHA256`; empty where it cannot be had (HTTP/3).
    pub cipher: Arc<str>,
    /// The name that the client asked for (RFC 6066, section 3), in lower case.
    pub server_name: Option<Arc<str>>,
    /// The protocol that was agreed on (RFC 7301): `http/1.1`, `h2` or `h3`.
    pub protocol: Option<&'static str>,
    /// Whether an earlier session was taken up again; never said of HTTP/3.
    pub is_resumed: bool,
    /// The certificate that the client showed, and that was found good.
    pub client: Option<Arc<ClientCertificate>>,
}

/// A client's certificate. Texts are as hostile as whoever vouched for them lets them be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// `Client-Cert` (RFC 9440, section 2.2): the certificate.
    pub field: Value,
    /// `Client-Cert-Chain` (RFC 9440, section 2.3): what came with it; none when it came alone.
    pub chain_field: Option<Value>,
    /// The SHA-256 digest of the certificate in lower-case hexadecimal digits.
    pub sha256: String,
    /// Whom it names (RFC 4514).
    pub subject: String,
    /// Who vouches for it (RFC 4514).
    pub issuer: String,
    /// Its number, in upper-case hexadecimal digits.
    pub serial: String,
    /// When it ends, as in RFC 3339.
    pub not_after: String,
    /// DNS names, addresses, URIs and mailboxes that it holds for.
    pub names: Vec<String>,
}

/// One thing known of a connection under TLS, as filters ask for it and logs say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFact {
    /// `tls.version`
    Version,
    /// `tls.cipher`
    Cipher,
    /// `tls.sni`
    ServerName,
    /// `tls.alpn`
    Protocol,
    /// `tls.resumed`: `true` or `false`
    Resumed,
    /// `tls.client.sha256`
    ClientSha256,
    /// `tls.client.subject`
    ClientSubject,
    /// `tls.client.issuer`
    ClientIssuer,
    /// `tls.client.serial`
    ClientSerial,
    /// `tls.client.not-after`
    ClientNotAfter,
    /// `tls.client.names`: with `, ` between them, commas and backslashes within them behind a backslash
    ClientNames,
}

impl TlsFact {
    /// The fact of a variable's name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("tls.")? {
            "version" => TlsFact::Version,
            "cipher" => TlsFact::Cipher,
            "sni" => TlsFact::ServerName,
            "alpn" => TlsFact::Protocol,
            "resumed" => TlsFact::Resumed,
            "client.sha256" => TlsFact::ClientSha256,
            "client.subject" => TlsFact::ClientSubject,
            "client.issuer" => TlsFact::ClientIssuer,
            "client.serial" => TlsFact::ClientSerial,
            "client.not-after" => TlsFact::ClientNotAfter,
            "client.names" => TlsFact::ClientNames,
            _ => return None,
        })
    }
}

impl Secured {
    /// What is known of it, as text; `None` when it is not known.
    #[must_use]
    pub fn fact(&self, fact: TlsFact) -> Option<Cow<'_, str>> {
        let client = || self.client.as_deref();
        Some(match fact {
            TlsFact::Version => self.version.into(),
            TlsFact::Cipher => (&*self.cipher).into(),
            TlsFact::ServerName => self.server_name.as_deref()?.into(),
            TlsFact::Protocol => self.protocol?.into(),
            TlsFact::Resumed => if self.is_resumed { "true" } else { "false" }.into(),
            TlsFact::ClientSha256 => (&*client()?.sha256).into(),
            TlsFact::ClientSubject => (&*client()?.subject).into(),
            TlsFact::ClientIssuer => (&*client()?.issuer).into(),
            TlsFact::ClientSerial => (&*client()?.serial).into(),
            TlsFact::ClientNotAfter => (&*client()?.not_after).into(),
            TlsFact::ClientNames => list(&client()?.names).into(),
        })
    }
}

/// Names hold whatever their authority let them hold, so a separator within one must not make two of it.
fn list(names: &[String]) -> String {
    let mut list = String::new();
    for (position, name) in names.iter().enumerate() {
        if position > 0 {
            list.push_str(", ");
        }
        for sign in name.chars() {
            if matches!(sign, ',' | '\\') {
                list.push('\\');
            }
            list.push(sign);
        }
    }
    list
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A connection, with a client's certificate or without.
    pub(crate) fn secured(with_client: bool) -> Secured {
        let client = ClientCertificate {
            field: Value::from_static(":AQI=:"),
            chain_field: Some(Value::from_static(":AwQ=:")),
            sha256: "ab".repeat(32),
            subject: "CN=alice".to_owned(),
            issuer: "CN=ca".to_owned(),
            serial: "0A".to_owned(),
            not_after: "2030-01-01T00:00:00Z".to_owned(),
            names: vec!["alice.example".to_owned(), "urn:a,b\\".to_owned()],
        };
        Secured {
            version: "TLSv1.3",
            cipher: "TLS13_AES_128_GCM_SHA256".into(),
            server_name: Some("shop.example".into()),
            protocol: Some("h2"),
            is_resumed: false,
            client: with_client.then(|| Arc::new(client)),
        }
    }

    #[test]
    fn every_fact_has_its_name_and_its_text() {
        let digest = "ab".repeat(32);
        for (name, expected, is_of_client) in [
            ("tls.version", "TLSv1.3", false),
            ("tls.cipher", "TLS13_AES_128_GCM_SHA256", false),
            ("tls.sni", "shop.example", false),
            ("tls.alpn", "h2", false),
            ("tls.resumed", "false", false),
            ("tls.client.sha256", &*digest, true),
            ("tls.client.subject", "CN=alice", true),
            ("tls.client.issuer", "CN=ca", true),
            ("tls.client.serial", "0A", true),
            ("tls.client.not-after", "2030-01-01T00:00:00Z", true),
            ("tls.client.names", "alice.example, urn:a\\,b\\\\", true),
        ] {
            let fact = TlsFact::named(name).unwrap();
            assert_eq!(secured(true).fact(fact).as_deref(), Some(expected), "{name}");
            assert_eq!(secured(false).fact(fact).is_none(), is_of_client, "{name}");
        }
        for name in ["tls", "tls.", "tls.client", "tls.client.key", "version"] {
            assert_eq!(TlsFact::named(name), None, "{name}");
        }
    }
}
