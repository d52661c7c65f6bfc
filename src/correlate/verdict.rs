//! The table of verdicts with its rule about outdated reports as one pure function, and the sentence that explains a
//! verdict.

use std::{fmt, net::IpAddr, time::Instant};

use crate::{
    domain::{
        edge::HealthState,
        probe::Vantage,
        tunnel::{BgpState, BgpStatus, CheckType, FsmState, Tunnel},
        verdict::{Evidence, Reported, Side, Standing, Verdict},
    },
    prober::mtu::LowMtu,
    snapshot::Row,
};

/// What Cloudflare reports of one tunnel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reports {
    /// The state of the BGP session.
    pub(super) session: Reported,
    pub(super) edge: Option<EdgeReport>,
}

/// The state of a tunnel in the health checks of Cloudflare's edge.
#[derive(Debug, Clone, Copy)]
pub(super) struct EdgeReport {
    pub(super) state: Reported,
    /// Begin of the time span that the report is about.
    pub(super) began: Instant,
}

impl EdgeReport {
    /// The report, unless it contradicts an observation that is newer than the begin of the report's time span.
    ///
    /// The report is minutes old. If the side has changed since then, both can be right, and the newer one counts. The
    /// side is the inside of the tunnel, or the outside if no probe inside has a settled result.
    fn unless_outdated(self, inside: Standing, outside: Standing) -> Reported {
        let Standing { side, since } = if inside.side == Side::Unsettled { outside } else { inside };
        let contradicts = matches!((side, self.state), (Side::Answers, Reported::Down) | (Side::Silent, Reported::Up));
        let is_older = since.is_some_and(|since| since <= self.began);
        if contradicts && !is_older { Reported::None } else { self.state }
    }
}

/// The verdict on one tunnel, without regard to the others, and the evidence that it rests on.
pub(super) fn judge(reports: Reports, inside: Standing, outside: Standing) -> (Evidence, Verdict) {
    let edge = reports.edge.map_or(Reported::None, |report| report.unless_outdated(inside, outside));
    let evidence = Evidence { reported: reports.session, edge, inside: inside.side, outside: outside.side };
    (evidence, look_up(evidence))
}

/// The table of verdicts. The edge counts where there is no BGP session, and beside a tunnel that carries traffic.
#[expect(clippy::match_same_arms, reason = "the rows of the table, in its order")]
const fn look_up(evidence: Evidence) -> Verdict {
    use {Reported as R, Side as S, Verdict as V};
    let reported = match evidence.reported {
        R::None => evidence.edge,
        session => session,
    };
    match (evidence.inside, evidence.outside, reported) {
        (S::Answers, _, _) => match (evidence.reported, evidence.edge) {
            (R::Down, _) => V::BgpFault,
            (R::Up | R::None, R::Down) => V::CheckFault,
            (R::Up | R::None, R::Up | R::None) => V::Healthy,
        },
        (S::Silent, _, R::Up) => V::PathMismatch,
        (S::Silent, S::Answers, R::Down | R::None) => V::TunnelFault,
        (S::Silent, S::Silent | S::Unsettled, R::Down | R::None) => V::Unreachable,
        (S::Unsettled, S::Silent, R::Up) => V::PathMismatch,
        (S::Unsettled, S::Silent, R::Down | R::None) => V::Unreachable,
        (S::Unsettled, S::Answers | S::Unsettled, R::Up) => V::Healthy,
        (S::Unsettled, S::Answers | S::Unsettled, R::Down) => V::ReportedDown,
        (S::Unsettled, S::Answers | S::Unsettled, R::None) => V::Unknown,
    }
}

/// Whether the verdict would differ if missing replies proved nothing. An isolated prober gets these verdicts wrong.
pub(super) const fn rests_on_silence(evidence: Evidence) -> bool {
    matches!((evidence.inside, evidence.outside), (Side::Silent, _) | (Side::Unsettled, Side::Silent))
}

/// What Cloudflare reports of a tunnel, without what is stale.
pub(super) fn reports(row: &Row<'_>) -> Reports {
    Reports { session: session(row.tunnel(), row.fresh), edge: edge(row) }
}

/// Reduces the health checks to up or down; `None` if they prove neither. Cloudflare shows a tunnel with disabled
/// health checks as down.
fn edge(row: &Row<'_>) -> Option<EdgeReport> {
    let check = row.tunnel().health_check.as_ref();
    if check.is_some_and(|check| check.enabled == Some(false)) {
        return None;
    }
    let (health, window) = row.edge_health()?;
    let state = match health.state? {
        HealthState::Healthy => Reported::Up,
        HealthState::Down => Reported::Down,
        HealthState::Degraded => return None,
    };
    Some(EdgeReport { state, began: window.from.instant })
}

/// Reduces the state of the BGP session to up, down or none. A report that is not `fresh` counts as none.
fn session(tunnel: &Tunnel, fresh: bool) -> Reported {
    match tunnel.bgp_status.as_ref().filter(|_| fresh).map(|status| status.state) {
        Some(BgpState::Up) => Reported::Up,
        Some(BgpState::Down | BgpState::Establishing) => Reported::Down,
        Some(BgpState::Unknown) | None => Reported::None,
    }
}

/// A verdict on one tunnel, to be explained in one sentence.
#[derive(Debug)]
pub(super) struct Explanation<'a> {
    pub(super) verdict: Verdict,
    pub(super) evidence: Evidence,
    pub(super) row: &'a Row<'a>,
}

impl Explanation<'_> {
    /// What is observed, what is reported, and where to look.
    pub(super) fn sentence(&self) -> String {
        let low = self.low_mtu();
        let size = low.map(describe_size).unwrap_or_default();
        let (observed, session, edge) = (self.observed(), self.session(), self.edge());
        format!("{observed}{size}{session}{edge}; {}{}", self.advice(low), low.map(advise_size).unwrap_or_default())
    }

    /// The path MTU, where it can be a part of the fault.
    fn low_mtu(&self) -> Option<LowMtu> {
        let matters = matches!(self.verdict, Verdict::Healthy | Verdict::TunnelFault | Verdict::BgpFault);
        self.row.low_mtu().filter(|_| matters)
    }

    fn observed(&self) -> String {
        let inside = Addresses(self.row.probes.map_or_else(Vec::new, |p| p.inside().map(|t| t.address).collect()));
        let outside = self.outside();
        match (self.evidence.inside, self.evidence.outside) {
            (Side::Answers, _) => format!("{inside} inside the tunnel answers"),
            (Side::Silent, Side::Answers) => format!("{inside} inside the tunnel does not answer while {outside} does"),
            (Side::Silent, Side::Silent) => format!("neither {inside} inside the tunnel nor {outside} answers"),
            (Side::Silent, Side::Unsettled) => format!("{inside} inside the tunnel does not answer"),
            (Side::Unsettled, Side::Answers) => {
                format!("{outside} answers, and no probe inside the tunnel has a settled result")
            }
            (Side::Unsettled, Side::Silent) => format!("{outside} does not answer"),
            (Side::Unsettled, Side::Unsettled) => "no probe has a settled result".into(),
        }
    }

    /// The addresses outside the tunnel, by role.
    fn outside(&self) -> String {
        let role = if self.has_uplinks() { "the uplink" } else { "the customer endpoint" };
        let addresses = self.row.probes.map_or_else(Vec::new, |p| p.outside().map(|(address, _)| address).collect());
        format!("{role} {}", Addresses(addresses))
    }

    /// Whether uplinks stand in for the customer endpoint.
    fn has_uplinks(&self) -> bool {
        self.row.probes.is_some_and(|probes| !probes.uplinks.is_empty())
    }

    fn session(&self) -> &'static str {
        match (self.evidence.reported, &self.row.tunnel().bgp_status) {
            (Reported::Up, _) => ", Cloudflare reports the BGP session up",
            (Reported::Down, Some(BgpStatus { state: BgpState::Establishing, .. })) => {
                ", Cloudflare reports the BGP session establishing"
            }
            (Reported::Down, Some(BgpStatus { fsm: FsmState::Active | FsmState::Connect, .. })) => {
                ", Cloudflare reports the BGP session down (no TCP connection)"
            }
            (Reported::Down, _) => ", Cloudflare reports the BGP session down",
            (Reported::None, _) if !self.row.fresh => ", Cloudflare's report is stale",
            (Reported::None, Some(_)) => ", Cloudflare reports a BGP state that this version does not know",
            (Reported::None, _) => ", Cloudflare reports no BGP session",
        }
    }

    fn edge(&self) -> &'static str {
        match self.evidence.edge {
            Reported::Up => ", and health checks of Cloudflare's edge pass",
            Reported::Down => ", and health checks of Cloudflare's edge fail",
            Reported::None => "",
        }
    }

    fn advice(&self, low: Option<LowMtu>) -> &'static str {
        match self.verdict {
            Verdict::Healthy if low.is_some() => "large packets do not pass",
            Verdict::Healthy => "nothing to do",
            Verdict::BgpFault => "check ASN, MD5 key, TCP port 179 and policy",
            Verdict::TunnelFault => "check IKE, pre-shared key, GRE and MTU",
            Verdict::Unreachable => match (self.row.probes.map(|probes| probes.vantage), self.has_uplinks()) {
                (Some(Vantage::Site), true) => "check the circuit of this site",
                _ => "check circuit, router and power of the site",
            },
            Verdict::CheckFault => self.advice_on_checks(),
            Verdict::PathMismatch if self.evidence.reported == Reported::None => {
                "newly filtered ICMP or an asymmetric path"
            }
            Verdict::PathMismatch => {
                "an outage younger than the BGP hold timer, a stale status, newly filtered ICMP or an asymmetric path"
            }
            Verdict::ReportedDown => "probe an address inside the tunnel to learn more",
            Verdict::Unknown => "configure BGP or probe an address that answers to learn more",
            Verdict::ProberIsolated => {
                "this prober reaches none of its targets while Cloudflare reports sessions or tunnels up, \
                 so the fault is on this side"
            }
        }
    }

    fn advice_on_checks(&self) -> &'static str {
        match self.row.tunnel().health_check.as_ref().and_then(|check| check.check_type) {
            Some(CheckType::Reply) => {
                "Cloudflare routes around this tunnel; set the type of the health check to request, because stateful \
                 firewalls drop echo replies, or check its direction, its target and filters of ICMP"
            }
            _ => {
                "Cloudflare routes around this tunnel; check filters of ICMP, direction and target of the health check, \
                 traffic selectors and anti-replay"
            }
        }
    }
}

fn describe_size(low: LowMtu) -> String {
    let LowMtu { size, expected, is_silent, .. } = low;
    let how = if is_silent { " without an ICMP error" } else { "" };
    format!(", packets of more than {size} bytes are lost{how} (expected: {expected})")
}

fn advise_size(low: LowMtu) -> String {
    format!(", clamp the TCP MSS to {} or raise the MTU of the path", low.segment())
}

/// Displays the first address, and how many more there are.
struct Addresses(Vec<IpAddr>);

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [] => f.write_str("the address"),
            [one] => one.fmt(f),
            [first, rest @ ..] => write!(f, "{first} (and {} more)", rest.len()),
        }
    }
}

#[cfg(test)]
mod tests;
