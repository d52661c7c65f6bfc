//! What is probed, from where, and how one echo can end.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use super::label::label_enum;

label_enum! {
    /// Which address of a tunnel an echo goes to.
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
        /// The address that Cloudflare's own health check uses.
        HealthCheckTarget => "health_check_target",
        /// An IPv4 host that the operator named for this tunnel.
        ExtraAddress => "extra_address",
        /// An IPv6 host that the operator named for this tunnel.
        ExtraAddress6 => "extra_address6",
    }
}

impl ProbeTarget {
    /// Whether its address comes from the configuration and not from the API.
    pub const fn is_extra(self) -> bool {
        matches!(self, Self::ExtraAddress | Self::ExtraAddress6)
    }
}

label_enum! {
    /// Why an echo brought no reply.
    pub enum ProbeFailure {
        /// Nothing came back before the deadline.
        Timeout => "timeout",
        /// A router, or this machine's own routing, knows no way to the address (RFC 792 type 3, RFC 4443 type 1).
        Unreachable => "unreachable",
        /// A policy on the path, or this machine's own firewall, forbids it (RFC 1812 section 5.2.7.1 codes 9, 10, 13).
        Prohibited => "prohibited",
        /// The packet went in circles, or too far (RFC 792 type 11, RFC 4443 type 3).
        TtlExceeded => "ttl_exceeded",
        /// The packet does not fit through the path (RFC 1191, RFC 8201).
        TooBig => "too_big",
        /// The kernel did not take the packet; nothing was learned about the path.
        NotSent => "not_sent",
    }
}

/// The one end of one echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The address answered this very echo. `rtt` is never zero.
    Reply { rtt: Duration },
    /// It did not, for this reason.
    Failed(ProbeFailure),
}

label_enum! {
    /// Where the prober stands, which decides what an answer proves.
    pub enum Vantage {
        /// Behind the tunnel's own router.
        Site => "site",
        /// Somewhere else, reached over Magic WAN.
        Remote => "remote",
    }
}

impl Vantage {
    /// The addresses of the tunnel itself that answer only through it.
    pub const fn through_the_tunnel(self) -> &'static [ProbeTarget] {
        match self {
            Self::Site => &[ProbeTarget::InterfaceAddress, ProbeTarget::InterfaceAddress6],
            // Cloudflare's own side would be answered by the nearest data centre and prove nothing.
            Self::Remote => &[ProbeTarget::InterfacePeer, ProbeTarget::InterfacePeer6],
        }
    }

    /// Whether an answer of this target proves that the tunnel carries traffic. Of an extra address the operator says so.
    pub fn proves_the_inside(self, target: ProbeTarget) -> bool {
        target.is_extra() || self.through_the_tunnel().contains(&target)
    }
}

label_enum! {
    /// What the silence of an address that has never answered counts for.
    #[derive(Default)]
    pub enum Silence {
        /// Nothing: it may be filtered, or there may be no route.
        #[default]
        AfterAnswer => "after-answer",
        /// The same as the silence of one that has answered before.
        Always => "always",
    }
}

label_enum! {
    /// Why an address is not probed.
    pub enum Refusal {
        /// The text in the field is no address.
        Unparsable => "unparsable",
        /// `0.0.0.0` or `::`.
        Unspecified => "unspecified",
        /// `255.255.255.255`, or the broadcast address of the tunnel's own prefix.
        Broadcast => "broadcast",
        /// `224.0.0.0/4` or `ff00::/8`: any host might answer.
        Multicast => "multicast",
        /// `0.0.0.0/8`, `240.0.0.0/4`, or IPv4 written as IPv6: no host has it.
        Reserved => "reserved",
        /// `fe80::/10` without an interface to send it through.
        LinkLocal => "link_local",
        /// The all-zero host of the tunnel's own prefix.
        NetworkAddress => "network_address",
        /// The prefix is no `/31`, `/30` or `/127`, so nobody knows which host is the other side.
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

impl IpVersion {
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

label_enum! {
    /// Which kind of socket carries the echoes.
    pub enum SocketMode {
        /// Datagram where the kernel allows it, else raw.
        Auto => "auto",
        /// Unprivileged (`net.ipv4.ping_group_range`). The kernel chooses the identifier, and ICMP errors are not heard.
        Dgram => "dgram",
        /// Needs `CAP_NET_RAW`; hears ICMP errors.
        Raw => "raw",
    }
}

/// What a socket is tied to. Sessions with the same binding share one socket for each IP version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Binding {
    pub mode: SocketMode,
    pub source: Option<IpAddr>,
    pub interface: Option<Arc<str>>,
}

/// One probed address. Tunnels whose targets have the same key share the session and its counters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    pub address: IpAddr,
    pub binding: Arc<Binding>,
}

/// How many results in a row settle the state of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Failures in a row until it is down.
    pub down_after: NonZeroU32,
    /// Replies in a row until it is up.
    pub up_after: NonZeroU32,
}

/// The debounced state of one probed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// `None` until enough results agree, and again while the kernel does not send packets.
    pub up: Option<bool>,
    pub ever_answered: bool,
}
