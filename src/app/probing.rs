//! Prober and correlation: what is observed, and what follows from it.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    config::Config,
    correlate::Correlator,
    domain::{board::ProbeBoard, inventory::Fleet, pulse::Pulses, verdict::Verdicts},
    history,
    prober::{self, icmp::IcmpNetwork},
};

/// What the page shows of both.
#[derive(Debug, Clone)]
pub(super) struct Observed {
    pub(super) board: watch::Receiver<Arc<ProbeBoard>>,
    pub(super) verdicts: watch::Receiver<Arc<Verdicts>>,
    pub(super) settings: watch::Receiver<Arc<prober::settings::Settings>>,
}

/// Starts the prober's thread and the correlation. With probing switched off the thread idles, and the verdicts are what Cloudflare
/// reports.
pub(super) fn start(
    config: &Config,
    fleet: &watch::Sender<Arc<Fleet>>,
    pulses: &Pulses,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Observed> {
    let (settings, settings_rx) = watch::channel(Arc::new(config.probe.clone()));
    let pulse = pulses.part("the prober");
    let (handle, thread) = prober::start(IcmpNetwork::new, fleet.subscribe(), settings_rx.clone(), pulse, stop.clone())
        .context("cannot start the prober")?;
    let (stale_after, stale_after_rx) = watch::channel(config.poll.stale_after);
    let pulse = pulses.part("the correlation");
    let (correlator, verdicts) =
        Correlator::new(fleet.subscribe(), handle.board.clone(), handle.changes, stale_after_rx, pulse);
    let correlating = correlator.run(stop.clone());
    tasks.spawn(async move {
        // The senders live as long as their readers.
        let _open = (settings, stale_after);
        if let Err(panicked) = thread.stopped().await {
            error!("{panicked}");
        }
    });
    tasks.spawn(correlating);
    tasks.spawn(history::run(handle.board.clone(), stop.clone()));
    Ok(Observed { board: handle.board, verdicts, settings: settings_rx })
}
