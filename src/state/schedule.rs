//! When the state file is written. Reads no clock.

use std::time::{Duration, Instant};

/// Time between writes while no verdict changes. Only the times of the last replies grow old.
const USUAL: Duration = Duration::from_mins(5);

/// Minimum time between writes. A verdict that has held for five minutes, and therefore may have paged, is always in
/// the file.
const LEAST: Duration = Duration::from_mins(1);

/// Delay after a change, so that a burst of changes is written once.
const GATHER: Duration = Duration::from_secs(5);

/// Decides when the file is written: soon after a change, at most once a minute, and every five minutes.
#[derive(Debug)]
pub(super) struct WriteSchedule {
    started: Instant,
    written: Option<Instant>,
    /// First change since the last write.
    changed: Option<Instant>,
}

impl WriteSchedule {
    pub(super) const fn new(now: Instant) -> Self {
        Self { started: now, written: None, changed: None }
    }

    /// Whether a change is waiting to be written.
    pub(super) const fn has_change(&self) -> bool {
        self.changed.is_some()
    }

    pub(super) fn record_change(&mut self, now: Instant) {
        self.changed.get_or_insert(now);
    }

    /// A failed write is tried again like a change.
    pub(super) fn record_write(&mut self, now: Instant, succeeded: bool) {
        self.written = Some(now);
        self.changed = (!succeeded).then_some(now);
    }

    pub(super) fn due(&self) -> Instant {
        match (self.changed, self.written) {
            (Some(changed), Some(written)) => (changed + GATHER).max(written + LEAST),
            (Some(changed), None) => changed + GATHER,
            (None, written) => written.unwrap_or(self.started) + USUAL,
        }
    }
}

#[cfg(test)]
mod tests {
    use web_toolkit::clock;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_change_is_written_soon_but_at_most_once_a_minute() {
        let start = clock::now().instant;
        let mut schedule = WriteSchedule::new(start);
        assert_eq!(schedule.due(), start + USUAL, "nothing has changed");
        schedule.record_change(start + 10 * SECOND);
        schedule.record_change(start + 12 * SECOND);
        assert_eq!(schedule.due(), start + 15 * SECOND);
        schedule.record_write(start + 15 * SECOND, true);
        assert_eq!((schedule.due(), schedule.has_change()), (start + 15 * SECOND + USUAL, false));
        schedule.record_change(start + 16 * SECOND);
        assert_eq!(schedule.due(), start + 75 * SECOND);
        schedule.record_write(start + 75 * SECOND, true);
        schedule.record_change(start + 200 * SECOND);
        assert_eq!(schedule.due(), start + 205 * SECOND);
    }

    #[test]
    fn a_failed_write_is_tried_again_after_a_minute() {
        let start = clock::now().instant;
        let mut schedule = WriteSchedule::new(start);
        schedule.record_change(start);
        schedule.record_write(start + 5 * SECOND, false);
        assert_eq!(schedule.due(), start + 65 * SECOND);
    }
}
