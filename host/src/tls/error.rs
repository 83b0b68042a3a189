//! Why there is no TLS to be had from a plan.

use std::fmt;
use std::path::PathBuf;

/// What is wrong with what a plan says about TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A file does not hold what it should.
    Pem {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate and a key that are no pair.
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The system has no authorities to trust.
    Roots(String),
    /// Not a name that a certificate can carry.
    Name(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem { path, why } => write!(f, "\"{}\": {why}", path.display()),
            Self::Pair { certificate, key, why } => {
                write!(f, "certificate \"{}\" with key \"{}\": {why}", certificate.display(), key.display())
            }
            Self::Roots(why) => {
                write!(
                    f,
                    "the system has no certificates of authorities to trust ({why}); name your own, or install some"
                )
            }
            Self::Name(name) => write!(f, "\"{}\" is not a host name or an address", name.escape_debug()),
        }
    }
}

impl std::error::Error for Error {}
