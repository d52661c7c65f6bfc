//! The task that writes the state file while the exporter runs and when it stops.

use std::{io, mem, sync::Arc};

use tokio::{sync::watch, task, time::sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use web_toolkit::clock;

use super::{archive::Archive, directory::StateDirectory, metrics::StateMetrics, schedule::WriteSchedule};
use crate::{agents::Agents, domain::past::PastInventory, snapshot::Judged};

/// Channel with the newest inventory of an agent.
pub(super) type InventoryReceiver = watch::Receiver<Option<Arc<PastInventory>>>;

/// Follows the published verdicts and writes the file.
#[derive(Debug)]
pub struct StateKeeper {
    directory: Arc<StateDirectory>,
    archive: Archive,
    judged: watch::Receiver<Judged>,
    /// On an agent, the newest inventory.
    inventory: Option<InventoryReceiver>,
    /// The agents of a hub.
    agents: Agents,
    metrics: StateMetrics,
    schedule: WriteSchedule,
    /// Whether the last write failed, so that a failure is logged once.
    failing: bool,
}

impl StateKeeper {
    /// `archive` was loaded from `directory`.
    pub fn new(
        directory: Arc<StateDirectory>,
        archive: Archive,
        judged: watch::Receiver<Judged>,
        (inventory, agents): (Option<InventoryReceiver>, Agents),
        metrics: StateMetrics,
    ) -> Self {
        let schedule = WriteSchedule::new(clock::now().instant);
        Self { directory, archive, judged, inventory, agents, metrics, schedule, failing: false }
    }

    /// Writes until `stop` is cancelled, and once more then.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            // Cancel safety: dropping `changed` or a timer loses nothing.
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep_until(self.schedule.due().into()) => self.write().await,
                changed = self.judged.changed() => match changed {
                    Ok(()) => self.notice(),
                    // The correlation ends when the exporter stops.
                    Err(_) => stop.cancelled().await,
                },
                () = next_inventory(&mut self.inventory) => self.schedule.record_change(clock::now().instant),
            }
        }
        self.write().await;
    }

    fn notice(&mut self) {
        let judged = self.judged.borrow_and_update();
        if !self.schedule.has_change() && self.archive.differs_from(&judged) {
            self.schedule.record_change(clock::now().instant);
        }
    }

    async fn write(&mut self) {
        let (mut archive, directory) = (mem::take(&mut self.archive), Arc::clone(&self.directory));
        let judged = self.judged.borrow_and_update().clone();
        if let Some(inventory) = &self.inventory {
            archive.inventory.clone_from(&inventory.borrow());
        }
        let now = clock::now();
        let agents = self.agents.list(now).into_iter();
        archive.agents = agents.map(|agent| (agent.report, agent.last_seen.wall)).collect();
        let written = task::spawn_blocking(move || {
            archive.update(&judged, now.wall);
            let result = directory.write(&archive);
            (archive, result)
        });
        let result = match written.await {
            Ok((archive, result)) => {
                self.archive = archive;
                result
            }
            Err(panicked) => Err(io::Error::other(panicked)),
        };
        self.schedule.record_write(clock::now().instant, result.is_ok());
        match &result {
            Ok(()) => self.metrics.set_written(now.wall),
            Err(_) => self.metrics.count_failure(),
        }
        self.log(result);
    }

    fn log(&mut self, result: io::Result<()>) {
        let failed_before = mem::replace(&mut self.failing, result.is_err());
        match result {
            Err(error) if !failed_before => {
                warn!("cannot write the state file, so that a restart would use an older one: {error}");
            }
            Ok(()) if failed_before => info!("the state file is written again"),
            _ => {}
        }
    }
}

/// Waits for another inventory; forever on an exporter that has none. Cancel safe.
async fn next_inventory(inventory: &mut Option<InventoryReceiver>) {
    let ended = match inventory {
        Some(inventory) => inventory.changed().await.is_err(),
        None => true,
    };
    if ended {
        std::future::pending::<()>().await;
    }
}
