//! What ICMP messages and kernel errors mean for a probe, and which messages the kernel passes to a raw socket.

use std::io;

use rustix::io::Errno;
use socket2::SockFilter;

use crate::domain::probe::{IpVersion, ProbeFailure};

/// Returns whether an ICMP type is an echo reply (RFC 792, RFC 4443 section 4.2).
pub(super) const fn is_reply(version: IpVersion, icmp_type: u8) -> bool {
    match version {
        IpVersion::V4 => icmp_type == 0,
        IpVersion::V6 => icmp_type == 129,
    }
}

/// Classifies an ICMP error that quotes an echo; `None` if the message is not an error. Sources: RFC 792 and RFC 1812
/// section 5.2.7.1 for IPv4, RFC 4443 section 3 for IPv6.
pub(super) const fn classify_message(version: IpVersion, icmp_type: u8, code: u8) -> Option<ProbeFailure> {
    match (version, icmp_type, code) {
        (IpVersion::V4, 3, 4) | (IpVersion::V6, 2, _) => Some(ProbeFailure::TooBig),
        (IpVersion::V4, 3, 9 | 10 | 13) | (IpVersion::V6, 1, 1 | 5 | 6) => Some(ProbeFailure::Prohibited),
        (IpVersion::V4, 3, _) | (IpVersion::V6, 1, _) => Some(ProbeFailure::Unreachable),
        (IpVersion::V4, 11, _) | (IpVersion::V6, 3, _) => Some(ProbeFailure::TtlExceeded),
        _ => None,
    }
}

/// Classifies a failed send.
///
/// A missing route, link or interface makes the address unreachable, as if a router had reported it. A local firewall
/// rule (`EPERM`) or a `prohibit` route (`EACCES`) is a policy on the path. Any other error is local and says nothing
/// about the tunnel.
pub(super) fn classify_send_error(error: &io::Error) -> ProbeFailure {
    match Errno::from_io_error(error) {
        Some(
            Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::NETDOWN | Errno::HOSTDOWN | Errno::NODEV | Errno::NXIO,
        ) => ProbeFailure::Unreachable,
        Some(Errno::PERM | Errno::ACCESS) => ProbeFailure::Prohibited,
        Some(Errno::MSGSIZE) => ProbeFailure::TooBig,
        _ => ProbeFailure::NotSent,
    }
}

/// Classifies a failure to open a socket. A missing permission is not a policy on the path.
pub(super) fn classify_open_error(error: &io::Error) -> ProbeFailure {
    match classify_send_error(error) {
        ProbeFailure::Unreachable => ProbeFailure::Unreachable,
        _ => ProbeFailure::NotSent,
    }
}

/// Returns whether a new socket may succeed, because the interface or the address of this one may have been removed and
/// added again.
pub(super) fn is_stale_socket(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NODEV | Errno::NXIO | Errno::BADF | Errno::INVAL | Errno::ADDRNOTAVAIL)
    )
}

/// Returns whether the socket was refused because of a missing permission.
pub(super) fn is_forbidden(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// Returns whether the kernel does not support the IP version.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT))
}

// Operations of the classic Berkeley packet filter (linux/bpf_common.h).
/// Index register = 4 * (low half of the byte at k): the length of an IPv4 header.
const LDX_IP_HEADER_LENGTH: u16 = 0xb1;
/// Accumulator = the byte at index register + k.
const LD_BYTE_INDEXED: u16 = 0x50;
/// Accumulator = the byte at k.
const LD_BYTE: u16 = 0x30;
/// Accumulator = the half-word at index register + k.
const LD_HALF_INDEXED: u16 = 0x48;
/// Accumulator = the half-word at k.
const LD_HALF: u16 = 0x28;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

const WHOLE_PACKET: u32 = u32::MAX;
const NOTHING: u32 = 0;

/// RFC 792: echo reply, destination unreachable, time exceeded.
const TYPES_V4: [u8; 3] = [0, 3, 11];
/// RFC 4443: echo reply, destination unreachable, packet too big, time exceeded.
const TYPES_V6: [u8; 4] = [129, 1, 2, 3];

/// Returns the program of a raw socket for `SO_ATTACH_FILTER`. It drops packets that are too short to have a type.
///
/// A raw ICMP socket receives every ICMP packet of the host. Most of them only cost CPU. A redirect (type 5 or 137)
/// would also end the echo that it quotes before the reply arrives.
pub(super) fn socket_filter(version: IpVersion) -> Vec<SockFilter> {
    match version {
        // The kernel passes IPv4 packets with their header and IPv6 packets without.
        IpVersion::V4 => accept_types(
            [SockFilter::new(LDX_IP_HEADER_LENGTH, 0, 0, 0), SockFilter::new(LD_BYTE_INDEXED, 0, 0, 0)],
            &TYPES_V4,
        ),
        IpVersion::V6 => accept_types([SockFilter::new(LD_BYTE, 0, 0, 0)], &TYPES_V6),
    }
}

/// The same for a socket with echoes of this identifier. It drops replies to the echoes of other sockets, because
/// reading them costs as much as on the socket that they belong to.
pub(super) fn socket_filter_for(version: IpVersion, identifier: u16) -> Vec<SockFilter> {
    let (load_type, load_identifier, reply) = match version {
        IpVersion::V4 => (LD_BYTE_INDEXED, LD_HALF_INDEXED, TYPES_V4[0]),
        IpVersion::V6 => (LD_BYTE, LD_HALF, TYPES_V6[0]),
    };
    let start = (version == IpVersion::V4).then(|| SockFilter::new(LDX_IP_HEADER_LENGTH, 0, 0, 0));
    let replies = [
        SockFilter::new(load_type, 0, 0, 0),
        // Other types continue with the usual filter.
        SockFilter::new(JUMP_IF_EQUAL, 0, 3, reply.into()),
        SockFilter::new(load_identifier, 0, 0, 4),
        SockFilter::new(JUMP_IF_EQUAL, 1, 0, identifier.into()),
        SockFilter::new(RETURN, 0, 0, NOTHING),
    ];
    start.into_iter().chain(replies).chain(socket_filter(version)).collect()
}

fn accept_types(load_type: impl IntoIterator<Item = SockFilter>, types: &[u8]) -> Vec<SockFilter> {
    let mut program: Vec<_> = load_type.into_iter().collect();
    let mut to_accept = u8::try_from(types.len()).unwrap_or(u8::MAX);
    for &icmp_type in types {
        // Jumps over the remaining comparisons and the rejection.
        program.push(SockFilter::new(JUMP_IF_EQUAL, to_accept, 0, u32::from(icmp_type)));
        to_accept -= 1;
    }
    program.push(SockFilter::new(RETURN, 0, 0, NOTHING));
    program.push(SockFilter::new(RETURN, 0, 0, WHOLE_PACKET));
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProbeFailure::{NotSent, Prohibited, TooBig, TtlExceeded, Unreachable};

    #[test]
    fn every_icmpv4_message_is_classified() {
        for icmp_type in 0..=u8::MAX {
            for code in 0..=u8::MAX {
                let expected = match icmp_type {
                    3 if code == 4 => Some(TooBig),
                    3 if [9, 10, 13].contains(&code) => Some(Prohibited),
                    3 => Some(Unreachable),
                    11 => Some(TtlExceeded),
                    _ => None,
                };
                assert_eq!(classify_message(IpVersion::V4, icmp_type, code), expected, "type {icmp_type} code {code}");
            }
        }
        assert_eq!(classify_message(IpVersion::V4, 5, 1), None, "a redirect is not an error");
    }

    #[test]
    fn icmpv6_messages_are_classified() {
        for (icmp_type, code, expected) in [
            (1, 0, Some(Unreachable)),
            (1, 1, Some(Prohibited)),
            (1, 2, Some(Unreachable)),
            (1, 3, Some(Unreachable)),
            (1, 4, Some(Unreachable)),
            (1, 5, Some(Prohibited)),
            (1, 6, Some(Prohibited)),
            (2, 0, Some(TooBig)),
            (3, 0, Some(TtlExceeded)),
            (3, 1, Some(TtlExceeded)),
            (4, 0, None),
            (128, 0, None),
            (129, 0, None),
            (137, 0, None),
        ] {
            assert_eq!(classify_message(IpVersion::V6, icmp_type, code), expected, "type {icmp_type} code {code}");
        }
    }

    #[test]
    fn a_failed_send_is_classified_by_its_errno() {
        for (errno, send, open, stale) in [
            (Errno::NETUNREACH, Unreachable, Unreachable, false),
            (Errno::HOSTUNREACH, Unreachable, Unreachable, false),
            (Errno::NETDOWN, Unreachable, Unreachable, false),
            (Errno::HOSTDOWN, Unreachable, Unreachable, false),
            (Errno::NODEV, Unreachable, Unreachable, true),
            (Errno::NXIO, Unreachable, Unreachable, true),
            (Errno::PERM, Prohibited, NotSent, false),
            (Errno::ACCESS, Prohibited, NotSent, false),
            (Errno::MSGSIZE, TooBig, NotSent, false),
            (Errno::NOBUFS, NotSent, NotSent, false),
            (Errno::NOMEM, NotSent, NotSent, false),
            (Errno::AGAIN, NotSent, NotSent, false),
            (Errno::INVAL, NotSent, NotSent, true),
            (Errno::ADDRNOTAVAIL, NotSent, NotSent, true),
            (Errno::BADF, NotSent, NotSent, true),
        ] {
            let error = io::Error::from(errno);
            assert_eq!(classify_send_error(&error), send, "{error}");
            assert_eq!(classify_open_error(&error), open, "{error}");
            assert_eq!(is_stale_socket(&error), stale, "{error}");
        }
        assert_eq!(classify_send_error(&io::Error::other("no errno")), NotSent);
    }
}
