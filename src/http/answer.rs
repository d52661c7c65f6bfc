//! The forms of answer that all routes share.

use hyper::{
    HeaderMap, Response, StatusCode,
    body::Bytes,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
        REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};

use super::render::Rendered;
use crate::server::{Body, full};

const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// Nothing but what this server itself sends; no script and no style inside of a page; nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn failed() -> Response<Body> {
    text(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be rendered; the log says why\n")
}

/// The refusal of every method but these.
pub(super) fn only(methods: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("This page answers {methods} only\n"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

pub(super) fn text(status: StatusCode, sentence: impl Into<Bytes>) -> Response<Body> {
    answer(status, PLAIN, sentence)
}

pub(super) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    set(headers, CONTENT_TYPE, content_type);
    set(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

/// A page for people.
pub(super) fn html(status: StatusCode, rendered: Rendered) -> Response<Body> {
    let mut response = compressed(status, HTML, rendered);
    let headers = response.headers_mut();
    set(headers, CONTENT_SECURITY_POLICY, POLICY);
    set(headers, REFERRER_POLICY, "no-referrer");
    response
}

/// An answer for programs.
pub(super) fn json(status: StatusCode, rendered: Rendered) -> Response<Body> {
    compressed(status, JSON, rendered)
}

/// A file whose name changes with its content.
pub(super) fn file(content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = answer(StatusCode::OK, content_type, body);
    set(response.headers_mut(), CACHE_CONTROL, "public, max-age=31536000, immutable");
    response
}

fn compressed(status: StatusCode, content_type: &'static str, rendered: Rendered) -> Response<Body> {
    let mut response = answer(status, content_type, rendered.body);
    let headers = response.headers_mut();
    // What it says is true for seconds.
    set(headers, CACHE_CONTROL, "no-store");
    set(headers, VARY, "Accept-Encoding");
    if rendered.gzip {
        set(headers, CONTENT_ENCODING, "gzip");
    }
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
