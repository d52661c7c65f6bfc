//! Probing: the targets of a tunnel, the vantage point, and the outcomes of an echo.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use super::label::label_enum;

label_enum! {
    /// Address of a tunnel that is probed.
    pub enum ProbeTarget {
        /// The customer's end of the encapsulation, outside the tunnel.
        CustomerEndpoint => "customer_endpoint",
        /// Cloudflare's side of the IPv4 prefix inside the tunnel.
        InterfaceAddress => "interface_address",
        /// Cloudflare's side of the IPv6 prefix inside the tunnel.
        InterfaceAddress6 => "interface_address6",
        /// The customer's side of the IPv4 prefix.
        InterfacePeer => "interface_peer",
        /// The customer's side of the IPv6 prefix.
        InterfacePeer6 => "interface_peer6",
        /// The address that Cloudflare's own health check uses (`health_check.target.effective`).
        HealthCheckTarget => "health_check_target",
        /// An IPv4 host configured for this tunnel.
        ExtraAddress => "extra_address",
        /// An IPv6 host configured for this tunnel.
        ExtraAddress6 => "extra_address6",
    }
}

impl ProbeTarget {
    /// Returns whether the address comes from the configuration instead of the API.
    pub const fn is_extra(self) -> bool {
        matches!(self, Self::ExtraAddress | Self::ExtraAddress6)
    }
}

label_enum! {
    /// Why an echo failed.
    pub enum ProbeFailure {
        /// No reply before the timeout.
        Timeout => "timeout",
        /// A router or the local routing table has no route to the address (RFC 792 type 3, RFC 4443 type 1).
        Unreachable => "unreachable",
        /// A policy on the path or the local firewall rejects the echo (RFC 1812 section 5.2.7.1 codes 9, 10, 13).
        Prohibited => "prohibited",
        /// The TTL reached zero, usually because of a routing loop (RFC 792 type 11, RFC 4443 type 3).
        TtlExceeded => "ttl_exceeded",
        /// The packet exceeds the path MTU (RFC 1191, RFC 8201).
        TooBig => "too_big",
        /// The kernel did not accept the packet, which says nothing about the path.
        NotSent => "not_sent",
    }
}

/// How an echo ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EchoOutcome {
    /// The target replied to this echo. `rtt` is never zero.
    Reply {
        rtt: Duration,
    },
    Failed(ProbeFailure),
}

label_enum! {
    /// Vantage point: the place of the prober in the network. It decides what a reply proves.
    pub enum Vantage {
        /// Behind the tunnel's own router.
        Site => "site",
        /// At another site, which reaches the tunnel through Magic WAN.
        Remote => "remote",
    }
}

impl Vantage {
    /// Returns the tunnel's own addresses that are reachable only through the tunnel.
    pub const fn through_the_tunnel(self) -> &'static [ProbeTarget] {
        match self {
            Self::Site => &[ProbeTarget::InterfaceAddress, ProbeTarget::InterfaceAddress6],
            // Cloudflare's side proves nothing here, because the nearest data center replies for it.
            Self::Remote => &[ProbeTarget::InterfacePeer, ProbeTarget::InterfacePeer6],
        }
    }

    /// Returns whether a reply of this target proves that the tunnel carries traffic. Extra addresses always do.
    pub fn proves_the_inside(self, target: ProbeTarget) -> bool {
        target.is_extra() || self.through_the_tunnel().contains(&target)
    }
}

label_enum! {
    /// What a missing reply means if the address has never replied.
    #[derive(Default)]
    pub enum Silence {
        /// Nothing, because a firewall may drop pings.
        #[default]
        AfterAnswer => "after-answer",
        /// The address is down, as if it had replied before.
        Always => "always",
    }
}

label_enum! {
    /// Why an address is not probed.
    pub enum RefusalReason {
        /// The field does not contain a valid address.
        Unparsable => "unparsable",
        /// `0.0.0.0` or `::`.
        Unspecified => "unspecified",
        /// `255.255.255.255`, or the broadcast address of the tunnel's own prefix.
        Broadcast => "broadcast",
        /// `224.0.0.0/4` or `ff00::/8`: any host may reply.
        Multicast => "multicast",
        /// `0.0.0.0/8`, `240.0.0.0/4` or an IPv4-mapped IPv6 address: never assigned to a host.
        Reserved => "reserved",
        /// `fe80::/10` without an interface to send it through.
        LinkLocal => "link_local",
        /// The network address of the tunnel's own prefix.
        NetworkAddress => "network_address",
        /// The other side is unknown, because the prefix is not a `/31`, `/30` or `/127`.
        NoPeer => "no_peer",
    }
}

label_enum! {
    /// Version of the Internet Protocol.
    pub enum IpVersion {
        V4 => "4",
        V6 => "6",
    }
}

impl From<IpAddr> for IpVersion {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

label_enum! {
    /// Type of the ICMP sockets.
    pub enum SocketMode {
        /// Datagram if the kernel permits it, otherwise raw.
        Auto => "auto",
        /// Unprivileged (`net.ipv4.ping_group_range`). The kernel chooses the identifier.
        Dgram => "dgram",
        /// Requires `CAP_NET_RAW`.
        Raw => "raw",
    }
}

label_enum! {
    /// What sends and receives the echoes.
    #[derive(Default)]
    pub enum ProbeEngine {
        /// The best engine of the operating system: `batch`.
        #[default]
        Auto => "auto",
        /// One thread that sends and receives several packets per system call. Linux only.
        Batch => "batch",
        /// The `surge-ping` client. Portable.
        Client => "client",
    }
}

/// Socket options. Sessions with the same binding share one socket per IP version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Binding {
    pub mode: SocketMode,
    /// Address to send from.
    pub source: Option<IpAddr>,
    /// Network interface to send through.
    pub interface: Option<Arc<str>>,
    /// Class of service of the packets, 0 to 63 (RFC 2474).
    pub dscp: u8,
}

/// Identity of a probe session. Tunnels that share an address and a binding share the session and its counters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    pub address: IpAddr,
    pub binding: Arc<Binding>,
}

/// An address and how it is reached. It identifies a target across restarts, because a reply proves the same whichever
/// type of socket receives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProbePath {
    pub address: IpAddr,
    /// Address to send from.
    pub source: Option<IpAddr>,
    /// Network interface to send through.
    pub interface: Option<Arc<str>>,
}

impl SessionKey {
    /// Returns the part of the key that survives a restart.
    pub fn path(&self) -> ProbePath {
        let Binding { source, interface, .. } = &*self.binding;
        ProbePath { address: self.address, source: *source, interface: interface.clone() }
    }
}

/// Debounce: the number of consecutive results that change the state of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Consecutive failures until the target is down.
    pub down_after: NonZeroU32,
    /// Consecutive replies until the target is up.
    pub up_after: NonZeroU32,
}

/// Debounced state of a probed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TargetState {
    /// `None` until enough consecutive results agree, and while the kernel does not send packets.
    pub up: Option<bool>,
    pub ever_answered: bool,
}
