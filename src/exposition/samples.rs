//! Writes the samples of one family. The innermost loop of a scrape: a page of ten thousand tunnels has a million of them.

use super::{labels::Labels, value::Value};
use crate::{
    domain::label::Label,
    prober::histogram::{Buckets, Histogram},
};

/// A label whose value is of a closed list, and needs no escaping.
pub(super) type Closed = (&'static str, &'static str);

/// Appends the samples of one family to a text.
#[derive(Debug)]
pub(super) struct Samples<'t> {
    name: String,
    text: &'t mut String,
    bounds: Bounds,
}

impl<'t> Samples<'t> {
    pub(super) fn new(name: String, text: &'t mut String) -> Self {
        Self { name, text, bounds: Bounds::default() }
    }

    /// Bytes of the text so far.
    pub(super) fn written(&self) -> usize {
        self.text.len()
    }

    /// One sample.
    pub(super) fn push(&mut self, labels: &Labels, more: &[Closed], value: impl Into<Value>) {
        self.text.push_str(&self.name);
        write(self.text, "", labels, more, value.into());
    }

    /// One sample, where there is a value.
    pub(super) fn push_known(&mut self, labels: &Labels, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.push(labels, &[], value);
        }
    }

    /// One sample per member of a closed list: 1 for `current`, else 0.
    pub(super) fn states<T: Label>(&mut self, labels: &Labels, name: &'static str, current: T) {
        for &state in T::ALL {
            self.push(labels, &[(name, state.as_str())], state == current);
        }
    }

    /// Sum, count and buckets.
    pub(super) fn histogram(&mut self, labels: &Labels, more: &[Closed], histogram: &Histogram) {
        self.bounds.follow(histogram.buckets());
        self.text.extend([self.name.as_str(), "_sum"]);
        write(self.text, "", labels, more, histogram.sum().into());
        self.text.extend([self.name.as_str(), "_count"]);
        write(self.text, "", labels, more, histogram.count().into());
        let mut at_most = 0;
        for (le, count) in self.bounds.rendered.iter().zip(histogram.counts()) {
            at_most += count;
            self.text.extend([self.name.as_str(), "_bucket"]);
            write(self.text, le, labels, more, at_most.into());
        }
    }
}

/// Writes what follows the name: `first`, `labels` and `more` between braces, if there are any, and the value.
fn write(text: &mut String, first: &str, labels: &Labels, more: &[Closed], value: Value) {
    let mut before = "{";
    for part in [first, labels.as_str()] {
        if !part.is_empty() {
            text.push_str(before);
            text.push_str(part);
            before = ",";
        }
    }
    for (name, value) in more {
        for part in [before, name, "=\"", value, "\""] {
            text.push_str(part);
        }
        before = ",";
    }
    text.push_str(if before == "{" { " " } else { "} " });
    value.write(text);
    text.push('\n');
}

/// The labels `le` of a histogram's buckets, kept because the next histogram has the same ones.
#[derive(Debug, Default)]
struct Bounds {
    buckets: Option<Buckets>,
    rendered: Vec<String>,
}

impl Bounds {
    fn follow(&mut self, buckets: &Buckets) {
        if self.buckets.as_ref() == Some(buckets) {
            return;
        }
        self.rendered.clear();
        for bound in buckets.bounds() {
            let mut le = String::from("le=\"");
            Value::from(*bound).write(&mut le);
            self.rendered.push(le + "\"");
        }
        self.rendered.push("le=\"+Inf\"".to_owned());
        self.buckets = Some(buckets.clone());
    }
}
