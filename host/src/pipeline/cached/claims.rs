//! What else tells answers of one URL apart: what a trusted proxy says of how the client came. Conditions that led to another
//! route are the generation's (`generation/apart.rs`).
//!
//! A key is the request's URL, and of that origins and routes may make different things. Nothing that a client can choose,
//! and that leads to another answer, may be missing in it; what is the same for nearly all requests is not written.

use crate::config::CacheKey;
use crate::message::forwarding::{FORWARDED_HOST, FORWARDED_PROTO};
use crate::message::{Name, RequestHead, Value};

/// Scheme and host that a trusted proxy says the client came by, where they are not the connection's: upstreams are told,
/// and answer by it. From everybody else these fields say what the URL says.
pub(super) fn of<'a>(request: &'a RequestHead, key: &CacheKey) -> impl Iterator<Item = (&'a str, &'a str)> {
    let claim = |name: Name| request.fields.get(name).and_then(|value: &Value| value.to_str().ok());
    let scheme = claim(FORWARDED_PROTO).filter(|scheme| key.scheme && *scheme != request.scheme.as_str());
    // Also a port that the URL goes without because another scheme would.
    let has_port = scheme.is_some() && request.authority.port().is_some();
    let is_written = |host: &&str| has_port || *host != request.authority.as_str();
    let host = claim(FORWARDED_HOST).filter(|host| key.host && is_written(host));
    [("scheme", scheme), ("host", host)].into_iter().filter_map(|(name, value)| Some((name, value?)))
}

/// Whether a request may have claims; before the gateway has written what it takes for true, anybody may.
pub(super) fn may_be(request: &RequestHead) -> bool {
    !request.fields.is_empty() && [FORWARDED_PROTO, FORWARDED_HOST].iter().any(|name| request.fields.contains(name))
}
