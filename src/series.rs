//! Metric families with series sorted by their labels.
//!
//! `prometheus_client::metrics::family::Family` exports series in hash order. With sorted series, two scrapes can be
//! compared line by line.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::{self, Debug},
    sync::Arc,
};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric, counter::Counter, histogram::Histogram},
};

/// The labels of one series. Values come from closed lists, status codes or the configuration, never from the API.
pub type SeriesLabels<const N: usize> = [(&'static str, Cow<'static, str>); N];

/// Creates one pair of [`SeriesLabels`].
pub fn label(name: &'static str, value: impl Into<Cow<'static, str>>) -> (&'static str, Cow<'static, str>) {
    (name, value.into())
}

/// A family of `M` with `N` labels. Clones share their series.
#[derive(Clone)]
pub struct Series<const N: usize, M> {
    series: Arc<Mutex<BTreeMap<SeriesLabels<N>, M>>>,
    new: fn() -> M,
}

impl<const N: usize, M: Clone> Series<N, M> {
    /// Creates a family without series. `new` creates the metric of each series.
    pub fn new(new: fn() -> M) -> Self {
        Self { series: Arc::default(), new }
    }

    /// Returns the metric with these labels. Creates the series if it does not exist.
    pub fn get(&self, labels: SeriesLabels<N>) -> M {
        let mut series = self.series.lock();
        series.entry(labels).or_insert_with(self.new).clone()
    }

    /// Removes each series if its labels do not satisfy `keep`.
    pub fn retain(&self, keep: impl Fn(&SeriesLabels<N>) -> bool) {
        self.series.lock().retain(|labels, _| keep(labels));
    }
}

impl<const N: usize, M> Debug for Series<N, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series").finish_non_exhaustive()
    }
}

impl<const N: usize, M: EncodeMetric + TypedMetric + Clone> EncodeMetric for Series<N, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let series = self.series.lock();
        for (labels, metric) in series.iter() {
            metric.encode(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}

/// A family of counters.
pub type Counters<const N: usize> = Series<N, Counter>;

/// A family of histograms.
pub type Histograms<const N: usize> = Series<N, Histogram>;

/// A metric without labels. Its value is read at each scrape.
pub enum MetricReading {
    /// `None`: the metric has no series.
    Gauge(Box<dyn Fn() -> Option<f64> + Send + Sync>),
    Counter(Box<dyn Fn() -> u64 + Send + Sync>),
}

impl MetricReading {
    pub fn gauge(read: impl Fn() -> Option<f64> + Send + Sync + 'static) -> Self {
        Self::Gauge(Box::new(read))
    }

    pub fn counter(read: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self::Counter(Box::new(read))
    }
}

impl Debug for MetricReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricReading").finish_non_exhaustive()
    }
}

impl EncodeMetric for MetricReading {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        match self {
            Self::Gauge(read) => read().map_or(Ok(()), |value| encoder.encode_gauge(&value)),
            Self::Counter(read) => encoder.encode_counter::<NoLabelSet, _, u64>(&read(), None),
        }
    }

    fn metric_type(&self) -> MetricType {
        match self {
            Self::Gauge(_) => MetricType::Gauge,
            Self::Counter(_) => MetricType::Counter,
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text::encode, registry::Registry};

    use super::*;

    #[test]
    fn series_are_sorted_by_their_labels() {
        let counters = Counters::<2>::new(Counter::default);
        for (collection, code) in [("ipsec_tunnels", "200"), ("gre_tunnels", "503"), ("gre_tunnels", "200")] {
            counters.get([label("collection", collection), label("code", code)]).inc();
        }
        let mut registry = Registry::default();
        registry.register("requests", "Requests", counters);
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        let samples: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                r#"requests_total{collection="gre_tunnels",code="200"} 1"#,
                r#"requests_total{collection="gre_tunnels",code="503"} 1"#,
                r#"requests_total{collection="ipsec_tunnels",code="200"} 1"#,
            ]
        );
    }
}
