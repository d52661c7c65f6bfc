//! Metrics of the state file. Registered only if there is a state directory.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::Counter},
    registry::{Registry, Unit},
};

/// Counts writes that failed, and the time of the last one that succeeded.
#[derive(Debug, Clone)]
pub struct StateMetrics {
    last_write: LastWrite,
    failures: Counter,
}

impl StateMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self { last_write: LastWrite::default(), failures: Counter::default() };
        registry.register_with_unit(
            "state_last_write_timestamp",
            "When the state file was last written. No series without a state directory, or before the first write",
            Unit::Seconds,
            metrics.last_write.clone(),
        );
        registry.register(
            "state_write_failures",
            "Writes of the state file that failed. No series without a state directory",
            metrics.failures.clone(),
        );
        metrics
    }

    pub(super) fn set_written(&self, at: Timestamp) {
        *self.last_write.0.lock() = Some(at.as_second() as f64);
    }

    pub(super) fn count_failure(&self) {
        self.failures.inc();
    }
}

/// A gauge in Unix seconds, without a series before the first write.
#[derive(Debug, Clone, Default)]
struct LastWrite(Arc<Mutex<Option<f64>>>);

impl EncodeMetric for LastWrite {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        (*self.0.lock()).map_or(Ok(()), |seconds| encoder.encode_gauge(&seconds))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}
