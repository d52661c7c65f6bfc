//! Prober and correlation: what is observed, and what follows from it.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    correlate::Correlator,
    domain::{board::ProbeBoard, inventory::Fleet, pulse::Pulses, verdict::Verdicts},
    history,
    prober::{self, icmp::IcmpNetwork, settings::Settings},
};

/// What the page shows of both.
#[derive(Debug, Clone)]
pub(super) struct Observed {
    pub(super) board: watch::Receiver<Arc<ProbeBoard>>,
    pub(super) verdicts: watch::Receiver<Arc<Verdicts>>,
}

/// Starts the prober's thread and the correlation. With probing switched off the thread idles, and the verdicts are what Cloudflare
/// reports.
pub(super) fn start(
    settings: watch::Receiver<Arc<Settings>>,
    stale_after: watch::Receiver<Duration>,
    fleet: &watch::Sender<Arc<Fleet>>,
    pulses: &Pulses,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Observed> {
    let pulse = pulses.part("the prober");
    let (handle, thread) = prober::start(IcmpNetwork::new, fleet.subscribe(), settings, pulse, stop.clone())
        .context("cannot start the prober")?;
    let pulse = pulses.part("the correlation");
    let (correlator, verdicts) =
        Correlator::new(fleet.subscribe(), handle.board.clone(), handle.changes, stale_after, pulse);
    tasks.spawn(async move {
        if let Err(panicked) = thread.stopped().await {
            error!("{panicked}");
        }
    });
    tasks.spawn(correlator.run(stop.clone()));
    tasks.spawn(history::run(handle.board.clone(), stop.clone()));
    Ok(Observed { board: handle.board, verdicts })
}
