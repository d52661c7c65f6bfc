//! What one page of metrics shows. Copied once at the start of a scrape, because counters continue to move while the
//! client reads.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use web_toolkit::clock::Moment;

use super::{process, text::Labels};
use crate::{
    domain::{
        edge::{TunnelHealth, TunnelTraffic},
        findings::Findings,
        inventory::InventoryEntry,
        probe::ProbeTarget,
        verdict::{Side, TunnelVerdict},
    },
    prober::{mtu::MtuReading, tally::TallyReading},
    snapshot::{Row, Snapshot},
};

/// Everything a page is written from. Takes about a kilobyte for a tunnel with three targets.
#[derive(Debug)]
pub struct Capture {
    pub(super) snapshot: Snapshot,
    pub(super) process: process::ProcessStats,
    /// The exporter's own metrics as OpenMetrics text, without the final EOF line.
    pub(super) own: String,
    pub(super) poll_interval: Duration,
    pub(super) tunnels: Vec<TunnelCapture>,
}

/// The values of one tunnel.
#[derive(Debug)]
pub(super) struct TunnelCapture {
    /// The labels that every series of the tunnel has.
    pub(super) labels: Labels,
    /// `None` if the reported values are stale.
    pub(super) reported: Option<InventoryEntry>,
    /// `None` if the reported values are stale.
    pub(super) findings: Option<Findings>,
    pub(super) site: Option<Arc<str>>,
    /// Whether the addresses inside the tunnel answer.
    pub(super) reachable: Option<bool>,
    pub(super) targets: Box<[(ProbeTarget, TallyReading)]>,
    /// The addresses with a watched path MTU.
    pub(super) mtus: Box<[(ProbeTarget, MtuReading)]>,
    pub(super) verdict: Option<Arc<TunnelVerdict>>,
    /// `None` without data of the edge.
    pub(super) edge: Option<Box<EdgeCapture>>,
    /// Number of static routes to the tunnel; `None` if they are not polled, or stale.
    pub(super) routes: Option<u32>,
}

/// What the edge measures for one tunnel, without what is stale.
#[derive(Debug)]
pub(super) struct EdgeCapture {
    pub(super) health: Option<Arc<TunnelHealth>>,
    pub(super) traffic: Option<TunnelTraffic>,
}

impl Capture {
    /// Reads the counters of every probed address once.
    pub(super) fn new(
        snapshot: Snapshot,
        process: process::ProcessStats,
        own: String,
        poll_interval: Duration,
    ) -> Self {
        let tunnels = snapshot.rows().map(|row| TunnelCapture::new(&row, snapshot.now.wall)).collect();
        Self { snapshot, process, own, poll_interval, tunnels }
    }

    /// When the values were captured.
    pub const fn taken(&self) -> Moment {
        self.snapshot.now
    }
}

impl TunnelCapture {
    fn new(row: &Row<'_>, now: Timestamp) -> Self {
        Self {
            labels: Labels::of_tunnel(row.account, row.tunnel()),
            reported: row.fresh.then(|| row.entry.clone()),
            findings: row.fresh.then(|| row.findings(now)),
            site: row.site().cloned(),
            reachable: match row.inside().side {
                Side::Answers => Some(true),
                Side::Silent => Some(false),
                Side::Unsettled => None,
            },
            targets: row.targets().iter().map(|probe| (probe.target, probe.tally.read())).collect(),
            mtus: row.targets().iter().filter_map(|probe| Some((probe.target, probe.mtu()?))).collect(),
            verdict: row.verdict.cloned(),
            edge: EdgeCapture::new(row).map(Box::new),
            routes: row.routes.map(|routes| routes.count()),
        }
    }
}

impl EdgeCapture {
    fn new(row: &Row<'_>) -> Option<Self> {
        let health = row.edge_health().map(|(health, _)| Arc::clone(health));
        let traffic = row.edge_traffic().map(|(traffic, _)| *traffic);
        (health.is_some() || traffic.is_some()).then_some(Self { health, traffic })
    }
}
