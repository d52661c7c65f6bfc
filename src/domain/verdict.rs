//! The one word about a tunnel that its reported and its observed state add up to.

use std::{collections::BTreeMap, sync::Arc};

use web_toolkit::clock::Moment;

use super::{
    inventory::TunnelKey,
    label::label_enum,
    probe::{Silence, Standing},
};

label_enum! {
    /// What is the matter with a tunnel, and whose part it is.
    pub enum Verdict {
        /// It carries traffic, or Cloudflare says its session is up and nothing here contradicts that.
        Healthy => "healthy",
        /// It carries traffic, but its BGP session does not come up: ASN, MD5 key, TCP port 179, policy.
        BgpFault => "bgp_fault",
        /// The underlay is there, the tunnel carries nothing: IKE, pre-shared key, GRE, MTU.
        TunnelFault => "tunnel_fault",
        /// Nothing answers: circuit, router, power.
        Unreachable => "unreachable",
        /// Cloudflare says up, nothing passes from here: a young outage, a stale status, filtered ICMP or an asymmetric path.
        PathMismatch => "path_mismatch",
        /// Cloudflare says down, and nothing observed here says otherwise.
        ReportedDown => "reported_down",
        /// Neither Cloudflare nor the probes say anything.
        Unknown => "unknown",
        /// This prober reaches nothing any more while Cloudflare sees sessions up: the fault is here.
        ProberIsolated => "prober_isolated",
    }
}

label_enum! {
    /// What the probes of one side of a tunnel amount to.
    pub enum Side {
        /// At least one of its addresses is up.
        Answers => "answers",
        /// Everything that ever answered is down.
        Silent => "silent",
        /// No settled result: not probed, never answered, or too few results yet.
        Unsettled => "-",
    }
}

impl Side {
    /// Combines the states of all addresses of one side.
    ///
    /// An address that has never answered proves nothing by its silence, unless `silence` is [`Silence::Always`].
    pub fn from_standings(standings: impl IntoIterator<Item = Standing>, silence: Silence) -> Self {
        let mut any_counts = false;
        let mut all_down = true;
        for standing in standings {
            if standing.up == Some(true) {
                return Self::Answers;
            }
            if standing.ever_answered || silence == Silence::Always {
                any_counts = true;
                all_down &= standing.up == Some(false);
            }
        }
        if any_counts && all_down { Self::Silent } else { Self::Unsettled }
    }
}

label_enum! {
    /// What Cloudflare says of a tunnel's BGP session.
    pub enum Reported {
        Up => "up",
        /// Down or establishing.
        Down => "down",
        /// No BGP configured, no status, a state this version does not know, or a report that is too old.
        None => "none",
    }
}

/// What one tunnel is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    pub reported: Reported,
    /// Does the tunnel carry traffic?
    pub inside: Side,
    /// Is the underlay there?
    pub outside: Side,
}

/// The verdict on one tunnel, and its history since the tunnel appeared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelVerdict {
    pub verdict: Verdict,
    pub evidence: Evidence,
    /// When this verdict was reached; for the first one, when the tunnel was first judged.
    pub changed: Moment,
    /// Changes so far; the first verdict is none.
    pub changes: u64,
    /// One sentence for whoever is paged.
    pub why: Arc<str>,
}

/// The verdicts on every tunnel. Written by the correlation alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdicts {
    pub tunnels: BTreeMap<Arc<TunnelKey>, Arc<TunnelVerdict>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Standing = Standing { up: Some(true), ever_answered: true };
    const DOWN: Standing = Standing { up: Some(false), ever_answered: true };
    const NEVER: Standing = Standing { up: Some(false), ever_answered: false };
    const NEW: Standing = Standing { up: None, ever_answered: false };
    const LOST: Standing = Standing { up: None, ever_answered: true };

    #[test]
    fn a_side_is_what_its_addresses_amount_to() {
        use Side::{Answers, Silent, Unsettled};
        for (standings, after_answer, always) in [
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
            assert_eq!(
                Side::from_standings(standings.iter().copied(), Silence::AfterAnswer),
                after_answer,
                "{standings:?}"
            );
            assert_eq!(
                Side::from_standings(standings.iter().copied(), Silence::Always),
                always,
                "{standings:?} always"
            );
        }
    }
}
