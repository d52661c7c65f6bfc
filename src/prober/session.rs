//! The session of one probed address: its schedule, identifier and sequence numbers.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    board::Activity,
    schedule::{Schedule, SendPhase},
    settings::{SessionSettings, Timing},
};
use crate::domain::probe::{EchoOutcome, ProbeFailure};

/// Consecutive losses after which a session changes its identifier. Firewalls and NAT track a session by its identifier
/// and may keep dropping it after the path has recovered.
const LOSSES_BEFORE_NEW_IDENTIFIER: u32 = 30;

/// Odd, so that all 65,536 identifiers are used before one repeats.
///
/// A constant step reveals nothing: only the probed host and the path to it see the identifiers of a session.
const IDENTIFIER_STEP: u16 = 0x9E37;

/// An echo request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    pub target: IpAddr,
    /// ICMP identifier. On datagram sockets the kernel chooses another one.
    pub identifier: u16,
    pub sequence: u16,
    /// Time from sending until the echo counts as lost.
    pub timeout: Duration,
}

/// State of one session. Contains no socket and reads no clock.
///
/// The identifier and each sequence number are unpredictable. Otherwise a probed host could derive the echoes of other
/// targets from its own, and send replies in the name of a target that is down.
#[derive(Debug)]
pub struct ProbeSession {
    address: IpAddr,
    schedule: Schedule,
    timing: Timing,
    identifier: u16,
    sequence: u16,
    losses: u32,
}

impl ProbeSession {
    /// Creates a session with a random identifier.
    pub fn new(address: IpAddr, schedule: Schedule, timing: Timing) -> Self {
        Self { address, schedule, timing, identifier: rand::random(), sequence: rand::random(), losses: 0 }
    }

    /// Returns the time of the next send.
    pub const fn due(&self) -> Instant {
        self.schedule.due()
    }

    /// Returns the echo to send, if one is due, and its delay.
    pub fn next_echo(&mut self, now: Instant) -> Option<(Echo, Duration)> {
        let lag = self.schedule.advance(now)?;
        // Never 0, so that a late reply to the previous echo is not taken for a reply to this one.
        self.sequence = self.sequence.wrapping_add(rand::random_range(1..=u16::MAX));
        // A small delay shortens the timeout. Otherwise a silent target would drift by one timer tick per echo if the
        // timeout is as long as the interval.
        let timeout = self.timing.timeout();
        let timeout = timeout.saturating_sub(lag.min(timeout / 10));
        let echo = Echo { target: self.address, identifier: self.identifier, sequence: self.sequence, timeout };
        Some((echo, lag))
    }

    /// Records an outcome. Returns whether the session changes its identifier.
    pub fn record_outcome(&mut self, outcome: EchoOutcome) -> bool {
        match outcome {
            EchoOutcome::Reply { .. } => self.losses = 0,
            EchoOutcome::Failed(ProbeFailure::NotSent) => {}
            EchoOutcome::Failed(_) => self.losses += 1,
        }
        let renew = self.losses >= LOSSES_BEFORE_NEW_IDENTIFIER;
        if renew {
            self.losses = 0;
            self.identifier = self.identifier.wrapping_add(IDENTIFIER_STEP);
        }
        renew
    }

    /// Changes the timing from `now` on.
    pub fn set_timing(&mut self, timing: Timing, now: Instant) {
        if self.timing.interval() != timing.interval() {
            self.schedule.set_interval(timing.interval(), now);
        }
        self.timing = timing;
    }
}

/// State that all sessions share.
#[derive(Debug, Clone)]
pub struct SessionContext {
    /// Start of the first interval.
    pub origin: Instant,
    pub settings: watch::Receiver<SessionSettings>,
    /// Incremented by every change of a debounced state.
    pub changes: Arc<watch::Sender<u64>>,
    pub activity: Arc<Activity>,
}

impl SessionContext {
    /// Tells the readers of the board that a debounced state has changed.
    pub fn announce_change(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Creates a session that starts at `now`.
    pub fn create_session(&self, address: IpAddr, phase: SendPhase, now: Instant) -> ProbeSession {
        let timing = self.settings.borrow().timing;
        ProbeSession::new(address, Schedule::new(self.origin, phase, timing.interval(), now), timing)
    }
}

#[cfg(test)]
mod tests;
