//! The only place that joins what Cloudflare reports, what the probes observe, and the verdict.
//!
//! The correlation publishes [`Judged`]: verdicts together with the inventory and the probes that they were reached
//! from, so that no reader can combine a verdict with a newer inventory. A [`Snapshot`] adds the time; the metrics, the
//! pages, the JSON and the command line all read from it. Counters of the probes are shared and continue to move.

pub mod prefixes;
pub mod routes;
pub mod rows;
pub mod sites;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use web_toolkit::clock::Moment;

pub use self::{routes::Prefixes, rows::Row};
use crate::{
    domain::{
        dataset::{Dataset, PollStatus},
        edge::{EdgeWindow, matching::EdgeMatches},
        findings::SharedPrefixes,
        inventory::{AccountInventory, AccountName, Fleet, InventoryEntry, TunnelKey, TunnelList},
        routes::matching::RouteMatches,
        tunnel::TunnelType,
        verdict::Verdicts,
        verdict_history::{VerdictHistories, VerdictHistory},
    },
    prober::board::ProbeBoard,
    snapshot::{
        routes::RowRoutes,
        rows::{Filter, RowEdge, Summary},
    },
};

/// Verdicts, and what they were reached from.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    pub fleet: Arc<Fleet>,
    pub board: Arc<ProbeBoard>,
    pub verdicts: Arc<Verdicts>,
    pub histories: Arc<VerdictHistories>,
    /// The state of the prefixes with these routes and verdicts.
    pub prefixes: Arc<Prefixes>,
}

/// The channels that a snapshot is taken from.
#[derive(Debug, Clone)]
pub struct Sources {
    pub judged: watch::Receiver<Judged>,
    /// Time without a successful poll after which reported values are stale.
    pub stale_after: watch::Receiver<Duration>,
}

impl Sources {
    /// Sources that never change.
    pub fn fixed(judged: Judged, stale_after: Duration) -> Self {
        Self { judged: watch::channel(judged).1, stale_after: watch::channel(stale_after).1 }
    }

    /// Takes a snapshot. Copies only pointers.
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        let judged = self.judged.borrow().clone();
        Snapshot { judged, stale_after: *self.stale_after.borrow(), now }
    }
}

/// Everything that is known at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub judged: Judged,
    pub stale_after: Duration,
    pub now: Moment,
}

/// Position in the rows of a snapshot, to continue from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowPosition {
    list: usize,
    entry: usize,
}

/// What the tunnels of one list have in common.
#[derive(Debug, Clone, Copy)]
struct Frame<'a> {
    account: &'a AccountName,
    tunnel_type: TunnelType,
    fresh: bool,
    confirmed: Option<Moment>,
    /// `None` if the edge is not polled.
    matches: Option<&'a EdgeMatches>,
    /// `None` if the data is stale.
    health: Option<EdgeWindow>,
    traffic: Option<EdgeWindow>,
    shared_prefixes: Option<&'a SharedPrefixes>,
    /// `None` if the routes are not polled, or stale.
    routes: Option<&'a RouteMatches>,
}

impl<'a> Frame<'a> {
    /// What the edge measures for the tunnel at this position.
    fn edge(&self, index: usize) -> Option<RowEdge<'a>> {
        let edge = self.matches?.get(self.tunnel_type, index)?;
        Some(RowEdge {
            health: edge.health.as_ref().zip(self.health),
            traffic: Some(&edge.traffic).filter(|traffic| !traffic.is_empty()).zip(self.traffic),
            site: edge.site.as_ref(),
        })
    }
}

impl Snapshot {
    pub fn fleet(&self) -> &Fleet {
        &self.judged.fleet
    }

    pub fn board(&self) -> &ProbeBoard {
        &self.judged.board
    }

    /// Every tunnel, in the order of the inventory.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows_from(RowPosition::default()).map(|(_, row)| row)
    }

    /// The tunnels that match the filter, in the order of the inventory.
    pub fn matching<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = Row<'a>> {
        self.rows().filter(|row| filter.matches(row))
    }

    /// The tunnels from `start` on, each with the position after it.
    pub fn rows_from(&self, start: RowPosition) -> impl Iterator<Item = (RowPosition, Row<'_>)> {
        let lists = self.lists().enumerate().skip(start.list);
        lists.flat_map(move |(number, (account, tunnel_type, list))| {
            let frame = self.frame(account, tunnel_type, list);
            let skipped = if number == start.list { start.entry } else { 0 };
            list.entries.iter().enumerate().skip(skipped).map(move |(index, entry)| {
                let next = RowPosition { list: number, entry: index + 1 };
                (next, self.join(frame, index, entry))
            })
        })
    }

    /// One tunnel; `None` if the inventory does not contain it.
    pub fn row(&self, key: &TunnelKey) -> Option<Row<'_>> {
        let (account, known) = self.fleet().accounts.get_key_value(&key.account)?;
        let list = known.list(key.tunnel_type);
        let index = list.entries.iter().position(|entry| entry.tunnel.id == key.id)?;
        Some(self.join(self.frame(account, key.tunnel_type, list), index, &list.entries[index]))
    }

    /// The last changes of the verdict on a tunnel; `None` if there are none.
    pub fn history(&self, key: &TunnelKey) -> Option<&VerdictHistory> {
        self.judged.histories.get(key)
    }

    /// What the tunnels of a list have in common.
    fn frame<'a>(&'a self, account: &'a AccountName, tunnel_type: TunnelType, list: &'a TunnelList) -> Frame<'a> {
        let known = self.fleet().accounts.get(account).map(Arc::as_ref);
        let edge = known.and_then(|known| known.edge());
        Frame {
            account,
            tunnel_type,
            fresh: self.is_fresh(&list.status),
            confirmed: list.status.last_success,
            matches: known.filter(|_| edge.is_some()).map(AccountInventory::matches),
            health: edge.and_then(|edge| edge.health_window(self.now)),
            traffic: edge.and_then(|edge| edge.traffic_window(self.now)),
            shared_prefixes: known.filter(|_| self.fleet().from_hub.is_none()).map(AccountInventory::shared_prefixes),
            routes: self.routes(account).map(|(_, matches)| matches),
        }
    }

    fn join<'a>(&'a self, frame: Frame<'a>, index: usize, entry: &'a InventoryEntry) -> Row<'a> {
        let key = TunnelKey::new(frame.account, &entry.tunnel);
        let probes = self.board().tunnels.get(&key).map(Arc::as_ref);
        let verdict = self.judged.verdicts.tunnels.get(&key);
        Row {
            key,
            account: frame.account,
            entry,
            fresh: frame.fresh,
            confirmed: frame.confirmed,
            verdict,
            probes,
            silence: self.board().settings.silence,
            edge: frame.edge(index),
            shared_prefixes: frame.shared_prefixes,
            routes: frame.routes.map(|matches| RowRoutes { matches, tunnel_type: frame.tunnel_type, index }),
        }
    }

    /// Counts of the tunnels by verdict.
    pub fn summary(&self) -> Summary {
        Summary::count(self.rows())
    }

    /// The status of every dataset of every account.
    pub fn datasets(&self) -> impl Iterator<Item = (&AccountName, Dataset, &PollStatus)> {
        let accounts = self.fleet().accounts.iter();
        accounts.flat_map(|(account, known)| known.datasets().map(move |(dataset, status)| (account, dataset, status)))
    }

    /// Every tunnel list of every account.
    pub fn lists(&self) -> impl Iterator<Item = (&AccountName, TunnelType, &TunnelList)> {
        let accounts = self.fleet().accounts.iter();
        accounts.flat_map(|(account, known)| known.lists().map(move |(tunnel_type, list)| (account, tunnel_type, list)))
    }

    /// Whether values of this dataset may be shown.
    pub fn is_fresh(&self, status: &PollStatus) -> bool {
        status.is_fresh(self.now, self.stale_after)
    }
}

#[cfg(test)]
mod tests;
