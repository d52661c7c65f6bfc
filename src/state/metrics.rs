//! Metrics of the state file. Registered only if there is a state directory.

use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::{
    metrics::counter::Counter,
    registry::{Registry, Unit},
};

use crate::series::MetricReading;

/// Counts writes that failed, and the time of the last one that succeeded.
#[derive(Debug, Clone)]
pub struct StateMetrics {
    /// In Unix seconds; `None` before the first write.
    last_write: Arc<Mutex<Option<f64>>>,
    failures: Counter,
}

impl StateMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self { last_write: Arc::default(), failures: Counter::default() };
        let last_write = Arc::clone(&metrics.last_write);
        registry.register_with_unit(
            "state_last_write_timestamp",
            "When the state file was last written. No series without a state directory, or before the first write",
            Unit::Seconds,
            MetricReading::gauge(move || *last_write.lock()),
        );
        registry.register(
            "state_write_failures",
            "Writes of the state file that failed. No series without a state directory",
            metrics.failures.clone(),
        );
        metrics
    }

    pub(super) fn set_written(&self, at: Timestamp) {
        *self.last_write.lock() = Some(at.as_second() as f64);
    }

    pub(super) fn count_failure(&self) {
        self.failures.inc();
    }
}
