//! What the polls of the edge ask for, and the time spans.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use web_toolkit::clock::Moment;

use crate::domain::edge::{EdgeHealth, EdgeView, EdgeWindow};

/// Length of a bucket of traffic. Cloudflare aggregates traffic by these, aligned to the hour.
pub const BUCKET: Duration = Duration::from_mins(5);

/// Maximum number of data centers to poll scores of.
pub const MAX_COLOS: usize = 20;

/// What the polls of the edge ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgePollSettings {
    /// Time between the starts of two polls of health checks.
    pub interval: Duration,
    /// Time span of the health checks.
    pub window: Duration,
    /// Age of the newest data that is asked for, because newer data is incomplete.
    pub delay: Duration,
    /// Age of the end of a time span from which its data is no longer shown.
    pub stale_after: Duration,
    /// Minimum number of health checks for a state.
    pub min_checks: u64,
    /// Whether traffic is polled.
    pub traffic: bool,
    /// Names of the data centers to poll scores of, at most [`MAX_COLOS`].
    pub colos: Arc<[Arc<str>]>,
}

impl Default for EdgePollSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_mins(1),
            window: Duration::from_mins(5),
            delay: Duration::from_mins(2),
            stale_after: Duration::from_mins(15),
            min_checks: 20,
            traffic: true,
            colos: Arc::default(),
        }
    }
}

impl EdgePollSettings {
    /// The time span to ask for at `now`: whole minutes, at most `window` long.
    pub fn window_at(&self, now: Moment, window: Duration) -> EdgeWindow {
        window_before(now, self.delay, Duration::from_mins(1), window)
    }

    /// The newest closed bucket at `now`.
    pub fn bucket_at(&self, now: Moment) -> EdgeWindow {
        window_before(now, self.delay, BUCKET, BUCKET)
    }

    /// The time after `now` at which the bucket after this one is complete, which is `delay` after its end.
    pub(super) fn time_to_next_bucket(&self, bucket: EdgeWindow, now: Moment) -> Duration {
        let age = Duration::try_from(now.wall.duration_since(bucket.to.wall)).unwrap_or_default();
        (BUCKET + self.delay).saturating_sub(age).max(self.interval / 2)
    }

    /// A view that continues from `known`.
    pub(super) fn resume(&self, known: Option<&EdgeView>) -> EdgeView {
        let traffic = known.and_then(|view| view.traffic.clone()).unwrap_or_default();
        EdgeView {
            stale_after: self.stale_after,
            health: known.map_or_else(EdgeHealth::default, |view| view.health.clone()),
            traffic: self.traffic.then_some(traffic),
        }
    }
}

/// The time span of this length that ends `delay` before `now`, rounded down to a multiple of `step`.
fn window_before(now: Moment, delay: Duration, step: Duration, length: Duration) -> EdgeWindow {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let end = now.wall.as_second().saturating_sub(seconds(delay));
    let end = end - end.rem_euclid(seconds(step));
    let at = |second| now.earlier(Timestamp::from_second(second).unwrap_or(now.wall));
    EdgeWindow { from: at(end.saturating_sub(seconds(length))), to: at(end) }
}
