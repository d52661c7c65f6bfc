//! Errors in the form of the GraphQL API, with the messages that the real one is known to return.

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::response::ApiResponse;

/// An error in the form of the GraphQL API, which differs from that of the other paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnalyticsError {
    pub status: StatusCode,
    pub message: String,
    /// `extensions.code`, which only some errors have.
    pub code: Option<String>,
    /// Names the part of the query that failed, with the alias last.
    pub path: Vec<String>,
    pub timestamp: Option<Timestamp>,
}

impl AnalyticsError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), code: None, path: Vec::new(), timestamp: None }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// An account that does not exist or that the token cannot access.
    pub(super) fn unknown_account() -> Self {
        Self::new(StatusCode::FORBIDDEN, "not authorized for that account")
    }

    /// A dataset that the account or the token cannot use.
    pub(crate) fn no_access_to_path() -> Self {
        Self::new(StatusCode::FORBIDDEN, "account does not have access to the path").with_code("FORBIDDEN")
    }

    /// The quota of queries is used up.
    pub(crate) fn budget_depleted() -> Self {
        let message = "rate limiter budget depleted, try again after 5 minutes";
        Self::new(StatusCode::TOO_MANY_REQUESTS, message).with_code("budget")
    }

    /// `alias` is the name of a list in the answer.
    pub(super) fn at_alias(self, alias: &str) -> Self {
        Self { path: alias_path(alias), ..self }
    }

    fn with_code(self, code: &str) -> Self {
        Self { code: Some(code.to_owned()), ..self }
    }

    /// The element of `errors`.
    pub(crate) fn json(&self) -> Value {
        let mut error = json!({"message": self.message});
        if !self.path.is_empty() {
            error["path"] = json!(self.path);
        }
        if let Some(code) = &self.code {
            error["extensions"]["code"] = json!(code);
        }
        if let Some(timestamp) = self.timestamp {
            error["extensions"]["timestamp"] = json!(timestamp.to_string());
        }
        error
    }
}

/// The value of `path` in an error about `alias`. All its elements are strings, as in recorded bodies.
pub(crate) fn alias_path(alias: &str) -> Vec<String> {
    ["viewer", "accounts", "0", alias].map(str::to_owned).into()
}

impl From<AnalyticsError> for ApiResponse {
    fn from(error: AnalyticsError) -> Self {
        Self::json(error.status, &json!({"data": null, "errors": [error.json()]}))
    }
}
