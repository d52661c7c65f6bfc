//! Metrics of the API client.

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::fields::KnownField;
use crate::{
    domain::{
        dataset::{Dataset, FailureReason},
        label::Label,
    },
    series::{Counters, Histograms, label},
};

/// Bucket bounds in seconds. Small lists take a few hundred milliseconds; the default timeout is 10 s.
const DURATION_BUCKETS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Counters of requests, failures and unknown values. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Counters<2>,
    failures: Counters<2>,
    duration: Histograms<1>,
    unknown_values: Counters<1>,
}

impl Metrics {
    /// Registers the families. Series with known label values start at zero.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Counters::new(Counter::default),
            failures: Counters::new(Counter::default),
            duration: Histograms::new(|| Histogram::new(DURATION_BUCKETS)),
            unknown_values: Counters::new(Counter::default),
        };
        metrics.create_series();
        registry.register(
            "api_requests",
            "Requests to the Cloudflare API by HTTP status code, or none without a response",
            metrics.requests.clone(),
        );
        registry.register(
            "api_request_failures",
            "Failed requests to the Cloudflare API by reason",
            metrics.failures.clone(),
        );
        registry.register_with_unit(
            "api_request_duration",
            "Time from sending a request to the Cloudflare API to the end of the response",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "unknown_values",
            "Unknown or invalid values in lists of the Cloudflare API by field, counted at each poll",
            metrics.unknown_values.clone(),
        );
        metrics
    }

    fn create_series(&self) {
        for &dataset in Dataset::ALL {
            self.requests.get([label("collection", dataset.as_str()), label("code", "200")]);
            self.duration.get([label("collection", dataset.as_str())]);
            for &reason in FailureReason::ALL {
                self.failures.get([label("collection", dataset.as_str()), label("reason", reason.as_str())]);
            }
        }
        for &field in KnownField::ALL {
            self.unknown_values.get([label("field", field.as_str())]);
        }
    }

    /// Counts a request by HTTP status; `None` if there was no response.
    pub(super) fn count_request(&self, dataset: Dataset, status: Option<u16>, took: Duration) {
        let collection = label("collection", dataset.as_str());
        let code = status.map_or("none".into(), |status| status.to_string());
        self.requests.get([collection.clone(), label("code", code)]).inc();
        self.duration.get([collection]).observe(took.as_secs_f64());
    }

    pub(super) fn count_failure(&self, dataset: Dataset, reason: FailureReason) {
        self.failures.get([label("collection", dataset.as_str()), label("reason", reason.as_str())]).inc();
    }

    pub(super) fn count_unknown_value(&self, field: KnownField) {
        self.unknown_values.get([label("field", field.as_str())]).inc();
    }
}
