//! Metrics of an agent: its requests to hubs, its inventory, and its vantage point. Registered on agents only.

use std::{borrow::Cow, fmt, sync::Arc};

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};
use web_toolkit::text::shown;

use super::settings::InventorySettings;
use crate::{
    domain::{dataset::FailureReason, label::Label as _},
    series::{Counters, Series, label},
};

/// Clones share the values.
#[derive(Debug, Clone)]
pub struct InventoryMetrics {
    requests: Counters<1>,
    failures: Counters<1>,
    tunnels: Gauge,
    from_cache: Gauge,
    confirmed: Confirmed,
    info: Series<3, Gauge>,
}

impl InventoryMetrics {
    /// Registers the families. Series with known label values start at zero.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Counters::new(Counter::default),
            failures: Counters::new(Counter::default),
            tunnels: Gauge::default(),
            from_cache: Gauge::default(),
            confirmed: Confirmed::default(),
            info: Series::new(Gauge::default),
        };
        for code in ["200", "304"] {
            metrics.requests.get([label("code", code)]);
        }
        for reason in FailureReason::ALL {
            metrics.failures.get([label("reason", reason.as_str())]);
        }
        metrics.register_families(registry);
        metrics
    }

    fn register_families(&self, registry: &mut Registry) {
        registry.register(
            "inventory_requests",
            "Requests of this agent to hubs by HTTP status code, or none without a response. Agents only",
            self.requests.clone(),
        );
        registry.register(
            "inventory_failures",
            "Failed requests of this agent to hubs by reason. Agents only",
            self.failures.clone(),
        );
        registry.register(
            "inventory_tunnels",
            "Tunnels in the inventory that this agent probes. Agents only",
            self.tunnels.clone(),
        );
        registry.register(
            "inventory_from_cache",
            "Whether the inventory comes from the state directory and no hub has confirmed it yet. Agents only",
            self.from_cache.clone(),
        );
        registry.register_with_unit(
            "inventory_confirmed_timestamp",
            "When Cloudflare confirmed the inventory of this agent, on the clock of the agent. Agents only",
            Unit::Seconds,
            self.confirmed.clone(),
        );
        registry.register(
            "prober_info",
            "Name, sites and vantage point of this agent. One series per site; `site` is empty if the agent probes all \
             tunnels. Always 1",
            self.info.clone(),
        );
    }

    /// Replaces the series of `prober_info`.
    pub fn describe(&self, settings: &InventorySettings) {
        self.info.retain(|_| false);
        let all = [Arc::from("")];
        let sites: &[Arc<str>] = if settings.sites.is_empty() { &all } else { &settings.sites };
        for site in sites {
            let prober = label("prober", shown(&settings.prober).into_owned());
            let site = label("site", shown(site).into_owned());
            self.info.get([prober, site, label("vantage", settings.vantage.as_str())]).set(1);
        }
    }

    pub fn count_request(&self, status: Option<u16>) {
        let code: Cow<'static, str> = status.map_or("none".into(), |status| status.to_string().into());
        self.requests.get([label("code", code)]).inc();
    }

    pub fn count_failure(&self, reason: FailureReason) {
        self.failures.get([label("reason", reason.as_str())]).inc();
    }

    pub fn set_inventory(&self, tunnels: usize, from_cache: bool, confirmed: Option<Timestamp>) {
        self.tunnels.set(i64::try_from(tunnels).unwrap_or(i64::MAX));
        self.from_cache.set(from_cache.into());
        *self.confirmed.0.lock() = confirmed.map(|time| time.as_second() as f64);
    }
}

/// A gauge in Unix seconds, without a series before the first inventory.
#[derive(Debug, Clone, Default)]
struct Confirmed(Arc<Mutex<Option<f64>>>);

impl EncodeMetric for Confirmed {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        (*self.0.lock()).map_or(Ok(()), |seconds| encoder.encode_gauge(&seconds))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}
