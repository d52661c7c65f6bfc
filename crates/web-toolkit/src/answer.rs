//! Short responses in plain text, and the headers that all responses share.

use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{ALLOW, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};

use crate::server::{Body, full};

/// The response after an internal error, whose cause is logged.
pub fn internal_error() -> Response<Body> {
    plain_text(StatusCode::INTERNAL_SERVER_ERROR, "internal server error; see the log of the exporter\n")
}

/// The response to a method that is not one of `methods`, a list such as `GET, HEAD`.
pub fn method_not_allowed(methods: &'static str) -> Response<Body> {
    let text = format!("method not allowed; use {}\n", methods.replace(", ", " or "));
    let mut response = plain_text(StatusCode::METHOD_NOT_ALLOWED, text);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// A response in plain text. `text` ends with a line break.
pub fn plain_text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", text)
}

/// A response with a complete body.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
