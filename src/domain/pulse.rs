//! Signs of life of the long-lived parts, for whoever judges whether the program still makes progress.
//!
//! A part says at each step of its work when it will be heard from again. What waits for an hour says so, and is not missed.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

/// When a part wants to be heard from again; `None` before its first step.
type Due = Mutex<Option<Instant>>;

/// The pulses of all parts. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Pulses(Arc<Mutex<Vec<Part>>>);

#[derive(Debug)]
struct Part {
    name: String,
    due: Weak<Due>,
}

/// The pulse of one part, which is missed no more when this is dropped.
#[derive(Debug, Default)]
pub struct Pulse(Arc<Due>);

impl Pulses {
    /// The pulse of another part. `name` is for people.
    pub fn part(&self, name: impl Into<String>) -> Pulse {
        let pulse = Pulse::default();
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.retain(|part| part.due.strong_count() > 0);
        parts.push(Part { name: name.into(), due: Arc::downgrade(&pulse.0) });
        pulse
    }

    /// Parts that should have been heard from before `now`, in the order in which they came.
    pub fn overdue(&self, now: Instant) -> Vec<String> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_late = |part: &&Part| part.due.upgrade().and_then(|due| read(&due)).is_some_and(|due| due < now);
        parts.iter().filter(is_late).map(|part| part.name.clone()).collect()
    }
}

impl Pulse {
    /// A step was made at `now`; the next one follows `within` this time.
    pub fn beat(&self, now: Instant, within: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now.checked_add(within);
    }
}

fn read(due: &Due) -> Option<Instant> {
    *due.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(
        clippy::disallowed_methods,
        reason = "an instant has no other beginning, and the clock is above this part"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_part_is_missed_from_the_time_on_that_it_named_itself() {
        let start = start();
        let pulses = Pulses::default();
        let [poller, prober] = ["poller", "prober"].map(|name| pulses.part(name));
        poller.beat(start, 60 * SECOND);
        prober.beat(start, 5 * SECOND);
        for (after, missed) in
            [(0, &[][..]), (5, &[]), (6, &["prober"]), (60, &["prober"]), (61, &["poller", "prober"])]
        {
            assert_eq!(pulses.overdue(start + after * SECOND), missed, "after {after} s");
        }
        prober.beat(start + 61 * SECOND, 5 * SECOND);
        assert_eq!(pulses.overdue(start + 61 * SECOND), ["poller"], "it is heard from again");
    }

    #[test]
    fn what_has_not_begun_has_ended_or_waits_for_ever_is_not_missed() {
        let start = start();
        let pulses = Pulses::default();
        let _idle = pulses.part("idle");
        let ended = pulses.part("ended");
        ended.beat(start, SECOND);
        let patient = pulses.part("patient");
        patient.beat(start, Duration::MAX);
        drop(ended);
        assert!(pulses.overdue(start + 1_000_000 * SECOND).is_empty());
    }

    #[test]
    fn parts_that_come_and_go_leave_nothing_behind() {
        let pulses = Pulses::default();
        for round in 0..100 {
            drop(pulses.part(format!("account {round}")));
        }
        assert!(pulses.0.lock().unwrap().len() <= 1);
    }
}
