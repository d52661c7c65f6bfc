//! Failed requests: their reasons, and when to retry.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use rand::RngExt as _;

use super::{envelope::Envelope, wire::Field};
use crate::{
    domain::dataset::FailureReason,
    https::{self, ApiUrl},
};

/// A failed request. It contains the status and the error codes of the response, but no text, because that may quote
/// secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiFailure {
    pub reason: FailureReason,
    /// HTTP status, if there was a response.
    pub status: Option<u16>,
    /// The first four `errors[].code`.
    pub codes: Vec<u64>,
    /// Time to wait as requested by the API (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// What is wrong with the connection, if the response was not complete.
    pub transport: Option<String>,
}

/// Maximum number of error codes that are kept.
const MAX_CODES: usize = 4;

impl ApiFailure {
    /// Creates a failure without details.
    pub(crate) fn new(reason: FailureReason) -> Self {
        Self { reason, status: None, codes: Vec::new(), retry_after: None, transport: None }
    }

    /// Classifies an error of the HTTP client.
    pub(super) fn from_transport(error: &reqwest::Error) -> Self {
        let server = error.url().map_or_else(|| "the API".to_owned(), https::server_of);
        Self { transport: Some(https::describe_error(error, &server)), ..Self::new(https::classify_error(error)) }
    }

    /// The response was not complete, or not decoded, within the timeout.
    pub(super) fn timed_out(api: &ApiUrl) -> Self {
        let transport = Some(https::describe_timeout(&api.server()));
        Self { transport, ..Self::new(FailureReason::Timeout) }
    }

    /// Classifies a response with an error status.
    pub(super) fn from_response(status: u16, body: &[u8]) -> Self {
        let codes = read_codes(body);
        Self { status: Some(status), reason: classify(status, &codes), codes, ..Self::new(FailureReason::Server) }
    }

    /// Suggests what the operator can do about the failure.
    pub const fn remedy(&self) -> &'static str {
        self.reason.remedy()
    }
}

impl fmt::Display for ApiFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        if let Some(status) = self.status {
            write!(f, ", HTTP status {status}")?;
        }
        if !self.codes.is_empty() {
            let codes: Vec<String> = self.codes.iter().map(u64::to_string).collect();
            write!(f, ", code {}", codes.join(", "))?;
        }
        match &self.transport {
            Some(text) => write!(f, ": {text}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ApiFailure {}

/// Reads `errors[].code` of a body; empty if the body is not an API response.
fn read_codes(body: &[u8]) -> Vec<u64> {
    serde_json::from_slice::<Envelope>(body).map_or_else(|_| Vec::new(), |envelope| envelope.codes())
}

impl Envelope {
    /// Returns the first [`MAX_CODES`] error codes.
    pub(super) fn codes(&self) -> Vec<u64> {
        let Field::Value(errors) = &self.errors else { return Vec::new() };
        let codes = errors.0.iter().filter_map(|error| match error.0.code {
            Field::Value(code) => Some(code.0),
            Field::Absent | Field::Wrong => None,
        });
        codes.take(MAX_CODES).collect()
    }
}

/// Classifies a failure by its HTTP status, and by its error codes if the status is ambiguous.
///
/// A missing product is reported with the status of a missing permission, so that its codes have priority.
pub(super) fn classify(status: u16, codes: &[u64]) -> FailureReason {
    let by_code = codes.iter().find_map(|&code| classify_code(code));
    match status {
        401 | 403 | 404 if by_code == Some(FailureReason::NotEntitled) => FailureReason::NotEntitled,
        401 | 403 => FailureReason::Auth,
        404 => FailureReason::NotFound,
        429 => FailureReason::RateLimited,
        500..=599 => FailureReason::Server,
        _ => by_code.unwrap_or(FailureReason::Server),
    }
}

/// Error codes observed in responses of the API.
fn classify_code(code: u64) -> Option<FailureReason> {
    match code {
        1000 | 6003 | 6111 | 9109 | 10000 => Some(FailureReason::Auth),
        1012 | 1025 => Some(FailureReason::NotEntitled),
        7000 | 7003 => Some(FailureReason::NotFound),
        971 | 10100 | 10429 | 10502 => Some(FailureReason::RateLimited),
        _ => None,
    }
}

/// Time for which the API blocks all requests of a user after exceeding the rate limit (Cloudflare API limits,
/// "cumulative rate limit").
const RATE_LIMIT_PENALTY: Duration = Duration::from_mins(5);

/// Time between retries of a failure that lasts until a setting is changed.
const LASTING_FAILURE_RETRY: Duration = Duration::from_mins(5);

/// Upper limit for the time requested by `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Maximum wait before the first retry of a temporary failure.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// Parses a `Retry-After` header (RFC 9110 section 10.2.3): seconds or a date.
pub(super) fn parse_retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(
            header.parse().map_or(MAX_RETRY_AFTER, |seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER)),
        );
    }
    let date = Timestamp::try_from(httpdate::parse_http_date(header).ok()?).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default().min(MAX_RETRY_AFTER))
}

/// Returns the time to wait after `failures` consecutive failures, the latest of which is `failure`.
///
/// Temporary failures back off exponentially up to the longer of `interval` and five minutes. Jitter keeps many
/// exporters from retrying at the same time.
pub fn retry_delay(failure: &ApiFailure, failures: u32, interval: Duration) -> Duration {
    if let Some(wait) = failure.retry_after {
        return jitter(wait.max(Duration::from_secs(1)), 1.0, 1.1);
    }
    match failure.reason {
        FailureReason::RateLimited => jitter(RATE_LIMIT_PENALTY, 1.0, 1.1),
        reason if reason.is_lasting() => jitter(LASTING_FAILURE_RETRY.max(interval), 0.9, 1.1),
        _ => {
            let doubled = FIRST_RETRY.min(interval).saturating_mul(1 << failures.saturating_sub(1).min(16));
            jitter(doubled.min(RATE_LIMIT_PENALTY.max(interval)), 0.5, 1.0)
        }
    }
}

fn jitter(wait: Duration, from: f64, to: f64) -> Duration {
    wait.mul_f64(rand::rng().random_range(from..=to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_and_then_the_codes_decide_the_reason() {
        use FailureReason::{Auth, NotEntitled, NotFound, RateLimited, Server};
        let table: [(u16, &[u64], FailureReason); 18] = [
            (401, &[10000], Auth),
            (401, &[1000], Auth),
            (401, &[], Auth),
            (403, &[10000], Auth),
            (403, &[9109], Auth),
            (403, &[1012], NotEntitled),
            (400, &[6003], Auth),
            (400, &[7003, 7000], NotFound),
            (404, &[7003], NotFound),
            (404, &[], NotFound),
            (400, &[1012], NotEntitled),
            (400, &[1025], NotEntitled),
            (429, &[971], RateLimited),
            (429, &[10000], RateLimited),
            (500, &[10000], Server),
            (502, &[], Server),
            (200, &[10100], RateLimited),
            (301, &[], Server),
        ];
        for (status, codes, reason) in table {
            assert_eq!(classify(status, codes), reason, "status {status}, codes {codes:?}");
        }
    }

    #[test]
    fn codes_are_read_as_numbers_and_as_strings_and_without_a_message() {
        let body = br#"{"success":false,"errors":[{"code":"7000"},{"code":7003,"message":"no"},{"message":"no code"},null,5]}"#;
        assert_eq!(read_codes(body), [7000, 7003]);
        assert_eq!(read_codes(b"<html>bad gateway</html>"), Vec::<u64>::new());
        assert_eq!(read_codes(br#"{"errors":"no list"}"#), Vec::<u64>::new());
    }

    #[test]
    fn the_message_contains_reason_status_and_codes_but_no_text_of_the_response() {
        let body = br#"{"success":false,"errors":[{"code":10000,"message":"md5_key hunter2 is wrong"}]}"#;
        let failure = ApiFailure::from_response(403, body);
        assert_eq!(failure.to_string(), "auth, HTTP status 403, code 10000");
        assert!(!format!("{failure:?}").contains("hunter2"));
    }

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
            assert_eq!(parse_retry_after(header, now), seconds.map(Duration::from_secs), "{header:?}");
        }
    }

    #[test]
    fn temporary_failures_back_off_up_to_five_minutes() {
        let failure = failure(FailureReason::Connect, None);
        let mut last = Duration::ZERO;
        for (failures, most) in [(1, 5), (2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 300), (40, 300)] {
            let most = Duration::from_secs(most);
            let wait = retry_delay(&failure, failures, MINUTE);
            assert!(wait >= most / 2 && wait <= most, "{failures} failures: {wait:?} of {most:?}");
            assert!(wait >= last / 4, "the wait does not shrink");
            last = wait;
        }
    }

    #[test]
    fn the_first_retry_waits_at_most_one_interval() {
        let wait = retry_delay(&failure(FailureReason::Server, None), 1, Duration::from_secs(1));
        assert!(wait <= Duration::from_secs(1));
    }

    #[test]
    fn a_requested_wait_is_respected() {
        let asked = retry_delay(&failure(FailureReason::RateLimited, Some(30)), 1, MINUTE);
        assert!(asked >= Duration::from_secs(30) && asked <= Duration::from_secs(33));
        let silent = retry_delay(&failure(FailureReason::RateLimited, None), 1, MINUTE);
        assert!(silent >= Duration::from_mins(5) && silent <= Duration::from_secs(330));
    }

    #[test]
    fn a_lasting_failure_is_retried_slowly() {
        for reason in [FailureReason::Auth, FailureReason::NotEntitled, FailureReason::NotFound] {
            assert!(retry_delay(&failure(reason, None), 1, MINUTE) >= Duration::from_secs(270));
        }
    }
}
