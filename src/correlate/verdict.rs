//! The table of verdicts as one pure function, and the sentence that explains a verdict.

use std::{fmt, net::IpAddr};

use crate::{
    domain::{
        probe::Vantage,
        tunnel::{BgpState, BgpStatus, FsmState, Tunnel},
        verdict::{Evidence, Reported, Side, Verdict},
    },
    snapshot::Row,
};

/// The verdict on one tunnel, without regard to the others.
#[expect(clippy::match_same_arms, reason = "the rows of the table, in its order")]
pub(super) const fn judge(evidence: Evidence) -> Verdict {
    use {Reported as R, Side as S, Verdict as V};
    match (evidence.inside, evidence.outside, evidence.reported) {
        (S::Answers, _, R::Up | R::None) => V::Healthy,
        (S::Answers, _, R::Down) => V::BgpFault,
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

/// Reduces Cloudflare's report to up, down or none. A report that is not `fresh` counts as none.
pub(super) fn reported(tunnel: &Tunnel, fresh: bool) -> Reported {
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
        format!("{}{}; {}", self.observed(), self.reported(), self.advice())
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

    fn reported(&self) -> &'static str {
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

    fn advice(&self) -> &'static str {
        match self.verdict {
            Verdict::Healthy => "nothing to do",
            Verdict::BgpFault => "check ASN, MD5 key, TCP port 179 and policy",
            Verdict::TunnelFault => "check IKE, pre-shared key, GRE and MTU",
            Verdict::Unreachable => match (self.row.probes.map(|probes| probes.vantage), self.has_uplinks()) {
                (Some(Vantage::Site), true) => "check the circuit of this site",
                _ => "check circuit, router and power of the site",
            },
            Verdict::PathMismatch => {
                "an outage younger than the BGP hold timer, a stale status, newly filtered ICMP or an asymmetric path"
            }
            Verdict::ReportedDown => "probe an address inside the tunnel to learn more",
            Verdict::Unknown => "configure BGP or probe an address that answers to learn more",
            Verdict::ProberIsolated => {
                "this prober reaches none of its targets while Cloudflare reports sessions up, so the fault is on this side"
            }
        }
    }
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
