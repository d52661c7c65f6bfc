//! One verdict per tunnel, from what Cloudflare reports and what the probes observe.
//!
//! One task, fed by four `watch` channels: the fleet (from the pollers), the board and the counter of state changes
//! (from the prober), and the time after which reports are stale. It publishes the verdicts together with the fleet and
//! the board that they were reached from, and writes one log line for each change. Without probes the verdicts follow
//! from the reports alone.

pub mod prefixes;
mod tracker;
mod verdict;

use std::{future, sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::info;
use web_toolkit::{clock, text::shown};

use self::tracker::{Tracker, VerdictChange};
use crate::{
    domain::{inventory::Fleet, label::Label as _, past::PastVerdicts, pulse::Pulse},
    prober::board::ProbeBoard,
    snapshot::{Judged, Snapshot},
};

/// Delay after a change, so that a burst of changes is judged once.
const GATHER: Duration = Duration::from_millis(50);

/// Maximum time between two judgements, because a report becomes stale without an event.
const JUDGE_INTERVAL: Duration = Duration::from_secs(5);

/// Judges every tunnel whenever something changes.
#[derive(Debug)]
pub struct Correlator {
    fleet: watch::Receiver<Arc<Fleet>>,
    board: watch::Receiver<Arc<ProbeBoard>>,
    state_changes: watch::Receiver<u64>,
    stale_after: watch::Receiver<Duration>,
    judged: watch::Sender<Judged>,
    tracker: Tracker,
    pulse: Pulse,
}

impl Correlator {
    /// Starts from the verdicts of an earlier run, `past`. `state_changes` changes whenever the debounced state of a
    /// probe does. A report older than `stale_after` does not count. `pulse` beats at each judgement.
    pub fn new(
        fleet: watch::Receiver<Arc<Fleet>>,
        board: watch::Receiver<Arc<ProbeBoard>>,
        state_changes: watch::Receiver<u64>,
        stale_after: watch::Receiver<Duration>,
        past: PastVerdicts,
        pulse: Pulse,
    ) -> (Self, watch::Receiver<Judged>) {
        // Readers see the accounts from the start, also before the first judgement.
        let first =
            Judged { fleet: Arc::clone(&fleet.borrow()), board: Arc::clone(&board.borrow()), ..Judged::default() };
        let (judged, published) = watch::channel(first);
        (Self { fleet, board, state_changes, stale_after, judged, tracker: Tracker::new(past), pulse }, published)
    }

    /// Judges until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            self.judge();
            self.pulse.beat(clock::now().instant, JUDGE_INTERVAL + GATHER);
            // Cancel safety: `changed` loses nothing when dropped, and each round judges everything.
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(JUDGE_INTERVAL) => {}
                () = changed(&mut self.fleet) => {}
                () = changed(&mut self.stale_after) => {}
                () = changed(&mut self.board) => {}
                () = changed(&mut self.state_changes) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(GATHER) => {}
            }
        }
    }

    /// Judges once, from what is known now.
    pub fn judge_once(mut self) {
        self.judge();
    }

    fn judge(&mut self) {
        let before = self.judged.borrow().clone();
        let fleet = Arc::clone(&self.fleet.borrow_and_update());
        let board = Arc::clone(&self.board.borrow_and_update());
        self.state_changes.mark_unchanged();
        let stale_after = *self.stale_after.borrow_and_update();
        let same_inputs = Arc::ptr_eq(&fleet, &before.fleet) && Arc::ptr_eq(&board, &before.board);
        let judged = Judged { fleet, board, ..before };
        let mut snapshot = Snapshot { judged, stale_after, now: clock::now() };
        let round = self.tracker.judge(&snapshot);
        if round.moved {
            snapshot.judged.verdicts = Arc::new(self.tracker.verdicts());
            snapshot.judged.histories = Arc::new(self.tracker.histories());
        }
        if round.moved || !same_inputs {
            snapshot.judged.prefixes = Arc::new(prefixes::assess(&snapshot.judged, round.moved));
            self.judged.send_replace(snapshot.judged);
        }
        round.changes.iter().for_each(log);
    }
}

/// Waits for a new value; forever if the sender is gone.
async fn changed<T>(channel: &mut watch::Receiver<T>) {
    if channel.changed().await.is_err() {
        future::pending::<()>().await;
    }
}

fn log(change: &VerdictChange) {
    info!(
        account = change.key.account.as_str(),
        tunnel_type = change.key.tunnel_type.as_str(),
        tunnel_id = change.key.id.as_str(),
        tunnel_name = %shown(&change.tunnel.name),
        from = change.from.as_str(),
        to = change.to.as_str(),
        "tunnel {} is {}, was {}: {}",
        shown(&change.tunnel.name),
        change.to,
        change.from,
        change.why
    );
}

#[cfg(test)]
mod tests;
