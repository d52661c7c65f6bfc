//! How urgent a verdict is, and how many tunnels have it.

use super::row::Row;
use crate::domain::{label::label_enum, verdict::Verdict};

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
pub const BY_URGENCY: [Verdict; 8] = [
    Verdict::Unreachable,
    Verdict::TunnelFault,
    Verdict::BgpFault,
    Verdict::ReportedDown,
    Verdict::PathMismatch,
    Verdict::ProberIsolated,
    Verdict::Unknown,
    Verdict::Healthy,
];

impl Concern {
    pub const fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Unreachable | Verdict::TunnelFault | Verdict::BgpFault | Verdict::ReportedDown => Self::Broken,
            Verdict::PathMismatch => Self::Suspect,
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
    /// Tunnels whose reported values are stale.
    pub stale: usize,
    verdicts: [usize; BY_URGENCY.len()],
}

impl Summary {
    pub fn count<'a>(rows: impl Iterator<Item = Row<'a>>) -> Self {
        rows.fold(Self::default(), |mut summary, row| {
            summary.tunnels += 1;
            summary.stale += usize::from(!row.fresh);
            summary.verdicts[urgency(row.verdict())] += 1;
            summary
        })
    }

    /// Tunnels with this verdict.
    pub fn with(&self, verdict: Verdict) -> usize {
        self.verdicts[urgency(verdict)]
    }

    /// Tunnels whose verdict has this urgency.
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
