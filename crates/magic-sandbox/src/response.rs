//! Responses of the API: the envelope, the errors that the real API is known to return, and bodies that are sent
//! slowly, partly or forever.

use std::{
    io, iter,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http_body_util::BodyExt as _;
use hyper::{
    Method, Response, StatusCode,
    body::{Body as HttpBody, Bytes, Frame},
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::{Value, json};
use tokio::time::{Sleep, sleep};
use web_toolkit::server;

use super::spec::TunnelKind;

/// How the body of a response is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    Whole,
    /// One byte per interval.
    Drip(Duration),
    /// The first half, then an error, on which the server closes the connection.
    Reset,
    /// Nothing, until the client hangs up.
    Silence,
    /// A body that never ends.
    Endless,
}

/// A complete response. Not `Debug`, because the body may hold a pre-shared key.
pub(crate) struct ApiResponse {
    pub status: StatusCode,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Time to wait before anything is sent.
    pub latency: Duration,
    pub delivery: Delivery,
}

impl ApiResponse {
    /// Wraps `result`, which is JSON text. The keys have the order of a recorded body.
    pub(crate) fn success(result: &str) -> Self {
        Self::success_with(result, "[]")
    }

    /// `messages` is JSON text, too.
    pub(crate) fn success_with(result: &str, messages: &str) -> Self {
        let body = format!("{{\"result\":{result},\"success\":true,\"errors\":[],\"messages\":{messages}}}");
        Self::new(StatusCode::OK, "application/json; charset=UTF-8", body)
    }

    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        Self::new(status, "application/json; charset=UTF-8", body.to_string())
    }

    pub(crate) fn new(status: StatusCode, content_type: &'static str, body: String) -> Self {
        let (headers, body) = (Vec::new(), body.into_bytes());
        Self { status, content_type, headers, body, latency: Duration::ZERO, delivery: Delivery::Whole }
    }

    pub(crate) fn into_http(self) -> Response<server::Body> {
        let mut response = Response::new(delivered_body(self.body.into(), self.delivery));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert("ratelimit", HeaderValue::from_static("\"default\";r=1199;t=1"));
        headers.insert("ratelimit-policy", HeaderValue::from_static("\"default\";q=1200;w=300"));
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// One element of `errors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub code: u32,
    pub message: String,
    /// RFC 6901 pointer into the request body.
    pub pointer: Option<String>,
    /// `error_chain`, which a few errors of the gateway have.
    pub chain: Vec<Self>,
}

impl ApiError {
    pub(crate) fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), pointer: None, chain: Vec::new() }
    }

    fn json(&self) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(pointer) = &self.pointer {
            error["source"] = json!({"pointer": pointer});
        }
        if !self.chain.is_empty() {
            error["error_chain"] = self.chain.iter().map(Self::json).collect();
        }
        error
    }
}

/// The rules that a body can break. The value is the code of the error. The reference documents no codes for these
/// rules, so they are the sandbox's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyRule {
    Required = 1101,
    Type = 1102,
    NameTaken = 1103,
    NameCharacters = 1104,
    NameLength = 1105,
    Address = 1106,
    InterfacePrefix = 1107,
    InterfaceHost = 1108,
    InterfacePrivate = 1109,
    InterfacePrefix6 = 1110,
    Md5Key = 1111,
    Mtu = 1112,
    Ttl = 1113,
    Asn = 1114,
    FqdnForm = 1115,
    FqdnTaken = 1116,
    Choice = 1117,
    TargetForm = 1118,
    ExtraPrefix = 1119,
    Psk = 1120,
    Duplicate = 1121,
    RoutePrefix = 1122,
    RoutePriority = 1123,
    RouteWeight = 1124,
    NotConfigurable = 1125,
    HealthCheckSource = 1126,
}

impl BodyRule {
    /// `pointer` is an RFC 6901 pointer into the request body.
    pub(crate) fn error(self, pointer: impl Into<String>, message: impl Into<String>) -> ApiError {
        ApiError { pointer: Some(pointer.into()), ..ApiError::new(self as u32, message) }
    }
}

/// The response to a request that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorResponse {
    pub status: StatusCode,
    pub errors: Vec<ApiError>,
    /// Value of the header `allow`.
    allow: Option<&'static str>,
}

impl ErrorResponse {
    pub(crate) fn single(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self { status, errors: vec![ApiError::new(code, message)], allow: None }
    }

    /// Status 400 with what is wrong in the request body.
    pub(crate) fn invalid_body(errors: Vec<ApiError>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, errors, allow: None }
    }

    /// Status 400 with what is wrong in one field. `pointer` is an RFC 6901 pointer into the request body.
    pub(crate) fn invalid_field(rule: BodyRule, pointer: &str, message: impl Into<String>) -> Self {
        Self::invalid_body(vec![rule.error(pointer, message)])
    }

    /// Fails if there are any errors.
    pub(crate) fn check_body(errors: Vec<ApiError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self::invalid_body(errors)) }
    }

    /// A token that the verification of tokens does not know.
    pub(crate) fn invalid_token() -> Self {
        Self::single(StatusCode::UNAUTHORIZED, 1000, "Invalid API Token")
    }

    /// Wrong token or key, as measured on the real API.
    pub(crate) fn authentication() -> Self {
        Self::single(StatusCode::UNAUTHORIZED, 10000, "Authentication error")
    }

    /// A valid token without the permission. The API's gateway returns the same code and text as for a wrong token.
    pub(crate) fn missing_permission() -> Self {
        Self::single(StatusCode::FORBIDDEN, 10000, "Authentication error")
    }

    /// A malformed token, such as a placeholder with spaces.
    pub(crate) fn malformed_token() -> Self {
        let mut error = ApiError::new(6003, "Invalid request headers");
        error.chain.push(ApiError::new(6111, "Invalid format for Authorization header"));
        Self::invalid_body(vec![error])
    }

    /// An account that does not exist or that the token cannot access; the API does not distinguish them.
    pub(crate) fn no_access_to_account() -> Self {
        Self::single(StatusCode::FORBIDDEN, 9109, "Unauthorized to access requested resource")
    }

    /// An account without Magic Transit or Magic WAN.
    pub(crate) fn not_onboarded() -> Self {
        Self::single(StatusCode::FORBIDDEN, 1012, "Account is not onboarded to Magic Transit or Magic WAN")
    }

    /// An unknown path, or a malformed identifier in it.
    pub(crate) fn no_route(path: &str) -> Self {
        let first = format!("Could not route to {path}, perhaps your object identifier is invalid?");
        let errors = vec![ApiError::new(7003, first), ApiError::new(7000, "No route for that URI")];
        Self { status: StatusCode::NOT_FOUND, errors, allow: None }
    }

    /// `allow` is the value of the header: methods separated by a comma and a space.
    pub(crate) fn check_method(method: &Method, allow: &'static str) -> Result<(), Self> {
        if allow.split(", ").any(|allowed| allowed == method.as_str()) {
            return Ok(());
        }
        let message = format!("Method {method} not available for that URI.");
        Err(Self { allow: Some(allow), ..Self::single(StatusCode::METHOD_NOT_ALLOWED, 7001, message) })
    }

    /// The codes are those that users of the real API report.
    pub(crate) fn no_such_tunnel(kind: TunnelKind) -> Self {
        let (code, message) = match kind {
            TunnelKind::Ipsec => (1032, "IPsec tunnel not found"),
            TunnelKind::Gre => (1029, "GRE tunnel not found"),
        };
        Self::single(StatusCode::NOT_FOUND, code, message)
    }

    pub(crate) fn malformed_json(error: &serde_json::Error) -> Self {
        Self::single(StatusCode::BAD_REQUEST, 6007, format!("Malformed JSON in request body: {error}"))
    }

    pub(crate) fn body_too_large(limit: usize) -> Self {
        let message = format!("Request body is larger than {limit} bytes");
        Self::single(StatusCode::PAYLOAD_TOO_LARGE, 10413, message)
    }

    pub(crate) fn body_timeout() -> Self {
        Self::single(StatusCode::REQUEST_TIMEOUT, 10408, "Request body did not arrive in time")
    }

    /// An error in a request to a path below `/sandbox`.
    pub(crate) fn control(status: StatusCode, message: String) -> Self {
        Self::single(status, 1100, message)
    }
}

impl From<ErrorResponse> for ApiResponse {
    fn from(error: ErrorResponse) -> Self {
        let errors: Value = error.errors.iter().map(ApiError::json).collect();
        let body = json!({"success": false, "errors": errors, "messages": [], "result": null});
        let mut response = Self::json(error.status, &body);
        response.headers.extend(error.allow.map(|allow| ("allow", allow.to_owned())));
        response
    }
}

/// Filler of an endless body: whitespace, which a JSON parser accepts anywhere.
const FILLER: Bytes = Bytes::from_static(&[b' '; 64 * 1024]);

/// Delay between the first half and the error of [`Delivery::Reset`]. The server flushes its buffer when a body makes
/// it wait; without the delay the first half would be lost with the connection.
const BEFORE_RESET: Duration = Duration::from_millis(20);

/// The body as `delivery` sends it. [`Delivery::Silence`] sends no response, so its body does not matter.
fn delivered_body(mut bytes: Bytes, delivery: Delivery) -> server::Body {
    match delivery {
        Delivery::Whole | Delivery::Silence => server::full(bytes),
        Delivery::Drip(interval) => {
            paced(iter::from_fn(move || (!bytes.is_empty()).then(|| (interval, Ok(bytes.split_to(1))))))
        }
        Delivery::Reset => {
            let error = io::Error::new(io::ErrorKind::ConnectionReset, "injected fault");
            let half = bytes.split_to(bytes.len() / 2);
            paced([(Duration::ZERO, Ok(half)), (BEFORE_RESET, Err(error))].into_iter())
        }
        Delivery::Endless => {
            let start = Bytes::from_static(b"{\"result\":");
            paced(iter::once(start).chain(iter::repeat(FILLER)).map(|piece| (Duration::ZERO, Ok(piece))))
        }
    }
}

/// A piece of a body, and the pause before it.
type Piece = (Duration, io::Result<Bytes>);

fn paced(pieces: impl Iterator<Item = Piece> + Send + Unpin + 'static) -> server::Body {
    PacedBody { pieces, next: None }.boxed_unsync()
}

/// A body in pieces that are sent after pauses.
struct PacedBody<I> {
    pieces: I,
    /// The piece that waits for the end of its pause.
    next: Option<(Pin<Box<Sleep>>, io::Result<Bytes>)>,
}

impl<I: Iterator<Item = Piece> + Unpin> HttpBody for PacedBody<I> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.next.is_none() {
            match self.pieces.next() {
                Some((pause, piece)) if !pause.is_zero() => self.next = Some((Box::pin(sleep(pause)), piece)),
                piece => return Poll::Ready(piece.map(|(_, piece)| piece.map(Frame::data))),
            }
        }
        if let Some((pause, _)) = &mut self.next {
            ready!(pause.as_mut().poll(cx));
        }
        Poll::Ready(self.next.take().map(|(_, piece)| piece.map(Frame::data)))
    }
}
