//! The prober: one ICMP session per address, on a separate thread and runtime, so that rendering a page or parsing a
//! list never delays an echo.
//!
//! It reads two `watch` channels: the fleet (from the pollers) and the settings (from the configuration). It publishes
//! a [`ProbeBoard`] when the set of targets changes, and increments a counter when the debounced state of a target
//! changes. The tallies on the board are updated in place. An [engine](engine::Engine) runs the sessions.

pub mod batch;
pub mod board;
pub mod client;
pub mod engine;
pub mod histogram;
pub mod history;
pub mod mtu;
pub mod plan;
pub mod schedule;
pub mod session;
pub mod settings;
pub mod tally;

mod meaning;
mod notice;
mod roster;
mod slot;

use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime,
    sync::{oneshot, watch},
    task,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};
use web_toolkit::clock;

use self::{
    batch::BatchEngine,
    board::{ProbeBoard, Sockets},
    client::{
        ClientEngine,
        icmp::IcmpNetwork,
        mute::{MutedAddresses, MutedNetwork},
    },
    engine::{Engine, MtuWatch},
    notice::SocketFailure,
    roster::{PlanChange, Roster},
    schedule::PhaseSequence,
    session::SessionContext,
    settings::{ProbeSettings, SessionSettings},
};
use crate::{
    domain::{
        inventory::Fleet,
        past::PastReplies,
        probe::{Binding, IpVersion, ProbeEngine},
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

/// Starts the prober on a new thread, with the engine of the settings. It runs until `stop` is cancelled. Addresses in
/// `past` have replied in an earlier run. With `muted`, the engine is always `client`.
///
/// # Errors
/// The thread or the file descriptors of its runtime cannot be created.
pub fn start(
    fleet: watch::Receiver<Arc<Fleet>>,
    settings: watch::Receiver<Arc<ProbeSettings>>,
    past: PastReplies,
    muted: Option<MutedAddresses>,
    pulse: Pulse,
    stop: CancellationToken,
) -> io::Result<(ProberHandle, ProberThread)> {
    let engine = settings.borrow().engine;
    let create = |context: SessionContext, sockets| create_engine(engine, muted, context, sockets);
    start_with(create, fleet, settings, past, pulse, stop)
}

fn create_engine(
    engine: ProbeEngine,
    muted: Option<MutedAddresses>,
    context: SessionContext,
    sockets: Arc<Sockets>,
) -> io::Result<Box<dyn Engine>> {
    if let Some(muted) = muted {
        let network = MutedNetwork::new(IcmpNetwork::new(sockets), muted);
        return Ok(Box::new(ClientEngine::new(network, context)));
    }
    Ok(match engine {
        ProbeEngine::Auto | ProbeEngine::Batch => Box::new(BatchEngine::new(context, sockets)?),
        ProbeEngine::Client => Box::new(ClientEngine::new(IcmpNetwork::new(sockets), context)),
    })
}

/// Opens and closes a socket, to check the configuration. Requires a tokio runtime. Returns a description of the
/// socket.
///
/// # Errors
/// [`SocketFailure`] if the socket cannot be opened.
pub fn try_open(engine: ProbeEngine, version: IpVersion, binding: &Binding) -> Result<String, SocketFailure> {
    match engine {
        ProbeEngine::Auto | ProbeEngine::Batch => batch::try_open(version, binding),
        ProbeEngine::Client => client::icmp::try_open(version, binding),
    }
}

fn start_with(
    create: impl FnOnce(SessionContext, Arc<Sockets>) -> io::Result<Box<dyn Engine>>,
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
    let (driver, handle) = Driver::new(create, fleet, settings, past, pulse)?;
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
pub struct Driver {
    fleet: watch::Receiver<Arc<Fleet>>,
    settings: watch::Receiver<Arc<ProbeSettings>>,
    board: watch::Sender<Arc<ProbeBoard>>,
    session_settings: watch::Sender<SessionSettings>,
    /// `None` while a blocking thread computes a plan.
    roster: Option<Roster>,
    context: SessionContext,
    phases: PhaseSequence,
    engine: Box<dyn Engine>,
    monitor: SendMonitor,
}

impl Driver {
    /// The engine must report the status of its sockets in the given list.
    ///
    /// # Errors
    /// The engine cannot be created.
    pub fn new(
        create: impl FnOnce(SessionContext, Arc<Sockets>) -> io::Result<Box<dyn Engine>>,
        fleet: watch::Receiver<Arc<Fleet>>,
        settings: watch::Receiver<Arc<ProbeSettings>>,
        past: PastReplies,
        pulse: Pulse,
    ) -> io::Result<(Self, ProberHandle)> {
        let (changes, changes_rx) = watch::channel(0);
        let (session_settings, session_settings_rx) = watch::channel(settings.borrow().session);
        let context = SessionContext {
            origin: clock::now().instant,
            settings: session_settings_rx,
            changes: Arc::new(changes),
            activity: Arc::default(),
        };
        let sockets = Arc::new(Sockets::default());
        let engine = create(context.clone(), Arc::clone(&sockets))?;
        let roster = Roster::new(Arc::clone(&settings.borrow()), sockets, Arc::clone(&context.activity), past);
        let (board, board_rx) = watch::channel(Arc::clone(roster.board()));
        let driver = Self {
            fleet,
            settings,
            board,
            session_settings,
            roster: Some(roster),
            context,
            phases: PhaseSequence::default(),
            engine,
            monitor: SendMonitor::new(pulse),
        };
        Ok((driver, ProberHandle { board: board_rx, changes: changes_rx }))
    }

    /// Probes until `stop` is cancelled, the engine has failed, or the sender of the fleet or of the settings is gone.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.probe() => {}
        }
    }

    async fn probe(&mut self) {
        while self.check_progress() && self.apply_latest().await {
            loop {
                if !self.check_progress() {
                    return;
                }
                // Cancel safety: dropping `changed` loses nothing.
                let changed = tokio::select! {
                    changed = self.fleet.changed() => changed,
                    changed = self.settings.changed() => changed,
                    () = sleep(PROGRESS_INTERVAL) => continue,
                };
                match changed {
                    Ok(()) => break,
                    Err(_) => return,
                }
            }
        }
    }

    /// Returns `false` if the engine has failed.
    fn check_progress(&mut self) -> bool {
        if let Err(stopped) = self.engine.check() {
            error!("{stopped}");
            return false;
        }
        let interval = self.session_settings.borrow().timing.interval();
        let sends = self.context.activity.sends();
        self.monitor.check(self.engine.sessions(), sends, interval, clock::now().instant);
        true
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
                self.engine.apply();
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
            self.engine.stop(key);
            if done % BATCH == BATCH - 1 {
                task::yield_now().await;
            }
        }
        for key in &change.stop_mtu {
            self.engine.stop_mtu(key);
        }
        for (done, (key, tally)) in change.start.into_iter().enumerate() {
            let session = self.context.create_session(key.address, self.phases.next_phase(), clock::now().instant);
            self.engine.start(key, session, tally);
            if done % BATCH == BATCH - 1 {
                task::yield_now().await;
            }
        }
        let now = clock::now().instant;
        for (key, limits, tally) in change.start_mtu {
            let first = now + self.phases.next_phase().offset(limits.interval());
            self.engine.start_mtu(MtuWatch { key, limits, first, tally });
        }
        self.board.send_replace(board);
        self.context.announce_change();
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

#[cfg(test)]
mod tests;
