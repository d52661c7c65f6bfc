//! The prober: one ICMP session per address, on a separate thread and runtime, so that rendering a page or parsing a
//! list never delays an echo.
//!
//! It reads two `watch` channels: the fleet (from the pollers) and the settings (from the configuration). It publishes
//! a [`ProbeBoard`] when the set of targets changes, and increments a counter when the debounced state of a target
//! changes. The tallies on the board are updated in place. Each session is a task in the `JoinSet` of the driver.

pub mod board;
pub mod histogram;
pub mod history;
pub mod icmp;
pub mod plan;
pub mod schedule;
pub mod session;
pub mod settings;
pub mod tally;

mod roster;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime,
    sync::{oneshot, watch},
    task::{self, AbortHandle, JoinError, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};
use web_toolkit::clock;

use self::{
    board::{ProbeBoard, Sockets},
    roster::{PlanChange, Roster},
    schedule::{PhaseSequence, SendGate},
    session::{Network, SessionContext},
    settings::{ProbeSettings, SessionSettings},
    tally::Tally,
};
use crate::{
    domain::{
        inventory::Fleet,
        past::PastReplies,
        probe::{Binding, IpVersion, SessionKey},
        pulse::Pulse,
    },
    privileges,
};

/// Time between two checks that sessions still send.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// The published state of the prober.
#[derive(Debug, Clone)]
pub struct ProberHandle {
    /// Replaced when the set of targets changes.
    pub board: watch::Receiver<Arc<ProbeBoard>>,
    /// Incremented when the debounced state of a target changes.
    pub changes: watch::Receiver<u64>,
}

/// The thread of the prober. Cancel the token that it was started with, then await [`stopped`](Self::stopped).
#[derive(Debug)]
pub struct ProberThread {
    thread: thread::JoinHandle<()>,
    done: oneshot::Receiver<()>,
}

/// The thread of the prober panicked.
#[derive(Debug, thiserror::Error)]
#[error("the thread of the prober panicked")]
pub struct ProberPanicked;

impl ProberThread {
    /// Waits for the end of the thread.
    ///
    /// # Errors
    /// [`ProberPanicked`] if the thread panicked.
    pub async fn stopped(self) -> Result<(), ProberPanicked> {
        // If the thread has panicked, this fails and joining the thread returns the reason.
        let _ = self.done.await;
        self.thread.join().map_err(|_| ProberPanicked)
    }
}

/// Starts the prober on a new thread. It runs until `stop` is cancelled. Addresses in `past` have replied in an earlier
/// run.
///
/// # Errors
/// The thread or the file descriptors of its runtime cannot be created.
pub fn start<N: Network>(
    network: impl FnOnce(Arc<Sockets>) -> N + Send + 'static,
    fleet: watch::Receiver<Arc<Fleet>>,
    settings: watch::Receiver<Arc<ProbeSettings>>,
    past: PastReplies,
    pulse: Pulse,
    stop: CancellationToken,
) -> io::Result<(ProberHandle, ProberThread)> {
    // One blocking thread computes the plans.
    let mut runtime = runtime::Builder::new_current_thread();
    let runtime =
        runtime.enable_all().max_blocking_threads(1).on_thread_start(privileges::drop_capabilities).build()?;
    let sockets = Arc::new(Sockets::default());
    let (driver, handle) = Driver::new(network(Arc::clone(&sockets)), sockets, fleet, settings, past, pulse);
    let (done_tx, done) = oneshot::channel();
    let thread = thread::Builder::new().name("prober".into()).spawn(move || {
        runtime.block_on(driver.run(stop));
        // Fails if the receiver has been dropped.
        let _ = done_tx.send(());
    })?;
    Ok((handle, ProberThread { thread, done }))
}

/// Starts and stops sessions as the inventory and the settings change.
#[derive(Debug)]
pub struct Driver<N: Network> {
    network: N,
    fleet: watch::Receiver<Arc<Fleet>>,
    settings: watch::Receiver<Arc<ProbeSettings>>,
    board: watch::Sender<Arc<ProbeBoard>>,
    session_settings: watch::Sender<SessionSettings>,
    /// `None` while a blocking thread computes a plan.
    roster: Option<Roster>,
    context: SessionContext,
    phases: PhaseSequence,
    links: HashMap<(IpVersion, Arc<Binding>), Arc<N::Link>>,
    tasks: JoinSet<()>,
    running: HashMap<SessionKey, AbortHandle>,
    monitor: SendMonitor,
}

impl<N: Network> Driver<N> {
    /// The links of `network` must report the status of their sockets in `sockets`.
    pub fn new(
        network: N,
        sockets: Arc<Sockets>,
        fleet: watch::Receiver<Arc<Fleet>>,
        settings: watch::Receiver<Arc<ProbeSettings>>,
        past: PastReplies,
        pulse: Pulse,
    ) -> (Self, ProberHandle) {
        let (changes, changes_rx) = watch::channel(0);
        let (session_settings, session_settings_rx) = watch::channel(settings.borrow().session);
        let context = SessionContext {
            origin: clock::now().instant,
            settings: session_settings_rx,
            changes: Arc::new(changes),
            activity: Arc::default(),
            gate: SendGate::default(),
        };
        let roster = Roster::new(Arc::clone(&settings.borrow()), sockets, Arc::clone(&context.activity), past);
        let (board, board_rx) = watch::channel(Arc::clone(roster.board()));
        let driver = Self {
            network,
            fleet,
            settings,
            board,
            session_settings,
            roster: Some(roster),
            context,
            phases: PhaseSequence::default(),
            links: HashMap::new(),
            tasks: JoinSet::new(),
            running: HashMap::new(),
            monitor: SendMonitor::new(pulse),
        };
        (driver, ProberHandle { board: board_rx, changes: changes_rx })
    }

    /// Probes until `stop` is cancelled or the sender of the fleet or of the settings is gone.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.probe() => {}
        }
    }

    async fn probe(&mut self) {
        self.check_progress();
        while self.apply_latest().await {
            loop {
                self.check_progress();
                // Cancel safety: dropping `changed` or `join_next` loses nothing.
                let changed = tokio::select! {
                    changed = self.fleet.changed() => changed,
                    changed = self.settings.changed() => changed,
                    Some(ended) = self.tasks.join_next() => { log_failure(ended); continue }
                    () = sleep(PROGRESS_INTERVAL) => continue,
                };
                match changed {
                    Ok(()) => break,
                    Err(_) => return,
                }
            }
        }
    }

    fn check_progress(&mut self) {
        let interval = self.session_settings.borrow().timing.interval();
        let sessions = self.running.len();
        self.monitor.check(sessions, self.context.activity.sends(), interval, clock::now().instant);
    }

    /// Applies the latest inventory and settings. Returns `false` if planning panicked.
    async fn apply_latest(&mut self) -> bool {
        let settings = Arc::clone(&self.settings.borrow_and_update());
        let fleet = Arc::clone(&self.fleet.borrow_and_update());
        self.session_settings
            .send_if_modified(|current| std::mem::replace(current, settings.session) != settings.session);
        let Some(mut roster) = self.roster.take() else { return false };
        let planned = task::spawn_blocking(move || {
            let change = roster.update(&fleet, &settings);
            (roster, change)
        });
        match planned.await {
            Ok((roster, change)) => {
                self.roster = Some(roster);
                self.apply(change).await;
                true
            }
            Err(failed) => {
                error!("cannot plan the probes: {failed}");
                false
            }
        }
    }

    async fn apply(&mut self, change: PlanChange) {
        /// Number of sessions to start or stop before other tasks can run.
        const BATCH: usize = 128;
        let Some(board) = change.board else { return };
        debug!("probe plan changed: starting {} sessions, stopping {}", change.start.len(), change.stop.len());
        for (done, key) in change.stop.iter().enumerate() {
            if let Some(task) = self.running.remove(key) {
                task.abort();
            }
            if done % BATCH == BATCH - 1 {
                task::yield_now().await;
            }
        }
        for (done, (key, tally)) in change.start.into_iter().enumerate() {
            self.start_session(key, tally);
            if done % BATCH == BATCH - 1 {
                task::yield_now().await;
            }
        }
        self.drop_unused_links();
        self.board.send_replace(board);
        self.context.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn start_session(&mut self, key: SessionKey, tally: Arc<Tally>) {
        let version = IpVersion::from(key.address);
        let network = &self.network;
        let link = self
            .links
            .entry((version, Arc::clone(&key.binding)))
            .or_insert_with(|| Arc::new(network.create_link(version, &key.binding)));
        let session = self.context.create_session(key.address, self.phases.next_phase(), clock::now().instant);
        let task = self.tasks.spawn(session::run(session, Arc::clone(link), tally, self.context.clone()));
        self.running.insert(key, task);
    }

    fn drop_unused_links(&mut self) {
        let used: BTreeSet<_> =
            self.running.keys().map(|key| (IpVersion::from(key.address), Arc::clone(&key.binding))).collect();
        self.links.retain(|link, _| used.contains(link));
    }
}

/// Feeds the watchdog while sessions send.
///
/// The driver alone proves little, because all sessions could be stuck. It therefore beats only if a session has sent
/// since the last check, or if there are no sessions.
#[derive(Debug)]
struct SendMonitor {
    pulse: Pulse,
    sends: u64,
    interval: Duration,
}

impl SendMonitor {
    fn new(pulse: Pulse) -> Self {
        Self { pulse, sends: 0, interval: Duration::ZERO }
    }

    /// Checks whether `sends`, the total of all sessions, has increased. Each session sends once per `interval`.
    fn check(&mut self, sessions: usize, sends: u64, interval: Duration, now: Instant) {
        let progressed = sends != self.sends || interval != self.interval;
        if sessions == 0 || progressed {
            self.pulse.beat(now, interval.saturating_add(PROGRESS_INTERVAL));
        }
        (self.sends, self.interval) = (sends, interval);
    }
}

/// Logs a session that ended unexpectedly.
fn log_failure(ended: Result<(), JoinError>) {
    if let Err(failed) = ended
        && !failed.is_cancelled()
    {
        error!("a probe session failed: {failed}");
    }
}

#[cfg(test)]
mod tests;
