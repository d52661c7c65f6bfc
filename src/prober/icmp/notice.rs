//! What the log says about a socket: one line when it opens, one when it does not, with what to do about it.

use std::{fmt, io};

use super::judge;
use crate::domain::probe::{Binding, IpVersion, SocketMode};

pub(super) fn opened(version: IpVersion, mode: SocketMode, binding: &Binding) -> String {
    format!("ICMPv{version} socket is open: {mode}{}", Through(binding))
}

pub(super) fn refused(version: IpVersion, binding: &Binding, error: &io::Error) -> String {
    let mode = binding.mode;
    format!("cannot open an ICMPv{version} socket ({mode}){}: {}; {}", Through(binding), Plain(error), remedy(error))
}

/// What a socket is tied to.
struct Through<'a>(&'a Binding);

impl fmt::Display for Through<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = self.0.source {
            write!(f, " from {source}")?;
        }
        if let Some(interface) = &self.0.interface {
            write!(f, " through `{interface}`")?;
        }
        Ok(())
    }
}

/// The library answers a refusal with several lines of advice; ours is one line.
struct Plain<'a>(&'a io::Error);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if judge::is_forbidden(self.0) { f.write_str("permission denied") } else { self.0.fmt(f) }
    }
}

/// What an operator can do about a socket that does not open.
fn remedy(error: &io::Error) -> &'static str {
    if judge::is_forbidden(error) {
        "allow it in one of three ways: sysctl net.ipv4.ping_group_range=\"0 2147483647\" (unprivileged datagram sockets), \
         AmbientCapabilities=CAP_NET_RAW in the systemd unit, or setcap cap_net_raw+ep on the program"
    } else {
        "it is tried again every 5 seconds"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: Binding = Binding { mode: SocketMode::Auto, source: None, interface: None };

    #[test]
    fn a_missing_permission_is_one_line_with_three_remedies() {
        let advice = io::Error::new(io::ErrorKind::PermissionDenied, "Permission denied ...\n1. ...\n2. ...");
        let text = refused(IpVersion::V4, &BINDING, &advice);
        for part in ["ICMPv4", "ping_group_range", "AmbientCapabilities=CAP_NET_RAW", "setcap cap_net_raw+ep"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn the_binding_is_named() {
        let binding = Binding { source: "192.0.2.1".parse().ok(), interface: Some("gre1".into()), ..BINDING };
        let text = refused(IpVersion::V4, &binding, &io::Error::from_raw_os_error(19));
        assert!(text.contains("from 192.0.2.1 through `gre1`: No such device"), "{text}");
        assert_eq!(opened(IpVersion::V6, SocketMode::Dgram, &BINDING), "ICMPv6 socket is open: dgram");
    }
}
