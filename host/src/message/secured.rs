//! What is known of a connection under TLS and of the client's certificate, for logs, filters and upstreams.

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
