//! The forms of answer that all routes share.

use hyper::{
    HeaderMap, Response, StatusCode,
    body::Bytes,
    header::{
        CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, VARY,
    },
};
use web_toolkit::{answer::answer, server::Body};

use super::render::Rendered;

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// Nothing but what this server itself sends; no script and no style inside of a page; nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

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
