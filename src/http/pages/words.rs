//! What the closed lists are called when people read them, and what they mean.

use crate::{
    domain::{
        bgp::BgpState,
        probe::ProbeTarget,
        tunnel::TunnelType,
        verdict::{Side, Verdict},
    },
    snapshot::concern::Concern,
};

pub(super) const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => "Healthy",
        Verdict::BgpFault => "BGP fault",
        Verdict::TunnelFault => "Tunnel fault",
        Verdict::Unreachable => "Unreachable",
        Verdict::PathMismatch => "Path mismatch",
        Verdict::ReportedDown => "Reported down",
        Verdict::Unknown => "Unknown",
        Verdict::ProberIsolated => "Prober isolated",
    }
}

/// Whose part is at fault, where one is.
pub(super) const fn culprit(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Healthy => None,
        Verdict::BgpFault => Some("the BGP session"),
        Verdict::TunnelFault => Some("the tunnel"),
        Verdict::Unreachable => Some("circuit, router or power"),
        Verdict::PathMismatch => Some("the path, or a young outage"),
        Verdict::ReportedDown => Some("the BGP session, as reported"),
        Verdict::Unknown => Some("nothing reported or observed"),
        Verdict::ProberIsolated => Some("this prober, not the tunnel"),
    }
}

/// What a verdict says, in full.
pub(super) const fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => {
            "Traffic passes, or Cloudflare reports the session up and nothing seen from here speaks against it."
        }
        Verdict::BgpFault => "The tunnel carries traffic, but the BGP session does not come up.",
        Verdict::TunnelFault => {
            "The underlay is there: the address outside the tunnel answers. The tunnel itself carries nothing."
        }
        Verdict::Unreachable => {
            "Nothing answers, inside the tunnel or outside of it, and Cloudflare does not report the session up."
        }
        Verdict::PathMismatch => {
            "Cloudflare reports the session up, but nothing passes from here. While young this is the early warning of an outage: \
             BGP notices only after its hold time of 90 s. When it stays, the status is stale, ICMP is filtered, or the path is asymmetric."
        }
        Verdict::ReportedDown => "Cloudflare reports the session down. Nothing was observed from here that says more.",
        Verdict::Unknown => "Cloudflare reports no session, and no address of the tunnel has answered from here.",
        Verdict::ProberIsolated => {
            "This prober reaches none of its targets while Cloudflare reports sessions up: the fault is on this side. \
             Look at the machine and the network it runs in."
        }
    }
}

/// The heading of the runbook for it.
pub(super) const fn runbook(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::BgpFault | Verdict::ReportedDown => Some("MagicTunnelBgpDown"),
        Verdict::TunnelFault => Some("MagicTunnelFault"),
        Verdict::Unreachable => Some("MagicTunnelUnreachable"),
        Verdict::PathMismatch => Some("MagicTunnelPathMismatch"),
        Verdict::ProberIsolated => Some("MagicTunnelProberIsolated"),
        Verdict::Healthy | Verdict::Unknown => None,
    }
}

pub(super) const fn session(state: BgpState) -> &'static str {
    match state {
        BgpState::Up => "Up",
        BgpState::Establishing => "Establishing",
        BgpState::Down => "Down",
        BgpState::Unknown => "Not known here",
    }
}

pub(super) const fn concern_of_session(state: BgpState) -> Concern {
    match state {
        BgpState::Up => Concern::Fine,
        BgpState::Establishing => Concern::Suspect,
        BgpState::Down => Concern::Broken,
        BgpState::Unknown => Concern::Unsure,
    }
}

pub(super) const fn side(side: Side) -> (&'static str, Concern) {
    match side {
        Side::Answers => ("Answers", Concern::Fine),
        Side::Silent => ("Silent", Concern::Broken),
        Side::Unsettled => ("Not known", Concern::Unsure),
    }
}

pub(super) const fn tunnel_type(tunnel_type: TunnelType) -> &'static str {
    match tunnel_type {
        TunnelType::Ipsec => "IPsec",
        TunnelType::Gre => "GRE",
    }
}

pub(super) const fn target(target: ProbeTarget) -> &'static str {
    match target {
        ProbeTarget::CustomerEndpoint => "Customer endpoint",
        ProbeTarget::InterfaceAddress => "Interface address",
        ProbeTarget::InterfaceAddress6 => "Interface address (IPv6)",
        ProbeTarget::InterfacePeer => "Interface peer",
        ProbeTarget::InterfacePeer6 => "Interface peer (IPv6)",
        ProbeTarget::HealthCheckTarget => "Health check target",
        ProbeTarget::ExtraAddress => "Extra address",
        ProbeTarget::ExtraAddress6 => "Extra address (IPv6)",
    }
}
