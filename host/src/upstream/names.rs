//! From a host name to its addresses.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// The addresses of a name, in the system's order. Cancellation safe.
pub(super) async fn addresses(name: &str) -> io::Result<Arc<[IpAddr]>> {
    let found = tokio::net::lookup_host((name, 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}
