//! The effects of faults: a response that replaces the operation's, a changed body, or a delivery that fails.

use std::time::Duration;

use hyper::{StatusCode, header::HeaderValue};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::{Value, json};

use super::damage;
use crate::{
    graphql::{AnalyticsError, Distortion, alias_path},
    response::{ApiResponse, Delivery, ErrorResponse},
};

/// What happens to a matching request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum FaultEffect {
    /// Delays the response. Combines with any other fault.
    #[serde(deserialize_with = "parse_duration")]
    Latency(Duration),
    /// This status with this body; the body is empty by default.
    Status {
        #[serde(deserialize_with = "parse_status")]
        code: StatusCode,
        #[serde(default)]
        body: String,
    },
    /// 429, code 971. `retry_after` is the value of the header: seconds or a date.
    RateLimited {
        #[serde(default, deserialize_with = "parse_header_value")]
        retry_after: Option<String>,
    },
    /// The error page of a gateway.
    Html {
        #[serde(default = "bad_gateway", deserialize_with = "parse_status")]
        code: StatusCode,
    },
    /// 403, the permission is missing.
    Forbidden,
    /// Status 200 and `"success": false`.
    SuccessFalse,
    /// The first half of the body, with a matching content length.
    Truncated,
    /// A byte that is invalid in UTF-8, inside a string.
    InvalidUtf8,
    /// Numbers for names, strings for objects.
    WrongTypes,
    /// A result without its list.
    MissingList,
    /// Enum values that the API reference does not list.
    UnknownValue,
    /// One byte per interval.
    #[serde(deserialize_with = "parse_duration")]
    Drip(Duration),
    /// The connection breaks in the middle of the body.
    Reset,
    /// No response.
    Silence,
    /// A body that never ends.
    Endless,
    /// Status 200 without data and with this error.
    GraphqlErrors {
        message: String,
        #[serde(default)]
        code: Option<String>,
        /// For example `["viewer", "accounts", "0", "states"]`.
        #[serde(default)]
        path: Vec<String>,
    },
    /// One list is null, and `errors` says why. By default the first one in alphabetical order.
    Partial {
        #[serde(default)]
        alias: Option<String>,
    },
    /// No account in the data.
    EmptyAccounts,
    /// 403, the account or the token cannot use the dataset.
    NoAccess,
    /// 429, the quota of queries is used up.
    Budget,
    /// The newest data is missing.
    #[serde(deserialize_with = "parse_duration")]
    Late(Duration),
    /// Each list has as many rows as its limit: the last row is repeated.
    TruncatedPage,
    /// One tunnel has a name that is not in the inventory.
    Renamed,
    /// `"errors": null` in a success.
    NullErrors,
}

const fn bad_gateway() -> StatusCode {
    StatusCode::BAD_GATEWAY
}

impl FaultEffect {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Latency(_) => "latency",
            Self::Status { .. } => "status",
            Self::RateLimited { .. } => "rate_limited",
            Self::Html { .. } => "html",
            Self::Forbidden => "forbidden",
            Self::SuccessFalse => "success_false",
            Self::Truncated => "truncated",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::WrongTypes => "wrong_types",
            Self::MissingList => "missing_list",
            Self::UnknownValue => "unknown_value",
            Self::Drip(_) => "drip",
            Self::Reset => "reset",
            Self::Silence => "silence",
            Self::Endless => "endless",
            Self::GraphqlErrors { .. } => "graphql_errors",
            Self::Partial { .. } => "partial",
            Self::EmptyAccounts => "empty_accounts",
            Self::NoAccess => "no_access",
            Self::Budget => "budget",
            Self::Late(_) => "late",
            Self::TruncatedPage => "truncated_page",
            Self::Renamed => "renamed",
            Self::NullErrors => "null_errors",
        }
    }

    /// Whether only responses of the GraphQL API can have this fault.
    pub(super) const fn is_graphql(&self) -> bool {
        matches!(
            self,
            Self::GraphqlErrors { .. }
                | Self::Partial { .. }
                | Self::EmptyAccounts
                | Self::NoAccess
                | Self::Budget
                | Self::Late(_)
                | Self::TruncatedPage
                | Self::Renamed
                | Self::NullErrors
        )
    }
}

/// The faults that match one request.
#[derive(Debug, Default)]
pub(crate) struct MatchedFaults {
    /// The sum of all latencies.
    pub(super) latency: Duration,
    pub(super) effect: Option<FaultEffect>,
}

impl MatchedFaults {
    /// Name of the fault in the call log.
    pub(crate) fn name(&self) -> Option<&'static str> {
        let latency = (!self.latency.is_zero()).then_some("latency");
        self.effect.as_ref().map(FaultEffect::name).or(latency)
    }

    /// The response of a fault that replaces the operation.
    pub(crate) fn replacement(&self) -> Option<ApiResponse> {
        Some(match self.effect.as_ref()? {
            FaultEffect::Status { code, body } => {
                let json = serde_json::from_str::<Value>(body).is_ok();
                let content_type = if json { "application/json" } else { "text/plain; charset=UTF-8" };
                ApiResponse::new(*code, content_type, body.clone())
            }
            FaultEffect::RateLimited { retry_after } => {
                let message = "Please wait and consider throttling your request speed";
                let error = ErrorResponse::single(StatusCode::TOO_MANY_REQUESTS, 971, message);
                let mut response = ApiResponse::from(error);
                response.headers.extend(retry_after.clone().map(|value| ("retry-after", value)));
                response
            }
            FaultEffect::Html { code } => {
                let page = "<html>\n<head><title>Bad gateway</title></head>\n<body>cloudflare</body>\n</html>\n";
                ApiResponse::new(*code, "text/html; charset=UTF-8", page.to_owned())
            }
            FaultEffect::Forbidden => ErrorResponse::missing_permission().into(),
            FaultEffect::SuccessFalse => {
                ErrorResponse::single(StatusCode::OK, 1001, "An unknown error has occurred").into()
            }
            FaultEffect::GraphqlErrors { message, code, path } => {
                let (code, path) = (code.clone(), path.clone());
                AnalyticsError { code, path, ..AnalyticsError::new(StatusCode::OK, message) }.into()
            }
            FaultEffect::EmptyAccounts => {
                ApiResponse::json(StatusCode::OK, &json!({"data": {"viewer": {"accounts": []}}}))
            }
            FaultEffect::NoAccess => AnalyticsError::no_access_to_path().into(),
            FaultEffect::Budget => AnalyticsError::budget_depleted().into(),
            _ => return None,
        })
    }

    /// What the faults change in an answer of the GraphQL API.
    pub(crate) fn distortion(&self) -> Distortion {
        let none = Distortion::default();
        match self.effect {
            Some(FaultEffect::Late(late)) => Distortion { late, ..none },
            Some(FaultEffect::Renamed) => Distortion { renamed: true, ..none },
            Some(FaultEffect::TruncatedPage) => Distortion { padded: true, ..none },
            _ => none,
        }
    }

    /// Applies the faults that change the body of a response, or the way it is sent.
    pub(crate) fn apply(&self, response: &mut ApiResponse) {
        response.latency = self.latency;
        match &self.effect {
            Some(FaultEffect::Truncated) => response.body.truncate(response.body.len() / 2),
            Some(FaultEffect::InvalidUtf8) => break_encoding(&mut response.body),
            Some(FaultEffect::WrongTypes) => change_json(response, damage::set_wrong_types),
            Some(FaultEffect::MissingList) => change_json(response, remove_lists),
            Some(FaultEffect::UnknownValue) => change_json(response, damage::set_unknown_values),
            Some(FaultEffect::Partial { alias }) => change_json(response, |body| fail_list(body, alias.as_deref())),
            Some(FaultEffect::NullErrors) => change_json(response, |body| body["errors"] = Value::Null),
            Some(FaultEffect::Drip(interval)) => response.delivery = Delivery::Drip(*interval),
            Some(FaultEffect::Reset) => response.delivery = Delivery::Reset,
            Some(FaultEffect::Silence) => response.delivery = Delivery::Silence,
            Some(FaultEffect::Endless) => response.delivery = Delivery::Endless,
            _ => {}
        }
    }
}

/// Inserts a byte that never occurs in UTF-8 (RFC 3629 section 1) into the first string of the body.
fn break_encoding(body: &mut Vec<u8>) {
    let at = body.iter().position(|byte| *byte == b'"').map_or(0, |quote| quote + 1);
    body.insert(at, 0xff);
}

fn change_json(response: &mut ApiResponse, change: impl FnOnce(&mut Value)) {
    if let Ok(mut body) = serde_json::from_slice(&response.body) {
        change(&mut body);
        response.body = body.to_string().into_bytes();
    }
}

/// The object that holds the lists of a GraphQL answer.
fn graphql_lists(body: &mut Value) -> Option<&mut Value> {
    let account = body.pointer_mut("/data/viewer/accounts/0")?;
    if account.get("settings").is_some() { account.get_mut("settings") } else { Some(account) }
}

fn remove_lists(body: &mut Value) {
    match graphql_lists(body) {
        Some(lists) => *lists = json!({}),
        None => body["result"] = json!({}),
    }
}

/// Sets a list to null and adds an error with its path. Without `alias`, it is the first list in alphabetical order.
fn fail_list(body: &mut Value, alias: Option<&str>) {
    let Some(Value::Object(lists)) = graphql_lists(body) else { return };
    let first = lists.keys().next().cloned();
    let Some(alias) = alias.map(str::to_owned).or(first) else { return };
    let message = "Internal server error";
    let error = AnalyticsError { path: alias_path(&alias), ..AnalyticsError::new(StatusCode::OK, message) };
    lists.insert(alias, Value::Null);
    body["errors"] = json!([error.json()]);
}

/// Deserializes a value and checks it. The error of `check` is one line.
pub(super) fn deserialize_checked<'de, T: DeserializeOwned, U, D: Deserializer<'de>>(
    deserializer: D,
    check: impl FnOnce(T) -> Result<U, String>,
) -> Result<U, D::Error> {
    check(T::deserialize(deserializer)?).map_err(D::Error::custom)
}

pub(crate) fn parse_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserialize_checked(deserializer, |text: String| {
        let duration = humantime::parse_duration(&text);
        duration.map_err(|_| format!("`{text}` is not a duration; use for example 500ms, 1s or 2m"))
    })
}

fn parse_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StatusCode, D::Error> {
    deserialize_checked(deserializer, |code: u16| {
        let status = StatusCode::from_u16(code).ok().filter(|_| (200..600).contains(&code));
        status.ok_or_else(|| format!("{code} is not a status of a response; use 200 to 599"))
    })
}

/// Seconds, or any text that is valid in a header.
fn parse_header_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserialize_checked(deserializer, |value: Option<Value>| {
        let text = match value {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text,
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err("retry_after must be seconds or a date".to_owned()),
        };
        let valid = HeaderValue::from_str(&text).is_ok();
        if valid { Ok(Some(text)) } else { Err("retry_after must be text that is valid in a header".to_owned()) }
    })
}
