//! What the API says about a token: `GET /user/tokens/verify`, and `GET /accounts/{id}/tokens/verify` for tokens of an account.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{
    error::{ApiFailure, reason_of},
    wire::{Field, Object, Text},
};
use crate::domain::{dataset::FailureReason, label::label_enum};

label_enum! {
    /// Whether a token may be used.
    pub enum TokenStatus {
        Active => "active",
        Disabled => "disabled",
        Expired => "expired",
        /// A word that this version does not know.
        Unknown => "unknown",
    }
}

/// A token that the API knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub status: TokenStatus,
    /// `None` where it does not expire.
    pub expires_on: Option<Timestamp>,
}

/// What came of asking about a token.
#[derive(Debug)]
pub struct Verified {
    pub token: Result<Token, ApiFailure>,
    /// How far our clock is ahead of the API's, to a second and the time that the answer took; `None` where it did not say the time.
    pub ahead: Option<SignedDuration>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    success: Field<bool>,
    #[serde(default, borrow)]
    result: Field<Object<Info<'a>>>,
}

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(default, borrow)]
    status: Field<Text<'a>>,
    #[serde(default, borrow)]
    expires_on: Field<Text<'a>>,
}

/// Reads the body of an answer with a status of success.
pub(super) fn decode(body: &[u8], status: u16) -> Result<Token, ApiFailure> {
    let fail = |reason| ApiFailure { status: Some(status), ..ApiFailure::new(reason) };
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|_| fail(FailureReason::NotJson))?;
    let (Field::Value(true), Field::Value(Object(info))) = (envelope.success, envelope.result) else {
        return Err(fail(reason_of(status, &[])));
    };
    let expires_on = match info.expires_on {
        Field::Value(text) => Some(text.0.parse().map_err(|_| fail(FailureReason::Decode))?),
        Field::Absent | Field::Wrong => None,
    };
    Ok(Token { status: status_of(info.status), expires_on })
}

fn status_of(field: Field<Text<'_>>) -> TokenStatus {
    match field {
        Field::Value(text) if text.0 == "active" => TokenStatus::Active,
        Field::Value(text) if text.0 == "disabled" => TokenStatus::Disabled,
        Field::Value(text) if text.0 == "expired" => TokenStatus::Expired,
        _ => TokenStatus::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_expiry_are_read() {
        use TokenStatus::{Active, Disabled, Expired, Unknown};
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
            assert_eq!(decode(body(result).as_bytes(), 200), Ok(Token { status, expires_on }), "{result}");
        }
    }

    #[test]
    fn what_is_no_answer_about_a_token_is_a_failure() {
        for (body, reason) in [
            ("<html>", FailureReason::NotJson),
            ("", FailureReason::NotJson),
            (r#"{"success":true,"result":null}"#, FailureReason::Server),
            (r#"{"success":false,"result":{"status":"active"}}"#, FailureReason::Server),
            (r#"{"success":true,"result":{"status":"active","expires_on":"soon"}}"#, FailureReason::Decode),
        ] {
            assert_eq!(decode(body.as_bytes(), 200).unwrap_err().reason, reason, "{body}");
        }
    }
}
