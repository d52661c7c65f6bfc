//! The only place that reads a clock. Everything else is told the time, so that tests can move it.

#![expect(clippy::disallowed_methods, reason = "this is the place the bans point to")]

use std::time::SystemTime;

use jiff::Timestamp;

use crate::domain::moment::Moment;

/// Now. Under tokio's paused test time the monotonic part stands still with it.
pub fn now() -> Moment {
    Moment {
        instant: tokio::time::Instant::now().into_std(),
        wall: Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH),
    }
}
