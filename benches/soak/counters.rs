//! Checks that counters never decrease, and never disappear while their tunnel exists.

use std::collections::{BTreeSet, HashMap};

/// The counters of the last page, by name and labels.
#[derive(Debug, Default)]
pub(crate) struct Counters(HashMap<Box<str>, f64>);

impl Counters {
    /// Compares with the next page and keeps it. Returns one example each of a counter that decreased, and of one that
    /// disappeared although its tunnel is not in `deleted`.
    pub(crate) fn compare(&mut self, page: &str, deleted: &BTreeSet<String>) -> Vec<String> {
        let next = counters(page);
        let back = self.0.iter().find(|(series, value)| next.get(*series).is_some_and(|now| now < value));
        let lost = self.0.keys().find(|series| !next.contains_key(*series) && !is_of(series, deleted));
        let broken = [
            back.map(|(series, value)| format!("{series} decreased from {value} to {}", next[series])),
            lost.map(|series| format!("{series} disappeared")),
        ];
        self.0 = next;
        broken.into_iter().flatten().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Parses lines such as `name_total{...} 5`; histograms are represented by their `_count`.
fn counters(page: &str) -> HashMap<Box<str>, f64> {
    let samples = page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    let counters = samples.filter(|(series, _)| {
        let name = series.split('{').next().unwrap_or_default();
        name.ends_with("_total") || name.ends_with("_count")
    });
    counters.filter_map(|(series, value)| Some((series.into(), value.parse().ok()?))).collect()
}

fn is_of(series: &str, deleted: &BTreeSet<String>) -> bool {
    let id = series.split_once("tunnel_id=\"").and_then(|(_, rest)| rest.split('"').next());
    id.is_some_and(|id| deleted.contains(id))
}
