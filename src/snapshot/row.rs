//! One tunnel: what is reported, what is observed, and the verdict.

use std::sync::Arc;

use web_toolkit::clock::Moment;

use crate::{
    domain::{
        inventory::{AccountName, InventoryEntry, TunnelKey},
        probe::Silence,
        tunnel::{BgpStatus, Tunnel},
        verdict::{Side, TunnelVerdict, Verdict},
    },
    prober::{
        board::{TargetProbe, TunnelProbes},
        history::Span,
    },
};

/// One tunnel with everything that is known about it.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    pub key: TunnelKey,
    pub account: &'a AccountName,
    pub entry: &'a InventoryEntry,
    /// Whether the reported values are recent enough to count.
    pub fresh: bool,
    /// End of the last successful poll of the list.
    pub confirmed: Option<Moment>,
    /// `None` until the tunnel is judged for the first time.
    pub verdict: Option<&'a Arc<TunnelVerdict>>,
    /// `None` if the tunnel is not probed.
    pub probes: Option<&'a TunnelProbes>,
    /// What a missing reply of an address that has never answered means.
    pub silence: Silence,
}

impl<'a> Row<'a> {
    pub fn tunnel(&self) -> &'a Arc<Tunnel> {
        &self.entry.tunnel
    }

    pub fn verdict(&self) -> Verdict {
        self.verdict.map_or(Verdict::Unknown, |verdict| verdict.verdict)
    }

    /// The BGP status as Cloudflare reports it; `None` if stale.
    pub fn status(&self) -> Option<&'a BgpStatus> {
        self.tunnel().bgp_status.as_ref().filter(|_| self.fresh)
    }

    pub fn targets(&self) -> &'a [TargetProbe] {
        self.probes.map_or(&[], |probes| &probes.targets)
    }

    /// Whether the tunnel carries traffic, from the probes inside it.
    pub fn inside(&self) -> Side {
        self.probes.map_or(Side::Unsettled, |probes| {
            Side::from_states(probes.inside().map(|probe| probe.tally.state()), self.silence)
        })
    }

    /// Whether the underlay works, from the probes outside the tunnel.
    pub fn outside(&self) -> Side {
        self.probes.map_or(Side::Unsettled, |probes| {
            Side::from_states(probes.outside().map(|(_, tally)| tally.state()), self.silence)
        })
    }

    /// The address that represents the tunnel: one inside it that answers, else one inside whose silence counts, else any that has
    /// ever answered, else the first.
    pub fn main_target(&self) -> Option<&'a TargetProbe> {
        let answers = |probe: &&TargetProbe| probe.tally.state().up == Some(true);
        let answered = |probe: &&TargetProbe| probe.tally.state().ever_answered;
        let counts = |probe: &&TargetProbe| self.silence == Silence::Always || answered(probe);
        let inside =
            self.probes.and_then(|probes| probes.inside().find(answers).or_else(|| probes.inside().find(counts)));
        inside.or_else(|| self.targets().iter().find(answered)).or_else(|| self.targets().first())
    }

    /// The last ten minutes of [`main_target`](Self::main_target).
    pub fn recent(&self) -> Span {
        self.main_target().map(|probe| probe.tally.history().total()).unwrap_or_default()
    }
}
