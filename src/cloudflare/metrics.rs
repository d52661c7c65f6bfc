//! Metrics of the API client.

use std::{borrow::Cow, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, histogram::Histogram},
    registry::{Registry, Unit},
};

use web_toolkit::text::shown;

use super::fields::KnownField;
use crate::{
    domain::{
        dataset::{Dataset, FailureReason},
        inventory::AccountName,
        label::Label,
    },
    series::{Counters, Histograms, label},
};

/// Bucket bounds in seconds. Small lists take a few hundred milliseconds, from a gateway nearby tens of milliseconds;
/// the default timeout is 10 s.
const DURATION_BUCKETS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Counters of requests, failures and unknown values. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Counters<3>,
    failures: Counters<3>,
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
            "Requests to the Cloudflare API by account, collection and HTTP status code, or none without a response",
            metrics.requests.clone(),
        );
        registry.register(
            "api_request_failures",
            "Failed requests to the Cloudflare API by account, collection and reason",
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
        for &field in KnownField::ALL {
            self.unknown_values.get([label("field", field.as_str())]);
        }
    }

    /// Creates the series of an account for the datasets that are polled. Those with known label values start at zero.
    pub fn add_account(&self, account: &AccountName, datasets: impl IntoIterator<Item = Dataset>) {
        for dataset in datasets {
            self.duration.get([label("collection", dataset.as_str())]);
            self.requests(account, dataset, "200");
            for &reason in FailureReason::ALL {
                self.failures(account, dataset, reason);
            }
        }
    }

    /// Removes the series of an account.
    pub fn remove_account(&self, account: &AccountName) {
        let removed = account_label(account);
        self.requests.retain(|labels| labels[0] != removed);
        self.failures.retain(|labels| labels[0] != removed);
    }

    /// Counts a request by HTTP status; `None` if there was no response.
    pub(super) fn count_request(&self, account: &AccountName, dataset: Dataset, status: Option<u16>, took: Duration) {
        let code: Cow<'static, str> = status.map_or("none".into(), |status| status.to_string().into());
        self.requests(account, dataset, code).inc();
        self.duration.get([label("collection", dataset.as_str())]).observe(took.as_secs_f64());
    }

    pub(super) fn count_failure(&self, account: &AccountName, dataset: Dataset, reason: FailureReason) {
        self.failures(account, dataset, reason).inc();
    }

    fn requests(&self, account: &AccountName, dataset: Dataset, code: impl Into<Cow<'static, str>>) -> Counter {
        self.requests.get([account_label(account), label("collection", dataset.as_str()), label("code", code)])
    }

    fn failures(&self, account: &AccountName, dataset: Dataset, reason: FailureReason) -> Counter {
        let (collection, reason) = (label("collection", dataset.as_str()), label("reason", reason.as_str()));
        self.failures.get([account_label(account), collection, reason])
    }

    pub(super) fn count_unknown_values(&self, field: KnownField, count: u64) {
        self.unknown_values.get([label("field", field.as_str())]).inc_by(count);
    }
}

fn account_label(account: &AccountName) -> (&'static str, Cow<'static, str>) {
    label("account", shown(account.as_str()).into_owned())
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    const LISTS: [Dataset; 2] = [Dataset::GreTunnels, Dataset::IpsecTunnels];

    fn samples(registry: &Registry, family: &str) -> Vec<String> {
        let mut page = String::new();
        encode(&mut page, registry).unwrap();
        page.lines().filter(|line| line.starts_with(&format!("{family}{{"))).map(str::to_owned).collect()
    }

    #[test]
    fn failures_are_counted_for_the_account_that_has_them() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let [head_office, lab] = ["head office", "lab"].map(AccountName::new);
        metrics.add_account(&head_office, LISTS);
        metrics.add_account(&lab, LISTS);
        metrics.count_failure(&lab, Dataset::GreTunnels, FailureReason::Auth);
        let failures = samples(&registry, "api_request_failures_total");
        assert_eq!(failures.len(), 2 * LISTS.len() * FailureReason::ALL.len(), "each series from the start");
        let counted: Vec<_> = failures.into_iter().filter(|line| !line.ends_with(" 0")).collect();
        assert_eq!(counted, [r#"api_request_failures_total{account="lab",collection="gre_tunnels",reason="auth"} 1"#]);
        metrics.remove_account(&lab);
        let requests = samples(&registry, "api_requests_total");
        assert_eq!(
            requests,
            ["gre_tunnels", "ipsec_tunnels"].map(|collection| {
                format!(r#"api_requests_total{{account="head office",collection="{collection}",code="200"}} 0"#)
            })
        );
        assert!(!samples(&registry, "api_request_failures_total").iter().any(|line| line.contains("lab")));
    }
}
