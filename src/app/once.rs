//! One look at everything: each list is read once, and where probing is asked for, each address until its state settles.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use web_toolkit::clock;

use super::{exporter, tasks::run_to_end};
use crate::{
    cloudflare,
    config::{Config, ConfigError, Inputs, Log, flags::Flags},
    correlate::Correlator,
    domain::{
        dataset::PollState,
        inventory::Fleet,
        pulse::{Pulse, Pulses},
    },
    exposition,
    prober::{self, board::ProbeBoard, icmp::IcmpNetwork, plan::Plan, settings::Settings},
    snapshot::{Snapshot, Sources},
};

/// How often it is looked whether the states of all addresses have settled.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// For what lies between an echo and its result: the start of the sessions, a busy machine.
const MARGIN: Duration = Duration::from_secs(2);

/// A look, its configuration checked.
#[derive(Debug)]
pub struct Once {
    config: Config,
}

impl Once {
    /// Reads the configuration. Blocks.
    ///
    /// # Errors
    /// The first key whose value breaks a rule.
    pub fn new(flags: &Flags, inputs: &Inputs) -> Result<Self, ConfigError> {
        Ok(Self { config: Config::for_serve(flags, inputs)? })
    }

    pub fn log(&self) -> Log {
        self.config.log
    }

    /// What there is to see. Takes as long as the slowest list, and with probing some intervals more.
    ///
    /// # Errors
    /// The parts cannot be started, or `stop` was cancelled first.
    pub async fn look(self, stop: CancellationToken) -> anyhow::Result<Snapshot> {
        let parts = stop.child_token();
        let mut tasks = JoinSet::new();
        let picture = tokio::select! {
            () = stop.cancelled() => Err(anyhow::anyhow!("stopped before everything was seen")),
            picture = see(&self.config, &parts, &mut tasks) => picture,
        };
        parts.cancel();
        run_to_end(tasks, parts).await?;
        picture
    }
}

async fn see(config: &Config, stop: &CancellationToken, tasks: &mut JoinSet<()>) -> anyhow::Result<Snapshot> {
    // Nobody scrapes them.
    let metrics = cloudflare::Metrics::register(&mut exposition::registry());
    let (_, pollers) = exporter::poll(config, metrics, &Pulses::default(), stop).await?;
    let mut fleet = pollers.fleet().subscribe();
    tasks.spawn(pollers.run(stop.clone()));
    let (_settings, settings) = watch::channel(Arc::new(config.probe.clone()));
    let (mut handle, thread) = prober::start(IcmpNetwork::new, fleet.clone(), settings, Pulse::default(), stop.clone())
        .context("cannot start the prober")?;
    tasks.spawn(async move {
        // A panic has its own line in the log.
        let _ = thread.stopped().await;
    });
    let polled = fleet.wait_for(|fleet| is_polled(fleet)).await?.clone();
    if config.probe.enabled {
        let patience = time_to_settle(&config.probe);
        if timeout(patience, settled(&polled, &config.probe, &mut handle.board)).await.is_err() {
            debug!("not every address has a settled state after {patience:?}");
        }
    }
    let (_stale_after, stale_after) = watch::channel(config.poll.stale_after);
    let (correlator, judged) =
        Correlator::new(fleet, handle.board, handle.changes, stale_after.clone(), Pulse::default());
    correlator.judge_once();
    Ok(Sources { judged, stale_after }.snapshot(clock::now()))
}

fn is_polled(fleet: &Fleet) -> bool {
    fleet.accounts.values().all(|account| account.datasets().all(|(_, status)| status.state != PollState::Waiting))
}

/// As many failures as it takes to be down, the last of them by its timeout.
fn time_to_settle(settings: &Settings) -> Duration {
    let pace = settings.pace;
    let turns = pace.thresholds.down_after.max(pace.thresholds.up_after).get() + 1;
    pace.timing.interval() * turns + pace.timing.timeout() + MARGIN
}

/// Waits until every address that is to be probed is, and has a settled state.
async fn settled(fleet: &Fleet, settings: &Settings, board: &mut watch::Receiver<Arc<ProbeBoard>>) {
    let plan = Plan::in_force(fleet, settings);
    let is_planned = |board: &Arc<ProbeBoard>| plan.tunnels.keys().all(|key| board.tunnels.contains_key(key));
    let Ok(board) = board.wait_for(is_planned).await.map(|board| Arc::clone(&board)) else { return };
    while board.sessions.iter().any(|(_, tally)| tally.standing().up.is_none()) {
        sleep(LOOK_EVERY).await;
    }
}
