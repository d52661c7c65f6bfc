//! Prober and correlation: what is observed, and what follows from it.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    correlate::Correlator,
    domain::{inventory::Fleet, pulse::Pulses},
    prober::{self, icmp::IcmpNetwork, settings::Settings},
    snapshot::Judged,
};

/// Starts the prober's thread and the correlation, and returns the channel on which the correlation publishes. With probing switched off
/// the thread is idle and the verdicts follow from the reports alone.
pub(super) fn start(
    settings: watch::Receiver<Arc<Settings>>,
    stale_after: watch::Receiver<Duration>,
    fleet: &watch::Sender<Arc<Fleet>>,
    pulses: &Pulses,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<watch::Receiver<Judged>> {
    let pulse = pulses.part("the prober");
    let (handle, thread) = prober::start(IcmpNetwork::new, fleet.subscribe(), settings, pulse, stop.clone())
        .context("cannot start the prober")?;
    let pulse = pulses.part("the correlation");
    let (correlator, judged) =
        Correlator::new(fleet.subscribe(), handle.board.clone(), handle.changes, stale_after, pulse);
    tasks.spawn(async move {
        if let Err(panicked) = thread.stopped().await {
            error!("{panicked}");
        }
    });
    tasks.spawn(correlator.run(stop.clone()));
    tasks.spawn(prober::history::sample(handle.board, stop.clone()));
    Ok(judged)
}
