//! The plan of logs: the operator's, and that of exchanges.

use std::path::PathBuf;

/// The operator's log, on stderr.
#[derive(Debug, Clone)]
pub struct Log {
    /// From this level on.
    pub level: tracing::level_filters::LevelFilter,
    /// Its shape.
    pub format: LogFormat,
}

/// The shape of the operator's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For eyes.
    Text,
    /// One JSON object a line.
    Json,
}

/// The access log.
#[derive(Debug, Clone)]
pub struct AccessLog {
    /// Where it goes.
    pub output: LogOutput,
    /// Its shape.
    pub format: AccessFormat,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// A file, opened for appending and again on SIGUSR1.
    File(PathBuf),
}

/// The shape of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessFormat {
    /// Nothing is logged.
    Off,
    /// Apache's combined format.
    Combined,
    /// One JSON object a line.
    Json,
    /// A template with `${variable}`; checked by the config against `ACCESS_VARIABLES`.
    Custom(String),
}

/// The variables that a custom access log format may name; `request.header.NAME` and `response.header.NAME` come on top,
/// and `variable.NAME` for what filters set.
pub const ACCESS_VARIABLES: &[&str] = &[
    "time.local",
    "time.iso",
    "time.unix",
    "client.address",
    "client.port",
    "listener",
    "site",
    "route",
    "pool",
    "member",
    "request.line",
    "request.method",
    "request.host",
    "request.path",
    "request.query",
    "request.scheme",
    "request.version",
    "request.id",
    "request.bytes",
    "response.status",
    "response.bytes",
    "duration",
    "duration.connect",
    "duration.first-byte",
    "duration.filter",
    "attempts",
    "failure",
    "tls.version",
    "tls.cipher",
    "tls.sni",
    "tls.alpn",
    "tls.resumed",
    "tls.client.sha256",
    "tls.client.subject",
    "tls.client.issuer",
    "tls.client.serial",
    "tls.client.not-after",
    "tls.client.names",
];
