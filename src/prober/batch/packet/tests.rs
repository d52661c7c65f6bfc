use proptest::prelude::*;

use super::*;

const PAYLOAD: Payload = [0xa5; PAYLOAD_SIZE];

/// A host and a router, per IP version.
pub(in crate::prober::batch) const HOSTS: [(&str, &str); 2] =
    [("192.0.2.1", "198.51.100.1"), ("2001:db8::1", "2001:db8::fe")];

pub(in crate::prober::batch) const MODES: [SocketMode; 2] = [SocketMode::Raw, SocketMode::Dgram];

pub(in crate::prober::batch) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An ICMP message with its checksum.
fn icmp(version: IpVersion, icmp_type: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut message = [&[icmp_type, code, 0, 0], rest].concat();
    if version == IpVersion::V4 {
        let checksum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&checksum);
    }
    message
}

/// An IP header in front of a message, of which only the fields matter that are decoded.
fn with_header(source: IpAddr, destination: IpAddr, message: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total = u16::try_from(20 + message.len()).unwrap().to_be_bytes();
            let start = [0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, 1, 0, 0];
            [&start[..], &source.octets(), &destination.octets(), message].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let size = u16::try_from(message.len()).unwrap().to_be_bytes();
            let start = [0x60, 0, 0, 0, size[0], size[1], 58, 64];
            [&start[..], &source.octets(), &destination.octets(), message].concat()
        }
        _ => panic!("two versions"),
    }
}

/// A message as a socket delivers it: with the IP header on raw sockets of IPv4.
fn delivered(source: IpAddr, mode: SocketMode, message: Vec<u8>) -> Vec<u8> {
    if mode == SocketMode::Raw && source.is_ipv4() { with_header(source, ip("192.0.2.99"), &message) } else { message }
}

const fn reply_type(version: IpVersion) -> u8 {
    match version {
        IpVersion::V4 => 0,
        IpVersion::V6 => 129,
    }
}

/// The reply to an echo, with these bytes after the ICMP header.
pub(in crate::prober::batch) fn reply(source: IpAddr, mode: SocketMode, echo: &[u8], payload: &[u8]) -> Vec<u8> {
    let version = IpVersion::from(source);
    let rest = [&echo[4..8], payload].concat();
    delivered(source, mode, icmp(version, reply_type(version), 0, &rest))
}

/// The error of a router, which says that `target` is unreachable and quotes a part of the ICMP message.
pub(in crate::prober::batch) fn unreachable(router: IpAddr, target: IpAddr, mode: SocketMode, echo: &[u8]) -> Vec<u8> {
    error(router, target, mode, echo, if router.is_ipv4() { (3, 0, 0) } else { (1, 0, 0) })
}

/// The error of a router, which says that a packet to `target` is too big for a link with this MTU.
pub(in crate::prober::batch) fn too_big(
    router: IpAddr,
    target: IpAddr,
    mode: SocketMode,
    echo: &[u8],
    next_mtu: u32,
) -> Vec<u8> {
    error(router, target, mode, echo, if router.is_ipv4() { (3, 4, next_mtu) } else { (2, 0, next_mtu) })
}

/// An error with this type, code and word after the checksum.
fn error(router: IpAddr, target: IpAddr, mode: SocketMode, echo: &[u8], (kind, code, word): (u8, u8, u32)) -> Vec<u8> {
    let source = if target.is_ipv4() { ip("192.0.2.99") } else { ip("2001:db8::99") };
    let rest = [&word.to_be_bytes()[..], &with_header(source, target, echo)].concat();
    delivered(router, mode, icmp(IpVersion::from(router), kind, code, &rest))
}

/// Every combination of IP version and mode, with the addresses of a host and a router.
pub(in crate::prober::batch) fn sockets() -> impl Iterator<Item = (IpAddr, IpAddr, SocketMode)> {
    HOSTS.into_iter().flat_map(|(host, router)| MODES.map(|mode| (ip(host), ip(router), mode)))
}

#[test]
fn an_echo_has_a_correct_checksum_and_the_size_of_ping() {
    for version in [IpVersion::V4, IpVersion::V6] {
        let packet = encode(version, 0xbeef, 7, &PAYLOAD);
        assert_eq!((packet.len(), checksum(&packet)), (64, 0));
        let quoted = decode_quoted(ip(HOSTS[version as usize].0), &packet).unwrap();
        assert_eq!((quoted.identifier, quoted.sequence, quoted.payload), (0xbeef, 7, &PAYLOAD[..]));
    }
}

#[test]
fn replies_and_errors_are_decoded_on_every_kind_of_socket() {
    for (host, router, mode) in sockets() {
        let echo = encode(host.into(), 0xbeef, 7, &PAYLOAD);
        let id = EchoId { target: host, identifier: 0xbeef, sequence: 7, payload: &PAYLOAD };
        let packet = reply(host, mode, &echo, &PAYLOAD);
        assert_eq!(decode(host, mode, &packet), Some(Message::Reply(id)), "{host} {mode}");
        let packet = unreachable(router, host, mode, &echo);
        let error = ErrorReport { failure: ProbeFailure::Unreachable, next_mtu: None };
        assert_eq!(decode(router, mode, &packet), Some(Message::Error(error, id)), "{host} {mode}");
        // RFC 792 requires only the first eight bytes.
        let packet = unreachable(router, host, mode, &echo[..8]);
        let short = EchoId { payload: &[], ..id };
        assert_eq!(decode(router, mode, &packet), Some(Message::Error(error, short)));
    }
}

#[test]
fn an_error_about_a_packet_that_is_too_big_may_state_the_mtu_of_the_next_link() {
    for (host, router, mode) in sockets() {
        let echo = encode_sized(host.into(), 0xbeef, 7, &[0xa5; 1_372]);
        for (stated, expected) in [(1_300, Some(1_300)), (0, None)] {
            let packet = too_big(router, host, mode, &echo[..200], stated);
            let Some(Message::Error(error, id)) = decode(router, mode, &packet) else { panic!("{host} {mode}") };
            assert_eq!(error, ErrorReport { failure: ProbeFailure::TooBig, next_mtu: expected }, "{host} {mode}");
            assert_eq!((id.target, id.sequence, id.payload.len()), (host, 7, 192), "{host} {mode}");
        }
    }
}

#[test]
fn errors_about_other_packets_are_ignored() {
    for (host, router, mode) in sockets() {
        let echo = encode(host.into(), 0xbeef, 7, &PAYLOAD);
        let mut quoted_reply = echo;
        quoted_reply[0] = reply_type(host.into());
        assert_eq!(decode(router, mode, &unreachable(router, host, mode, &quoted_reply)), None);
        let mut datagram = unreachable(router, host, mode, &echo);
        // The protocol of the quoted packet becomes UDP.
        let header = if mode == SocketMode::Raw && host.is_ipv4() { 28 } else { 8 };
        let (protocol, checksum_at) = if host.is_ipv4() { (header + 9, header - 6) } else { (header + 6, 2) };
        datagram[protocol] = 17;
        // Lowers the sum by 1 - 17 in the low byte of a word.
        let old = u16::from_be_bytes([datagram[checksum_at], datagram[checksum_at + 1]]);
        let fixed = if old >= 16 { old - 16 } else { old.wrapping_sub(17) };
        datagram[checksum_at..checksum_at + 2].copy_from_slice(&fixed.to_be_bytes());
        assert_eq!(decode(router, mode, &datagram), None, "{host} {mode}");
    }
}

#[test]
fn a_damaged_packet_on_a_raw_socket_is_ignored() {
    let host = ip("192.0.2.1");
    let echo = encode(IpVersion::V4, 0xbeef, 7, &PAYLOAD);
    let good = reply(host, SocketMode::Raw, &echo, &PAYLOAD);
    for byte in 20..good.len() {
        for bit in 0..8 {
            let mut damaged = good.clone();
            damaged[byte] ^= 1 << bit;
            assert_eq!(decode(host, SocketMode::Raw, &damaged), None, "byte {byte}, bit {bit}");
        }
    }
}

#[test]
fn the_checksum_of_odd_data_is_that_of_rfc_1071() {
    assert_eq!(checksum(&[]), 0xffff);
    assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    assert_eq!(checksum(&[0x01]), !0x0100);
}

proptest! {
    #[test]
    fn any_bytes_are_accepted(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        for (host, _, mode) in sockets() {
            let _ = decode(host, mode, &data);
            let _ = decode_quoted(host, &data);
        }
    }

    /// A packet that was cut anywhere is not taken for a whole one.
    #[test]
    fn a_cut_reply_is_shorter_or_ignored(keep in 0..92_usize) {
        for (host, _, mode) in sockets() {
            let echo = encode(host.into(), 0xbeef, 7, &PAYLOAD);
            let mut packet = reply(host, mode, &echo, &PAYLOAD);
            prop_assume!(keep < packet.len());
            packet.truncate(keep);
            if let Some(Message::Reply(id)) = decode(host, mode, &packet) {
                prop_assert!(id.payload.len() < PAYLOAD_SIZE);
            }
        }
    }
}
