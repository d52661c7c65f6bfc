//! What one page shows, taken at one moment: whatever moves on while a client reads, its page does not.

use std::{sync::Arc, time::Duration};

use web_toolkit::clock::Moment;

use super::{labels::Labels, process};
use crate::domain::{
    board::{ProbeBoard, TunnelKey, TunnelProbes},
    inventory::{AccountName, CollectionSnapshot, Entry, Fleet},
    probe::{ProbeTarget, Silence},
    tally::Reading,
    verdict::{Side, TunnelVerdict, Verdicts},
};

/// Everything a page is written from. Takes about a kilobyte for a tunnel with three targets.
#[derive(Debug)]
pub struct Picture {
    pub(super) fleet: Arc<Fleet>,
    pub(super) board: Arc<ProbeBoard>,
    pub(super) process: process::Reading,
    /// The metrics of the parts, in OpenMetrics, without its end.
    pub(super) own: String,
    pub(super) poll_interval: Duration,
    pub(super) rows: Vec<Row>,
    taken: Moment,
    stale_after: Duration,
}

/// One tunnel.
#[derive(Debug)]
pub(super) struct Row {
    /// What every series of the tunnel has.
    pub(super) labels: Labels,
    /// What the API says, unless it said so too long ago.
    pub(super) reported: Option<Entry>,
    /// The site it belongs to, as the configuration says.
    pub(super) site: Option<Arc<str>>,
    /// Whether the addresses inside the tunnel answer.
    pub(super) reachable: Option<bool>,
    pub(super) targets: Box<[(ProbeTarget, Reading)]>,
    pub(super) verdict: Option<Arc<TunnelVerdict>>,
}

/// What a picture is taken of.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) fleet: Arc<Fleet>,
    pub(super) board: Arc<ProbeBoard>,
    pub(super) verdicts: Arc<Verdicts>,
    pub(super) process: process::Reading,
    pub(super) own: String,
    pub(super) poll_interval: Duration,
    pub(super) stale_after: Duration,
}

impl Picture {
    /// Reads every tally once.
    pub(super) fn take(scene: Scene, now: Moment) -> Self {
        let Scene { fleet, board, verdicts, process, own, poll_interval, stale_after } = scene;
        let mut rows = Vec::new();
        for (account, snapshot) in &fleet.accounts {
            for (_, collection) in snapshot.collections() {
                let is_fresh = collection.is_fresh(now, stale_after);
                rows.extend(
                    collection.entries.iter().map(|entry| Row::new(account, entry, is_fresh, &board, &verdicts)),
                );
            }
        }
        Self { fleet, board, process, own, poll_interval, rows, taken: now, stale_after }
    }

    pub const fn taken(&self) -> Moment {
        self.taken
    }

    /// Whether what the list says may still be shown.
    pub(super) fn is_fresh(&self, collection: &CollectionSnapshot) -> bool {
        collection.is_fresh(self.taken, self.stale_after)
    }
}

impl Row {
    fn new(account: &AccountName, entry: &Entry, is_fresh: bool, board: &ProbeBoard, verdicts: &Verdicts) -> Self {
        let key = TunnelKey::of(account, &entry.tunnel);
        let probes = board.tunnels.get(&key);
        let targets = probes.map_or(&[][..], |probes| &probes.targets);
        Self {
            labels: Labels::of_tunnel(account, &entry.tunnel),
            reported: is_fresh.then(|| entry.clone()),
            site: entry.site.clone(),
            reachable: probes.and_then(|probes| reachable(probes, board.silence)),
            targets: targets.iter().map(|probe| (probe.target, probe.tally.read())).collect(),
            verdict: verdicts.tunnels.get(&key).cloned(),
        }
    }
}

fn reachable(probes: &TunnelProbes, silence: Silence) -> Option<bool> {
    match Side::of(probes.inside().map(|probe| probe.tally.standing()), silence) {
        Side::Answers => Some(true),
        Side::Silent => Some(false),
        Side::Unsettled => None,
    }
}
