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

/// Why a socket cannot be opened, for somebody who only asks.
#[derive(Debug)]
pub struct Refused {
    pub sentence: String,
    pub mend: &'static str,
    /// The kernel does not speak this version of the protocol, and so nobody can miss it.
    pub is_unknown: bool,
}

impl Refused {
    pub(super) fn new(version: IpVersion, binding: &Binding, error: &io::Error) -> Self {
        let is_unknown = judge::is_unknown(error);
        let mend = match () {
            () if judge::is_forbidden(error) => remedy(error),
            () if is_unknown => "addresses of this version are not probed",
            () => "check `--probe.source`, `--probe.interface` and the overrides of tunnels",
        };
        let sentence =
            format!("cannot open an ICMPv{version} socket ({}){}: {}", binding.mode, Through(binding), Plain(error));
        Self { sentence, mend, is_unknown }
    }
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
    use rustix::io::Errno;

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
    fn who_only_asks_is_told_what_would_mend_it() {
        let table = [
            (Errno::PERM, "permission denied", "setcap cap_net_raw+ep", false),
            (Errno::ACCESS, "permission denied", "ping_group_range", false),
            (Errno::NODEV, "No such device", "--probe.interface", false),
            (Errno::ADDRNOTAVAIL, "assign requested address", "--probe.source", false),
            (Errno::AFNOSUPPORT, "not supported", "are not probed", true),
        ];
        for (errno, why, mend, is_unknown) in table {
            let refused = Refused::new(IpVersion::V6, &BINDING, &errno.into());
            assert!(refused.sentence.starts_with("cannot open an ICMPv6 socket (auto): "), "{refused:?}");
            assert!(refused.sentence.contains(why) && refused.mend.contains(mend), "{refused:?}");
            assert_eq!(refused.is_unknown, is_unknown, "{refused:?}");
        }
    }

    #[test]
    fn the_binding_is_named() {
        let binding = Binding { source: "192.0.2.1".parse().ok(), interface: Some("gre1".into()), ..BINDING };
        let text = refused(IpVersion::V4, &binding, &Errno::NODEV.into());
        assert!(text.contains("from 192.0.2.1 through `gre1`: No such device"), "{text}");
        assert_eq!(opened(IpVersion::V6, SocketMode::Dgram, &BINDING), "ICMPv6 socket is open: dgram");
    }
}
