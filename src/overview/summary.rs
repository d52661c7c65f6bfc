//! How many tunnels there are of which kind.

use super::{
    concern::{BY_URGENCY, Concern, urgency},
    row::Row,
};
use crate::domain::verdict::Verdict;

/// Counts over all tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    pub tunnels: usize,
    /// Tunnels of which the API has said nothing for too long.
    pub stale: usize,
    verdicts: [usize; BY_URGENCY.len()],
}

impl Summary {
    pub fn of<'a>(rows: impl Iterator<Item = Row<'a>>) -> Self {
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

    /// Tunnels whose verdict is of this concern.
    pub fn of_concern(&self, concern: Concern) -> usize {
        BY_URGENCY
            .into_iter()
            .filter(|&verdict| Concern::of(verdict) == concern)
            .map(|verdict| self.with(verdict))
            .sum()
    }

    /// Tunnels that somebody has to look at.
    pub fn needing_attention(&self) -> usize {
        self.of_concern(Concern::Broken) + self.of_concern(Concern::Suspect)
    }
}
