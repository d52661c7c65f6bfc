//! ICMP packets to bytes and back. `surge-ping` decodes what it publishes a decoder for; it keeps its encoder and the
//! payloads to itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use socket2::Type;
use surge_ping::{Icmpv4Packet, Icmpv6Packet};

use super::seal::{PAYLOAD_SIZE, Payload};
use crate::{
    domain::probe::{IpVersion, ProbeFailure, SocketMode},
    prober::meaning,
};

/// Size of the ICMP header of an echo (RFC 792, RFC 4443 section 4.1).
const HEADER_SIZE: usize = 8;

/// An echo request, without an IP header.
pub(super) type EchoPacket = [u8; HEADER_SIZE + PAYLOAD_SIZE];

/// Identification of an echo in a reply, or in the quote of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EchoId<'a> {
    /// The address that the echo was sent to.
    pub(super) target: IpAddr,
    pub(super) identifier: u16,
    pub(super) sequence: u16,
    /// Complete in a reply. A quote may contain only its beginning, or more than the packet.
    pub(super) payload: &'a [u8],
}

/// A message about an echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message<'a> {
    Reply(EchoId<'a>),
    Error(ErrorReport, EchoId<'a>),
}

/// What an ICMP error says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ErrorReport {
    pub(super) failure: ProbeFailure,
    /// The MTU of the router's next link, in an error about a packet that is too big (RFC 1191, RFC 4443 section 3.2).
    /// Older routers do not state it.
    pub(super) next_mtu: Option<u32>,
}

impl ErrorReport {
    /// `None` if the message is not an error. `next_mtu` is 0 if it is not stated.
    pub(super) fn new(version: IpVersion, icmp_type: u8, code: u8, next_mtu: u32) -> Option<Self> {
        let failure = meaning::classify_message(version, icmp_type, code)?;
        let next_mtu = (failure == ProbeFailure::TooBig && next_mtu > 0).then_some(next_mtu);
        Some(Self { failure, next_mtu })
    }
}

/// Encodes an echo request. The kernel replaces the identifier on datagram sockets, and it computes the checksum except
/// on raw sockets of IPv4.
pub(super) fn encode(version: IpVersion, identifier: u16, sequence: u16, payload: &Payload) -> EchoPacket {
    let mut packet = [0; HEADER_SIZE + PAYLOAD_SIZE];
    packet[HEADER_SIZE..].copy_from_slice(payload);
    add_header(&mut packet, version, identifier, sequence);
    packet
}

/// Encodes an echo request with a payload of any size.
pub(super) fn encode_sized(version: IpVersion, identifier: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = [&[0; HEADER_SIZE], payload].concat();
    add_header(&mut packet, version, identifier, sequence);
    packet
}

fn add_header(packet: &mut [u8], version: IpVersion, identifier: u16, sequence: u16) {
    packet[0] = echo_type(version);
    packet[4..6].copy_from_slice(&identifier.to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    let checksum = checksum(packet);
    packet[2..4].copy_from_slice(&checksum.to_be_bytes());
}

const fn echo_type(version: IpVersion) -> u8 {
    match version {
        IpVersion::V4 => 8,
        IpVersion::V6 => 128,
    }
}

/// Decodes a packet that a socket has received from `source`; `None` if it is neither an intact reply nor an error that
/// quotes an echo. The kernel has checked the checksum except on raw sockets of IPv4.
pub(super) fn decode(source: IpAddr, mode: SocketMode, data: &[u8]) -> Option<Message<'_>> {
    match source {
        IpAddr::V4(source) => decode_v4(source, mode, data),
        IpAddr::V6(source) => decode_v6(source, data),
    }
}

fn decode_v4(source: Ipv4Addr, mode: SocketMode, data: &[u8]) -> Option<Message<'_>> {
    let (kind, icmp) = match mode {
        SocketMode::Raw => (Type::RAW, ipv4_payload(data)?),
        SocketMode::Auto | SocketMode::Dgram => (Type::DGRAM, data),
    };
    if mode == SocketMode::Raw && checksum(icmp) != 0 {
        return None;
    }
    let packet = Icmpv4Packet::decode(data, kind, source, Ipv4Addr::UNSPECIFIED).ok()?;
    let (identifier, sequence) = (packet.get_identifier().into_u16(), packet.get_sequence().into_u16());
    let (icmp_type, code) = (packet.get_icmp_type().0, packet.get_icmp_code().0);
    let body = icmp.get(HEADER_SIZE..)?;
    if meaning::is_reply(IpVersion::V4, icmp_type) {
        let target = source.into();
        return (code == 0).then_some(Message::Reply(EchoId { target, identifier, sequence, payload: body }));
    }
    let target = packet.get_real_dest().into();
    let next_mtu = u16::from_be_bytes([*icmp.get(6)?, *icmp.get(7)?]);
    let error = ErrorReport::new(IpVersion::V4, icmp_type, code, next_mtu.into())?;
    let is_icmp = body.get(9) == Some(&1);
    let quoted = decode_quoted(target, ipv4_payload(body).filter(|_| is_icmp)?)?;
    Some(Message::Error(error, quoted))
}

fn decode_v6(source: Ipv6Addr, data: &[u8]) -> Option<Message<'_>> {
    let packet = Icmpv6Packet::decode(data, source).ok()?;
    let (identifier, sequence) = (packet.get_identifier().into_u16(), packet.get_sequence().into_u16());
    let (icmp_type, code) = (packet.get_icmpv6_type().0, packet.get_icmpv6_code().0);
    let body = data.get(HEADER_SIZE..)?;
    if meaning::is_reply(IpVersion::V6, icmp_type) {
        let target = source.into();
        return (code == 0).then_some(Message::Reply(EchoId { target, identifier, sequence, payload: body }));
    }
    let target = packet.get_real_dest().into();
    let next_mtu = u32::from_be_bytes(*data.get(4..8)?.first_chunk()?);
    let error = ErrorReport::new(IpVersion::V6, icmp_type, code, next_mtu)?;
    // Our packets have no extension headers.
    let is_icmp = body.get(6) == Some(&58);
    let quoted = decode_quoted(target, body.get(40..).filter(|_| is_icmp)?)?;
    Some(Message::Error(error, quoted))
}

/// Decodes the echo request that an error quotes, from its ICMP header on. `None` if another message is quoted.
pub(super) fn decode_quoted(target: IpAddr, icmp: &[u8]) -> Option<EchoId<'_>> {
    let (header, payload) = icmp.split_at_checked(HEADER_SIZE)?;
    let is_echo = header[0] == echo_type(IpVersion::from(target)) && header[1] == 0;
    is_echo.then_some(EchoId {
        target,
        identifier: u16::from_be_bytes([header[4], header[5]]),
        sequence: u16::from_be_bytes([header[6], header[7]]),
        payload,
    })
}

/// Returns the part after the header, at most to the total length of the packet (RFC 791 section 3.1). A quote may end
/// earlier.
fn ipv4_payload(packet: &[u8]) -> Option<&[u8]> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    if header < 20 {
        return None;
    }
    packet.get(header..total.min(packet.len()))
}

/// The Internet checksum (RFC 1071); 0 for data that contains its own correct checksum.
fn checksum(data: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    let words = data.chunks_exact(2);
    let last = words.remainder().first().map_or(0, |&byte| u32::from(byte) << 8);
    for word in words {
        sum += u32::from(u16::from_be_bytes([word[0], word[1]]));
    }
    sum += last;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
pub(super) mod tests;
