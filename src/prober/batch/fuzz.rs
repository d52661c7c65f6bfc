//! Any bytes that a socket of the engine may receive, decoded as a message about an echo.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packet::{self, Message};
use crate::domain::probe::{IpVersion, SocketMode};

/// A message names only what the packet contains. A reply on a raw socket of IPv4 has a correct checksum.
pub fn decode_packet(data: &[u8]) {
    let Some((&kind, packet)) = data.split_first() else { return };
    let mode = if kind & 1 == 0 { SocketMode::Dgram } else { SocketMode::Raw };
    let source: IpAddr = if kind & 2 == 0 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let id = match packet::decode(source, mode, packet) {
        Some(Message::Reply(id)) => {
            assert_eq!(id.target, source, "the reply of another host");
            id
        }
        Some(Message::Error(_, id)) => {
            assert_eq!(IpVersion::from(id.target), IpVersion::from(source), "the quote of another IP version");
            id
        }
        None => return,
    };
    let numbers = [id.identifier.to_be_bytes(), id.sequence.to_be_bytes()].concat();
    assert!(packet.windows(numbers.len() + id.payload.len()).any(|part| part == [&numbers, id.payload].concat()));
}
