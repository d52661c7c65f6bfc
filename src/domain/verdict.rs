//! The verdict: one status derived from the reported and the observed state.

use std::{collections::BTreeMap, sync::Arc};

use web_toolkit::clock::Moment;

use super::{
    inventory::TunnelKey,
    label::label_enum,
    probe::{Silence, TargetState},
};

label_enum! {
    /// Status of a tunnel. It names the layer that failed.
    pub enum Verdict {
        /// The tunnel carries traffic, or Cloudflare reports the BGP session as up and no probe contradicts it.
        Healthy => "healthy",
        /// The tunnel carries traffic, but its BGP session is down: check ASN, MD5 key, TCP port 179 and policy.
        BgpFault => "bgp_fault",
        /// The underlay works, but the tunnel carries no traffic: check IKE, pre-shared key, GRE and MTU.
        TunnelFault => "tunnel_fault",
        /// No target replies: check circuit, router and power.
        Unreachable => "unreachable",
        /// Cloudflare reports up, but no target replies: a recent outage, a stale status, filtered ICMP or an
        /// asymmetric path.
        PathMismatch => "path_mismatch",
        /// Cloudflare reports down, and no probe contradicts it.
        ReportedDown => "reported_down",
        /// Neither Cloudflare nor a probe provides a state.
        Unknown => "unknown",
        /// The prober reaches no target while Cloudflare reports sessions as up, so the fault is at the prober.
        ProberIsolated => "prober_isolated",
    }
}

label_enum! {
    /// Combined state of the probes on one side of a tunnel.
    pub enum Side {
        /// At least one of its addresses is up.
        Answers => "answers",
        /// Every address that has ever replied is down.
        Silent => "silent",
        /// No settled result: not probed, never replied, or too few results yet.
        Unsettled => "-",
    }
}

impl Side {
    /// Combines the states of all addresses of one side.
    ///
    /// Addresses that have never replied are ignored, unless `silence` is [`Silence::Always`].
    pub fn from_states(states: impl IntoIterator<Item = TargetState>, silence: Silence) -> Self {
        let mut any_counts = false;
        let mut all_down = true;
        for state in states {
            if state.up == Some(true) {
                return Self::Answers;
            }
            if state.ever_answered || silence == Silence::Always {
                any_counts = true;
                all_down &= state.up == Some(false);
            }
        }
        if any_counts && all_down { Self::Silent } else { Self::Unsettled }
    }
}

label_enum! {
    /// State of a BGP session as Cloudflare reports it.
    pub enum Reported {
        Up => "up",
        /// Down or establishing.
        Down => "down",
        /// BGP is not configured, the status is absent, its state is unknown, or the report is stale.
        None => "none",
    }
}

/// Input of the verdict on one tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    pub reported: Reported,
    /// Whether the tunnel carries traffic.
    pub inside: Side,
    /// Whether the underlay works.
    pub outside: Side,
}

/// The verdict on one tunnel and its history since the tunnel appeared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelVerdict {
    pub verdict: Verdict,
    pub evidence: Evidence,
    /// Time of the last change; for the first verdict, the time of the first judgement.
    pub changed: Moment,
    /// Number of changes. The first verdict does not count.
    pub changes: u64,
    /// Explanation in one sentence, for alerts and pages.
    pub why: Arc<str>,
}

/// The verdicts on all tunnels. Only the correlation changes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdicts {
    pub tunnels: BTreeMap<Arc<TunnelKey>, Arc<TunnelVerdict>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: TargetState = TargetState { up: Some(true), ever_answered: true };
    const DOWN: TargetState = TargetState { up: Some(false), ever_answered: true };
    const NEVER: TargetState = TargetState { up: Some(false), ever_answered: false };
    const NEW: TargetState = TargetState { up: None, ever_answered: false };
    const LOST: TargetState = TargetState { up: None, ever_answered: true };

    #[test]
    fn a_side_combines_the_states_of_its_addresses() {
        use Side::{Answers, Silent, Unsettled};
        for (states, after_answer, always) in [
            (&[][..], Unsettled, Unsettled),
            (&[NEW], Unsettled, Unsettled),
            (&[NEVER], Unsettled, Silent),
            (&[NEVER, NEVER], Unsettled, Silent),
            (&[DOWN], Silent, Silent),
            (&[DOWN, NEVER], Silent, Silent),
            (&[DOWN, NEW], Silent, Unsettled),
            (&[DOWN, LOST], Unsettled, Unsettled),
            (&[LOST], Unsettled, Unsettled),
            (&[UP], Answers, Answers),
            (&[NEVER, DOWN, UP], Answers, Answers),
            (&[LOST, UP], Answers, Answers),
        ] {
            assert_eq!(Side::from_states(states.iter().copied(), Silence::AfterAnswer), after_answer, "{states:?}");
            assert_eq!(Side::from_states(states.iter().copied(), Silence::Always), always, "{states:?} always");
        }
    }
}
