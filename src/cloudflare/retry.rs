//! When to ask again: `Retry-After`, and the waits between tries.

use std::time::Duration;

use jiff::Timestamp;
use rand::RngExt as _;

use super::error::ApiFailure;
use crate::domain::dataset::FailureReason;

/// The API blocks every call of a user for this long once the budget is spent (API limits, "cumulative rate limit").
const RATE_LIMIT_PENALTY: Duration = Duration::from_mins(5);

/// A refusal that only a changed setting mends is looked at again this often.
const LASTING_REFUSAL: Duration = Duration::from_mins(5);

/// No header makes us wait longer.
const LONGEST: Duration = Duration::from_hours(1);

/// The first retry after a passing failure waits at most this long.
const FIRST: Duration = Duration::from_secs(5);

/// Reads a `Retry-After` header (RFC 9110 section 10.2.3): seconds, or a date.
pub(super) fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(header.parse().map_or(LONGEST, |seconds| Duration::from_secs(seconds).min(LONGEST)));
    }
    let date = Timestamp::try_from(httpdate::parse_http_date(header).ok()?).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default().min(LONGEST))
}

/// How long to wait before the next try after `failures` failures in a row, the last of them `failure`.
///
/// Passing failures back off exponentially up to the longer of `interval` and five minutes, and every wait is spread by up to a half, so
/// that many exporters do not come back at once.
pub fn wait_after(failure: &ApiFailure, failures: u32, interval: Duration) -> Duration {
    if let Some(wait) = failure.retry_after {
        return spread(wait.max(Duration::from_secs(1)), 1.0, 1.1);
    }
    match failure.reason {
        FailureReason::RateLimited => spread(RATE_LIMIT_PENALTY, 1.0, 1.1),
        reason if reason.is_lasting() => spread(LASTING_REFUSAL.max(interval), 0.9, 1.1),
        _ => {
            let doubled = FIRST.min(interval).saturating_mul(1 << failures.saturating_sub(1).min(16));
            spread(doubled.min(RATE_LIMIT_PENALTY.max(interval)), 0.5, 1.0)
        }
    }
}

fn spread(wait: Duration, from: f64, to: f64) -> Duration {
    wait.mul_f64(rand::rng().random_range(from..=to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn failure(reason: FailureReason, retry_after: Option<u64>) -> ApiFailure {
        ApiFailure { retry_after: retry_after.map(Duration::from_secs), ..ApiFailure::new(reason) }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-10-21T07:28:00Z".parse().unwrap();
        let table = [
            ("30", Some(30)),
            (" 0 ", Some(0)),
            ("Wed, 21 Oct 2026 07:28:45 GMT", Some(45)),
            ("Wed, 21 Oct 2026 07:00:00 GMT", Some(0)),
            ("99999999999999999999999", Some(3600)),
            ("Wed, 21 Oct 2099 07:28:45 GMT", Some(3600)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ];
        for (header, seconds) in table {
            assert_eq!(retry_after(header, now), seconds.map(Duration::from_secs), "{header:?}");
        }
    }

    #[test]
    fn passing_failures_back_off_up_to_five_minutes() {
        let failure = failure(FailureReason::Connect, None);
        let mut last = Duration::ZERO;
        for (failures, most) in [(1, 5), (2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 300), (40, 300)] {
            let most = Duration::from_secs(most);
            let wait = wait_after(&failure, failures, MINUTE);
            assert!(wait >= most / 2 && wait <= most, "{failures} failures: {wait:?} of {most:?}");
            assert!(wait >= last / 4, "the wait does not shrink");
            last = wait;
        }
    }

    #[test]
    fn a_short_interval_is_not_made_longer_by_the_first_failure() {
        let wait = wait_after(&failure(FailureReason::Server, None), 1, Duration::from_secs(1));
        assert!(wait <= Duration::from_secs(1));
    }

    #[test]
    fn what_the_api_asks_for_is_honoured() {
        let asked = wait_after(&failure(FailureReason::RateLimited, Some(30)), 1, MINUTE);
        assert!(asked >= Duration::from_secs(30) && asked <= Duration::from_secs(33));
        let silent = wait_after(&failure(FailureReason::RateLimited, None), 1, MINUTE);
        assert!(silent >= Duration::from_mins(5) && silent <= Duration::from_secs(330));
    }

    #[test]
    fn a_lasting_refusal_is_retried_slowly() {
        for reason in [FailureReason::Auth, FailureReason::NotEntitled, FailureReason::NotFound] {
            assert!(wait_after(&failure(reason, None), 1, MINUTE) >= Duration::from_secs(270));
        }
    }
}
