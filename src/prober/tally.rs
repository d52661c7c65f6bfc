//! Counters, round-trip times and the debounced state of one probed address.
//!
//! The prober writes; exposition and correlation read. Every reader sees a consistent state: the requests are always
//! the sum of the replies, the failures and the echoes in flight.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use web_toolkit::clock::Moment;

use super::{
    histogram::{Buckets, Histogram},
    history::{EchoTotals, History},
    mtu::{MtuReading, PathMtu},
};
use crate::domain::{
    label::Label,
    probe::{EchoOutcome, ProbeFailure, TargetState, Thresholds},
};

/// Counters and state of one probed address, shared by all tunnels with this address.
#[derive(Debug)]
pub struct Tally {
    data: Mutex<TallyData>,
    /// Separate, so that readers of the history do not block the prober.
    history: Mutex<History>,
    /// `None` if the path MTU is not watched. Its packets count nowhere else.
    mtu: Mutex<Option<MtuReading>>,
}

#[derive(Debug)]
struct TallyData {
    reading: TallyReading,
    /// When the debounced state last changed.
    changed: Option<Instant>,
    runs: Runs,
    /// Sum of all round-trip times. Unlike the sum of the histogram, it survives a change of the buckets.
    rtt_sum: Duration,
}

/// A consistent copy of the counters of a [`Tally`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TallyReading {
    /// Number of echoes: always `replies + failures + in_flight`.
    pub requests: u64,
    pub replies: u64,
    failures: [u64; ProbeFailure::ALL.len()],
    pub in_flight: u64,
    /// Round-trip times; one observation per reply since the last change of the buckets.
    pub rtt: Histogram,
    pub state: TargetState,
    /// Time of the latest reply.
    pub last_reply: Option<Timestamp>,
}

impl TallyReading {
    /// Returns the number of failures for one reason.
    pub const fn failures(&self, reason: ProbeFailure) -> u64 {
        self.failures[reason as usize]
    }

    /// Returns the number of failures for any reason.
    pub fn failures_total(&self) -> u64 {
        self.failures.iter().sum()
    }
}

impl Tally {
    pub fn new(buckets: Buckets) -> Self {
        let data = TallyData {
            reading: TallyReading {
                requests: 0,
                replies: 0,
                failures: [0; ProbeFailure::ALL.len()],
                in_flight: 0,
                rtt: Histogram::new(buckets),
                state: TargetState::default(),
                last_reply: None,
            },
            changed: None,
            runs: Runs::default(),
            rtt_sum: Duration::ZERO,
        };
        Self { data: Mutex::new(data), history: Mutex::new(History::new()), mtu: Mutex::new(None) }
    }

    /// Continues the tally of an earlier run, in which the address has replied. Counters start at zero.
    #[must_use]
    pub fn with_past_reply(mut self, last_reply: Option<Timestamp>) -> Self {
        let reading = &mut self.data.get_mut().reading;
        reading.state.ever_answered = true;
        reading.last_reply = last_reply;
        self
    }

    /// Counts an echo as in flight. Each call is followed by one call of [`finish`](Self::finish).
    pub fn begin(&self) {
        let mut data = self.lock();
        data.reading.requests += 1;
        data.reading.in_flight += 1;
    }

    /// Counts the outcome of an echo. Returns whether the state changed.
    pub fn finish(&self, outcome: EchoOutcome, now: Moment, thresholds: Thresholds) -> bool {
        let data = &mut *self.lock();
        let before = data.reading.state;
        data.reading.count(outcome, now);
        if let EchoOutcome::Reply { rtt } = outcome {
            data.rtt_sum = data.rtt_sum.saturating_add(rtt);
        }
        data.reading.state.up = data.runs.debounce(before.up, outcome, thresholds);
        if data.reading.state.up != before.up {
            data.changed = Some(now.instant);
        }
        data.reading.state != before
    }

    /// Replaces the buckets and drops the observations in the old ones.
    pub fn set_buckets(&self, buckets: Buckets) {
        self.lock().reading.rtt = Histogram::new(buckets);
    }

    /// Copies the counters.
    pub fn read(&self) -> TallyReading {
        self.lock().reading.clone()
    }

    /// Returns the time of the latest reply.
    pub fn last_reply(&self) -> Option<Timestamp> {
        self.lock().reading.last_reply
    }

    /// Returns the debounced state.
    pub fn state(&self) -> TargetState {
        self.lock().reading.state
    }

    /// Returns the debounced state, and since when it holds; `None` if it never changed.
    pub fn standing(&self) -> (TargetState, Option<Instant>) {
        let data = self.lock();
        (data.reading.state, data.changed)
    }

    /// Adds the counters at `now` to the history. To be called once per [`History::STEP`].
    pub fn sample(&self, now: Instant) {
        let totals = self.totals();
        self.history.lock().record(totals, now);
    }

    /// Copies the [sampled](Self::sample) history.
    pub fn history(&self) -> History {
        self.history.lock().clone()
    }

    /// Returns the finished echoes so far.
    pub(super) fn totals(&self) -> EchoTotals {
        let data = self.lock();
        let lost = data.reading.failures_total() - data.reading.failures(ProbeFailure::NotSent);
        EchoTotals { replies: data.reading.replies, lost, rtt_sum: data.rtt_sum }
    }

    /// Begins to watch the path MTU, or with `None` ends it.
    pub fn watch_mtu(&self, expected: Option<u16>) {
        *self.mtu.lock() = expected.map(MtuReading::new);
    }

    /// Returns what is known about the path MTU; `None` if it is not watched.
    pub fn mtu(&self) -> Option<MtuReading> {
        *self.mtu.lock()
    }

    /// Counts packets for the path MTU.
    pub fn count_mtu_requests(&self, count: u64) {
        if let Some(mtu) = &mut *self.mtu.lock() {
            mtu.requests += count;
        }
    }

    /// Counts a reply to a packet for the path MTU.
    pub fn count_mtu_reply(&self) {
        if let Some(mtu) = &mut *self.mtu.lock() {
            mtu.replies += 1;
        }
    }

    pub fn set_path_mtu(&self, path: PathMtu) {
        if let Some(mtu) = &mut *self.mtu.lock() {
            mtu.path = path;
        }
    }

    fn lock(&self) -> MutexGuard<'_, TallyData> {
        // A writer that panicked may have left one echo uncounted, which is harmless.
        self.data.lock()
    }
}

impl TallyReading {
    fn count(&mut self, outcome: EchoOutcome, now: Moment) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match outcome {
            EchoOutcome::Reply { rtt } => {
                self.replies += 1;
                self.rtt.observe(rtt);
                self.state.ever_answered = true;
                self.last_reply = Some(now.wall);
            }
            EchoOutcome::Failed(reason) => self.failures[reason as usize] += 1,
        }
    }
}

/// Numbers of consecutive equal results, for the debounce.
#[derive(Debug, Default)]
struct Runs {
    replies: u32,
    failures: u32,
    not_sent: u32,
}

impl Runs {
    /// Returns the state after one more result.
    ///
    /// A packet that was not sent says nothing about the path, so it neither ends nor extends a run. After `down_after`
    /// of them in a row the state is unknown, because nothing confirms it.
    fn debounce(&mut self, up: Option<bool>, outcome: EchoOutcome, thresholds: Thresholds) -> Option<bool> {
        match outcome {
            EchoOutcome::Reply { .. } => {
                *self = Self { replies: self.replies.saturating_add(1), ..Self::default() };
                if self.replies >= thresholds.up_after.get() { Some(true) } else { up }
            }
            EchoOutcome::Failed(ProbeFailure::NotSent) => {
                self.not_sent = self.not_sent.saturating_add(1);
                if self.not_sent < thresholds.down_after.get() {
                    return up;
                }
                *self = Self { not_sent: self.not_sent, ..Self::default() };
                None
            }
            EchoOutcome::Failed(_) => {
                *self = Self { failures: self.failures.saturating_add(1), ..Self::default() };
                if self.failures >= thresholds.down_after.get() { Some(false) } else { up }
            }
        }
    }
}

#[cfg(test)]
mod tests;
