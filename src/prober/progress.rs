//! Whether the sessions still take their turns, for whoever judges the prober's health.

use std::time::{Duration, Instant};

use crate::domain::pulse::Pulse;

/// How often the driver looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Beats the prober's pulse while there is progress.
///
/// A driver that runs proves little: its sessions could all be stuck. So a beat is due to a turn that some session took, or to there
/// being nothing to do.
#[derive(Debug)]
pub(super) struct Progress {
    pulse: Pulse,
    turns: u64,
    interval: Duration,
}

impl Progress {
    pub(super) fn new(pulse: Pulse) -> Self {
        Self { pulse, turns: 0, interval: Duration::ZERO }
    }

    /// So many `sessions` have taken so many `turns` in all, one each per `interval`.
    pub(super) fn look(&mut self, sessions: usize, turns: u64, interval: Duration, now: Instant) {
        let moved = turns != self.turns || interval != self.interval;
        if sessions == 0 || moved {
            self.pulse.beat(now, interval.saturating_add(LOOK_EVERY));
        }
        (self.turns, self.interval) = (turns, interval);
    }
}

#[cfg(test)]
mod tests {
    use web_toolkit::clock;

    use super::*;
    use crate::domain::pulse::Pulses;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);

    /// Looks every five seconds, and says whether the prober was missed at some time.
    fn missed(looks: impl IntoIterator<Item = (usize, u64, Duration)>) -> bool {
        let pulses = Pulses::default();
        let mut progress = Progress::new(pulses.part("the prober"));
        let mut now = clock::now().instant;
        let mut missed = false;
        for (sessions, turns, interval) in looks {
            missed |= !pulses.overdue(now).is_empty();
            progress.look(sessions, turns, interval, now);
            now += LOOK_EVERY;
        }
        missed
    }

    #[test]
    fn a_prober_that_sends_or_has_nothing_to_send_is_not_missed() {
        assert!(!missed((0..50).map(|look| (10, 50 * look, SECOND))), "ten sessions, a turn a second");
        assert!(!missed((0..50).map(|_| (0, 7, SECOND))), "probing was switched off");
        assert!(!missed((0..50).map(|look| (1, look / 12, MINUTE))), "one turn a minute");
        let slowed = |look| if look < 3 { (1, look, SECOND) } else { (1, 3 + (look - 3) / 12, MINUTE) };
        assert!(!missed((0..50).map(slowed)), "a reload made it slower");
    }

    #[test]
    fn sessions_that_take_no_turn_are_missed_though_the_driver_runs() {
        assert!(missed((0..5).map(|look| (10, look.min(1), SECOND))));
        assert!(missed((0..50).map(|_| (1, 0, MINUTE))));
    }
}
