//! What ICMP messages, and errors of the kernel, say about a path.

use std::io;

use rustix::io::Errno;

use crate::domain::probe::ProbeFailure;

/// What an ICMP error that quotes our echo says (IPv4: RFC 792, RFC 1812 section 5.2.7.1); `None` for a message that is no error.
pub(super) const fn error_v4(kind: u8, code: u8) -> Option<ProbeFailure> {
    match (kind, code) {
        (3, 4) => Some(ProbeFailure::TooBig),
        (3, 9 | 10 | 13) => Some(ProbeFailure::Prohibited),
        (3, _) => Some(ProbeFailure::Unreachable),
        (11, _) => Some(ProbeFailure::TtlExceeded),
        _ => None,
    }
}

/// The same for IPv6 (RFC 4443 section 3). Codes 5 and 6 of type 1 are policies, too.
pub(super) const fn error_v6(kind: u8, code: u8) -> Option<ProbeFailure> {
    match (kind, code) {
        (1, 1 | 5 | 6) => Some(ProbeFailure::Prohibited),
        (1, _) => Some(ProbeFailure::Unreachable),
        (2, _) => Some(ProbeFailure::TooBig),
        (3, _) => Some(ProbeFailure::TtlExceeded),
        _ => None,
    }
}

/// What a refused send says.
///
/// Where the kernel knows no way (no route, link down, interface gone), the address is as unreachable as if a router had said
/// so. A firewall rule (EPERM) or a `prohibit` route (EACCES) of this machine is a policy on the path. Whatever else
/// (ENOBUFS, ENOMEM, EINVAL, EADDRNOTAVAIL, ...) is this machine's own trouble and says nothing about the tunnel.
pub(super) fn send_error(error: &io::Error) -> ProbeFailure {
    match Errno::from_io_error(error) {
        Some(
            Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::NETDOWN | Errno::HOSTDOWN | Errno::NODEV | Errno::NXIO,
        ) => ProbeFailure::Unreachable,
        Some(Errno::PERM | Errno::ACCESS) => ProbeFailure::Prohibited,
        Some(Errno::MSGSIZE) => ProbeFailure::TooBig,
        _ => ProbeFailure::NotSent,
    }
}

/// What it says about the address when the socket cannot even be opened. A missing permission is no policy on the path.
pub(super) fn open_error(error: &io::Error) -> ProbeFailure {
    match send_error(error) {
        ProbeFailure::Unreachable => ProbeFailure::Unreachable,
        _ => ProbeFailure::NotSent,
    }
}

/// Whether a new socket may succeed where this one fails: it may be bound to an interface or an address that went and came
/// back as another one.
pub(super) fn is_stale_socket(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NODEV | Errno::NXIO | Errno::BADF | Errno::INVAL | Errno::ADDRNOTAVAIL)
    )
}

/// Whether the kernel refused the socket for want of a permission.
pub(super) fn is_forbidden(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// Whether the kernel does not know this version of the protocol.
pub(super) fn is_unknown(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProbeFailure::{NotSent, Prohibited, TooBig, TtlExceeded, Unreachable};

    #[test]
    fn every_icmpv4_message_is_an_error_with_a_reason_or_none() {
        for kind in 0..=u8::MAX {
            for code in 0..=u8::MAX {
                let expected = match kind {
                    3 if code == 4 => Some(TooBig),
                    3 if [9, 10, 13].contains(&code) => Some(Prohibited),
                    3 => Some(Unreachable),
                    11 => Some(TtlExceeded),
                    _ => None,
                };
                assert_eq!(error_v4(kind, code), expected, "type {kind} code {code}");
            }
        }
        assert_eq!(error_v4(5, 1), None, "a redirect is no failure");
    }

    #[test]
    fn every_icmpv6_message_is_an_error_with_a_reason_or_none() {
        for (kind, code, expected) in [
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
            assert_eq!(error_v6(kind, code), expected, "type {kind} code {code}");
        }
    }

    #[test]
    fn a_refused_send_is_judged_by_what_it_says_about_the_path() {
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
            assert_eq!(send_error(&error), send, "{error}");
            assert_eq!(open_error(&error), open, "{error}");
            assert_eq!(is_stale_socket(&error), stale, "{error}");
        }
        assert_eq!(send_error(&io::Error::other("no number")), NotSent);
    }
}
