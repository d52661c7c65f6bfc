//! The origin of a connection, as far as limits are concerned.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network of a client: its IPv4 address, or the /64 of its IPv6 address, because one client can use a whole /64.
///
/// The server adds it to the extensions of each request. Clients behind one proxy or one NAT are one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(IpAddr);

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()),
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

/// The peer of requests that did not arrive over a connection.
impl Default for Peer {
    fn default() -> Self {
        Self(Ipv4Addr::UNSPECIFIED.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_and_a_mapped_ipv4_address_are_one_peer_each() {
        let peer = |text: &str| Peer::from(text.parse::<IpAddr>().unwrap());
        for (one, other, same) in [
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(peer(one) == peer(other), same, "{one} and {other}");
        }
    }
}
