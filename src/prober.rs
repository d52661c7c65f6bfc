//! The prober: one ICMP session for each address of the inventory, on a thread and a runtime of its own, so that rendering a
//! page or parsing a list never delays an echo.
//!
//! Fed by two `watch` channels: the fleet (from the pollers) and the settings (from the configuration). Publishes a
//! [`ProbeBoard`] whenever the set of targets changes, and moves a counter whenever the debounced state of a target does; the
//! tallies on the board move on their own. A session is a task of the driver's `JoinSet`; dropping the set ends them all.

pub mod board;
pub mod histogram;
pub mod history;
pub mod icmp;
pub mod link;
pub mod plan;
pub mod schedule;
pub mod session;
pub mod settings;
pub mod tally;
pub mod turnstile;

mod address;
mod progress;
mod roster;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    sync::Arc,
    thread,
};

use rand::RngExt as _;
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
    link::Network,
    progress::Progress,
    roster::{Change, Roster},
    schedule::Phases,
    session::Common,
    settings::{Pace, Settings},
    turnstile::Turnstile,
};
use crate::{
    domain::{
        inventory::Fleet,
        probe::{Binding, IpVersion, SessionKey},
        pulse::Pulse,
    },
    privileges,
    prober::{
        board::{ProbeBoard, Sockets},
        tally::Tally,
    },
};

/// What the rest of the program sees of the prober. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ProberHandle {
    /// Replaced when the set of targets changes.
    pub board: watch::Receiver<Arc<ProbeBoard>>,
    /// Moves when the debounced state of a target changes.
    pub changes: watch::Receiver<u64>,
}

/// The thread that probes. Its owner cancels the token it was started with and then awaits [`stopped`](Self::stopped).
#[derive(Debug)]
pub struct ProberThread {
    thread: thread::JoinHandle<()>,
    done: oneshot::Receiver<()>,
}

/// The prober's thread panicked.
#[derive(Debug, thiserror::Error)]
#[error("the prober's thread panicked")]
pub struct Panicked;

impl ProberThread {
    /// Waits for the end of the thread.
    pub async fn stopped(self) -> Result<(), Panicked> {
        // An error here is a thread that ended without a word; joining it tells more.
        let _ = self.done.await;
        self.thread.join().map_err(|_| Panicked)
    }
}

/// Starts probing on a thread of its own, until `stop` is cancelled.
///
/// # Errors
///
/// The system has no thread, or no file descriptors for the runtime.
pub fn start<N: Network>(
    network: impl FnOnce(Arc<Sockets>) -> N + Send + 'static,
    fleet: watch::Receiver<Arc<Fleet>>,
    settings: watch::Receiver<Arc<Settings>>,
    pulse: Pulse,
    stop: CancellationToken,
) -> io::Result<(ProberHandle, ProberThread)> {
    // One blocking thread draws the plans.
    let mut runtime = runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(1).on_thread_start(privileges::give_up_all).build()?;
    let sockets = Arc::new(Sockets::default());
    let (driver, handle) = Driver::new(network(Arc::clone(&sockets)), sockets, fleet, settings, pulse);
    let (done_tx, done) = oneshot::channel();
    let thread = thread::Builder::new().name("prober".into()).spawn(move || {
        runtime.block_on(driver.run(stop));
        // Nobody waits any more where this fails.
        let _ = done_tx.send(());
    })?;
    Ok((handle, ProberThread { thread, done }))
}

/// Follows the inventory and keeps one task for each session.
#[derive(Debug)]
pub struct Driver<N: Network> {
    network: N,
    fleet: watch::Receiver<Arc<Fleet>>,
    settings: watch::Receiver<Arc<Settings>>,
    board: watch::Sender<Arc<ProbeBoard>>,
    pace: watch::Sender<Pace>,
    /// Lent to a blocking thread while a plan is drawn.
    roster: Option<Roster>,
    common: Common,
    phases: Phases,
    links: HashMap<(IpVersion, Arc<Binding>), Arc<N::Link>>,
    tasks: JoinSet<()>,
    running: HashMap<SessionKey, AbortHandle>,
    progress: Progress,
}

impl<N: Network> Driver<N> {
    /// `sockets` are the statuses that the network's links keep.
    pub fn new(
        network: N,
        sockets: Arc<Sockets>,
        fleet: watch::Receiver<Arc<Fleet>>,
        settings: watch::Receiver<Arc<Settings>>,
        pulse: Pulse,
    ) -> (Self, ProberHandle) {
        let (changes, changes_rx) = watch::channel(0);
        let (pace, pace_rx) = watch::channel(settings.borrow().pace);
        let common = Common {
            origin: clock::now().instant,
            identifier: rand::rng().random(),
            pace: pace_rx,
            changes: Arc::new(changes),
            activity: Arc::default(),
            turnstile: Turnstile::default(),
        };
        let roster = Roster::new(Arc::clone(&settings.borrow()), sockets, Arc::clone(&common.activity));
        let (board, board_rx) = watch::channel(Arc::clone(roster.board()));
        let driver = Self {
            network,
            fleet,
            settings,
            board,
            pace,
            roster: Some(roster),
            common,
            phases: Phases::default(),
            links: HashMap::new(),
            tasks: JoinSet::new(),
            running: HashMap::new(),
            progress: Progress::new(pulse),
        };
        (driver, ProberHandle { board: board_rx, changes: changes_rx })
    }

    /// Probes until `stop` is cancelled, or the sender of the fleet or of the settings is gone.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.probe() => {}
        }
    }

    async fn probe(&mut self) {
        self.show_progress();
        while self.follow().await {
            loop {
                self.show_progress();
                // Cancel safety: `changed` and `join_next` lose nothing when dropped.
                let changed = tokio::select! {
                    changed = self.fleet.changed() => changed,
                    changed = self.settings.changed() => changed,
                    Some(ended) = self.tasks.join_next() => { report(ended); continue }
                    () = sleep(progress::LOOK_EVERY) => continue,
                };
                match changed {
                    Ok(()) => break,
                    Err(_) => return,
                }
            }
        }
    }

    fn show_progress(&mut self) {
        let interval = self.pace.borrow().timing.interval();
        let sessions = self.running.len();
        self.progress.look(sessions, self.common.activity.turns(), interval, clock::now().instant);
    }

    /// Brings the sessions in line with the newest inventory and settings. Says whether that was possible.
    async fn follow(&mut self) -> bool {
        let settings = Arc::clone(&self.settings.borrow_and_update());
        let fleet = Arc::clone(&self.fleet.borrow_and_update());
        self.pace.send_if_modified(|pace| std::mem::replace(pace, settings.pace) != settings.pace);
        let Some(mut roster) = self.roster.take() else { return false };
        let drawn = task::spawn_blocking(move || {
            let change = roster.adopt(&fleet, &settings);
            (roster, change)
        });
        match drawn.await {
            Ok((roster, change)) => {
                self.roster = Some(roster);
                self.apply(change).await;
                true
            }
            Err(failed) => {
                error!("the plan of the probes could not be drawn: {failed}");
                false
            }
        }
    }

    async fn apply(&mut self, change: Change) {
        /// Sessions started or stopped before the echoes get a chance again.
        const BATCH: usize = 128;
        let Some(board) = change.board else { return };
        debug!("probe plan changed: {} sessions start, {} stop", change.start.len(), change.stop.len());
        for (done, key) in change.stop.iter().enumerate() {
            if let Some(task) = self.running.remove(key) {
                task.abort();
            }
            if done % BATCH == BATCH - 1 {
                task::yield_now().await;
            }
        }
        for (done, (key, tally)) in change.start.into_iter().enumerate() {
            self.start(key, tally);
            if done % BATCH == BATCH - 1 {
                task::yield_now().await;
            }
        }
        self.drop_unused_links();
        self.board.send_replace(board);
        self.common.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn start(&mut self, key: SessionKey, tally: Arc<Tally>) {
        let version = IpVersion::of(key.address);
        let network = &self.network;
        let link = self
            .links
            .entry((version, Arc::clone(&key.binding)))
            .or_insert_with(|| Arc::new(network.link(version, &key.binding)));
        let session = self.common.session(key.address, self.phases.take(), clock::now().instant);
        let task = self.tasks.spawn(session::run(session, Arc::clone(link), tally, self.common.clone()));
        self.running.insert(key, task);
    }

    fn drop_unused_links(&mut self) {
        let used: BTreeSet<_> =
            self.running.keys().map(|key| (IpVersion::of(key.address), Arc::clone(&key.binding))).collect();
        self.links.retain(|link, _| used.contains(link));
    }
}

/// A session ends only when it is stopped; anything else is a defect that must not stay hidden.
fn report(ended: Result<(), JoinError>) {
    if let Err(failed) = ended
        && !failed.is_cancelled()
    {
        error!("a probe session ended: {failed}");
    }
}

#[cfg(test)]
mod tests;
