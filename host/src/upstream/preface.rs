//! What is said before the first byte of a connection: who the client is, by haproxy's PROXY protocol.
//!
//! Pure: addresses to bytes. A header is always shorter than a segment and is sent at once, as the protocol wants it
//! (`proxy-protocol.txt`, sections 2.1 and 2.2).

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::config::ProxyVersion;

/// The ends of the client's connection, as far as they are known: a client on a Unix socket has no address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Preface {
    /// The client.
    pub source: Option<SocketAddr>,
    /// The gateway, as the client knows it.
    pub destination: Option<SocketAddr>,
}

/// Both ends in one family.
enum Ends {
    V4(SocketAddrV4, SocketAddrV4),
    V6(SocketAddrV6, SocketAddrV6),
    Unknown,
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, and the commands.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// Families, over TCP.
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

impl Preface {
    /// The header in a version of the protocol.
    pub(super) fn header(&self, version: ProxyVersion) -> Vec<u8> {
        match version {
            ProxyVersion::V1 => self.ends().line().into_bytes(),
            ProxyVersion::V2 => self.ends().block(),
        }
    }

    /// One family for both ends: IPv4 mapped into IPv6 is IPv4, unless the other end is truly IPv6, and then both are.
    fn ends(&self) -> Ends {
        let (Some(source), Some(destination)) = (self.source, self.destination) else { return Ends::Unknown };
        match (source.ip().to_canonical(), destination.ip().to_canonical()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                Ends::V4(SocketAddrV4::new(from, source.port()), SocketAddrV4::new(to, destination.port()))
            }
            (from, to) => Ends::V6(
                SocketAddrV6::new(wide(from), source.port(), 0, 0),
                SocketAddrV6::new(wide(to), destination.port(), 0, 0),
            ),
        }
    }
}

impl Ends {
    /// Version 1: a line.
    fn line(&self) -> String {
        match self {
            Self::V4(from, to) => format!("PROXY TCP4 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port()),
            Self::V6(from, to) => {
                format!("PROXY TCP6 {} {} {} {}\r\n", spelled(*from.ip()), spelled(*to.ip()), from.port(), to.port())
            }
            Self::Unknown => "PROXY UNKNOWN\r\n".to_owned(),
        }
    }

    /// Version 2: a block. What is not known is sent as LOCAL, which every receiver has to accept; PROXY without addresses it
    /// may refuse.
    fn block(&self) -> Vec<u8> {
        let mut addresses = Vec::new();
        let (command, family) = match self {
            Self::V4(from, to) => {
                addresses.extend([from.ip().octets(), to.ip().octets()].as_flattened());
                addresses.extend([from.port().to_be_bytes(), to.port().to_be_bytes()].as_flattened());
                (PROXY, TCP4)
            }
            Self::V6(from, to) => {
                addresses.extend([from.ip().octets(), to.ip().octets()].as_flattened());
                addresses.extend([from.port().to_be_bytes(), to.port().to_be_bytes()].as_flattened());
                (PROXY, TCP6)
            }
            Self::Unknown => (LOCAL, UNSPECIFIED),
        };
        let length = u16::try_from(addresses.len()).expect("two addresses and two ports are at most 36 bytes");
        [SIGNATURE, &[command, family][..], &length.to_be_bytes(), &addresses].concat()
    }
}

fn wide(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// In hexadecimal throughout, as the protocol has it: a mapped address is not spelled with dots.
fn spelled(address: Ipv6Addr) -> String {
    match (address.to_ipv4_mapped(), address.segments()) {
        (Some(_), [.., high, low]) => format!("::ffff:{high:x}:{low:x}"),
        (None, _) => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preface(source: &str, destination: &str) -> Preface {
        Preface { source: source.parse().ok(), destination: destination.parse().ok() }
    }

    #[test]
    fn lines_are_as_the_protocol_has_them() {
        for (source, destination, line) in [
            ("192.168.0.1:56324", "192.168.0.11:443", "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"),
            ("[2001:db8::1]:1", "[2001:db8::2]:65535", "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"),
            ("[::ffff:192.0.2.1]:1000", "192.0.2.2:80", "PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n"),
            ("[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:2", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
            ("192.0.2.1:1", "[2001:db8::2]:2", "PROXY TCP6 ::ffff:c000:201 2001:db8::2 1 2\r\n"),
            ("[2001:db8::2]:1", "1.2.3.4:2", "PROXY TCP6 2001:db8::2 ::ffff:102:304 1 2\r\n"),
            ("[fe80::1%3]:1", "[fe80::2%3]:2", "PROXY TCP6 fe80::1 fe80::2 1 2\r\n"),
            ("", "192.0.2.2:80", "PROXY UNKNOWN\r\n"),
            ("192.0.2.2:80", "", "PROXY UNKNOWN\r\n"),
            ("", "", "PROXY UNKNOWN\r\n"),
        ] {
            let header = preface(source, destination).header(ProxyVersion::V1);
            assert_eq!(String::from_utf8(header).unwrap(), line);
        }
        let all = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe";
        let longest = preface(&format!("[{all}]:65535"), &format!("[{all}]:65535")).header(ProxyVersion::V1);
        assert_eq!(longest.len(), 104, "the protocol's own sum");
    }

    #[test]
    fn blocks_are_as_the_protocol_has_them() {
        const START: [u8; 12] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
        let v6 = |last: u8| [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];
        for (source, destination, rest) in [
            (
                "192.0.2.1:4660",
                "192.0.2.2:443",
                vec![0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x34, 0x01, 0xbb],
            ),
            ("[::ffff:192.0.2.1]:1", "192.0.2.2:2", vec![0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2]),
            (
                "[2001:db8::1]:4660",
                "[2001:db8::2]:443",
                [&[0x21, 0x21, 0, 36][..], &v6(1), &v6(2), &[0x12, 0x34, 0x01, 0xbb]].concat(),
            ),
            ("192.0.2.1:1", "[2001:db8::2]:2", [&[0x21, 0x21, 0, 36][..], &mapped, &v6(2), &[0, 1, 0, 2]].concat()),
            ("", "192.0.2.2:2", vec![0x20, 0x00, 0, 0]),
            ("", "", vec![0x20, 0x00, 0, 0]),
        ] {
            let header = preface(source, destination).header(ProxyVersion::V2);
            assert_eq!(header, [&START[..], &rest].concat(), "{source} {destination}");
        }
    }
}
