//! Writes samples as text. The innermost loop of a scrape: a page of ten thousand tunnels has about a million samples.

use std::time::Duration;

use web_toolkit::text::shown;

use crate::{
    domain::{inventory::AccountName, label::Label, tunnel::Tunnel},
    prober::histogram::{Buckets, Histogram},
};

/// Text format of a page. The samples are identical in both; the metadata differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Classic,
}

impl Format {
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Name and value of a label with a value from a closed list and needs no escaping.
pub(super) type LabelPair = (&'static str, &'static str);

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

    /// Length of the text so far, in bytes.
    pub(super) fn written(&self) -> usize {
        self.text.len()
    }

    /// One sample.
    pub(super) fn push(&mut self, labels: &Labels, more: &[LabelPair], value: impl Into<SampleValue>) {
        self.text.push_str(&self.name);
        write(self.text, "", labels, more, value.into());
    }

    /// One sample, if the value is known.
    pub(super) fn push_known(&mut self, labels: &Labels, more: &[LabelPair], value: Option<impl Into<SampleValue>>) {
        if let Some(value) = value {
            self.push(labels, more, value);
        }
    }

    /// One sample per member of a closed list: 1 for `current`, else 0.
    pub(super) fn states<T: Label>(&mut self, labels: &Labels, name: &'static str, current: T) {
        for &state in T::ALL {
            self.push(labels, &[(name, state.as_str())], state == current);
        }
    }

    /// Sum, count and buckets.
    pub(super) fn histogram(&mut self, labels: &Labels, more: &[LabelPair], histogram: &Histogram) {
        self.sum_and_count(labels, more, histogram);
        self.bounds.follow(histogram.buckets());
        let mut at_most = 0;
        for (le, count) in self.bounds.rendered.iter().zip(histogram.counts()) {
            at_most += count;
            self.text.extend([self.name.as_str(), "_bucket"]);
            write(self.text, le, labels, more, at_most.into());
        }
    }

    /// A histogram without its buckets.
    pub(super) fn sum_and_count(&mut self, labels: &Labels, more: &[LabelPair], histogram: &Histogram) {
        self.text.extend([self.name.as_str(), "_sum"]);
        write(self.text, "", labels, more, histogram.sum().into());
        self.text.extend([self.name.as_str(), "_count"]);
        write(self.text, "", labels, more, histogram.count().into());
    }
}

/// Writes the part after the name: `first`, `labels` and `more` in braces (omitted if all are empty), and the value.
fn write(text: &mut String, first: &str, labels: &Labels, more: &[LabelPair], value: SampleValue) {
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

/// The `le` labels of a histogram, cached because consecutive histograms have the same buckets.
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
            SampleValue::from(*bound).write(&mut le);
            self.rendered.push(le + "\"");
        }
        self.rendered.push("le=\"+Inf\"".to_owned());
        self.buckets = Some(buckets.clone());
    }
}

/// Labels as they appear inside the braces of a sample: `a="x",b="y"`. Always escaped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Labels(String);

impl Labels {
    pub(super) const NONE: Self = Self(String::new());

    /// The labels common to all series of a tunnel.
    pub(super) fn of_tunnel(account: &AccountName, tunnel: &Tunnel) -> Self {
        Self::NONE
            .and("account", account.as_str())
            .and("tunnel_id", tunnel.id.as_str())
            .and("tunnel_name", &tunnel.name)
            .and("tunnel_type", tunnel.tunnel_type().as_str())
    }

    /// Adds a label. The value can be any text; it is filtered by [`shown`] and escaped.
    pub(super) fn and(mut self, name: &'static str, value: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(name);
        self.0.push_str("=\"");
        escape(&mut self.0, &shown(value));
        self.0.push('"');
        self
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Escapes a label value as both text formats require (OpenMetrics 1.0, "ABNF", `escaped-string`).
fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            _ => text.push(c),
        }
    }
}

/// A value of a sample. Whole numbers are written without a fraction.
#[derive(Debug, Clone, Copy)]
pub(super) enum SampleValue {
    Whole(u64),
    Float(f64),
}

impl SampleValue {
    pub(super) fn write(self, text: &mut String) {
        match self {
            Self::Whole(value) => text.push_str(itoa::Buffer::new().format(value)),
            Self::Float(value) => text.push_str(dtoa::Buffer::new().format(value)),
        }
    }
}

impl From<bool> for SampleValue {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<u32> for SampleValue {
    fn from(value: u32) -> Self {
        Self::Whole(value.into())
    }
}

impl From<u64> for SampleValue {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for SampleValue {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<f64> for SampleValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

/// Unix seconds.
impl From<jiff::Timestamp> for SampleValue {
    fn from(time: jiff::Timestamp) -> Self {
        Self::Float(time.as_second() as f64 + f64::from(time.subsec_nanosecond()) / 1e9)
    }
}

/// Seconds.
impl From<Duration> for SampleValue {
    fn from(duration: Duration) -> Self {
        Self::Float(duration.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Undoes the escaping of the text formats.
    fn unescape(text: &str) -> String {
        let mut plain = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some('n') => plain.push('\n'),
                    Some(escaped @ ('\\' | '"')) => plain.push(escaped),
                    other => panic!("stray backslash before {other:?}"),
                },
                '"' => panic!("bare quotation mark"),
                _ => plain.push(c),
            }
        }
        plain
    }

    proptest! {
        #[test]
        fn escaping_is_reversible_and_keeps_one_line(text in any::<String>()) {
            let mut escaped = String::new();
            escape(&mut escaped, &text);
            prop_assert!(!escaped.contains('\n'));
            prop_assert_eq!(unescape(&escaped), text);
        }
    }
}
