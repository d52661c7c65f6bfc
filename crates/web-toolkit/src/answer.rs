//! Short answers in plain text.

use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{ALLOW, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};

use crate::server::{Body, full};

const PLAIN: &str = "text/plain; charset=utf-8";

/// The answer after an internal error; the cause is in the log.
pub fn failed() -> Response<Body> {
    text(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be rendered; the log says why\n")
}

/// The answer to a request with any method but these.
pub fn only(methods: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("This page answers {methods} only\n"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// A sentence in plain text.
pub fn text(status: StatusCode, sentence: impl Into<Bytes>) -> Response<Body> {
    answer(status, PLAIN, sentence)
}

/// A whole body of this type.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
