//! One tunnel with all that is known of it.

use crate::domain::{
    bgp::BgpStatus,
    board::{TargetProbe, TunnelProbes},
    history::Span,
    inventory::{AccountName, Entry},
    moment::Moment,
    tunnel::Tunnel,
    verdict::{TunnelVerdict, Verdict},
};

/// See the head of this file.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub account: &'a AccountName,
    pub entry: &'a Entry,
    /// Whether what the API said still counts.
    pub fresh: bool,
    /// When the API last said it.
    pub confirmed: Option<Moment>,
    /// `None` for the moment between a poll and the next look of the correlation.
    pub verdict: Option<&'a TunnelVerdict>,
    /// `None` where the tunnel is not probed.
    pub probes: Option<&'a TunnelProbes>,
}

impl<'a> Row<'a> {
    pub fn tunnel(&self) -> &'a Tunnel {
        &self.entry.tunnel
    }

    pub fn verdict(&self) -> Verdict {
        self.verdict.map_or(Verdict::Unknown, |verdict| verdict.verdict)
    }

    /// What Cloudflare says of the session; nothing where it said so too long ago.
    pub fn status(&self) -> Option<&'a BgpStatus> {
        self.tunnel().bgp_status.as_ref().filter(|_| self.fresh)
    }

    pub fn targets(&self) -> &'a [TargetProbe] {
        self.probes.map_or(&[], |probes| &probes.targets)
    }

    /// The address that speaks for the tunnel: inside it where one has ever answered, else any that has, else the first.
    pub fn main_target(&self) -> Option<&'a TargetProbe> {
        let answered = |probe: &&TargetProbe| probe.tally.standing().ever_answered;
        let inside = self.probes.and_then(|probes| probes.inside().find(answered));
        inside.or_else(|| self.targets().iter().find(answered)).or_else(|| self.targets().first())
    }

    /// The last minutes of [`main_target`](Self::main_target).
    pub fn recent(&self) -> Span {
        self.main_target().map(|probe| probe.tally.history().total()).unwrap_or_default()
    }
}
