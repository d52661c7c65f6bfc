//! The one word about a tunnel that its reported and its observed state add up to.

use std::{collections::BTreeMap, sync::Arc};

use web_toolkit::clock::Moment;

use super::{board::TunnelKey, label::label_enum};

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
