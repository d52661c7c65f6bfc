//! One verdict per tunnel, out of what Cloudflare reports and what the probes observe.
//!
//! One task, fed by three `watch` channels: the fleet (from the pollers), the board and the counter of state changes (from the
//! prober). It publishes the verdicts on a fourth, and writes one log line for each change. Works without probes, too: then
//! the verdicts are what Cloudflare says.

mod tracker;
mod verdict;

use std::{future, sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::info;
use web_toolkit::{clock, text::shown};

use self::tracker::{Change, Tracker, View};
use crate::domain::{board::ProbeBoard, inventory::Fleet, label::Label as _, pulse::Pulse, verdict::Verdicts};

/// A burst of state changes is looked at once.
const GATHER: Duration = Duration::from_millis(50);

/// A report grows stale without anybody telling.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(5);

/// Judges every tunnel whenever something moved.
#[derive(Debug)]
pub struct Correlator {
    fleet: watch::Receiver<Arc<Fleet>>,
    board: watch::Receiver<Arc<ProbeBoard>>,
    state_changes: watch::Receiver<u64>,
    stale_after: watch::Receiver<Duration>,
    verdicts: watch::Sender<Arc<Verdicts>>,
    tracker: Tracker,
    pulse: Pulse,
}

impl Correlator {
    /// `state_changes` moves when the debounced state of a probe does. After `stale_after` without a successful poll a report
    /// counts no more. Each look is a beat of `pulse`.
    pub fn new(
        fleet: watch::Receiver<Arc<Fleet>>,
        board: watch::Receiver<Arc<ProbeBoard>>,
        state_changes: watch::Receiver<u64>,
        stale_after: watch::Receiver<Duration>,
        pulse: Pulse,
    ) -> (Self, watch::Receiver<Arc<Verdicts>>) {
        let (verdicts, published) = watch::channel(Arc::default());
        (Self { fleet, board, state_changes, stale_after, verdicts, tracker: Tracker::default(), pulse }, published)
    }

    /// Judges until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            self.look();
            self.pulse.beat(clock::now().instant, LOOK_AT_LEAST_EVERY + GATHER);
            // Cancel safety: `changed` loses nothing when dropped, and each round looks at everything.
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(LOOK_AT_LEAST_EVERY) => {}
                () = moved(&mut self.fleet) => {}
                () = moved(&mut self.stale_after) => {}
                () = moved(&mut self.board) => {}
                () = moved(&mut self.state_changes) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(GATHER) => {}
            }
        }
    }

    /// Judges once, by what is known now.
    pub fn judge_once(mut self) {
        self.look();
    }

    fn look(&mut self) {
        let fleet = Arc::clone(&self.fleet.borrow_and_update());
        let board = Arc::clone(&self.board.borrow_and_update());
        self.state_changes.mark_unchanged();
        let stale_after = *self.stale_after.borrow_and_update();
        let view = View { fleet: &fleet, board: &board, stale_after, now: clock::now() };
        let round = self.tracker.judge(view);
        if round.moved {
            self.verdicts.send_replace(Arc::new(self.tracker.verdicts()));
        }
        round.changes.iter().for_each(log);
    }
}

/// Waits for a new value; for ever where nobody is left to send one.
async fn moved<T>(channel: &mut watch::Receiver<T>) {
    if channel.changed().await.is_err() {
        future::pending::<()>().await;
    }
}

fn log(change: &Change) {
    info!(
        account = change.key.account.as_str(),
        tunnel_id = change.key.id.as_str(),
        tunnel_name = %shown(&change.tunnel.name),
        tunnel_type = change.key.tunnel_type.as_str(),
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
