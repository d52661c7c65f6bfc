//! Messages about sockets: one line when a socket is opened, and one with a remedy when it cannot be opened.

use std::{fmt, io};

use super::meaning;
use crate::domain::probe::{Binding, IpVersion, SocketMode};

/// How to permit ICMP sockets.
const PERMISSION_REMEDY: &str = "permit it in one of three ways: sysctl net.ipv4.ping_group_range=\"0 2147483647\" \
    (unprivileged datagram sockets), AmbientCapabilities=CAP_NET_RAW in the systemd unit, \
    or setcap cap_net_raw+ep on the program";

pub(super) fn describe_open(version: IpVersion, mode: SocketMode, binding: &Binding) -> String {
    format!("ICMPv{version} socket is open: {mode}{}", BindingText(binding))
}

/// Why a socket cannot be opened.
#[derive(Debug)]
pub struct SocketFailure {
    pub message: String,
    /// What the operator can do about it.
    pub remedy: &'static str,
    /// Whether the kernel does not support the IP version at all.
    pub is_unsupported: bool,
}

impl SocketFailure {
    pub(super) fn new(version: IpVersion, binding: &Binding, error: &io::Error) -> Self {
        let is_unsupported = meaning::is_unsupported(error);
        let remedy = match () {
            () if meaning::is_forbidden(error) => PERMISSION_REMEDY,
            () if is_unsupported => "addresses of this IP version are not probed",
            () => "check `--probe.source`, `--probe.interface` and the overrides; the prober retries every 5 seconds",
        };
        // The library adds several lines of advice to a permission error.
        let reason = if meaning::is_forbidden(error) { "permission denied".to_owned() } else { error.to_string() };
        let message =
            format!("cannot open an ICMPv{version} socket ({}){}: {reason}", binding.mode, BindingText(binding));
        Self { message, remedy, is_unsupported }
    }
}

/// The source, the interface and the class of service of a binding, as text.
struct BindingText<'a>(&'a Binding);

impl fmt::Display for BindingText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = self.0.source {
            write!(f, " from {source}")?;
        }
        if let Some(interface) = &self.0.interface {
            write!(f, " through `{interface}`")?;
        }
        if self.0.dscp > 0 {
            write!(f, " with DSCP {}", self.0.dscp)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    const BINDING: Binding = Binding { mode: SocketMode::Auto, source: None, interface: None, dscp: 0 };

    #[test]
    fn a_missing_permission_is_one_line_with_three_remedies() {
        let advice = io::Error::new(io::ErrorKind::PermissionDenied, "Permission denied ...\n1. ...\n2. ...");
        let failure = SocketFailure::new(IpVersion::V4, &BINDING, &advice);
        let text = format!("{}; {}", failure.message, failure.remedy);
        for part in ["ICMPv4", "ping_group_range", "AmbientCapabilities=CAP_NET_RAW", "setcap cap_net_raw+ep"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn every_failure_has_a_remedy() {
        let table = [
            (Errno::PERM, "permission denied", "setcap cap_net_raw+ep", false),
            (Errno::ACCESS, "permission denied", "ping_group_range", false),
            (Errno::NODEV, "No such device", "--probe.interface", false),
            (Errno::ADDRNOTAVAIL, "assign requested address", "--probe.source", false),
            (Errno::AFNOSUPPORT, "not supported", "are not probed", true),
        ];
        for (errno, reason, remedy, is_unsupported) in table {
            let failure = SocketFailure::new(IpVersion::V6, &BINDING, &errno.into());
            assert!(failure.message.starts_with("cannot open an ICMPv6 socket (auto): "), "{failure:?}");
            assert!(failure.message.contains(reason) && failure.remedy.contains(remedy), "{failure:?}");
            assert_eq!(failure.is_unsupported, is_unsupported, "{failure:?}");
        }
    }

    #[test]
    fn the_binding_is_named() {
        let binding = Binding { source: "192.0.2.1".parse().ok(), interface: Some("gre1".into()), ..BINDING };
        let text = SocketFailure::new(IpVersion::V4, &binding, &Errno::NODEV.into()).message;
        assert!(text.contains("from 192.0.2.1 through `gre1`: No such device"), "{text}");
        assert_eq!(describe_open(IpVersion::V6, SocketMode::Dgram, &BINDING), "ICMPv6 socket is open: dgram");
    }
}
