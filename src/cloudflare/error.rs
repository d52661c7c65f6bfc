//! What can go wrong between a request and a list of tunnels, folded into a closed list of reasons.

use std::{error::Error as _, fmt, time::Duration};

use super::wire::{Envelope, Field};
use crate::domain::dataset::FailureReason;

/// A request that gave nothing usable. Holds no text of the answer, which may quote secrets: only its status and codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiFailure {
    pub reason: FailureReason,
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// `errors[].code`, the first few.
    pub codes: Vec<u64>,
    /// How long the API asks to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// What the transport said, where there was no answer.
    pub transport: Option<String>,
}

/// More codes than this are not kept.
const MOST_CODES: usize = 4;

impl ApiFailure {
    pub(super) fn new(reason: FailureReason) -> Self {
        Self { reason, status: None, codes: Vec::new(), retry_after: None, transport: None }
    }

    pub(super) fn transport(error: reqwest::Error) -> Self {
        let reason = if error.is_timeout() {
            FailureReason::Timeout
        } else if error.is_decode() && !is_broken_connection(&error) {
            FailureReason::Decode
        } else {
            FailureReason::Connect
        };
        Self { transport: Some(chain(&error.without_url())), ..Self::new(reason) }
    }

    /// Judges an answer that is no success by its status: the status first, then the codes in its body.
    pub(super) fn refused(status: u16, body: &[u8]) -> Self {
        let codes = codes(body);
        Self { status: Some(status), reason: reason_of(status, &codes), codes, ..Self::new(FailureReason::Server) }
    }

    /// What the operator can do about it.
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

/// A body that ends too early is an error of decoding to the HTTP library, be it that the connection broke or the compression is damaged.
fn is_broken_connection(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<hyper::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The message of an error with those of its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// `errors[].code` of a body, if it is an envelope at all.
fn codes(body: &[u8]) -> Vec<u64> {
    match serde_json::from_slice::<Envelope<'_>>(body) {
        Ok(envelope) => envelope.codes(),
        Err(_) => Vec::new(),
    }
}

impl Envelope<'_> {
    pub(super) fn codes(&self) -> Vec<u64> {
        let Field::Value(errors) = &self.errors else { return Vec::new() };
        let codes = errors.0.iter().filter_map(|error| match error.0.code {
            Field::Value(code) => Some(code.0),
            Field::Absent | Field::Wrong => None,
        });
        codes.take(MOST_CODES).collect()
    }
}

/// The reason by status and codes. A status that is clear decides alone, save that the codes tell "not entitled" from "not allowed".
pub(super) fn reason_of(status: u16, codes: &[u64]) -> FailureReason {
    let by_code = codes.iter().find_map(|&code| reason_of_code(code));
    match status {
        401 | 403 | 404 if by_code == Some(FailureReason::NotEntitled) => FailureReason::NotEntitled,
        401 | 403 => FailureReason::Auth,
        404 => FailureReason::NotFound,
        429 => FailureReason::RateLimited,
        500..=599 => FailureReason::Server,
        _ => by_code.unwrap_or(FailureReason::Server),
    }
}

/// Codes seen in answers of the real API.
fn reason_of_code(code: u64) -> Option<FailureReason> {
    match code {
        1000 | 6003 | 6111 | 9109 | 10000 => Some(FailureReason::Auth),
        1012 | 1025 => Some(FailureReason::NotEntitled),
        7000 | 7003 => Some(FailureReason::NotFound),
        971 | 10100 | 10429 | 10502 => Some(FailureReason::RateLimited),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_then_code_decide_the_reason() {
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
            assert_eq!(reason_of(status, codes), reason, "status {status}, codes {codes:?}");
        }
    }

    #[test]
    fn codes_are_read_as_numbers_and_as_strings_and_without_a_message() {
        let body = br#"{"success":false,"errors":[{"code":"7000"},{"code":7003,"message":"no"},{"message":"no code"},null,5]}"#;
        assert_eq!(codes(body), [7000, 7003]);
        assert_eq!(codes(b"<html>bad gateway</html>"), Vec::<u64>::new());
        assert_eq!(codes(br#"{"errors":"no list"}"#), Vec::<u64>::new());
    }

    #[test]
    fn the_message_names_reason_status_and_codes_but_no_text_of_the_answer() {
        let body = br#"{"success":false,"errors":[{"code":10000,"message":"md5_key hunter2 is wrong"}]}"#;
        let failure = ApiFailure::refused(403, body);
        assert_eq!(failure.to_string(), "auth, HTTP status 403, code 10000");
        assert!(!format!("{failure:?}").contains("hunter2"));
    }
}
