//! What a packet from `surge-ping` means for the echo that waits for it.

use std::net::IpAddr;

use surge_ping::{IcmpPacket, PingIdentifier, PingSequence};

use crate::{
    domain::probe::{IpVersion, ProbeFailure, SocketMode},
    prober::{meaning, session::Echo},
};

/// Classifies a packet as a response to the echo; `None` if it is the reply. A reply has `reply_size` bytes.
pub(super) fn classify_packet(
    packet: &IcmpPacket,
    echo: &Echo,
    mode: SocketMode,
    reply_size: usize,
) -> Option<ProbeFailure> {
    let (source, icmp_type, code, size) = match packet {
        IcmpPacket::V4(p) => (IpAddr::V4(p.get_source()), p.get_icmp_type().0, p.get_icmp_code().0, p.get_size()),
        IcmpPacket::V6(p) => (IpAddr::V6(p.get_source()), p.get_icmpv6_type().0, p.get_icmpv6_code().0, p.get_size()),
    };
    let version = IpVersion::from(source);
    let quotes_echo = packet.get_sequence() == PingSequence(echo.sequence)
        && (mode == SocketMode::Dgram || packet.get_identifier() == PingIdentifier(echo.identifier));
    if quotes_echo && source == echo.target && size == reply_size && meaning::is_reply(version, icmp_type) {
        return None;
    }
    let error = meaning::classify_message(version, icmp_type, code).filter(|_| quotes_echo);
    // Any other message has ended the wait of the library, so the echo counts as lost.
    Some(error.unwrap_or(ProbeFailure::Timeout))
}
