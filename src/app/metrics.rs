//! Metrics about the whole program.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    metrics::gauge::Gauge,
    registry::{Registry, Unit},
};
use web_toolkit::clock::Moment;

use crate::series::{Series, label};

/// The result of the last reload.
#[derive(Debug)]
pub(super) struct ConfigMetrics {
    successful: Gauge,
    last_success: Gauge<f64, AtomicU64>,
}

impl ConfigMetrics {
    pub(super) fn set_succeeded(&self, now: Moment) {
        self.successful.set(1);
        self.last_success.set(now.wall.as_second() as f64);
    }

    /// The time of the last success stays, because that configuration is still active.
    pub(super) fn set_failed(&self) {
        self.successful.set(0);
    }
}

/// Registers the build information and the state of the configuration, which was loaded at `now`.
pub(super) fn register(registry: &mut Registry, now: Moment) -> ConfigMetrics {
    let build = Series::<2, Gauge>::new(Gauge::default);
    build.get([label("version", env!("CARGO_PKG_VERSION")), label("revision", env!("MTE_REVISION"))]).set(1);
    registry.register("exporter_build_info", "Version and revision of this exporter. Always 1", build);
    let metrics = ConfigMetrics { successful: Gauge::default(), last_success: Gauge::default() };
    registry.register(
        "config_last_reload_successful",
        "Whether the last reading of the configuration succeeded",
        metrics.successful.clone(),
    );
    registry.register_with_unit(
        "config_last_reload_success_timestamp",
        "When the configuration was last read successfully",
        Unit::Seconds,
        metrics.last_success.clone(),
    );
    metrics.set_succeeded(now);
    metrics
}
