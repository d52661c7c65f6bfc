//! Names and explanations of the values of closed lists, and coloured badges with them.

use maud::{Markup, html};
use web_toolkit::text::shown;

use super::format::join_with_dots;
use crate::{
    domain::{
        edge::HealthState,
        label::Label as _,
        probe::{ProbeTarget, Silence, TargetState},
        tunnel::{BgpState, FsmState, TunnelType},
        verdict::{Side, Verdict},
    },
    snapshot::{Row, rows::Concern},
};

/// A coloured word.
pub(super) fn badge(concern: Concern, word: &str) -> Markup {
    html! { span class={ "badge " (concern) } { (word) } }
}

pub(super) fn verdict_badge(verdict: Verdict) -> Markup {
    badge(Concern::of(verdict), verdict_name(verdict))
}

/// The BGP session as Cloudflare reports it, unless the report is stale.
pub(super) fn session_state(row: &Row<'_>) -> Markup {
    let Some(status) = row.status() else { return missing_session(row) };
    let (state, concern) = (session_name(status.state), session_concern(status.state));
    let fsm = (status.fsm != FsmState::None).then(|| status.fsm.as_str());
    let tcp = status.tcp_established.map(|up| if up { "TCP up" } else { "no TCP" });
    html! {
        span class={ "state " (concern) } { (state) }
        small { (join_with_dots(fsm.into_iter().chain(tcp))) }
    }
}

fn missing_session(row: &Row<'_>) -> Markup {
    let (word, detail) = match (row.fresh, &row.tunnel().bgp_status, &row.tunnel().bgp) {
        (false, ..) => ("Unknown", "the report is stale"),
        (true, None, Some(_)) => ("Not reported", "BGP is configured"),
        (true, ..) => ("None", "no BGP configured"),
    };
    html! { span class="state unsure" { (word) } small { (detail) } }
}

/// The state of the tunnel in the health checks of Cloudflare's edge.
pub(super) fn edge_state(row: &Row<'_>) -> (&'static str, Concern) {
    match row.edge_health().map(|(health, _)| health.state) {
        Some(Some(HealthState::Healthy)) => ("Healthy", Concern::Fine),
        Some(Some(HealthState::Degraded)) => ("Degraded", Concern::Suspect),
        Some(Some(HealthState::Down)) => ("Down", Concern::Broken),
        Some(None) => ("Too few checks", Concern::Unsure),
        None => ("No data", Concern::Unsure),
    }
}

/// Whether an address answers.
pub(super) fn standing_badge(standing: TargetState, silence: Silence) -> Markup {
    match (standing.up, standing.ever_answered) {
        (Some(true), _) => badge(Concern::Fine, "Answers"),
        (Some(false), true) => badge(Concern::Broken, "Silent"),
        (Some(false), false) if silence == Silence::Always => badge(Concern::Broken, "Never answered"),
        (Some(false), false) => badge(Concern::Unsure, "Never answered"),
        (None, _) => badge(Concern::Unsure, "Not settled"),
    }
}

pub(super) const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => "Healthy",
        Verdict::BgpFault => "BGP fault",
        Verdict::TunnelFault => "Tunnel fault",
        Verdict::Unreachable => "Unreachable",
        Verdict::PathMismatch => "Path mismatch",
        Verdict::ReportedDown => "Reported down",
        Verdict::Unknown => "Unknown",
        Verdict::ProberIsolated => "Prober isolated",
        Verdict::CheckFault => "Check fault",
    }
}

/// The failed layer, if any.
pub(super) const fn failed_layer(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Healthy => None,
        Verdict::BgpFault => Some("the BGP session"),
        Verdict::TunnelFault => Some("the tunnel"),
        Verdict::Unreachable => Some("circuit, router or power"),
        Verdict::PathMismatch => Some("the path, or a recent outage"),
        Verdict::ReportedDown => Some("the BGP session, as reported"),
        Verdict::Unknown => Some("nothing reported or observed"),
        Verdict::ProberIsolated => Some("this prober, not the tunnel"),
        Verdict::CheckFault => Some("Cloudflare's health checks, not the tunnel"),
    }
}

/// What a verdict means, in full.
pub(super) const fn verdict_meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => {
            "The tunnel carries traffic, or Cloudflare reports the BGP session or the tunnel up and no probe contradicts it."
        }
        Verdict::BgpFault => "The tunnel carries traffic, but the BGP session is not up.",
        Verdict::TunnelFault => {
            "The underlay works: the address outside the tunnel answers. The tunnel itself carries no traffic."
        }
        Verdict::Unreachable => {
            "No address answers, inside or outside the tunnel, and Cloudflare does not report the BGP session or the tunnel up."
        }
        Verdict::PathMismatch => {
            "Cloudflare reports the BGP session or the tunnel up, but no probe passes. In the first minutes this is the early \
             warning of an outage, because BGP detects it only after the hold time of 90 s. If it persists, the \
             reported status is stale, ICMP is filtered, or the path is asymmetric."
        }
        Verdict::ReportedDown => {
            "Cloudflare reports the BGP session or the tunnel down. The probes give no further information."
        }
        Verdict::Unknown => "Cloudflare reports no BGP session, and no address of the tunnel has answered a probe.",
        Verdict::ProberIsolated => {
            "This prober reaches none of its targets, but Cloudflare reports sessions or tunnels up: the fault is on this \
             side. Check this machine and its network."
        }
        Verdict::CheckFault => {
            "The tunnel carries traffic, but the health checks of Cloudflare's edge fail. Cloudflare lowers the priority \
             of the routes through this tunnel, so that traffic leaves it."
        }
    }
}

/// The heading of the runbook for a verdict.
pub(super) const fn runbook_heading(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::BgpFault | Verdict::ReportedDown => Some("MagicTunnelBgpDown"),
        Verdict::TunnelFault => Some("MagicTunnelFault"),
        Verdict::Unreachable => Some("MagicTunnelUnreachable"),
        Verdict::PathMismatch => Some("MagicTunnelPathMismatch"),
        Verdict::ProberIsolated => Some("MagicTunnelProberIsolated"),
        Verdict::CheckFault => Some("MagicTunnelCheckFault"),
        Verdict::Healthy | Verdict::Unknown => None,
    }
}

pub(super) const fn session_name(state: BgpState) -> &'static str {
    match state {
        BgpState::Up => "Up",
        BgpState::Establishing => "Establishing",
        BgpState::Down => "Down",
        BgpState::Unknown => "Unknown value",
    }
}

pub(super) const fn session_concern(state: BgpState) -> Concern {
    match state {
        BgpState::Up => Concern::Fine,
        BgpState::Establishing => Concern::Suspect,
        BgpState::Down => Concern::Broken,
        BgpState::Unknown => Concern::Unsure,
    }
}

pub(super) const fn side_name(side: Side) -> (&'static str, Concern) {
    match side {
        Side::Answers => ("Answers", Concern::Fine),
        Side::Silent => ("Silent", Concern::Broken),
        Side::Unsettled => ("Unknown", Concern::Unsure),
    }
}

pub(super) const fn type_name(tunnel_type: TunnelType) -> &'static str {
    match tunnel_type {
        TunnelType::Ipsec => "IPsec",
        TunnelType::Gre => "GRE",
        TunnelType::Interconnect => "Interconnect",
    }
}

pub(super) const fn target_name(target: ProbeTarget) -> &'static str {
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

/// What a tunnel is: its type, account, site and description. The site is left out if the description contains it.
pub(super) fn describe_tunnel(row: &Row<'_>, with_account: bool) -> String {
    let description = shown(&row.tunnel().description);
    let account = with_account.then(|| shown(row.account.as_str()));
    let site = row.site().map(|site| shown(site)).filter(|site| !description.contains(&**site));
    let kind = type_name(row.tunnel().tunnel_type());
    let parts = [Some(kind), account.as_deref(), site.as_deref(), Some(&*description)];
    join_with_dots(parts.into_iter().flatten().filter(|part| !part.is_empty()))
}
