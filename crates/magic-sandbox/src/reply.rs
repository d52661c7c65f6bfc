//! Answers in the API's envelope, and the errors that the real API is known to give.

use hyper::StatusCode;
use serde_json::{Value, json};

/// A whole answer, before faults have their way with it. Not `Debug`: one kind of answer carries a pre-shared key.
pub(super) struct Reply {
    pub status: StatusCode,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// `result` is JSON text. The order of the keys is that of a recorded body.
    pub(super) fn result(result: &str) -> Self {
        let mut body = String::with_capacity(result.len() + 64);
        body.push_str("{\"result\":");
        body.push_str(result);
        body.push_str(",\"success\":true,\"errors\":[],\"messages\":[]}");
        Self::json_text(StatusCode::OK, body)
    }

    pub(super) fn json_text(status: StatusCode, body: String) -> Self {
        Self { status, content_type: "application/json; charset=UTF-8", headers: Vec::new(), body: body.into_bytes() }
    }

    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        Self::json_text(status, body.to_string())
    }

    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// One element of `errors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub code: u32,
    pub message: String,
    /// RFC 6901 pointer into the request body.
    pub pointer: Option<String>,
    /// `error_chain`, as a few errors of the gateway carry it.
    pub chain: Vec<(u32, &'static str)>,
}

impl ApiError {
    pub(super) fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), pointer: None, chain: Vec::new() }
    }

    fn json(&self) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(pointer) = &self.pointer {
            error["source"] = json!({"pointer": pointer});
        }
        if !self.chain.is_empty() {
            let chain = self.chain.iter().map(|(code, message)| json!({"code": code, "message": message}));
            error["error_chain"] = chain.collect();
        }
        error
    }
}

/// A request that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub errors: Vec<ApiError>,
    allow: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, errors: Vec<ApiError>) -> Self {
        Self { status, errors, allow: None }
    }

    fn one(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self::new(status, vec![ApiError::new(code, message)])
    }

    /// Wrong token or key: measured on the real API.
    pub(super) fn authentication() -> Self {
        Self::one(StatusCode::UNAUTHORIZED, 10000, "Authentication error")
    }

    /// A valid token without the permission; from the API's gateway, with the same code and text as a wrong one.
    pub(super) fn permission() -> Self {
        Self::one(StatusCode::FORBIDDEN, 10000, "Authentication error")
    }

    /// A token that cannot be one, such as a placeholder with spaces.
    pub(super) fn malformed_token() -> Self {
        let mut error = ApiError::new(6003, "Invalid request headers");
        error.chain.push((6111, "Invalid format for Authorization header"));
        Self::new(StatusCode::BAD_REQUEST, vec![error])
    }

    /// An account that this token cannot reach, or that does not exist: the API does not say which.
    pub(super) fn account() -> Self {
        Self::one(StatusCode::FORBIDDEN, 9109, "Unauthorized to access requested resource")
    }

    /// An account without Magic Transit or Magic WAN.
    pub(super) fn not_onboarded() -> Self {
        Self::one(StatusCode::FORBIDDEN, 1012, "Account is not onboarded to Magic Transit or Magic WAN")
    }

    /// A path that is none, or an identifier that cannot be one.
    pub(super) fn route(path: &str) -> Self {
        let first = format!("Could not route to {path}, perhaps your object identifier is invalid?");
        let errors = vec![ApiError::new(7003, first), ApiError::new(7000, "No route for that URI")];
        Self::new(StatusCode::NOT_FOUND, errors)
    }

    pub(super) fn method(method: &str, allow: &'static str) -> Self {
        let message = format!("Method {method} not available for that URI.");
        Self { allow: Some(allow), ..Self::one(StatusCode::METHOD_NOT_ALLOWED, 7001, message) }
    }

    /// The codes are those that third parties report.
    pub(super) fn no_such_tunnel(kind: super::kind::Kind) -> Self {
        let (code, message) = match kind {
            super::kind::Kind::Ipsec => (1032, "IPsec tunnel not found"),
            super::kind::Kind::Gre => (1029, "GRE tunnel not found"),
        };
        Self::one(StatusCode::NOT_FOUND, code, message)
    }

    pub(super) fn malformed_json(error: &serde_json::Error) -> Self {
        Self::one(StatusCode::BAD_REQUEST, 6007, format!("Malformed JSON in request body: {error}"))
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::one(StatusCode::PAYLOAD_TOO_LARGE, 10413, format!("Request body is larger than {limit} bytes"))
    }

    pub(super) fn body_timeout() -> Self {
        Self::one(StatusCode::REQUEST_TIMEOUT, 10408, "Request body did not arrive in time")
    }

    /// A mistake in a request to the sandbox's own control paths.
    pub(super) fn control(message: impl Into<String>) -> Self {
        Self::one(StatusCode::BAD_REQUEST, 1100, message)
    }

    pub(super) fn control_not_found(message: impl Into<String>) -> Self {
        Self::one(StatusCode::NOT_FOUND, 1100, message)
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let errors: Value = refusal.errors.iter().map(ApiError::json).collect();
        let body = json!({"success": false, "errors": errors, "messages": [], "result": null});
        let reply = Self::json(refusal.status, &body);
        match refusal.allow {
            Some(allow) => reply.with_header("allow", allow),
            None => reply,
        }
    }
}
