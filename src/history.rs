//! Writes the last minutes of every probed address: looks at the counters of all tallies once in each step of their histories.
//!
//! One task, beside the prober and never on its thread. A look takes each tally's lock for some nanoseconds; the histories live in the
//! tallies, so that an address that is probed no more takes its own with it.

use std::sync::Arc;

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use web_toolkit::clock;

use crate::domain::{board::ProbeBoard, history::History};

/// Samples whatever is on the board, until `stop`.
pub async fn run(board: watch::Receiver<Arc<ProbeBoard>>, stop: CancellationToken) {
    let mut steps = interval(History::STEP);
    // A late look leaves a gap; two in a row would squeeze the time.
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Cancel safety: a tick that was not awaited to its end comes again.
        tokio::select! {
            () = stop.cancelled() => return,
            _ = steps.tick() => {}
        }
        let board = Arc::clone(&board.borrow());
        let now = clock::now().instant;
        for (_, tally) in board.sessions.iter() {
            tally.sample(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use tokio::{task::JoinSet, time::sleep};

    use super::*;
    use crate::domain::{
        histogram::Buckets,
        probe::{Binding, Outcome, SessionKey, SocketMode, Thresholds},
        tally::Tally,
    };

    fn board(tally: &Arc<Tally>) -> Arc<ProbeBoard> {
        let binding = Arc::new(Binding { mode: SocketMode::Auto, source: None, interface: None });
        let key = SessionKey { address: [127, 0, 0, 1].into(), binding };
        Arc::new(ProbeBoard { sessions: [(key, Arc::clone(tally))].into(), ..ProbeBoard::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_probed_gets_a_history_that_moves_with_time() {
        const ONE: NonZeroU32 = NonZeroU32::MIN;
        let tally = Arc::new(Tally::new(Buckets::rtt()));
        let (_open, boards) = watch::channel(board(&tally));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(run(boards, stop.clone()));
        for _ in 0..35 {
            sleep(Duration::from_secs(1)).await;
            tally.begin();
            let reply = Outcome::Reply { rtt: Duration::from_millis(3) };
            tally.finish(reply, clock::now(), Thresholds { down_after: ONE, up_after: ONE });
        }
        let replies: Vec<u32> =
            tally.history().steps().map(|span| span.replies).skip_while(|&replies| replies == 0).collect();
        // Whether the echo of a full step is counted before or after the look is a matter of chance.
        assert_eq!(replies.len(), 3, "{replies:?}");
        assert!((29..=30).contains(&replies.iter().sum::<u32>()), "{replies:?}");
        stop.cancel();
        while tasks.join_next().await.is_some() {}
    }
}
