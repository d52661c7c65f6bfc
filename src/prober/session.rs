//! The session of one probed address: its schedule, identifier and sequence numbers, and the task that sends its
//! echoes.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::sleep_until};
use web_toolkit::clock;

use super::{
    board::Activity,
    schedule::{Schedule, SendGate, SendPhase},
    settings::{SessionSettings, Timing},
    tally::Tally,
};
use crate::domain::probe::{Binding, EchoOutcome, IpVersion, ProbeFailure};

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
    /// ICMP identifier. Ignored by links on datagram sockets, see [`Link::renew_identifier`].
    pub identifier: u16,
    pub sequence: u16,
    /// Time from sending until the echo counts as lost.
    pub timeout: Duration,
}

/// Sends echoes through one socket.
pub trait Link: Send + Sync + 'static {
    /// Sends one echo and waits for its outcome. Dropping the future cancels the echo.
    fn send_echo(&self, echo: Echo) -> impl Future<Output = EchoOutcome> + Send;

    /// Gives later echoes a new identifier after many consecutive losses. See [`LOSSES_BEFORE_NEW_IDENTIFIER`].
    ///
    /// Only links that ignore [`Echo::identifier`] implement it.
    fn renew_identifier(&self) {}
}

/// Creates links. Tests replace it by a simulated network.
pub trait Network: Send + 'static {
    type Link: Link;

    /// Creates the link for one IP version and one binding. Never fails: a link without a socket reports failed echoes
    /// and keeps trying to open one.
    fn create_link(&self, version: IpVersion, binding: &Arc<Binding>) -> Self::Link;
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
    pub gate: SendGate,
}

impl SessionContext {
    /// Creates a session that starts at `now`.
    pub fn create_session(&self, address: IpAddr, phase: SendPhase, now: Instant) -> ProbeSession {
        let timing = self.settings.borrow().timing;
        ProbeSession::new(address, Schedule::new(self.origin, phase, timing.interval(), now), timing)
    }
}

/// Probes one address until the future is dropped or the sender of the settings is gone.
///
/// At most one echo is in flight, because the timeout never exceeds the interval.
pub async fn run<L: Link>(mut session: ProbeSession, link: Arc<L>, tally: Arc<Tally>, mut context: SessionContext) {
    let mut settings = *context.settings.borrow_and_update();
    session.set_timing(settings.timing, clock::now().instant);
    loop {
        // Cancel safety: dropping either branch loses nothing.
        tokio::select! {
            biased;
            changed = context.settings.changed() => {
                if changed.is_err() {
                    return;
                }
                settings = *context.settings.borrow_and_update();
                session.set_timing(settings.timing, clock::now().instant);
                continue;
            }
            () = sleep_until(session.due().into()) => {}
        }
        let permit = context.gate.acquire(session.due()).await;
        let Some((echo, lag)) = session.next_echo(clock::now().instant) else { continue };
        context.activity.observe_lag(lag);
        tally.begin();
        let in_flight = context.activity.start_echo();
        // Boxed, so that a session needs the memory of an echo only while one is in flight.
        let outcome = permit.send(Box::pin(link.send_echo(echo))).await;
        drop(in_flight);
        if tally.finish(outcome, clock::now(), settings.thresholds) {
            context.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
        if session.record_outcome(outcome) {
            link.renew_identifier();
        }
    }
}

#[cfg(test)]
mod tests;
