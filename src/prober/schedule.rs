//! When a session sends: turns one interval apart, at a phase of the session's own. Told the time, never asks for it.

use std::time::{Duration, Instant};

/// Turns fall on multiples of this. Waking up costs as much as a packet, so those whose turns are close share one; at 10,000 echoes
/// a second they are twenty, which is no burst.
const GRID: u64 = 2_000_000;

/// Where in the interval a session has its turns, as a fraction of 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase(u32);

/// Hands out phases that lie evenly in the interval after every number of sessions, so that neither a start with 10,000
/// targets nor a new tunnel among them sends a burst.
#[derive(Debug, Default)]
pub struct Phases(u32);

impl Phases {
    /// 2^32 divided by the golden ratio: the multiples of this step fill a circle more evenly than those of any other.
    const STEP: u32 = 0x9E37_79B9;

    pub fn take(&mut self) -> Phase {
        let phase = Phase(self.0);
        self.0 = self.0.wrapping_add(Self::STEP);
        phase
    }
}

/// The turns of one session.
#[derive(Debug)]
pub struct Schedule {
    /// Common to all sessions, so that their phases compare.
    origin: Instant,
    phase: Phase,
    interval: Duration,
    due: Instant,
}

impl Schedule {
    /// `origin` is the same for all sessions; the first turn is the first one after `now`.
    pub fn new(origin: Instant, phase: Phase, interval: Duration, now: Instant) -> Self {
        let mut schedule = Self { origin, phase, interval, due: now };
        schedule.due = schedule.first_after(now);
        schedule
    }

    /// When the next turn is.
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// Takes the turn that is due, and says how late it is. Turns that passed unused are skipped: a driver that slept too long
    /// sends one echo, not a burst.
    pub fn take_turn(&mut self, now: Instant) -> Option<Duration> {
        let lag = now.checked_duration_since(self.due)?;
        self.due = self.first_after(now);
        Some(lag)
    }

    /// Takes another interval from `now` on, at the same phase.
    pub fn set_interval(&mut self, interval: Duration, now: Instant) {
        self.interval = interval;
        self.due = self.first_after(now);
    }

    fn first_after(&self, now: Instant) -> Instant {
        let interval = nanos(self.interval).max(1);
        let offset = nanos(self.interval.mul_f64(f64::from(self.phase.0) / 2_f64.powi(32))) / GRID * GRID;
        let elapsed = nanos(now.saturating_duration_since(self.origin));
        let turns = elapsed.checked_sub(offset).map_or(0, |passed| passed / interval + 1);
        self.origin + Duration::from_nanos(offset.saturating_add(turns.saturating_mul(interval)))
    }
}

/// Nanoseconds of the 584 years that fit.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
