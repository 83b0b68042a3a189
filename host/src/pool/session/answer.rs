//! What goes into an answer together with a cookie of ours.

use crate::message::{Fields, Name, Value, name};

/// Adds a cookie and keeps shared caches from giving it to others (as haproxy's `nocache`): an answer that any cache on
/// the way may keep becomes `private` (RFC 9111, section 5.2.2.7), and loses a `CDN-Cache-Control`, which would go before
/// that (RFC 9213, section 2.2).
pub(super) fn add_cookie(fields: &mut Fields, cookie: Value) {
    fields.append(name::SET_COOKIE, cookie);
    fields.remove(Name::from_static("cdn-cache-control"));
    if !is_private(fields) {
        fields.append(name::CACHE_CONTROL, Value::from_static("private"));
    }
}

/// Whether the answer says already that no shared cache may keep it. A line with a quoted part is not looked into: such a
/// part speaks of fields, not of the answer, and saying `private` twice does no harm.
fn is_private(fields: &Fields) -> bool {
    let lines = fields.lines(name::CACHE_CONTROL).map(Value::as_bytes).filter(|line| !line.contains(&b'"'));
    lines
        .flat_map(|line| line.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|directive| directive.eq_ignore_ascii_case(b"private") || directive.eq_ignore_ascii_case(b"no-store"))
}
