//! Heartbeats of the long-running tasks, for the watchdog.
//!
//! With each beat, a task announces the time until the next one. A task that waits for an hour announces an hour and is
//! not reported as stuck.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};

/// Deadline of the next beat; `None` before the first one.
type Deadline = Mutex<Option<Instant>>;

/// The pulses of all tasks. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Pulses(Arc<Mutex<Vec<MonitoredTask>>>);

#[derive(Debug)]
struct MonitoredTask {
    name: String,
    deadline: Weak<Deadline>,
}

/// The pulse of one task. Dropping it ends the monitoring of the task.
#[derive(Debug, Default)]
pub struct Pulse(Arc<Deadline>);

impl Pulses {
    /// Adds a task. `name` appears in the log.
    pub fn register(&self, name: impl Into<String>) -> Pulse {
        let pulse = Pulse::default();
        let mut tasks = lock(&self.0);
        tasks.retain(|task| task.deadline.strong_count() > 0);
        tasks.push(MonitoredTask { name: name.into(), deadline: Arc::downgrade(&pulse.0) });
        pulse
    }

    /// Returns the names of the tasks with a deadline before `now`, in the order of their registration.
    pub fn overdue(&self, now: Instant) -> Vec<String> {
        let deadline = |task: &MonitoredTask| task.deadline.upgrade().and_then(|deadline| *lock(&deadline));
        let tasks = lock(&self.0);
        let overdue = tasks.iter().filter(|task| deadline(task).is_some_and(|deadline| deadline < now));
        overdue.map(|task| task.name.clone()).collect()
    }
}

impl Pulse {
    /// Reports progress at `now` and announces the next beat `within` this time.
    pub fn beat(&self, now: Instant, within: Duration) {
        *lock(&self.0) = now.checked_add(within);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "the test only needs some instant")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_task_is_overdue_from_its_own_deadline_on() {
        let start = start();
        let pulses = Pulses::default();
        let [poller, prober] = ["poller", "prober"].map(|name| pulses.register(name));
        poller.beat(start, 60 * SECOND);
        prober.beat(start, 5 * SECOND);
        for (after, overdue) in
            [(0, &[][..]), (5, &[]), (6, &["prober"]), (60, &["prober"]), (61, &["poller", "prober"])]
        {
            assert_eq!(pulses.overdue(start + after * SECOND), overdue, "after {after} s");
        }
        prober.beat(start + 61 * SECOND, 5 * SECOND);
        assert_eq!(pulses.overdue(start + 61 * SECOND), ["poller"], "its pulse is back");
    }

    #[test]
    fn a_task_that_has_not_started_has_ended_or_waits_forever_is_not_overdue() {
        let start = start();
        let pulses = Pulses::default();
        let _idle = pulses.register("idle");
        let ended = pulses.register("ended");
        ended.beat(start, SECOND);
        let patient = pulses.register("patient");
        patient.beat(start, Duration::MAX);
        drop(ended);
        assert!(pulses.overdue(start + 1_000_000 * SECOND).is_empty());
    }

    #[test]
    fn ended_tasks_are_forgotten() {
        let pulses = Pulses::default();
        for round in 0..100 {
            drop(pulses.register(format!("account {round}")));
        }
        assert!(pulses.0.lock().len() <= 1);
    }

    /// Tasks come, beat and go while the watchdog looks.
    #[test]
    fn only_the_stuck_task_is_overdue_while_others_come_and_go() {
        const ROUNDS: u32 = 5_000;
        let (start, pulses) = (start(), Pulses::default());
        let stuck = pulses.register("stuck");
        stuck.beat(start, SECOND);
        std::thread::scope(|scope| {
            for number in 0..4 {
                let pulses = pulses.clone();
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let pulse = pulses.register(format!("task {number}"));
                        pulse.beat(start + round * SECOND, Duration::MAX);
                        pulse.beat(start + round * SECOND, ROUNDS * SECOND);
                    }
                });
            }
            for _ in 0..ROUNDS {
                assert_eq!(pulses.overdue(start + 2 * SECOND), ["stuck"]);
            }
        });
        drop(pulses.register("last"));
        assert_eq!(pulses.0.lock().len(), 2, "tasks that have ended are forgotten by the next registration");
    }
}
