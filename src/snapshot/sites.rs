//! The sites of a snapshot: counts of the tunnels of each, the most broken site first.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use super::{
    Snapshot,
    rows::{BY_URGENCY, Concern, Filter, Summary},
};
use crate::domain::{inventory::AccountName, verdict::Verdict};

/// The tunnels of one account that share a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteSummary<'a> {
    pub account: &'a AccountName,
    /// `None` for all tunnels without a site.
    pub site: Option<&'a Arc<str>>,
    pub tunnels: Summary,
}

impl SiteSummary<'_> {
    /// Tunnels that work.
    pub fn working(&self) -> usize {
        self.tunnels.of_concern(Concern::Fine)
    }

    pub fn broken(&self) -> usize {
        self.tunnels.of_concern(Concern::Broken)
    }

    /// What the site as a whole asks of the operator. It is broken if a tunnel is broken and none works.
    pub fn concern(&self) -> Concern {
        if self.broken() > 0 && self.working() == 0 {
            Concern::Broken
        } else if self.tunnels.needing_attention() > 0 {
            Concern::Suspect
        } else if self.working() < self.tunnels.tunnels {
            Concern::Unsure
        } else {
            Concern::Fine
        }
    }

    /// Sorts the most broken first: by concern, then by the counts of each verdict. Groups without a site come last.
    fn rank(&self) -> impl Ord + use<> {
        let counts = BY_URGENCY.map(|verdict| match verdict {
            Verdict::Healthy => Reverse(0),
            _ => Reverse(self.tunnels.with(verdict)),
        });
        (self.site.is_none(), self.concern(), counts)
    }
}

impl Snapshot {
    /// The matching tunnels by site and account. The most broken site is first, and equal ones are sorted by name.
    pub fn sites(&self, filter: &Filter) -> Vec<SiteSummary<'_>> {
        let mut groups: BTreeMap<_, Summary> = BTreeMap::new();
        for row in self.rows().filter(|row| filter.matches(row)) {
            groups.entry((row.site(), row.account)).or_default().add(&row);
        }
        let groups = groups.into_iter();
        let mut sites: Vec<_> =
            groups.map(|((site, account), tunnels)| SiteSummary { account, site, tunnels }).collect();
        sites.sort_by_cached_key(SiteSummary::rank);
        sites
    }
}
