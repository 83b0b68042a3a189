//! Why a listener does not have its address, and what an operator may do about it.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::text_of;
use crate::config::Bind;

/// Why a listener does not have its address.
#[derive(Debug)]
pub struct Refusal {
    who: String,
    address: String,
    error: io::Error,
    hint: &'static str,
}

impl Refusal {
    pub(in crate::gateway) fn of(listener: &Arc<str>, bind: &Bind, error: io::Error) -> Self {
        Self::because(format!("listener {:?}", &**listener), bind, error)
    }

    pub(super) fn because(who: String, bind: &Bind, error: io::Error) -> Self {
        Self { who, address: text_of(bind), hint: hint(bind, &error), error }
    }

    /// Whether the reason is that this system speaks no IPv6 at all.
    pub(in crate::gateway) fn is_lack_of_ipv6(&self) -> bool {
        matches!(self.error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = match self.error.kind() {
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            io::ErrorKind::AddrInUse => "the address is in use".to_owned(),
            io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            io::ErrorKind::NotFound => "no such directory".to_owned(),
            _ => self.error.to_string(),
        };
        write!(f, "{}: cannot bind {}: {error}", self.who, self.address)?;
        if self.hint.is_empty() {
            return Ok(());
        }
        write!(f, "; {}", self.hint)
    }
}

fn hint(bind: &Bind, error: &io::Error) -> &'static str {
    match (bind, error.kind()) {
        (Bind::Tcp(address), io::ErrorKind::PermissionDenied) if address.port() < 1024 => {
            "ports below 1024 need root, the capability CAP_NET_BIND_SERVICE or a lower net.ipv4.ip_unprivileged_port_start"
        }
        (Bind::Tcp(_), io::ErrorKind::AddrInUse) => "another process listens there, `ss -ltnp` names it",
        (Bind::Tcp(_), io::ErrorKind::AddrNotAvailable) => "`ip address` lists those it has; 0.0.0.0 and [::] mean all",
        (Bind::Unix(_), io::ErrorKind::AddrInUse) => "another process listens there",
        (Bind::Unix(_), io::ErrorKind::PermissionDenied) => "its directory must be writable for this user",
        _ => "",
    }
}
