//! What is known of one probed address: counters, round-trip times, and whether it answers.
//!
//! The prober writes, the page and the correlation read, and each of them sees one consistent state: requests are always
//! replies plus failures plus what is in flight.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use web_toolkit::clock::Moment;

use super::{
    histogram::{Buckets, Histogram},
    history::{History, Progress},
};
use crate::domain::{
    label::Label,
    probe::{Outcome, ProbeFailure, Standing, Thresholds},
};

/// Counters and state of one probed address. Shared by every tunnel that has this address.
#[derive(Debug)]
pub struct Tally {
    state: Mutex<State>,
    /// Apart from the state, so that nobody who looks at it keeps the prober waiting.
    history: Mutex<History>,
}

#[derive(Debug)]
struct State {
    reading: Reading,
    runs: Runs,
    /// The buckets may be replaced, and their sum with them; this one stays.
    rtt_sum: Duration,
}

/// One consistent view of a [`Tally`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Echoes begun: always `replies + failures + in_flight`.
    pub requests: u64,
    pub replies: u64,
    failures: [u64; ProbeFailure::ALL.len()],
    pub in_flight: u64,
    /// One observation for each reply.
    pub rtt: Histogram,
    pub standing: Standing,
    /// Wall clock of the newest reply.
    pub last_reply: Option<Timestamp>,
}

impl Reading {
    /// Failures for one reason.
    pub const fn failures(&self, reason: ProbeFailure) -> u64 {
        self.failures[reason as usize]
    }

    /// Failures for any reason.
    pub fn failures_total(&self) -> u64 {
        self.failures.iter().sum()
    }
}

impl Tally {
    pub fn new(buckets: Buckets) -> Self {
        let state = State {
            reading: Reading {
                requests: 0,
                replies: 0,
                failures: [0; ProbeFailure::ALL.len()],
                in_flight: 0,
                rtt: Histogram::new(buckets),
                standing: Standing::default(),
                last_reply: None,
            },
            runs: Runs::default(),
            rtt_sum: Duration::ZERO,
        };
        Self { state: Mutex::new(state), history: Mutex::new(History::new()) }
    }

    /// An echo begins. Each `begin` is followed by one [`finish`](Self::finish).
    pub fn begin(&self) {
        let mut state = self.state();
        state.reading.requests += 1;
        state.reading.in_flight += 1;
    }

    /// The echo ended. Says whether the debounced state changed, or the first answer ever came.
    pub fn finish(&self, outcome: Outcome, now: Moment, thresholds: Thresholds) -> bool {
        let mut state = self.state();
        let before = state.reading.standing;
        let state = &mut *state;
        state.reading.count(outcome, now);
        if let Outcome::Reply { rtt } = outcome {
            state.rtt_sum = state.rtt_sum.saturating_add(rtt);
        }
        state.reading.standing.up = state.runs.settle(before.up, outcome, thresholds);
        state.reading.standing != before
    }

    /// Takes other buckets; what was observed in the old ones is dropped.
    pub fn set_buckets(&self, buckets: Buckets) {
        self.state().reading.rtt = Histogram::new(buckets);
    }

    pub fn read(&self) -> Reading {
        self.state().reading.clone()
    }

    pub fn standing(&self) -> Standing {
        self.state().reading.standing
    }

    /// Writes what has ended by `now` into the history: once in every [`History::STEP`].
    pub fn sample(&self, now: Instant) {
        let progress = self.progress();
        self.history.lock().unwrap_or_else(PoisonError::into_inner).record(progress, now);
    }

    /// The last minutes, as far as they were [sampled](Self::sample).
    pub fn history(&self) -> History {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn progress(&self) -> Progress {
        let state = self.state();
        let lost = state.reading.failures_total() - state.reading.failures(ProbeFailure::NotSent);
        Progress { replies: state.reading.replies, lost, rtt_sum: state.rtt_sum }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A writer that panicked half-way could at worst have left one echo uncounted.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    fn count(&mut self, outcome: Outcome, now: Moment) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match outcome {
            Outcome::Reply { rtt } => {
                self.replies += 1;
                self.rtt.observe(rtt);
                self.standing.ever_answered = true;
                self.last_reply = Some(now.wall);
            }
            Outcome::Failed(reason) => self.failures[reason as usize] += 1,
        }
    }
}

/// Lengths of the runs of equal results that the debouncing looks at.
#[derive(Debug, Default)]
struct Runs {
    replies: u32,
    failures: u32,
    not_sent: u32,
}

impl Runs {
    /// The state after one more result.
    ///
    /// A packet that never left says nothing about the path: it neither breaks nor lengthens a run. But a state that nothing
    /// confirms any more is given up after as many of them as it takes to be down.
    fn settle(&mut self, up: Option<bool>, outcome: Outcome, thresholds: Thresholds) -> Option<bool> {
        match outcome {
            Outcome::Reply { .. } => {
                *self = Self { replies: self.replies.saturating_add(1), ..Self::default() };
                if self.replies >= thresholds.up_after.get() { Some(true) } else { up }
            }
            Outcome::Failed(ProbeFailure::NotSent) => {
                self.not_sent = self.not_sent.saturating_add(1);
                if self.not_sent < thresholds.down_after.get() {
                    return up;
                }
                *self = Self { not_sent: self.not_sent, ..Self::default() };
                None
            }
            Outcome::Failed(_) => {
                *self = Self { failures: self.failures.saturating_add(1), ..Self::default() };
                if self.failures >= thresholds.down_after.get() { Some(false) } else { up }
            }
        }
    }
}

#[cfg(test)]
mod tests;
