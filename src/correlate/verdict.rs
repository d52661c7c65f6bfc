//! The table of verdicts, as one pure function, and the sentence that explains one.

use std::{fmt, net::IpAddr};

use crate::domain::{
    bgp::{BgpState, BgpStatus, FsmState},
    probe::Vantage,
    tunnel::Tunnel,
    verdict::{Evidence, Reported, Side, Verdict},
};

/// The verdict on one tunnel, looked at alone.
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

/// Whether the verdict would be another one if silence proved nothing. These are the ones an isolated prober gets wrong.
pub(super) const fn rests_on_silence(evidence: Evidence) -> bool {
    matches!((evidence.inside, evidence.outside), (Side::Silent, _) | (Side::Unsettled, Side::Silent))
}

/// What Cloudflare's report counts as. `fresh` is whether it was confirmed lately enough.
pub(super) fn reported(tunnel: &Tunnel, fresh: bool) -> Reported {
    match tunnel.bgp_status.as_ref().filter(|_| fresh).map(|status| status.state) {
        Some(BgpState::Up) => Reported::Up,
        Some(BgpState::Down | BgpState::Establishing) => Reported::Down,
        Some(BgpState::Unknown) | None => Reported::None,
    }
}

/// What is needed to explain a verdict to somebody who was woken by it.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) verdict: Verdict,
    pub(super) evidence: Evidence,
    pub(super) tunnel: &'a Tunnel,
    /// Whether the report of the API may still be believed.
    pub(super) fresh: bool,
    pub(super) vantage: Vantage,
    /// The addresses that prove the inside, and those that prove the outside.
    pub(super) inside: Vec<IpAddr>,
    pub(super) outside: Vec<IpAddr>,
    /// Whether the outside is proved by uplinks, and not by the customer endpoint.
    pub(super) uplinks: bool,
}

impl Case<'_> {
    /// One sentence: what is seen, what is reported, and where to look.
    pub(super) fn why(&self) -> String {
        format!("{}{}; {}", self.seen(), self.said(), self.advice())
    }

    /// What the probes saw.
    fn seen(&self) -> String {
        let inside = Addresses(&self.inside);
        let outside = Outside(self);
        match (self.evidence.inside, self.evidence.outside) {
            (Side::Answers, _) => format!("{inside} inside the tunnel answers"),
            (Side::Silent, Side::Answers) => format!("{inside} inside the tunnel is silent while {outside} answers"),
            (Side::Silent, Side::Silent) => format!("{inside} inside the tunnel is silent and so is {outside}"),
            (Side::Silent, Side::Unsettled) => format!("{inside} inside the tunnel is silent"),
            (Side::Unsettled, Side::Answers) => {
                format!("nothing is known of the inside of the tunnel while {outside} answers")
            }
            (Side::Unsettled, Side::Silent) => format!("{outside} is silent"),
            (Side::Unsettled, Side::Unsettled) => "no probe has a settled result".into(),
        }
    }

    /// What Cloudflare said.
    fn said(&self) -> &'static str {
        match (self.evidence.reported, &self.tunnel.bgp_status) {
            (Reported::Up, _) => ", Cloudflare reports the BGP session up",
            (Reported::Down, Some(BgpStatus { state: BgpState::Establishing, .. })) => {
                ", Cloudflare reports the BGP session establishing"
            }
            (Reported::Down, Some(BgpStatus { fsm: FsmState::Active | FsmState::Connect, .. })) => {
                ", Cloudflare reports the BGP session down (no TCP connection)"
            }
            (Reported::Down, _) => ", Cloudflare reports the BGP session down",
            (Reported::None, _) if !self.fresh => ", the report of Cloudflare is too old to count",
            (Reported::None, Some(_)) => ", Cloudflare reports a state that is not known here",
            (Reported::None, _) => ", Cloudflare reports no BGP session",
        }
    }

    /// Where to look.
    fn advice(&self) -> &'static str {
        match self.verdict {
            Verdict::Healthy => "nothing to do",
            Verdict::BgpFault => "check ASN, MD5 key, TCP port 179 and policy",
            Verdict::TunnelFault => "check IKE, pre-shared key, GRE and MTU",
            Verdict::Unreachable => match (self.vantage, self.uplinks) {
                (Vantage::Site, true) => "check the circuit of this site",
                (Vantage::Site, false) | (Vantage::Remote, _) => "check circuit, router and power of the site",
            },
            Verdict::PathMismatch => {
                "an outage younger than the hold time of BGP, a stale status, newly filtered ICMP or an asymmetric path"
            }
            Verdict::ReportedDown => "probe an address inside the tunnel to learn more",
            Verdict::Unknown => "configure BGP or probe an address that answers to learn more",
            Verdict::ProberIsolated => {
                "this prober reaches none of its targets while Cloudflare sees sessions up, so the fault is on this side"
            }
        }
    }
}

/// The first address, and how many more there are.
struct Addresses<'a>(&'a [IpAddr]);

impl fmt::Display for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("the address"),
            [one] => one.fmt(f),
            [first, rest @ ..] => write!(f, "{first} (and {} more)", rest.len()),
        }
    }
}

/// What stands for the outside, by name.
struct Outside<'a>(&'a Case<'a>);

impl fmt::Display for Outside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.0.uplinks { "the uplink" } else { "the customer endpoint" };
        write!(f, "{what} {}", Addresses(&self.0.outside))
    }
}

#[cfg(test)]
mod tests;
