//! Any bytes that a socket may receive, judged as the response to one echo request.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use socket2::Type;
use surge_ping::{IcmpPacket, Icmpv4Packet, Icmpv6Packet};

use super::{ECHO_SIZE, response::classify_packet};
use crate::{domain::probe::SocketMode, prober::session::Echo};

const IDENTIFIER: u16 = 0xbeef;
const SEQUENCE: u16 = 0xcafe;

/// A packet is a reply only if it contains the sequence number and, on a raw socket, the identifier.
pub fn judge_packet(data: &[u8]) {
    let Some((&kind, packet)) = data.split_first() else { return };
    let mode = if kind & 1 == 0 { SocketMode::Dgram } else { SocketMode::Raw };
    let (target, decoded) = if kind & 2 == 0 {
        let socket = if mode == SocketMode::Dgram { Type::DGRAM } else { Type::RAW };
        let address = Ipv4Addr::LOCALHOST;
        (IpAddr::V4(address), Icmpv4Packet::decode(packet, socket, address, address).map(IcmpPacket::V4))
    } else {
        let address = Ipv6Addr::LOCALHOST;
        (IpAddr::V6(address), Icmpv6Packet::decode(packet, address).map(IcmpPacket::V6))
    };
    let Ok(decoded) = decoded else { return };
    let echo = Echo { target, identifier: IDENTIFIER, sequence: SEQUENCE, timeout: Duration::from_secs(1) };
    if classify_packet(&decoded, &echo, mode, ECHO_SIZE).is_none() {
        let contains = |number: u16| packet.windows(2).any(|bytes| bytes == number.to_be_bytes());
        assert!(contains(SEQUENCE), "the reply to another echo");
        assert!(mode == SocketMode::Dgram || contains(IDENTIFIER), "the reply to another process");
    }
}
