//! Whether the program makes progress, or is wedged and better started again.
//!
//! Every part promises when it will be heard from (`domain::pulse`). As long as all keep their promise, whoever guards the process is
//! told so at a third of the time it allows. One part that does not keep it ends that, and is named in the log.

use std::{future::pending, time::Duration};

use tokio::time::sleep;
use tracing::{error, info};
use web_toolkit::clock;

use crate::domain::pulse::Pulses;

/// A promise may be broken by this much: a busy machine is no wedged part.
const GRACE: Duration = Duration::from_secs(15);

/// Also without anybody who asks, a wedged part is worth a line in the log.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// Looks for ever. `limit` is how long the guard waits for a sign of life; `alive` gives it one.
pub(super) async fn run<F: Future<Output = ()>>(pulses: Pulses, limit: Option<Duration>, alive: impl Fn() -> F) {
    let Some(every) = pause(limit) else { return pending().await };
    let mut missed = Vec::new();
    loop {
        sleep(every).await;
        let now_missed = clock::now().instant.checked_sub(GRACE).map_or_else(Vec::new, |then| pulses.overdue(then));
        report(&missed, &now_missed);
        missed = now_missed;
        if missed.is_empty() {
            alive().await;
        }
    }
}

/// Between two looks. A guard that wants a sign of life all the time cannot be served.
fn pause(limit: Option<Duration>) -> Option<Duration> {
    let every = limit.map_or(LOOK_EVERY, |limit| limit / 3);
    (!every.is_zero()).then_some(every)
}

fn report(before: &[String], now: &[String]) {
    for part in now.iter().filter(|part| !before.contains(part)) {
        error!("{part} makes no progress; the watchdog gets no sign of life until it does");
    }
    for part in before.iter().filter(|part| !now.contains(part)) {
        info!("{part} makes progress again, or has ended");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// Signs of life that a guard gets in `time`.
    async fn signs(pulses: &Pulses, limit: Option<Duration>, time: Duration) -> u32 {
        let count = Cell::new(0);
        let watching = run(pulses.clone(), limit, || async { count.set(count.get() + 1) });
        timeout(time, watching).await.unwrap_err();
        count.get()
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_works_shows_it_three_times_in_the_time_allowed() {
        let pulses = Pulses::default();
        let part = pulses.register("poller");
        part.beat(clock::now().instant, Duration::from_hours(1));
        assert_eq!(signs(&pulses, Some(LIMIT), LIMIT * 2 + Duration::from_secs(1)).await, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn one_wedged_part_ends_the_signs_and_they_come_back_with_it() {
        let pulses = Pulses::default();
        let _well = pulses.register("correlation");
        let part = pulses.register("prober");
        part.beat(clock::now().instant, Duration::from_secs(1));
        let first = signs(&pulses, Some(LIMIT), LIMIT).await;
        assert!(first <= 1, "within the grace it is alive: {first}");
        assert_eq!(signs(&pulses, Some(LIMIT), LIMIT * 10).await, 0);
        part.beat(clock::now().instant, LIMIT);
        assert_eq!(signs(&pulses, Some(LIMIT), LIMIT / 2).await, 1);
    }

    #[test]
    fn the_guard_gets_three_chances() {
        for (limit, every) in [
            (None, Some(LOOK_EVERY)),
            (Some(Duration::from_mins(1)), Some(Duration::from_secs(20))),
            (Some(Duration::ZERO), None),
        ] {
            assert_eq!(pause(limit), every, "{limit:?}");
        }
    }
}
