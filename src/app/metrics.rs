//! Metrics about the program as a whole.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    metrics::gauge::Gauge,
    registry::{Registry, Unit},
};
use web_toolkit::clock::Moment;

use crate::series::{Series, label};

/// How the last reading of the configuration went.
#[derive(Debug)]
pub(super) struct ConfigMetrics {
    successful: Gauge,
    read: Gauge<f64, AtomicU64>,
}

impl ConfigMetrics {
    pub(super) fn succeeded(&self, now: Moment) {
        self.successful.set(1);
        self.read.set(now.wall.as_second() as f64);
    }

    /// What was read before is still in force.
    pub(super) fn failed(&self) {
        self.successful.set(0);
    }
}

/// Registers the build and the state of the configuration, which was read at `now`.
pub(super) fn register(registry: &mut Registry, now: Moment) -> ConfigMetrics {
    let build = Series::<2, Gauge>::new(Gauge::default);
    build.get([label("version", env!("CARGO_PKG_VERSION")), label("revision", env!("MTE_REVISION"))]).set(1);
    registry.register("exporter_build_info", "Version and revision of this exporter. Always 1", build);
    let metrics = ConfigMetrics { successful: Gauge::default(), read: Gauge::default() };
    registry.register(
        "config_last_reload_successful",
        "Whether the last reading of the configuration succeeded",
        metrics.successful.clone(),
    );
    registry.register_with_unit(
        "config_last_reload_success_timestamp",
        "When the configuration was last read successfully",
        Unit::Seconds,
        metrics.read.clone(),
    );
    metrics.succeeded(now);
    metrics
}
