//! Families of our own metrics, printed in the order of their labels.
//!
//! `prometheus_client::metrics::family::Family` prints in hash order and knows only the series that were touched. These are sorted,
//! so that two scrapes can be compared line by line, and the members of a closed list are there from the start, at zero.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::{self, Debug},
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, TypedMetric, counter::Counter, histogram::Histogram},
};

/// The labels of one series. Values are ours (closed lists, status codes), never text from outside.
pub type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];

/// One label pair of a [`Labels`].
pub fn label(name: &'static str, value: impl Into<Cow<'static, str>>) -> (&'static str, Cow<'static, str>) {
    (name, value.into())
}

/// A family of `M` with `N` labels. Clones share their series.
#[derive(Clone)]
pub struct Series<const N: usize, M> {
    members: Arc<Mutex<BTreeMap<Labels<N>, M>>>,
    new: fn() -> M,
}

impl<const N: usize, M: Clone> Series<N, M> {
    /// A family whose members start as `new` makes them.
    pub fn new(new: fn() -> M) -> Self {
        Self { members: Arc::default(), new }
    }

    /// The member with these labels, made if it is not there yet.
    pub fn get(&self, labels: Labels<N>) -> M {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.entry(labels).or_insert_with(self.new).clone()
    }
}

impl<const N: usize, M> Debug for Series<N, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series").finish_non_exhaustive()
    }
}

impl<const N: usize, M: EncodeMetric + TypedMetric + Clone> EncodeMetric for Series<N, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        for (labels, member) in members.iter() {
            member.encode(encoder.encode_family(labels)?)?;
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

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text::encode, registry::Registry};

    use super::*;

    #[test]
    fn prints_its_members_in_the_order_of_their_labels() {
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
