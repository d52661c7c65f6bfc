//! What the client can read: the text format by `Accept`, the coding by `Accept-Encoding` (RFC 9110 sections 12.5.1 and 12.5.3).

use hyper::{
    HeaderMap,
    header::{ACCEPT, ACCEPT_ENCODING, HeaderName},
};

use crate::exposition::Format;

/// OpenMetrics only where the client names it and does not like the classic format better; everybody else gets the classic one.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let mut open_metrics = 0.0_f32;
    let mut classic = 0.0_f32;
    for element in elements(headers, &ACCEPT) {
        match element.name {
            "application/openmetrics-text" if element.speaks_open_metrics() => {
                open_metrics = open_metrics.max(element.weight());
            }
            "text/plain" => classic = classic.max(element.weight()),
            _ => {}
        }
    }
    if open_metrics > 0.0 && open_metrics >= classic { Format::OpenMetrics } else { Format::Classic }
}

/// Whether the answer may be compressed.
pub(super) fn gzip(headers: &HeaderMap) -> bool {
    let weight_of = |name: &str| {
        let mut named = elements(headers, &ACCEPT_ENCODING).filter(|element| element.name.eq_ignore_ascii_case(name));
        named.next().map(|element| element.weight())
    };
    weight_of("gzip").or_else(|| weight_of("*")).is_some_and(|weight| weight > 0.0)
}

/// One member of a header's list, such as `text/plain;version=0.0.4;q=0.5`.
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

    /// `q`, 1 where it is missing, 0 where it is no number.
    fn weight(&self) -> f32 {
        let weight = self.parameter("q").map_or(Ok(1.0), str::parse);
        weight.ok().filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0)
    }

    fn speaks_open_metrics(&self) -> bool {
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
    use hyper::header::HeaderValue;
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
            assert_eq!(format(&headers(ACCEPT, accept)), expected, "{accept}");
        }
        assert_eq!(format(&HeaderMap::new()), Classic);
    }

    #[test]
    fn gzip_is_used_where_it_is_asked_for() {
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
            assert_eq!(gzip(&headers(ACCEPT_ENCODING, accept)), expected, "{accept}");
        }
        assert!(!gzip(&HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn any_header_is_answered(value in "[ -~]{0,60}") {
            format(&headers(ACCEPT, &value));
            gzip(&headers(ACCEPT_ENCODING, &value));
        }
    }
}
