//! Verification of API tokens: `GET /user/tokens/verify`, or `GET /accounts/{id}/tokens/verify` for tokens of an
//! account.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{
    error::{ApiFailure, classify},
    wire::{Field, Object, Text},
};
use crate::domain::{dataset::FailureReason, label::label_enum};

label_enum! {
    /// Status of a token (`result.status`).
    pub enum VerifiedStatus {
        Active => "active",
        Disabled => "disabled",
        Expired => "expired",
        /// Any other value.
        Unknown => "unknown",
    }
}

/// Properties of a valid token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenInfo {
    pub status: VerifiedStatus,
    /// `None` if the token does not expire.
    pub expires_on: Option<Timestamp>,
}

/// Result of verifying a token.
#[derive(Debug)]
pub struct TokenCheck {
    pub token: Result<TokenInfo, ApiFailure>,
    /// Difference between the local clock and the `Date` header of the response; positive if the local clock is ahead.
    /// It is accurate to a second plus the duration of the request. `None` if the header is absent.
    pub ahead: Option<SignedDuration>,
}

#[derive(Deserialize)]
struct TokenEnvelope<'a> {
    #[serde(default)]
    success: Field<bool>,
    #[serde(default, borrow)]
    result: Field<Object<TokenResult<'a>>>,
}

#[derive(Deserialize)]
struct TokenResult<'a> {
    #[serde(default, borrow)]
    status: Field<Text<'a>>,
    #[serde(default, borrow)]
    expires_on: Field<Text<'a>>,
}

/// Decodes the body of a response with a success status.
pub(super) fn decode_token(body: &[u8], status: u16) -> Result<TokenInfo, ApiFailure> {
    let fail = |reason| ApiFailure { status: Some(status), ..ApiFailure::new(reason) };
    let envelope: TokenEnvelope<'_> = serde_json::from_slice(body).map_err(|_| fail(FailureReason::NotJson))?;
    let (Field::Value(true), Field::Value(Object(info))) = (envelope.success, envelope.result) else {
        return Err(fail(classify(status, &[])));
    };
    let expires_on = match info.expires_on {
        Field::Value(text) => Some(text.0.parse().map_err(|_| fail(FailureReason::Decode))?),
        Field::Absent | Field::Wrong => None,
    };
    Ok(TokenInfo { status: parse_status(info.status), expires_on })
}

fn parse_status(field: Field<Text<'_>>) -> VerifiedStatus {
    match field {
        Field::Value(text) if text.0 == "active" => VerifiedStatus::Active,
        Field::Value(text) if text.0 == "disabled" => VerifiedStatus::Disabled,
        Field::Value(text) if text.0 == "expired" => VerifiedStatus::Expired,
        _ => VerifiedStatus::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_expiry_are_read() {
        use VerifiedStatus::{Active, Disabled, Expired, Unknown};
        let body =
            |result: &str| format!(r#"{{"success":true,"errors":[],"messages":[{{"code":10000}}],"result":{result}}}"#);
        let expires_on = "2027-01-01T00:00:00Z".parse().ok();
        let table = [
            (r#"{"id":"x","status":"active"}"#, Active, None),
            (r#"{"status":"active","expires_on":"2027-01-01T00:00:00Z"}"#, Active, expires_on),
            (r#"{"status":"expired","expires_on":"2027-01-01T01:00:00+01:00"}"#, Expired, expires_on),
            (r#"{"status":"disabled","expires_on":null}"#, Disabled, None),
            (r#"{"status":"sleeping"}"#, Unknown, None),
            (r#"{"status":7}"#, Unknown, None),
            ("{}", Unknown, None),
        ];
        for (result, status, expires_on) in table {
            assert_eq!(decode_token(body(result).as_bytes(), 200), Ok(TokenInfo { status, expires_on }), "{result}");
        }
    }

    #[test]
    fn an_invalid_response_is_a_failure() {
        for (body, reason) in [
            ("<html>", FailureReason::NotJson),
            ("", FailureReason::NotJson),
            (r#"{"success":true,"result":null}"#, FailureReason::Server),
            (r#"{"success":false,"result":{"status":"active"}}"#, FailureReason::Server),
            (r#"{"success":true,"result":{"status":"active","expires_on":"soon"}}"#, FailureReason::Decode),
        ] {
            assert_eq!(decode_token(body.as_bytes(), 200).unwrap_err().reason, reason, "{body}");
        }
    }
}
