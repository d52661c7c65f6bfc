//! The time that Prometheus waits for the response to a scrape.
//!
//! A response that comes later is thrown away. A server that answers half-closed connections does not notice that
//! Prometheus has left, so that such a scrape would keep its place in the queues for passwords and pages.

use std::{future::Future, time::Duration};

use hyper::{
    Request, Response, StatusCode,
    header::{HeaderMap, HeaderName},
};
use tokio::time::timeout;

use crate::server::{Body, plain_text};

const SCRAPE_TIMEOUT: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// Time that the response needs to reach Prometheus.
const ON_THE_WAY: Duration = Duration::from_millis(500);

/// Returns the response, or 503 if Prometheus sent the request and it would come too late. The time ends when the
/// response begins.
pub async fn respond_in_time<B, F>(request: Request<B>, respond: impl FnOnce(Request<B>) -> F) -> Response<Body>
where
    F: Future<Output = Response<Body>>,
{
    let Some(limit) = time_to_respond(request.headers()) else { return respond(request).await };
    let late = || {
        let text = "the server is busy; the response would come after the timeout of the scrape\n";
        plain_text(StatusCode::SERVICE_UNAVAILABLE, text)
    };
    timeout(limit, respond(request)).await.unwrap_or_else(|_| late())
}

/// A bit less than the timeout of the scrape. `None` without a valid header.
fn time_to_respond(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(SCRAPE_TIMEOUT)?.to_str().ok()?.trim().parse().ok()?;
    let scrape = Duration::try_from_secs_f64(seconds).ok().filter(|scrape| !scrape.is_zero())?;
    Some(scrape.saturating_sub(ON_THE_WAY).max(scrape / 2))
}

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;
    use crate::clock;

    fn scrape(header: Option<&str>) -> Request<()> {
        let mut request = Request::new(());
        request.headers_mut().extend(header.map(|text| (SCRAPE_TIMEOUT, text.parse().unwrap())));
        request
    }

    #[tokio::test(start_paused = true)]
    async fn a_scrape_that_would_be_late_is_refused_before_prometheus_leaves() {
        for (header, seconds) in [("10", 9.5), ("1.000000", 0.5), ("0.4", 0.2)] {
            let before = clock::now();
            let response = respond_in_time(scrape(Some(header)), |_| future::pending()).await;
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            let waited = clock::now().since(before).as_secs_f64();
            assert!((waited - seconds).abs() < 0.01, "{header}: {waited} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_a_valid_timeout_waits() {
        for header in [None, Some(""), Some("0"), Some("-1"), Some("NaN"), Some("inf"), Some("1e99"), Some("soon")] {
            let answer = async {
                tokio::time::sleep(Duration::from_hours(1)).await;
                plain_text(StatusCode::OK, "")
            };
            assert_eq!(respond_in_time(scrape(header), |_| answer).await.status(), StatusCode::OK, "{header:?}");
        }
    }
}
