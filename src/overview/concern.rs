//! How much a verdict concerns the person who is woken by it.

use crate::domain::{label::label_enum, verdict::Verdict};

label_enum! {
    /// What a verdict asks of somebody, the most urgent first.
    pub enum Concern {
        /// Something is broken.
        Broken => "broken",
        /// Something may be broken, or may be about to be found so.
        Suspect => "suspect",
        /// Nothing can be said.
        Unsure => "unsure",
        /// Nothing to do.
        Fine => "fine",
    }
}

/// Every verdict, the most urgent first: what takes everything down stands before what takes a part.
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

    /// Whether somebody has to look at the tunnel.
    pub const fn needs_attention(self) -> bool {
        matches!(self, Self::Broken | Self::Suspect)
    }
}

/// The place of a verdict in [`BY_URGENCY`].
pub fn urgency(verdict: Verdict) -> usize {
    BY_URGENCY.iter().position(|&other| other == verdict).unwrap_or(BY_URGENCY.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::label::Label as _;

    #[test]
    fn every_verdict_has_one_place_and_the_concerns_follow_each_other() {
        let mut sorted = Verdict::ALL.to_vec();
        sorted.sort_by_key(|&verdict| urgency(verdict));
        assert_eq!(sorted, BY_URGENCY);
        assert!(BY_URGENCY.map(Concern::of).is_sorted());
        assert!(!BY_URGENCY.contains(&Verdict::Healthy) || urgency(Verdict::Healthy) == 7);
    }
}
