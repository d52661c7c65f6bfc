//! One probed address: whose turn it is, with which identifier and sequence number. And the task that acts on it.

use std::{net::IpAddr, sync::Arc, time::Instant};

use tokio::{sync::watch, time::sleep_until};
use web_toolkit::clock;

use super::{
    link::{Echo, Link},
    schedule::{Phase, Schedule},
    settings::{Pace, Timing},
    turnstile::Turnstile,
};
use crate::{
    domain::probe::{Outcome, ProbeFailure},
    prober::{board::Activity, tally::Tally},
};

/// Losses in a row after which a session takes a new identifier. Firewalls and NAT pin a session to its identifier and keep
/// dropping it long after the path is mended.
const LOSSES_BEFORE_NEW_IDENTIFIER: u32 = 30;

/// An odd step, so that all 65,536 identifiers are gone through before one comes again.
const IDENTIFIER_STEP: u16 = 0x9E37;

/// The state of one session. Holds no socket and reads no clock.
#[derive(Debug)]
pub struct Session {
    address: IpAddr,
    schedule: Schedule,
    timing: Timing,
    identifier: u16,
    sequence: u16,
    losses: u32,
}

impl Session {
    /// `identifier` is the same for all sessions of a process, and random for each process.
    pub fn new(address: IpAddr, schedule: Schedule, timing: Timing, identifier: u16) -> Self {
        Self { address, schedule, timing, identifier, sequence: 0, losses: 0 }
    }

    pub const fn due(&self) -> Instant {
        self.schedule.due()
    }

    /// The echo to send, if one is due, and how late it is.
    pub fn take_turn(&mut self, now: Instant) -> Option<(Echo, std::time::Duration)> {
        let lag = self.schedule.take_turn(now)?;
        self.sequence = self.sequence.wrapping_add(1);
        // A little lateness is taken out of the patience: otherwise, where the timeout is as long as the interval, a silent
        // target would fall behind by one tick of the timer at each turn.
        let timeout = self.timing.timeout();
        let timeout = timeout.saturating_sub(lag.min(timeout / 10));
        let echo = Echo { target: self.address, identifier: self.identifier, sequence: self.sequence, timeout };
        Some((echo, lag))
    }

    /// How the echo ended. Says whether the session has just taken a new identifier.
    pub fn finish(&mut self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Reply { .. } => self.losses = 0,
            Outcome::Failed(ProbeFailure::NotSent) => {}
            Outcome::Failed(_) => self.losses += 1,
        }
        let renew = self.losses >= LOSSES_BEFORE_NEW_IDENTIFIER;
        if renew {
            self.losses = 0;
            self.identifier = self.identifier.wrapping_add(IDENTIFIER_STEP);
        }
        renew
    }

    /// Takes another timing from `now` on.
    pub fn set_timing(&mut self, timing: Timing, now: Instant) {
        if self.timing.interval() != timing.interval() {
            self.schedule.set_interval(timing.interval(), now);
        }
        self.timing = timing;
    }
}

/// What all sessions share.
#[derive(Debug, Clone)]
pub struct Common {
    pub origin: Instant,
    pub identifier: u16,
    pub pace: watch::Receiver<Pace>,
    /// Moves with every change of a debounced state.
    pub changes: Arc<watch::Sender<u64>>,
    pub activity: Arc<Activity>,
    pub turnstile: Turnstile,
}

impl Common {
    /// A session that begins at `now`.
    pub fn session(&self, address: IpAddr, phase: Phase, now: Instant) -> Session {
        let timing = self.pace.borrow().timing;
        Session::new(address, Schedule::new(self.origin, phase, timing.interval(), now), timing, self.identifier)
    }
}

/// Probes one address until it is dropped. One echo is in flight at a time, because the timeout is never above the interval.
///
/// Ends by itself only when the sender of the pace is gone.
pub async fn run<L: Link>(mut session: Session, link: Arc<L>, tally: Arc<Tally>, mut common: Common) {
    let mut pace = *common.pace.borrow_and_update();
    session.set_timing(pace.timing, clock::now().instant);
    loop {
        // Cancel safety: neither branch holds anything that is lost when it is dropped.
        tokio::select! {
            biased;
            changed = common.pace.changed() => {
                if changed.is_err() {
                    return;
                }
                pace = *common.pace.borrow_and_update();
                session.set_timing(pace.timing, clock::now().instant);
                continue;
            }
            () = sleep_until(session.due().into()) => {}
        }
        let turn = common.turnstile.pass(session.due()).await;
        let Some((echo, lag)) = session.take_turn(clock::now().instant) else { continue };
        common.activity.observe_lag(lag);
        tally.begin();
        let in_flight = common.activity.echo();
        // Boxed, so that a session takes the memory of an echo only while one is in flight.
        let outcome = turn.send(Box::pin(link.echo(echo))).await;
        drop(in_flight);
        if tally.finish(outcome, clock::now(), pace.thresholds) {
            common.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
        if session.finish(outcome) {
            link.renew();
        }
    }
}

#[cfg(test)]
mod tests;
