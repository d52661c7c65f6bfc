//! Headers of requests and responses: what the client accepts (RFC 9110 sections 12.5.1 and 12.5.3), and how an answer
//! is labelled.

use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap, Response, StatusCode,
    body::Bytes,
    header::{
        ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue,
        REFERRER_POLICY, VARY,
    },
};
use web_toolkit::server::{Body, answer};

use super::body::EncodedBody;
use crate::exposition::Format;

/// Only what this server itself sends; no inline scripts or styles; no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// An HTML page.
pub(super) fn answer_html(status: StatusCode, body: EncodedBody) -> Response<Body> {
    let mut response = answer_encoded(status, "text/html; charset=utf-8", body);
    let headers = response.headers_mut();
    set(headers, CACHE_CONTROL, "no-store");
    set(headers, CONTENT_SECURITY_POLICY, POLICY);
    set(headers, REFERRER_POLICY, "no-referrer");
    response
}

/// JSON of the API.
pub(super) fn answer_json(status: StatusCode, body: EncodedBody) -> Response<Body> {
    let mut response = answer_encoded(status, "application/json", body);
    set(response.headers_mut(), CACHE_CONTROL, "no-store");
    response
}

/// Lines of JSON.
pub(super) fn answer_lines(status: StatusCode, body: EncodedBody) -> Response<Body> {
    let mut response = answer_encoded(status, "application/x-ndjson", body);
    let headers = response.headers_mut();
    set(headers, CACHE_CONTROL, "no-store");
    set(headers, VARY, "Accept, Accept-Encoding");
    response
}

/// The metrics page.
pub(super) fn answer_metrics(format: Format, body: EncodedBody) -> Response<Body> {
    let mut response = answer_encoded(StatusCode::OK, format.content_type(), body);
    set(response.headers_mut(), VARY, "Accept, Accept-Encoding");
    response
}

/// A file with a name that changes with its content.
pub(super) fn answer_file(content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = answer(StatusCode::OK, content_type, body);
    set(response.headers_mut(), CACHE_CONTROL, "public, max-age=31536000, immutable");
    response
}

fn answer_encoded(status: StatusCode, content_type: &'static str, body: EncodedBody) -> Response<Body> {
    let is_compressed = body.is_compressed();
    let mut response = answer(status, content_type, Bytes::new()).map(|_| body.boxed_unsync());
    let headers = response.headers_mut();
    set(headers, VARY, "Accept-Encoding");
    if is_compressed {
        set(headers, CONTENT_ENCODING, "gzip");
    }
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

/// OpenMetrics only if the client names it and does not prefer the classic format; the classic format otherwise.
pub(super) fn accepted_format(headers: &HeaderMap) -> Format {
    let mut open_metrics = 0.0_f32;
    let mut classic = 0.0_f32;
    for element in elements(headers, &ACCEPT) {
        // Media types are compared without case (RFC 9110 section 8.3.1).
        match element.name.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" if element.is_known_version() => {
                open_metrics = open_metrics.max(element.weight());
            }
            "text/plain" => classic = classic.max(element.weight()),
            _ => {}
        }
    }
    if open_metrics > 0.0 && open_metrics >= classic { Format::OpenMetrics } else { Format::Classic }
}

/// Whether the client names HTML, as browsers do.
pub(super) fn accepts_html(headers: &HeaderMap) -> bool {
    let mut accepted = elements(headers, &ACCEPT).filter(|element| element.weight() > 0.0);
    accepted.any(|element| element.name.eq_ignore_ascii_case("text/html"))
}

/// Whether the client names lines of JSON and does not prefer one document.
pub(super) fn accepts_lines(headers: &HeaderMap) -> bool {
    let weight_of = |name: &str| {
        let named = elements(headers, &ACCEPT).filter(|element| element.name.eq_ignore_ascii_case(name));
        named.map(|element| element.weight()).fold(0.0_f32, f32::max)
    };
    let lines = weight_of("application/x-ndjson");
    lines > 0.0 && lines >= weight_of("application/json")
}

/// Whether the client accepts compressed answers.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let weight_of = |name: &str| {
        let mut named = elements(headers, &ACCEPT_ENCODING).filter(|element| element.name.eq_ignore_ascii_case(name));
        named.next().map(|element| element.weight())
    };
    weight_of("gzip").or_else(|| weight_of("*")).is_some_and(|weight| weight > 0.0)
}

/// One element of a header's list, for example `text/plain;version=0.0.4;q=0.5`.
struct Element<'a> {
    name: &'a str,
    parameters: &'a str,
}

impl<'a> Element<'a> {
    fn parameter(&self, name: &str) -> Option<&'a str> {
        let pairs = self.parameters.split(';').filter_map(|parameter| parameter.split_once('='));
        let mut values = pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim().trim_matches('"'))
    }

    /// `q`: 1 if missing, 0 if invalid.
    fn weight(&self) -> f32 {
        let weight = self.parameter("q").map_or(Ok(1.0), str::parse);
        weight.ok().filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0)
    }

    fn is_known_version(&self) -> bool {
        self.parameter("version").is_none_or(|version| version == "1.0.0")
    }
}

fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Element<'a>> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|element| {
        let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
        Element { name: name.trim(), parameters }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn the_format_follows_accept() {
        use Format::{Classic, OpenMetrics};
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        let table = [
            (prometheus_2, OpenMetrics),
            (prometheus_3, OpenMetrics),
            (browser, Classic),
            ("", Classic),
            ("*/*", Classic),
            ("application/*", Classic),
            ("text/plain", Classic),
            ("application/openmetrics-text", OpenMetrics),
            ("Application/OpenMetrics-Text;Version=1.0.0, TEXT/PLAIN;Q=0.5", OpenMetrics),
            ("APPLICATION/OPENMETRICS-TEXT;q=0.3, TEXT/PLAIN;q=0.9", Classic),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", OpenMetrics),
            ("application/openmetrics-text;version=\"1.0.0\"", OpenMetrics),
            ("application/openmetrics-text;version=0.0.1", Classic),
            ("application/openmetrics-text;version=2.0.0", Classic),
            ("application/openmetrics-text;q=0", Classic),
            ("application/openmetrics-text;q=0.0, text/plain;q=0.1", Classic),
            ("application/openmetrics-text;q=0.3, text/plain;q=0.9", Classic),
            ("application/openmetrics-text;q=high", Classic),
            ("application/openmetrics-text;q=7", Classic),
        ];
        for (accept, expected) in table {
            assert_eq!(accepted_format(&headers(ACCEPT, accept)), expected, "{accept}");
        }
        assert_eq!(accepted_format(&HeaderMap::new()), Classic);
    }

    #[test]
    fn lines_are_sent_if_the_client_names_them() {
        for (accept, expected) in [
            ("application/x-ndjson", true),
            ("Application/X-NDJSON, application/json;q=0.5", true),
            ("application/json, application/x-ndjson;q=0.5", false),
            ("application/x-ndjson;q=0", false),
            ("application/json", false),
            ("*/*", false),
        ] {
            assert_eq!(accepts_lines(&headers(ACCEPT, accept)), expected, "{accept}");
        }
        assert!(!accepts_lines(&HeaderMap::new()));
    }

    #[test]
    fn pages_are_for_clients_that_name_html() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,*/*;q=0.8", true),
            ("TEXT/HTML", true),
            ("text/html;q=0", false),
            ("*/*", false),
            ("text/plain", false),
        ] {
            assert_eq!(accepts_html(&headers(ACCEPT, accept)), expected, "{accept}");
        }
        assert!(!accepts_html(&HeaderMap::new()));
    }

    #[test]
    fn gzip_is_used_if_the_client_accepts_it() {
        let table = [
            ("gzip", true),
            ("deflate, gzip;q=1.0, *;q=0.5", true),
            ("GZIP", true),
            ("*", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("br", false),
            ("", false),
        ];
        for (accept, expected) in table {
            assert_eq!(accepts_gzip(&headers(ACCEPT_ENCODING, accept)), expected, "{accept}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn any_header_is_answered(value in "[ -~]{0,60}") {
            accepted_format(&headers(ACCEPT, &value));
            accepts_gzip(&headers(ACCEPT_ENCODING, &value));
        }
    }
}
