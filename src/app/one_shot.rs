//! The command `tunnels`: polls each list and, with `--probe`, probes each address until its state is settled, once or
//! repeatedly.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use web_toolkit::clock;

use super::{exporter::start_pollers, pollers::AgentParts, shutdown::join_all};
use crate::{
    cloudflare,
    config::Config,
    correlate::Correlator,
    domain::{
        dataset::PollState,
        inventory::Fleet,
        past::{PastReplies, PastVerdicts},
        pulse::{Pulse, Pulses},
    },
    exposition,
    inventory::InventoryMetrics,
    prober::{self, board::ProbeBoard, plan::ProbePlan, settings::ProbeSettings},
    snapshot::{Snapshot, Sources},
};

/// Time between two checks whether all states are settled.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Maximum time until the first verdicts are published.
const JUDGED_WITHIN: Duration = Duration::from_secs(1);

/// Collects one snapshot. Takes as long as the slowest list, and with probing several probe intervals longer.
///
/// # Errors
/// A component cannot be started, or `stop` was cancelled first.
pub async fn poll_once(config: Config, stop: CancellationToken) -> anyhow::Result<Snapshot> {
    let stop_tasks = stop.child_token();
    let mut tasks = JoinSet::new();
    let snapshot = tokio::select! {
        biased;
        () = stop.cancelled() => Err(anyhow::anyhow!("stopped before all tunnels were polled")),
        collector = Collector::start(&config, &stop_tasks, &mut tasks) => collector.map(Collector::finish),
    };
    stop_tasks.cancel();
    join_all(tasks, stop_tasks).await?;
    snapshot
}

/// Polls and probes until `stop` is cancelled or `show` breaks, which gets a snapshot in each interval.
///
/// # Errors
/// A component cannot be started, ended unexpectedly, or `show` fails.
pub async fn poll_repeatedly(
    config: Config,
    every: Duration,
    stop: CancellationToken,
    show: impl FnMut(&Snapshot) -> anyhow::Result<ControlFlow<()>>,
) -> anyhow::Result<()> {
    let config = with_interval(config, every);
    let stop_tasks = stop.child_token();
    let mut tasks = JoinSet::new();
    let shown = tokio::select! {
        // First, because `stop` also ends the tasks.
        biased;
        () = stop.cancelled() => Ok(()),
        shown = show_repeatedly(&config, every, &stop_tasks, &mut tasks, show) => shown,
    };
    stop_tasks.cancel();
    join_all(tasks, stop_tasks).await?;
    shown
}

/// The configuration with polls at this interval.
fn with_interval(mut config: Config, every: Duration) -> Config {
    config.poll.interval = every;
    // A poll that fails once does not make the data stale.
    config.poll.stale_after = config.poll.stale_after.max(3 * every);
    if let Some(hub) = &mut config.inventory {
        hub.interval = every;
    }
    config
}

async fn show_repeatedly(
    config: &Config,
    every: Duration,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
    mut show: impl FnMut(&Snapshot) -> anyhow::Result<ControlFlow<()>>,
) -> anyhow::Result<()> {
    let Collector { correlator, mut sources, _settings, _stale_after } = Collector::start(config, stop, tasks).await?;
    sources.judged.mark_unchanged();
    tasks.spawn(correlator.run(stop.clone()));
    // Without any tunnel there is nothing to wait for.
    let _ = timeout(JUDGED_WITHIN, sources.judged.changed()).await;
    while show(&sources.snapshot(clock::now()))?.is_continue() {
        tokio::select! {
            () = sleep(every) => {}
            Some(_) = tasks.join_next() => anyhow::bail!("a task ended unexpectedly"),
        }
    }
    Ok(())
}

/// What snapshots are taken from: every list has been polled, and every probed address has a settled state.
struct Collector {
    correlator: Correlator,
    sources: Sources,
    /// The prober runs while its settings can change.
    _settings: watch::Sender<Arc<ProbeSettings>>,
    _stale_after: watch::Sender<Duration>,
}

impl Collector {
    async fn start(config: &Config, stop: &CancellationToken, tasks: &mut JoinSet<()>) -> anyhow::Result<Self> {
        // The registry is dropped, because these metrics are not scraped.
        let metrics = cloudflare::Metrics::register(&mut exposition::registry());
        let agent = config.inventory.as_ref().map(|_| AgentParts {
            metrics: InventoryMetrics::register(&mut exposition::registry()),
            store: Arc::default(),
        });
        let (_, pollers) = start_pollers(config, metrics, Pulses::default(), agent, stop).await?;
        let mut fleet = pollers.subscribe();
        tasks.spawn(pollers.run(stop.clone()));
        let (settings_sender, settings) = watch::channel(Arc::new(config.probe.clone()));
        let (past, pulse) = (PastReplies::new(), Pulse::default());
        let (mut handle, thread) = prober::start(fleet.clone(), settings, past, None, pulse, stop.clone())
            .context("cannot start the prober")?;
        tasks.spawn(async move {
            // The panic hook has printed the message of a panic.
            let _ = thread.stopped().await;
        });
        let polled = fleet.wait_for(|fleet| is_polled(fleet)).await?.clone();
        if config.probe.enabled {
            let limit = config.probe.session.time_to_settle();
            if timeout(limit, wait_until_settled(&polled, &config.probe, &mut handle.board)).await.is_err() {
                debug!("some addresses have no settled state after {limit:?}");
            }
        }
        let (stale_after_sender, stale_after) = watch::channel(config.poll.stale_after);
        let past = PastVerdicts::default();
        let (correlator, judged) =
            Correlator::new(fleet, handle.board, handle.changes, stale_after.clone(), past, Pulse::default());
        let sources = Sources { judged, stale_after };
        Ok(Self { correlator, sources, _settings: settings_sender, _stale_after: stale_after_sender })
    }

    fn finish(self) -> Snapshot {
        self.correlator.judge_once();
        self.sources.snapshot(clock::now())
    }
}

fn is_polled(fleet: &Fleet) -> bool {
    fleet.from_hub.is_none_or(|status| status.state != PollState::Waiting)
        && fleet
            .accounts
            .values()
            .all(|account| account.datasets().all(|(_, status)| status.state != PollState::Waiting))
}

/// Waits until every planned address is probed and has a settled state.
async fn wait_until_settled(fleet: &Fleet, settings: &ProbeSettings, board: &mut watch::Receiver<Arc<ProbeBoard>>) {
    let plan = ProbePlan::build_if_enabled(fleet, settings);
    let is_planned = |board: &Arc<ProbeBoard>| plan.tunnels.keys().all(|key| board.tunnels.contains_key(key));
    let Ok(board) = board.wait_for(is_planned).await.map(|board| Arc::clone(&board)) else { return };
    while board.sessions.iter().any(|(_, tally)| tally.state().up.is_none()) {
        sleep(CHECK_INTERVAL).await;
    }
}
