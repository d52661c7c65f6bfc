//! The API token: its state, which the verification of tokens reports.

use std::{str::FromStr, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Value, json};

use super::{
    response::{ApiResponse, ErrorResponse},
    spec::ApiTime,
    store::stable_id,
};

/// `status` of a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenStatus {
    #[default]
    Active,
    Disabled,
    Expired,
}

/// The owner of the token. It selects the only path that can verify it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenOwner {
    User,
    Account,
}

/// A point in time: a date, or a time after the start of the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenExpiry {
    At(Timestamp),
    In(Duration),
}

impl TokenExpiry {
    fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::In(time) => now.checked_add(time).unwrap_or(Timestamp::MAX),
        }
    }
}

/// Parses an RFC 3339 time, or a duration such as `10d`.
impl FromStr for TokenExpiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        let time = humantime::parse_duration(text).map(Self::In);
        time.map_err(|_| "must be an RFC 3339 time or a duration, for example 10d".to_owned())
    }
}

/// A token as stories and the control endpoint describe it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TokenSettings {
    pub status: TokenStatus,
    /// Absent: the token does not expire.
    #[serde(deserialize_with = "parse_expiry")]
    pub expires: Option<TokenExpiry>,
    /// Absent: both paths verify the token.
    pub owner: Option<TokenOwner>,
}

fn parse_expiry<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TokenExpiry>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    text.parse().map(Some).map_err(|rule| de::Error::custom(format_args!("`{text}` in `expires` {rule}")))
}

impl TokenSettings {
    /// The error is one line.
    pub(crate) fn parse(value: &Value) -> Result<Self, String> {
        Self::deserialize(value).map_err(|error| error.to_string())
    }
}

/// The token from one time on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenState {
    status: TokenStatus,
    expires_on: Option<Timestamp>,
    owner: Option<TokenOwner>,
}

impl TokenState {
    pub(crate) fn new(settings: TokenSettings, now: Timestamp) -> Self {
        let TokenSettings { status, expires, owner } = settings;
        Self { status, expires_on: expires.map(|expires| expires.resolve(now)), owner }
    }

    fn status(&self, now: Timestamp) -> TokenStatus {
        let is_over = self.expires_on.is_some_and(|at| at <= now);
        if self.status == TokenStatus::Active && is_over { TokenStatus::Expired } else { self.status }
    }

    pub(crate) fn is_active(&self, now: Timestamp) -> bool {
        self.status(now) == TokenStatus::Active
    }

    /// What the verification reports. The status of the response is 200 for tokens that are not active, too.
    pub(crate) fn verify(&self, owner: TokenOwner, now: Timestamp) -> ApiResponse {
        if self.owner.is_some_and(|own| own != owner) {
            return ErrorResponse::invalid_token().into();
        }
        let messages = match self.status(now) {
            TokenStatus::Active => json!([{"code": 10000, "message": "This API Token is valid and active"}]),
            _ => json!([]),
        };
        ApiResponse::success_with(&self.json(now).to_string(), &messages.to_string())
    }

    /// The token as the API shows it.
    pub(crate) fn json(&self, now: Timestamp) -> Value {
        let mut token = json!({"id": stable_id(&["token"]), "status": self.status(now)});
        if let Some(at) = self.expires_on {
            token["expires_on"] = json!(ApiTime(at));
        }
        token
    }
}

#[cfg(test)]
mod tests;
