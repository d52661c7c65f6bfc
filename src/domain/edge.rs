//! What Cloudflare's edge measures for each tunnel: the results of its own health checks, and traffic.
//!
//! The data is minutes old and sampled. It identifies tunnels by name, so [`matching`] joins it with the inventory.

pub mod matching;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use web_toolkit::clock::Moment;

use super::{
    dataset::PollStatus,
    label::{Label as _, label_enum},
};

label_enum! {
    /// State of a tunnel by the share of health checks that passed, in the words and with the limits of Cloudflare's
    /// dashboard.
    pub enum HealthState {
        /// More than 80 % passed.
        Healthy => "healthy",
        /// From 40 % to 80 % passed.
        Degraded => "degraded",
        /// Less than 40 % passed.
        Down => "down",
    }
}

impl HealthState {
    pub fn from_pass_ratio(ratio: f64) -> Self {
        match ratio {
            ratio if ratio > 0.8 => Self::Healthy,
            ratio if ratio < 0.4 => Self::Down,
            _ => Self::Degraded,
        }
    }
}

label_enum! {
    /// Result of a health check of Cloudflare.
    pub enum EdgeResult {
        Ok => "ok",
        Timeout => "timeout",
        /// A result that Cloudflare does not document.
        Other => "other",
    }
}

label_enum! {
    /// Direction of traffic through a tunnel.
    pub enum TrafficDirection {
        ToSite => "to_site",
        FromSite => "from_site",
    }
}

/// Estimated number of health checks by result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EdgeChecks([u64; EdgeResult::ALL.len()]);

impl EdgeChecks {
    /// Adds `count` checks; `None` if the sum is too large to be true.
    #[must_use]
    pub fn plus(mut self, result: EdgeResult, count: u64) -> Option<Self> {
        let sum = &mut self.0[result as usize];
        *sum = sum.checked_add(count)?;
        self.total().map(|_| self)
    }

    pub const fn count(&self, result: EdgeResult) -> u64 {
        self.0[result as usize]
    }

    fn total(&self) -> Option<u64> {
        self.0.iter().try_fold(0, |sum: u64, &count| sum.checked_add(count))
    }

    /// Share of the checks that passed, from 0 to 1; `None` without checks.
    pub fn pass_ratio(&self) -> Option<f64> {
        let total = self.total().filter(|&total| total > 0)?;
        Some(self.count(EdgeResult::Ok) as f64 / total as f64)
    }

    /// The state; `None` with fewer than `min_checks` checks.
    pub fn state(&self, min_checks: u64) -> Option<HealthState> {
        let enough = self.total().is_some_and(|total| total >= min_checks);
        self.pass_ratio().filter(|_| enough).map(HealthState::from_pass_ratio)
    }
}

/// The health checks of one tunnel in the window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TunnelHealth {
    /// `None` if Cloudflare omits the results, or states them in a form that cannot be read.
    pub checks: Option<EdgeChecks>,
    /// `None` with too few checks.
    pub state: Option<HealthState>,
    /// Average state from 0 (down) to 1 (healthy), by which Cloudflare steers traffic.
    pub routing_score: Option<f64>,
    /// The score in each configured data center that has one.
    pub colos: Arc<[ColoScore]>,
}

/// Average state of a tunnel in one data center, from 0 (down) to 1 (healthy).
#[derive(Debug, Clone, PartialEq)]
pub struct ColoScore {
    /// Name of the data center in the API.
    pub colo: Arc<str>,
    pub score: f64,
}

/// Traffic of one tunnel in one direction, averaged over the bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrafficRate {
    pub bytes_per_second: f64,
    pub packets_per_second: f64,
}

/// Traffic of one tunnel; `None` for a direction without data.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TunnelTraffic([Option<TrafficRate>; TrafficDirection::ALL.len()]);

impl TunnelTraffic {
    pub const fn rate(&self, direction: TrafficDirection) -> Option<TrafficRate> {
        self.0[direction as usize]
    }

    pub const fn set(&mut self, direction: TrafficDirection, rate: TrafficRate) {
        self.0[direction as usize] = Some(rate);
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// A time span from which data was requested. The end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeWindow {
    pub from: Moment,
    pub to: Moment,
}

/// The health checks of all tunnels of one account.
#[derive(Debug, Clone, Default)]
pub struct EdgeHealth {
    pub status: PollStatus,
    /// The window of the last successful poll.
    pub window: Option<EdgeWindow>,
    /// The newest minute with complete data.
    pub newest: Option<Timestamp>,
    /// Whether the API has more data than was requested.
    pub truncated: bool,
    /// By name.
    pub tunnels: Arc<HashMap<Arc<str>, Arc<TunnelHealth>>>,
    /// Sites by the name of the tunnel. A site stays known while the tunnel has no data.
    pub sites: Arc<HashMap<Arc<str>, Arc<str>>>,
}

/// Traffic in one direction through what the API considers a tunnel.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficRow {
    pub id: Arc<str>,
    pub name: Arc<str>,
    pub direction: TrafficDirection,
    pub rate: TrafficRate,
}

/// The traffic of all tunnels of one account.
#[derive(Debug, Clone, Default)]
pub struct EdgeTraffic {
    pub status: PollStatus,
    /// The bucket of the last successful poll.
    pub window: Option<EdgeWindow>,
    pub truncated: bool,
    pub rows: Arc<[TrafficRow]>,
}

impl EdgeTraffic {
    /// Number of tunnels with traffic.
    pub fn tunnels(&self) -> usize {
        self.rows.iter().map(|row| (&row.id, &row.name)).collect::<HashSet<_>>().len()
    }
}

/// What the edge measures for one account.
#[derive(Debug, Clone)]
pub struct EdgeView {
    /// Age of the end of a window from which its data is no longer shown.
    pub stale_after: Duration,
    pub health: EdgeHealth,
    /// `None` if traffic is not polled.
    pub traffic: Option<EdgeTraffic>,
}

impl EdgeView {
    /// The window of the health checks; `None` if there is none or it is stale.
    pub fn health_window(&self, now: Moment) -> Option<EdgeWindow> {
        self.fresh(self.health.window, now)
    }

    /// The window of the traffic; `None` if there is none or it is stale.
    pub fn traffic_window(&self, now: Moment) -> Option<EdgeWindow> {
        self.fresh(self.traffic.as_ref()?.window, now)
    }

    fn fresh(&self, window: Option<EdgeWindow>, now: Moment) -> Option<EdgeWindow> {
        window.filter(|window| now.since(window.to) <= self.stale_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_has_the_limits_of_the_dashboard_and_needs_enough_checks() {
        for (ok, timeout, state) in [
            (100, 0, Some(HealthState::Healthy)),
            (81, 19, Some(HealthState::Healthy)),
            (80, 20, Some(HealthState::Degraded)),
            (40, 60, Some(HealthState::Degraded)),
            (39, 61, Some(HealthState::Down)),
            (0, 20, Some(HealthState::Down)),
            (19, 0, None),
            (0, 0, None),
        ] {
            let checks = EdgeChecks::default().plus(EdgeResult::Ok, ok).unwrap();
            let checks = checks.plus(EdgeResult::Timeout, timeout).unwrap();
            assert_eq!(checks.state(20), state, "{ok} of {}", ok + timeout);
        }
        assert_eq!(EdgeChecks::default().state(0), None, "no checks prove nothing");
    }

    #[test]
    fn a_sum_that_overflows_is_not_a_sum() {
        let checks = EdgeChecks::default().plus(EdgeResult::Ok, u64::MAX).unwrap();
        assert_eq!(checks.plus(EdgeResult::Ok, 1), None);
        assert_eq!(checks.plus(EdgeResult::Timeout, 1), None);
        assert_eq!(checks.pass_ratio(), Some(1.0));
    }
}
