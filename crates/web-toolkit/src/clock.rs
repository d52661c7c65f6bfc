//! The only place that reads a clock. All other code receives the time as a parameter, so that tests can control it.

#![expect(clippy::disallowed_methods, reason = "the bans on other clocks point here")]

use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

/// One point in time on both clocks: the monotonic one to measure with, the wall clock to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub instant: Instant,
    pub wall: Timestamp,
}

impl Moment {
    /// Time from `earlier` to `self` on the monotonic clock, which is not affected by changes of the wall clock. Zero
    /// if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.instant.saturating_duration_since(earlier.instant)
    }

    /// The moment `by` later on both clocks.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self { instant: self.instant + by, wall: self.wall.saturating_add(by).unwrap_or(self.wall) }
    }

    /// The moment of an earlier wall-clock time, for example one that was read from a file. `self` if `wall` is later,
    /// because the clock was set back in between.
    #[must_use]
    pub fn earlier(self, wall: Timestamp) -> Self {
        let age = Duration::try_from(self.wall.duration_since(wall)).unwrap_or(Duration::ZERO);
        Self { instant: self.instant.checked_sub(age).unwrap_or(self.instant), wall: wall.min(self.wall) }
    }
}

/// The current time. If a test pauses the time of tokio, the monotonic part is paused as well.
pub fn now() -> Moment {
    Moment {
        instant: tokio::time::Instant::now().into_std(),
        wall: Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH),
    }
}
