//! One tunnel with all that is known of it.

use web_toolkit::clock::Moment;

use crate::domain::{
    bgp::BgpStatus,
    board::{TargetProbe, TunnelProbes},
    history::Span,
    inventory::{AccountName, Entry},
    probe::Silence,
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
    /// What the silence of an address that has never answered counts for.
    pub silence: Silence,
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

    /// The address that speaks for the tunnel: one inside it that answers, else one inside whose silence counts, else any that has
    /// ever answered, else the first.
    pub fn main_target(&self) -> Option<&'a TargetProbe> {
        let answers = |probe: &&TargetProbe| probe.tally.standing().up == Some(true);
        let answered = |probe: &&TargetProbe| probe.tally.standing().ever_answered;
        let counts = |probe: &&TargetProbe| self.silence == Silence::Always || answered(probe);
        let inside =
            self.probes.and_then(|probes| probes.inside().find(answers).or_else(|| probes.inside().find(counts)));
        inside.or_else(|| self.targets().iter().find(answered)).or_else(|| self.targets().first())
    }

    /// The last minutes of [`main_target`](Self::main_target).
    pub fn recent(&self) -> Span {
        self.main_target().map(|probe| probe.tally.history().total()).unwrap_or_default()
    }
}
