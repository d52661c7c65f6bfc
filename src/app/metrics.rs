//! Metrics about the program as a whole.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    metrics::gauge::Gauge,
    registry::{Registry, Unit},
};

use crate::{
    domain::moment::Moment,
    series::{Series, label},
};

/// Registers the build and the state of the configuration, which was read at `now`.
pub(super) fn register(registry: &mut Registry, now: Moment) {
    let build = Series::<2, Gauge>::new(Gauge::default);
    build.get([label("version", env!("CARGO_PKG_VERSION")), label("revision", env!("MTE_REVISION"))]).set(1);
    registry.register("exporter_build_info", "Version and revision of this exporter. Always 1", build);

    let successful: Gauge = Gauge::default();
    successful.set(1);
    registry.register(
        "config_last_reload_successful",
        "Whether the last reading of the configuration succeeded",
        successful,
    );

    let read = Gauge::<f64, AtomicU64>::default();
    read.set(now.wall.as_second() as f64);
    registry.register_with_unit(
        "config_last_reload_success_timestamp",
        "When the configuration was last read successfully",
        Unit::Seconds,
        read,
    );
}
