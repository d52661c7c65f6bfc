//! Cloudflare's own view of one tunnel: the results of its health checks and its traffic, over time.
//!
//! Every number is computed from the time: check number `n` of a tunnel runs at a fixed time and always has the same
//! result. Therefore the counts of adjoining windows add up, and a repeated question gets the same answer. Changes are
//! kept in an [`EdgeTimeline`], so that a window in the past shows the state of that time.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::spec::HealthCheckSpec;

/// Number of changes that are kept per tunnel. Of the time before the oldest one, nothing is known.
const MAX_PERIODS: usize = 256;
/// Maximum number of data centers in `state_by_colo`. Cloudflare has about 340.
const MAX_COLOS: usize = 400;
/// Maximum traffic in bits per second. Five minutes of it exceed 2^53 bits, as a test of large numbers needs.
const MAX_BITS_PER_SECOND: u64 = 1_000_000_000_000_000;
/// Size of a simulated packet.
const BITS_PER_PACKET: i128 = 8 * 1000;

const NANOS_PER_SECOND: i128 = 1_000_000_000;
const MILLION: i128 = 1_000_000;

/// The state of a tunnel at one data center, or of all its checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum ColoState {
    Healthy,
    Degraded,
    Down,
}

impl ColoState {
    /// The thresholds of Cloudflare's dashboard.
    fn of_ratio(pass_ratio: f64) -> Self {
        match pass_ratio {
            ratio if ratio > 0.8 => Self::Healthy,
            ratio if ratio >= 0.4 => Self::Degraded,
            _ => Self::Down,
        }
    }

    /// `tunnelState` of the API.
    const fn score(self) -> f64 {
        match self {
            Self::Healthy => 1.0,
            Self::Degraded => 0.5,
            Self::Down => 0.0,
        }
    }
}

/// The key `edge` of a tunnel or an event in a story.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SimulatedEdge {
    /// Share of the health checks that pass, from 0 to 1.
    pass_ratio: f64,
    /// The data centers that check the tunnel. Empty: all of them are in the state that follows from `pass_ratio`.
    state_by_colo: BTreeMap<String, ColoState>,
    traffic: StoryTraffic,
    /// `siteName` of the API.
    site: String,
}

impl Default for SimulatedEdge {
    fn default() -> Self {
        Self { pass_ratio: 1.0, state_by_colo: BTreeMap::new(), traffic: StoryTraffic::default(), site: String::new() }
    }
}

/// Traffic of a tunnel, in bits per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoryTraffic {
    pub to_site: u64,
    pub from_site: u64,
}

/// A direction of traffic through a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlowDirection {
    ToSite,
    FromSite,
}

impl StoryTraffic {
    const fn toward(self, direction: FlowDirection) -> u64 {
        match direction {
            FlowDirection::ToSite => self.to_site,
            FlowDirection::FromSite => self.from_site,
        }
    }
}

impl SimulatedEdge {
    /// A healthy tunnel with this traffic.
    pub(crate) fn with_traffic(traffic: StoryTraffic) -> Self {
        Self { traffic, ..Self::default() }
    }

    /// Parses the object of a story. The error is one line.
    pub(crate) fn parse(value: &Value) -> Result<Self, String> {
        let state = Self::deserialize(value).map_err(|error| error.to_string())?;
        if !(0.0..=1.0).contains(&state.pass_ratio) {
            return Err(format!("`pass_ratio` must be from 0 to 1, not {}", state.pass_ratio));
        }
        if state.state_by_colo.len() > MAX_COLOS {
            return Err(format!("`state_by_colo` can have at most {MAX_COLOS} data centers"));
        }
        if state.traffic.to_site.max(state.traffic.from_site) > MAX_BITS_PER_SECOND {
            return Err(format!("`traffic` can be at most {MAX_BITS_PER_SECOND} bits per second"));
        }
        Ok(state)
    }

    /// Mean `tunnelState` of the data centers.
    fn score(&self) -> f64 {
        if self.state_by_colo.is_empty() {
            return ColoState::of_ratio(self.pass_ratio).score();
        }
        self.state_by_colo.values().map(|state| state.score()).sum::<f64>() / self.state_by_colo.len() as f64
    }

    /// `tunnelState` of one data center; `None` if it does not check the tunnel.
    fn colo_score(&self, colo: &str) -> Option<f64> {
        if self.state_by_colo.is_empty() { Some(self.score()) } else { Some(self.state_by_colo.get(colo)?.score()) }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the ratio is from 0 to 1")]
    fn passed_per_million(&self) -> i128 {
        (self.pass_ratio * MILLION as f64).round() as i128
    }
}

/// A half-open range of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AnswerWindow {
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
}

impl AnswerWindow {
    /// The part of this window before `end`.
    pub(crate) fn before(self, end: Timestamp) -> Self {
        Self { from: self.from, to: self.to.min(end) }
    }

    fn intersect(self, other: Self) -> Option<Self> {
        let common = Self { from: self.from.max(other.from), to: self.to.min(other.to) };
        (common.from < common.to).then_some(common)
    }

    /// The numbers of the first event in the window and of the first one after it, if `count` events take `nanos`.
    fn numbers(self, count: i128, nanos: i128) -> [i128; 2] {
        [self.from, self.to].map(|at| (at.as_nanosecond() * count).div_euclid(nanos))
    }
}

/// The health checks of a window with one result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckCount<'a> {
    pub site: &'a str,
    pub passed: bool,
    pub count: u64,
}

/// The traffic of a window in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct SimulatedTraffic {
    pub bits: u64,
    pub packets: u64,
}

/// Time in which nothing changed. It ends where the next one starts.
#[derive(Debug, Clone)]
struct TimelinePeriod {
    from: Timestamp,
    checks_per_minute: u32,
    state: Arc<SimulatedEdge>,
}

impl TimelinePeriod {
    fn checks(&self, window: AnswerWindow) -> [i128; 2] {
        window.numbers(i128::from(self.checks_per_minute), 60 * NANOS_PER_SECOND)
    }
}

/// The edge's view of a tunnel, with a bounded number of earlier states.
#[derive(Debug, Clone)]
pub(crate) struct EdgeTimeline {
    /// `None` until a story or a client sets it: the checks pass, and the traffic is 0.
    current: Option<Arc<SimulatedEdge>>,
    /// In time order, never empty.
    periods: VecDeque<TimelinePeriod>,
}

impl EdgeTimeline {
    /// A tunnel that is checked since `from`.
    pub(crate) fn new(check: &HealthCheckSpec, state: Option<SimulatedEdge>, from: Timestamp) -> Self {
        let mut history = Self { current: None, periods: VecDeque::new() };
        history.set(check, state, from);
        history
    }

    pub(crate) fn current(&self) -> SimulatedEdge {
        self.current.as_deref().cloned().unwrap_or_default()
    }

    /// Shows `state` from `at` on.
    pub(crate) fn set(&mut self, check: &HealthCheckSpec, state: Option<SimulatedEdge>, at: Timestamp) {
        self.current = state.map(Arc::new);
        self.set_checks(check, at);
    }

    /// Uses the settings of `check` from `at` on.
    pub(crate) fn set_checks(&mut self, check: &HealthCheckSpec, at: Timestamp) {
        let state = self.current.clone().unwrap_or_default();
        let checks_per_minute = checks_per_minute(check, self.current.is_some());
        let last = self.periods.back();
        if last.is_some_and(|last| last.checks_per_minute == checks_per_minute && last.state == state) {
            return;
        }
        // The wall clock can be set back.
        let from = last.map_or(at, |last| at.max(last.from));
        if last.is_some_and(|last| last.from == from) {
            self.periods.pop_back();
        } else if self.periods.len() == MAX_PERIODS {
            self.periods.pop_front();
        }
        self.periods.push_back(TimelinePeriod { from, checks_per_minute, state });
    }

    /// The periods that overlap `window`, with the common part.
    fn within(&self, window: AnswerWindow) -> impl Iterator<Item = (&TimelinePeriod, AnswerWindow)> {
        let first = self.periods.partition_point(|period| period.from <= window.from).saturating_sub(1);
        let periods = self.periods.range(first..);
        let ends = periods.clone().skip(1).map(|next| next.from).chain([Timestamp::MAX]);
        let overlapping = periods.zip(ends).take_while(move |(period, _)| period.from < window.to);
        overlapping.filter_map(move |(period, to)| {
            let common = window.intersect(AnswerWindow { from: period.from, to })?;
            Some((period, common))
        })
    }

    /// Since when the tunnel is checked, and its checks per minute. `None` if either has changed.
    pub(crate) fn unchanged(&self) -> Option<(Timestamp, u32)> {
        let period = self.periods.front().filter(|_| self.periods.len() == 1)?;
        Some((period.from, period.checks_per_minute))
    }

    /// Number of checks in `window`.
    pub(crate) fn count(&self, window: AnswerWindow) -> u64 {
        self.within(window).map(|(period, window)| difference(period.checks(window))).sum()
    }

    /// The checks in `window` by site and result, without empty groups.
    pub(crate) fn results(&self, window: AnswerWindow) -> Vec<CheckCount<'_>> {
        let mut counts: Vec<CheckCount<'_>> = Vec::new();
        for (period, window) in self.within(window) {
            let checks = period.checks(window);
            let passed = checks.map(|number| (number * period.state.passed_per_million()).div_euclid(MILLION));
            let passed = difference(passed);
            for (passed, count) in [(true, passed), (false, difference(checks) - passed)] {
                let site = period.state.site.as_str();
                let known = counts.iter_mut().find(|known| known.site == site && known.passed == passed);
                match known {
                    Some(known) => known.count += count,
                    None if count > 0 => counts.push(CheckCount { site, passed, count }),
                    None => {}
                }
            }
        }
        counts
    }

    /// Number of checks in `window` and the mean `tunnelState`. `None` without checks.
    pub(crate) fn score(&self, window: AnswerWindow) -> Option<(u64, f64)> {
        self.mean(window, |state| Some(state.score()))
    }

    /// Number of checks in `window` and the mean `tunnelState` of one data center. `None` without checks. The number is
    /// that of all data centers.
    pub(crate) fn colo_score(&self, window: AnswerWindow, colo: &str) -> Option<(u64, f64)> {
        self.mean(window, |state| state.colo_score(colo))
    }

    fn mean(&self, window: AnswerWindow, score: impl Fn(&SimulatedEdge) -> Option<f64>) -> Option<(u64, f64)> {
        let parts = self.within(window).filter_map(|(period, window)| {
            let count = difference(period.checks(window));
            Some((count, count as f64 * score(&period.state)?))
        });
        let (count, total) = parts.fold((0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        (count > 0).then(|| (count, total / count as f64))
    }

    /// The traffic in `window`; `None` if there was none.
    pub(crate) fn traffic(&self, window: AnswerWindow, direction: FlowDirection) -> Option<SimulatedTraffic> {
        let mut sum = SimulatedTraffic { bits: 0, packets: 0 };
        for (period, window) in self.within(window) {
            let bits = window.numbers(i128::from(period.state.traffic.toward(direction)), NANOS_PER_SECOND);
            sum.bits = sum.bits.saturating_add(difference(bits));
            sum.packets = sum.packets.saturating_add(difference(bits.map(|bits| bits.div_euclid(BITS_PER_PACKET))));
        }
        (sum.bits > 0).then_some(sum)
    }

    /// The end of the last time before `end` at which the tunnel was checked.
    pub(crate) fn checked_until(&self, end: Timestamp) -> Option<Timestamp> {
        let mut next = Timestamp::MAX;
        for period in self.periods.iter().rev() {
            if period.checks_per_minute > 0 && period.from < end {
                return Some(next.min(end));
            }
            next = period.from;
        }
        None
    }
}

/// Checks of all data centers together. The rate `mid` is what users measured (480,000 to 508,000 in an hour); the
/// ratio of the rates is that of the intervals that users report (60 s, 10 s and 1 s).
///
/// Cloudflare does not document whether it has data about a tunnel with disabled checks. Here it has data only if the
/// story sets the tunnel's `edge`.
fn checks_per_minute(check: &HealthCheckSpec, is_set: bool) -> u32 {
    match check.rate {
        _ if !check.enabled && !is_set => 0,
        "low" => 1_375,
        "high" => 82_500,
        _ => 8_250,
    }
}

fn difference([first, after]: [i128; 2]) -> u64 {
    u64::try_from(after - first).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
