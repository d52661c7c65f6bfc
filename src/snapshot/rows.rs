//! One tunnel as a row: what is reported, what is observed, and the verdict; how urgent it is, and how rows are
//! filtered and sorted.

use std::{
    cmp::{Ordering, Reverse},
    sync::Arc,
};

use jiff::Timestamp;
use web_toolkit::{clock::Moment, text::shown};

use super::routes::RowRoutes;
use crate::{
    domain::{
        edge::{EdgeWindow, TunnelHealth, TunnelTraffic},
        findings::{Findings, SharedPrefixes},
        inventory::{AccountName, InventoryEntry, TunnelKey},
        label::label_enum,
        probe::Silence,
        tunnel::{BgpStatus, Tunnel, TunnelType},
        verdict::{Standing, TunnelVerdict, Verdict},
    },
    prober::{
        board::{TargetProbe, TunnelProbes},
        history::Span,
        mtu::LowMtu,
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
    /// `None` if the edge is not polled.
    pub edge: Option<RowEdge<'a>>,
    /// The interface prefixes that several tunnels of the account have; `None` on an agent, which knows only a part of
    /// the account.
    pub shared_prefixes: Option<&'a SharedPrefixes>,
    /// `None` if the routes are not polled, or stale.
    pub routes: Option<RowRoutes<'a>>,
}

/// What Cloudflare's edge measures for one tunnel. Stale data is left out.
#[derive(Debug, Clone, Copy)]
pub struct RowEdge<'a> {
    pub health: Option<(&'a Arc<TunnelHealth>, EdgeWindow)>,
    pub traffic: Option<(&'a TunnelTraffic, EdgeWindow)>,
    /// The site that Cloudflare assigns; it does not become stale.
    pub site: Option<&'a Arc<str>>,
}

impl<'a> Row<'a> {
    pub fn tunnel(&self) -> &'a Arc<Tunnel> {
        &self.entry.tunnel
    }

    pub fn verdict(&self) -> Verdict {
        self.verdict.map_or(Verdict::Unknown, |verdict| verdict.verdict)
    }

    /// The site, from the first source that knows one: the configuration, then Cloudflare's edge.
    pub fn site(&self) -> Option<&'a Arc<str>> {
        self.entry.site.as_ref().or_else(|| self.edge?.site)
    }

    /// Properties of the configuration at the last successful poll.
    pub fn findings(&self, now: Timestamp) -> Findings {
        Findings::of(self.tunnel(), self.shared_prefixes, now)
    }

    /// The BGP status as Cloudflare reports it; `None` if stale.
    pub fn status(&self) -> Option<&'a BgpStatus> {
        self.tunnel().bgp_status.as_ref().filter(|_| self.fresh)
    }

    pub fn targets(&self) -> &'a [TargetProbe] {
        self.probes.map_or(&[], |probes| &probes.targets)
    }

    /// Whether the tunnel carries traffic, from the probes inside it.
    pub fn inside(&self) -> Standing {
        self.probes.map_or(Standing::UNSETTLED, |probes| {
            Standing::of(probes.inside().map(|probe| probe.tally.standing()), self.silence)
        })
    }

    /// Whether the underlay works, from the probes outside the tunnel.
    pub fn outside(&self) -> Standing {
        self.probes.map_or(Standing::UNSETTLED, |probes| {
            Standing::of(probes.outside().map(|(_, tally)| tally.standing()), self.silence)
        })
    }

    /// The lowest path MTU that is below the expected size.
    pub fn low_mtu(&self) -> Option<LowMtu> {
        self.targets().iter().filter_map(TargetProbe::low_mtu).min_by_key(|low| low.size)
    }

    /// The health checks of Cloudflare with their window; `None` without data or if it is stale.
    pub fn edge_health(&self) -> Option<(&'a Arc<TunnelHealth>, EdgeWindow)> {
        self.edge?.health
    }

    /// The traffic of the tunnel with its window; `None` without data or if it is stale.
    pub fn edge_traffic(&self) -> Option<(&'a TunnelTraffic, EdgeWindow)> {
        self.edge?.traffic
    }

    /// The address that represents the tunnel: one inside it that answers, else one inside that counts when it is
    /// silent, else any that has ever answered, else the first.
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

label_enum! {
    /// What a verdict asks of the operator, the most urgent first.
    pub enum Concern {
        /// Something is broken.
        Broken => "broken",
        /// Something may be broken, or is not yet confirmed.
        Suspect => "suspect",
        /// Nothing can be said.
        Unsure => "unsure",
        /// Nothing to do.
        Fine => "fine",
    }
}

/// Every verdict, the most urgent first: a complete outage before a partial one.
pub const BY_URGENCY: [Verdict; 9] = [
    Verdict::Unreachable,
    Verdict::TunnelFault,
    Verdict::BgpFault,
    Verdict::ReportedDown,
    Verdict::CheckFault,
    Verdict::PathMismatch,
    Verdict::ProberIsolated,
    Verdict::Unknown,
    Verdict::Healthy,
];

impl Concern {
    pub const fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Unreachable | Verdict::TunnelFault | Verdict::BgpFault | Verdict::ReportedDown => Self::Broken,
            Verdict::CheckFault | Verdict::PathMismatch => Self::Suspect,
            Verdict::ProberIsolated | Verdict::Unknown => Self::Unsure,
            Verdict::Healthy => Self::Fine,
        }
    }

    /// Whether the tunnel has to be looked at.
    pub const fn needs_attention(self) -> bool {
        matches!(self, Self::Broken | Self::Suspect)
    }
}

/// Index of a verdict in [`BY_URGENCY`].
pub fn urgency(verdict: Verdict) -> usize {
    BY_URGENCY.iter().position(|&other| other == verdict).unwrap_or(BY_URGENCY.len())
}

/// Counts over all tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    pub tunnels: usize,
    /// Tunnels with stale reported values.
    pub stale: usize,
    verdicts: [usize; BY_URGENCY.len()],
}

impl Summary {
    pub fn count<'a>(rows: impl Iterator<Item = Row<'a>>) -> Self {
        rows.fold(Self::default(), |mut summary, row| {
            summary.add(&row);
            summary
        })
    }

    pub(super) fn add(&mut self, row: &Row<'_>) {
        self.tunnels += 1;
        self.stale += usize::from(!row.fresh);
        self.verdicts[urgency(row.verdict())] += 1;
    }

    /// Tunnels with this verdict.
    pub fn with(&self, verdict: Verdict) -> usize {
        self.verdicts[urgency(verdict)]
    }

    /// Tunnels with a verdict of this urgency.
    pub fn of_concern(&self, concern: Concern) -> usize {
        BY_URGENCY
            .into_iter()
            .filter(|&verdict| Concern::of(verdict) == concern)
            .map(|verdict| self.with(verdict))
            .sum()
    }

    /// Tunnels that have to be looked at.
    pub fn needing_attention(&self) -> usize {
        self.of_concern(Concern::Broken) + self.of_concern(Concern::Suspect)
    }
}

/// A filter on the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictFilter {
    /// Every verdict that needs attention.
    Attention,
    Only(Verdict),
}

impl VerdictFilter {
    pub fn matches(self, verdict: Verdict) -> bool {
        match self {
            Self::Attention => Concern::of(verdict).needs_attention(),
            Self::Only(wanted) => wanted == verdict,
        }
    }
}

/// Conditions on a tunnel, combined with AND. The default matches every tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    pub account: Option<String>,
    pub site: Option<String>,
    pub tunnel_type: Option<TunnelType>,
    pub verdict: Option<VerdictFilter>,
    /// Words, each of which must occur in name, description, site, id or an address, ignoring case.
    pub search: String,
}

impl Filter {
    pub fn matches(&self, row: &Row<'_>) -> bool {
        self.account.as_ref().is_none_or(|account| row.account.as_str() == account)
            && self.site.as_deref().is_none_or(|site| row.site().is_some_and(|own| **own == *site))
            && self.tunnel_type.is_none_or(|wanted| row.tunnel().tunnel_type() == wanted)
            && self.verdict.is_none_or(|wanted| wanted.matches(row.verdict()))
            && self.matches_words(row)
    }

    fn matches_words(&self, row: &Row<'_>) -> bool {
        let mut words = self.search.split_whitespace().peekable();
        if words.peek().is_none() {
            return true;
        }
        let tunnel = row.tunnel();
        let text = format!(
            "{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}",
            shown(&tunnel.name),
            shown(&tunnel.description),
            shown(row.site().map_or("", |site| site)),
            tunnel.id,
            tunnel.customer_endpoint,
            tunnel.cloudflare_endpoint,
            tunnel.interface_address,
            tunnel.interface_address6
        )
        .to_lowercase();
        words.all(|word| text.contains(&word.to_lowercase()))
    }
}

label_enum! {
    /// What tunnels are sorted by. Equal tunnels are sorted by name.
    pub enum Order {
        /// The most broken first.
        Trouble => "trouble",
        Name => "name",
        /// By account, then by name.
        Account => "account",
        /// By site, the most broken of each site first; tunnels without a site last.
        Site => "site",
        /// The newest verdict first.
        Since => "since",
        /// The slowest of the last ten minutes first; unknown last.
        Rtt => "rtt",
        /// The highest loss of the last ten minutes first; unknown last.
        Loss => "loss",
    }
}

impl Order {
    pub fn sort(self, rows: &mut [Row<'_>]) {
        rows.sort_by(compare_names);
        // The sorts below are stable, so equal rows stay sorted by name.
        match self {
            Self::Name => {}
            Self::Trouble => rows.sort_by_key(|row| urgency(row.verdict())),
            Self::Account => rows.sort_by(|a, b| a.account.cmp(b.account)),
            Self::Site => rows.sort_by_key(|row| (row.site().is_none(), row.site(), urgency(row.verdict()))),
            Self::Since => rows.sort_by_key(|row| Reverse(row.verdict.map(|verdict| verdict.changed.instant))),
            Self::Rtt => rows.sort_by_cached_key(|row| Reverse(row.recent().rtt())),
            Self::Loss => rows.sort_by_cached_key(|row| Reverse(loss_in_millionths(row.recent()))),
        }
    }
}

/// The loss as an integer, because `f64` is not `Ord`.
fn loss_in_millionths(span: Span) -> Option<u64> {
    (1_000_000 * u64::from(span.lost)).checked_div(u64::from(span.replies) + u64::from(span.lost))
}

fn compare_names(a: &Row<'_>, b: &Row<'_>) -> Ordering {
    a.tunnel().name.cmp(&b.tunnel().name).then_with(|| a.key.cmp(&b.key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::label::Label as _;

    #[test]
    fn every_verdict_has_one_place_and_concerns_are_grouped() {
        let mut sorted = Verdict::ALL.to_vec();
        sorted.sort_by_key(|&verdict| urgency(verdict));
        assert_eq!(sorted, BY_URGENCY);
        assert!(BY_URGENCY.map(Concern::of).is_sorted());
    }
}
