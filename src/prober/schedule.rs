//! When sessions send: evenly distributed over the interval.

use std::time::{Duration, Instant};

/// Sends are aligned to multiples of this time, in nanoseconds. A wake-up costs as much CPU as a packet, so that
/// sessions close to each other share one. At 10,000 echoes per second, 20 of them share a wake-up.
const GRID_NANOS: u64 = 2_000_000;

/// Offset of a session within the interval, in units of 1/2^32 of the interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendPhase(u32);

impl SendPhase {
    /// Returns the offset within an interval of this length.
    pub fn offset(self, interval: Duration) -> Duration {
        interval.mul_f64(f64::from(self.0) / 2_f64.powi(32))
    }
}

/// Assigns phases that are evenly distributed for any number of sessions, so that neither a start with 10,000 targets
/// nor an added tunnel causes a burst.
#[derive(Debug, Default)]
pub struct PhaseSequence(u32);

impl PhaseSequence {
    /// 2^32 divided by the golden ratio. The multiples of this step are distributed more evenly on a circle than those
    /// of any other.
    const STEP: u32 = 0x9E37_79B9;

    pub fn next_phase(&mut self) -> SendPhase {
        let phase = SendPhase(self.0);
        self.0 = self.0.wrapping_add(Self::STEP);
        phase
    }
}

/// Send times of one session. Reads no clock.
#[derive(Debug)]
pub struct Schedule {
    /// Start of the first interval, the same for all sessions.
    origin: Instant,
    phase: SendPhase,
    interval: Duration,
    due: Instant,
}

impl Schedule {
    /// Creates a schedule. The first send is after `now`. `origin` must be the same for all sessions.
    pub fn new(origin: Instant, phase: SendPhase, interval: Duration, now: Instant) -> Self {
        let mut schedule = Self { origin, phase, interval, due: now };
        schedule.due = schedule.first_after(now);
        schedule
    }

    /// Returns the time of the next send.
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// Advances to the next send if one is due, and returns the delay of the due one. Missed sends are skipped, so that
    /// a stalled thread sends one echo instead of a burst.
    pub fn advance(&mut self, now: Instant) -> Option<Duration> {
        let lag = now.checked_duration_since(self.due)?;
        self.due = self.first_after(now);
        Some(lag)
    }

    /// Changes the interval from `now` on; the phase stays the same.
    pub fn set_interval(&mut self, interval: Duration, now: Instant) {
        self.interval = interval;
        self.due = self.first_after(now);
    }

    fn first_after(&self, now: Instant) -> Instant {
        let interval = to_nanos(self.interval).max(1);
        let offset = to_nanos(self.phase.offset(self.interval)) / GRID_NANOS * GRID_NANOS;
        let elapsed = to_nanos(now.saturating_duration_since(self.origin));
        let turns = elapsed.checked_sub(offset).map_or(0, |passed| passed / interval + 1);
        self.origin + Duration::from_nanos(offset.saturating_add(turns.saturating_mul(interval)))
    }
}

/// Converts to nanoseconds; saturates after 584 years.
fn to_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
