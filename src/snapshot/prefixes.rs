//! The prefixes of a snapshot with their state.

use std::{cmp::Reverse, sync::Arc};

use ipnet::IpNet;

use super::Snapshot;
use crate::domain::{
    dataset::{FailureReason, PollState, PollStatus},
    inventory::{AccountName, InventoryEntry, TunnelKey},
    routes::{
        Route, RouteScope, RouteTable,
        matching::{PrefixGroup, RouteMatches},
        prefixes::{PrefixHops, PrefixReport, PrefixState},
    },
    tunnel::Tunnel,
    verdict::Verdict,
};

/// One prefix with its state.
#[derive(Debug, Clone, Copy)]
pub struct PrefixRow<'a> {
    pub account: &'a AccountName,
    pub prefix: IpNet,
    /// `None` if all data centers use the routes.
    pub scope: Option<&'a Arc<RouteScope>>,
    pub hops: PrefixHops,
    report: &'a PrefixReport,
    group: &'a PrefixGroup,
}

impl<'a> PrefixRow<'a> {
    fn new(account: &'a AccountName, report: &'a PrefixReport, index: usize) -> Option<Self> {
        let (group, hops) = (report.matches.groups().get(index)?, *report.hops.get(index)?);
        let (prefix, scope) = report.matches.prefix(group);
        Some(Self { account, prefix, scope, hops, report, group })
    }

    pub fn state(&self) -> PrefixState {
        self.hops.state()
    }

    /// The routes with the prefix and the scope, the first priority first, with their positions.
    pub fn routes(&self) -> impl Iterator<Item = (usize, &'a Route)> {
        let routes = self.report.matches.routes();
        self.group.routes.clone().map(|position| (position, &routes[position]))
    }
}

impl Snapshot {
    /// The routes of an account beside its tunnels; `None` if they are not polled, or stale.
    pub fn routes(&self, account: &AccountName) -> Option<(&RouteTable, &RouteMatches)> {
        let known = self.fleet().accounts.get(account)?;
        let table = known.routes().filter(|table| self.is_fresh(&table.status))?;
        Some((table, known.route_matches()))
    }

    /// The state of the prefixes of an account; `None` if its routes are not polled, or stale, or not judged yet.
    pub fn prefix_report(&self, account: &AccountName) -> Option<&PrefixReport> {
        self.routes(account)?;
        self.judged.prefixes.get(account).map(Arc::as_ref)
    }

    /// The prefixes of one account, in their order.
    pub fn prefixes_of<'a>(&'a self, account: &'a AccountName) -> impl Iterator<Item = PrefixRow<'a>> {
        let report = self.prefix_report(account).into_iter();
        report.flat_map(move |report| {
            (0..report.hops.len()).filter_map(move |index| PrefixRow::new(account, report, index))
        })
    }

    /// The prefix at this position of [`prefixes_of`](Self::prefixes_of).
    pub fn prefix_at<'a>(&'a self, account: &'a AccountName, index: usize) -> Option<PrefixRow<'a>> {
        PrefixRow::new(account, self.prefix_report(account)?, index)
    }

    /// The prefixes of all accounts, the most endangered first.
    pub fn prefixes(&self) -> Vec<PrefixRow<'_>> {
        let mut rows: Vec<_> = self.fleet().accounts.keys().flat_map(|account| self.prefixes_of(account)).collect();
        rows.sort_by_key(|row| Reverse(row.state()));
        rows
    }

    /// The tunnels of a route: one, unless no tunnel or several have its next hop.
    pub fn tunnels_of_route<'a>(
        &'a self,
        row: &PrefixRow<'a>,
        position: usize,
    ) -> impl Iterator<Item = &'a InventoryEntry> {
        let known = self.fleet().accounts.get(row.account);
        let tunnels = row.report.matches.tunnels(position);
        tunnels.filter_map(move |tunnel| known?.list(tunnel.tunnel_type).entries.get(tunnel.index as usize))
    }

    /// The verdict on a tunnel.
    pub fn verdict_of(&self, account: &AccountName, tunnel: &Tunnel) -> Verdict {
        let verdict = self.judged.verdicts.tunnels.get(&TunnelKey::new(account, tunnel));
        verdict.map_or(Verdict::Unknown, |verdict| verdict.verdict)
    }

    /// Number of routes with a next hop that no tunnel has; `None` while a list of tunnels is not known.
    pub fn unmatched_routes(&self, account: &AccountName) -> Option<usize> {
        let (_, matches) = self.routes(account)?;
        let known = self.fleet().accounts.get(account)?;
        known.lists().all(|(_, list)| is_known(&list.status)).then(|| matches.unmatched())
    }
}

/// Whether a list has been read, or is empty because the account is not entitled to tunnels of this type.
fn is_known(status: &PollStatus) -> bool {
    status.last_success.is_some() || status.state == PollState::Failed(FailureReason::NotEntitled)
}

#[cfg(test)]
mod tests;
