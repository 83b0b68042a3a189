//! Where a check goes, and how it is spoken to there: mostly where exchanges go, unless the check says otherwise.

use std::sync::Arc;

use crate::config::{Check, Health, MemberAddress, Protocol, Transport};
use crate::upstream::Endpoint;

/// The endpoint that a member's checks go to; without checks, the one that it is re-probed at.
pub(super) fn target(endpoint: &Arc<Endpoint>, health: Option<&Health>) -> Arc<Endpoint> {
    let address = match health.and_then(|health| health.port) {
        Some(port) => at_port(&endpoint.address, port),
        None => endpoint.address.clone(),
    };
    let transport = transport(&endpoint.transport, health);
    if address == endpoint.address && transport == *endpoint.transport {
        return endpoint.clone();
    }
    Endpoint::of(&address, &Arc::new(transport))
}

/// A socket in the file system has no port to replace.
fn at_port(address: &MemberAddress, port: u16) -> MemberAddress {
    match address {
        MemberAddress::Tcp(address) => MemberAddress::Tcp((address.ip(), port).into()),
        MemberAddress::Name(name, _) => MemberAddress::Name(name.clone(), port),
        MemberAddress::Service(_) | MemberAddress::Unix(_) | MemberAddress::Abstract(_) => address.clone(),
    }
}

fn transport(member: &Transport, health: Option<&Health>) -> Transport {
    let tls = health.and_then(|health| health.tls.clone()).unwrap_or_else(|| member.tls.clone());
    let protocol = match health.map_or(&Check::Tcp, |health| &health.check) {
        // HTTP/2 would begin with a preface (RFC 9113, section 3.4); whoever only connects says nothing. Under TLS, ALPN may
        // decide whether there is a connection at all.
        Check::Tcp if tls.is_none() => Protocol::Http1,
        Check::Tcp => member.protocol,
        Check::Http(check) => check.protocol.unwrap_or(member.protocol),
        Check::Grpc(_) => Protocol::Http2,
    };
    Transport { protocol, tls, ..member.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{every_second, get};
    use super::*;
    use crate::config::{HttpCheck, ProxyVersion, UpstreamHttp2, UpstreamTls};

    fn tls(name: &str) -> UpstreamTls {
        UpstreamTls { server_name: Some(name.into()), verify: true, ca: None, certificate: None, pins: Vec::new() }
    }

    fn over(protocol: Protocol, tls: Option<UpstreamTls>) -> Transport {
        Transport {
            protocol,
            tls,
            source: Some([127, 0, 0, 9].into()),
            proxy_protocol: Some(ProxyVersion::V2),
            h2: UpstreamHttp2::USUAL,
        }
    }

    #[test]
    fn the_port_is_replaced_where_there_is_one() {
        for (address, expected) in [
            (MemberAddress::Tcp(([10, 0, 0, 1], 80).into()), MemberAddress::Tcp(([10, 0, 0, 1], 9000).into())),
            (MemberAddress::Name("app.example".into(), 80), MemberAddress::Name("app.example".into(), 9000)),
            (MemberAddress::Unix("/run/app".into()), MemberAddress::Unix("/run/app".into())),
        ] {
            let endpoint = Endpoint::of(&address, &Arc::new(over(Protocol::Http1, None)));
            let health = Health { port: Some(9000), ..every_second(Check::Http(get("/"))) };
            let target = target(&endpoint, Some(&health));
            assert_eq!(target.address, expected);
            assert_eq!(target.transport, endpoint.transport);
            assert_eq!(Arc::ptr_eq(&target, &endpoint), address == expected);
        }
    }

    #[test]
    fn a_check_is_spoken_as_it_says_and_as_the_member_is_otherwise() {
        use Protocol::{Auto, Http1, Http2};
        let http = |protocol| Check::Http(HttpCheck { protocol, ..get("/") });
        for (member, check, other, expected) in [
            ((Http1, None), Check::Tcp, None, (Http1, None)),
            ((Http2, None), Check::Tcp, None, (Http1, None)),
            ((Http2, Some(tls("a"))), Check::Tcp, None, (Http2, Some(tls("a")))),
            ((Http2, Some(tls("a"))), Check::Tcp, Some(None), (Http1, None)),
            ((Auto, Some(tls("a"))), http(None), None, (Auto, Some(tls("a")))),
            ((Auto, Some(tls("a"))), http(Some(Http1)), Some(Some(tls("b"))), (Http1, Some(tls("b")))),
            ((Http1, None), http(Some(Http2)), Some(Some(tls("b"))), (Http2, Some(tls("b")))),
            ((Http1, None), Check::Grpc(String::new()), None, (Http2, None)),
        ] {
            let health = Health { tls: other, ..every_second(check) };
            let found = transport(&over(member.0, member.1), Some(&health));
            assert_eq!(found, over(expected.0, expected.1), "{health:?}");
        }
        assert_eq!(transport(&over(Http2, None), None), over(Http1, None));
    }
}
