//! A request to the sandbox, the credentials in it, and the log of requests to the API.

use std::{collections::VecDeque, time::Duration};

use http_body_util::BodyExt as _;
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use web_toolkit::clock::Moment;

use super::{
    response::{BodyRule, ErrorResponse},
    spec::{ApiTime, TargetForm},
};

/// Maximum length of a request body.
const BODY_LIMIT: usize = 1024 * 1024;
/// Bytes of an oversized body that are read before the request is rejected. Most clients lose a response that arrives
/// while they still send.
const DRAIN_LIMIT: usize = 16 * BODY_LIMIT;
/// Maximum time for receiving a request body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A complete request. Not `Debug`, because bodies hold keys.
pub(crate) struct ApiRequest {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub credentials: PresentedCredentials,
    pub form: TargetForm,
    pub body: Bytes,
}

impl ApiRequest {
    pub(crate) async fn read(request: Request<Incoming>) -> Result<Self, ErrorResponse> {
        let (head, body) = request.into_parts();
        let body = tokio::time::timeout(BODY_TIMEOUT, read_body(body)).await;
        let body = body.map_err(|_| ErrorResponse::body_timeout())??;
        let header = head.headers.get("x-magic-new-hc-target");
        let object = header.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
        Ok(Self {
            credentials: PresentedCredentials::from_headers(&head.headers),
            form: if object { TargetForm::Object } else { TargetForm::Text },
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            method: head.method,
            body,
        })
    }

    /// The body, which must be an object.
    pub(crate) fn object_body(&self) -> Result<Map<String, Value>, ErrorResponse> {
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(_) => Err(ErrorResponse::invalid_field(BodyRule::Type, "", "the body must be an object")),
            Err(error) => Err(ErrorResponse::malformed_json(&error)),
        }
    }

    /// Whether the request asks for a check only.
    pub(crate) fn validate_only(&self) -> bool {
        self.query.split('&').any(|pair| pair == "validate_only=true")
    }
}

async fn read_body(mut body: Incoming) -> Result<Bytes, ErrorResponse> {
    let mut kept = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        // The connection broke, so this response reaches no client. It keeps half a request from being carried out.
        let Ok(frame) = frame else { return Err(ErrorResponse::body_timeout()) };
        let data = frame.into_data().unwrap_or_default();
        length += data.len();
        if length <= BODY_LIMIT {
            kept.extend_from_slice(&data);
        } else if length > DRAIN_LIMIT {
            break;
        }
    }
    if length > BODY_LIMIT { Err(ErrorResponse::body_too_large(BODY_LIMIT)) } else { Ok(kept.into()) }
}

/// The credentials in the headers of a request.
#[derive(Debug)]
pub(crate) enum PresentedCredentials {
    None,
    /// An `Authorization` header that is not a bearer token.
    Malformed,
    Token(SecretString),
    /// The key of `X-Auth-Email` and `X-Auth-Key`, if both are present.
    Key(SecretString),
}

impl PresentedCredentials {
    /// A token takes precedence over a key, as in the real API.
    fn from_headers(headers: &HeaderMap) -> Self {
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        if let Some(value) = headers.get(AUTHORIZATION) {
            let token = text(value).and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned));
            let token = token.filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
            return token.map_or(Self::Malformed, |token| Self::Token(token.into()));
        }
        let email = headers.get("x-auth-email").and_then(text).filter(|email| email.contains('@'));
        let key = headers.get("x-auth-key").and_then(text);
        match (email, key) {
            (Some(_), Some(key)) => Self::Key(key.into()),
            _ => Self::None,
        }
    }

    const fn method_name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Malformed => "malformed",
            Self::Token(_) => "token",
            Self::Key(_) => "key",
        }
    }

    /// If `accepted` is `None`, every secret is accepted except an empty one.
    pub(crate) fn check(&self, accepted: Option<&SecretString>) -> Result<(), ErrorResponse> {
        let secret = match self {
            Self::None => return Err(ErrorResponse::authentication()),
            Self::Malformed => return Err(ErrorResponse::malformed_token()),
            Self::Token(secret) | Self::Key(secret) => secret.expose_secret(),
        };
        let valid = accepted.map_or(!secret.is_empty(), |accepted| accepted.expose_secret() == secret);
        if valid { Ok(()) } else { Err(ErrorResponse::authentication()) }
    }
}

/// Number of requests that are listed. Older ones are dropped from the list, but stay in the total.
const LISTED_CALLS: usize = 1000;

/// The requests to the API and their status, for tests and for debugging a client. Contains no credentials.
#[derive(Debug, Default)]
pub(crate) struct CallLog {
    total: u64,
    calls: VecDeque<Value>,
}

impl CallLog {
    /// `operation` is the name of a GraphQL operation.
    pub(crate) fn record(
        &mut self,
        request: &ApiRequest,
        operation: Option<&'static str>,
        status: StatusCode,
        fault: Option<&'static str>,
        now: Moment,
    ) {
        self.total += 1;
        if self.calls.len() == LISTED_CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(json!({
            "at": ApiTime(now.wall),
            "method": request.method.as_str(),
            "path": request.path,
            "query": request.query,
            "operation": operation,
            "credentials": request.credentials.method_name(),
            "object_targets": request.form == TargetForm::Object,
            "status": status.as_u16(),
            "fault": fault,
        }));
    }

    pub(crate) fn json(&self) -> Value {
        json!({"total": self.total, "calls": self.calls})
    }
}
