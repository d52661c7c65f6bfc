//! The verdict: one status derived from the reported and the observed state.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

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
        /// The prober reaches no target while Cloudflare reports sessions or tunnels as up, so the fault is at the
        /// prober.
        ProberIsolated => "prober_isolated",
        /// The tunnel carries traffic, but Cloudflare's health checks of it fail, so that Cloudflare routes around it:
        /// check the type, direction and target of the health check, and firewalls that drop ICMP.
        CheckFault => "check_fault",
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

/// The state of a side, and since when it certainly holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub side: Side,
    /// `None` if the side is unsettled or the time is not known.
    pub since: Option<Instant>,
}

impl Standing {
    pub const UNSETTLED: Self = Self { side: Side::Unsettled, since: None };

    /// Combines the states of all addresses of one side, each with the time of its last change.
    ///
    /// Addresses that have never replied are ignored, unless `silence` is [`Silence::Always`].
    pub fn of(states: impl IntoIterator<Item = (TargetState, Option<Instant>)>, silence: Silence) -> Self {
        let (mut any_counts, mut all_down) = (false, true);
        let (mut answers, mut silent) = (None, None);
        for (state, changed) in states {
            if state.up == Some(true) {
                // One address that answers is enough, so the one that has answered for longest counts.
                answers = Some(answers.map_or(changed, |first| earlier(first, changed)));
            }
            if state.ever_answered || silence == Silence::Always {
                any_counts = true;
                all_down &= state.up == Some(false);
                silent = silent.max(changed);
            }
        }
        match answers {
            Some(since) => Self { side: Side::Answers, since },
            None if any_counts && all_down => Self { side: Side::Silent, since: silent },
            None => Self::UNSETTLED,
        }
    }
}

fn earlier(first: Option<Instant>, second: Option<Instant>) -> Option<Instant> {
    first.into_iter().chain(second).min()
}

label_enum! {
    /// A state as Cloudflare reports it: of a BGP session, or of a tunnel as its edge sees it.
    pub enum Reported {
        /// The session is up; the health checks pass.
        Up => "up",
        /// The session is down or establishing; the health checks fail.
        Down => "down",
        /// No report: there is no session or no data, the state is unknown or between the others, or it is stale.
        None => "none",
    }
}

/// Input of the verdict on one tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// The state of the BGP session.
    pub reported: Reported,
    /// What Cloudflare's edge reports, as far as it does not contradict newer observations.
    pub edge: Reported,
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
    use std::time::Duration;

    use web_toolkit::clock;

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
            let side = |silence| Standing::of(states.iter().map(|&state| (state, None)), silence).side;
            assert_eq!(side(Silence::AfterAnswer), after_answer, "{states:?}");
            assert_eq!(side(Silence::Always), always, "{states:?} always");
        }
    }

    #[test]
    fn a_side_holds_since_its_longest_answer_or_its_latest_loss() {
        let start = clock::now().instant;
        let at = |seconds| Some(start + Duration::from_secs(seconds));
        for (states, since) in [
            (&[(UP, at(9)), (UP, at(3))][..], at(3)),
            (&[(DOWN, at(1)), (UP, at(7))], at(7)),
            (&[(DOWN, at(1)), (DOWN, at(7))], at(7)),
            (&[(DOWN, at(1)), (NEVER, at(7))], at(1)),
            (&[(LOST, at(1))], None),
        ] {
            let standing = Standing::of(states.iter().copied(), Silence::AfterAnswer);
            assert_eq!(standing.since, since, "{states:?}");
        }
    }
}
