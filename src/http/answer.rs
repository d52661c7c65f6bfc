//! The forms of answer that all routes share.

use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};

use crate::server::{Body, full};

const PLAIN: &str = "text/plain; charset=utf-8";

pub(super) fn failed() -> Response<Body> {
    text(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be rendered; the log says why\n")
}

pub(super) fn text(status: StatusCode, sentence: impl Into<Bytes>) -> Response<Body> {
    answer(status, PLAIN, sentence)
}

pub(super) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
