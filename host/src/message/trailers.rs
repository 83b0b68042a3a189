//! What may come behind a body. Trailers pass through the gateway, but nobody may say there what must be known before a
//! body, or what only the gateway may say (RFC 9110, section 6.5.1): some servers add them to the header fields.

use http::header;

use super::{Fields, Name, accel};

/// Framing, routing, credentials, how content is read, and what is for one connection only.
const FORBIDDEN: [Name; 25] = [
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::EXPECT,
    header::FORWARDED,
    header::HOST,
    header::MAX_FORWARDS,
    header::PROXY_AUTHORIZATION,
    header::SET_COOKIE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::VIA,
    Name::from_static("client-cert"),
    Name::from_static("client-cert-chain"),
    Name::from_static("keep-alive"),
    Name::from_static("proxy-connection"),
    Name::from_static("x-real-ip"),
    Name::from_static("x-request-id"),
];

/// Takes off what has no place in trailers.
#[must_use]
pub fn clean(mut trailers: Fields) -> Fields {
    let is_forbidden = |name: &&Name| {
        let text = name.as_str();
        FORBIDDEN.contains(name) || text.starts_with("x-forwarded-") || accel::is_for_gateway(text.as_bytes())
    };
    let forbidden: Vec<Name> = trailers.names().filter(is_forbidden).cloned().collect();
    for name in forbidden {
        trailers.remove(name);
    }
    trailers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::fields::tests::fields;

    #[test]
    fn what_must_be_known_before_is_taken_off() {
        let trailers = fields(&[
            ("grpc-status", "0"),
            ("content-length", "3"),
            ("x-forwarded-for", "1.2.3.4"),
            ("server-timing", "a"),
            ("connection", "close"),
            ("x-accel-redirect", "/secret"),
            ("x-sendfile", "/secret"),
            ("server-timing", "b"),
        ]);
        let left: Vec<_> = clean(trailers).iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(left, ["grpc-status", "server-timing", "server-timing"]);
    }
}
