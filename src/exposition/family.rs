//! Writes one metric family, sample by sample.

use std::{
    fmt::{self, Write as _},
    ops::Range,
};

use prometheus_client::{
    encoding::{
        CounterValueEncoder, DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet,
        GaugeValueEncoder, LabelSetEncoder, MetricEncoder, NoLabelSet,
    },
    metrics::MetricType,
    registry::Unit,
};

use crate::domain::{histogram::Histogram, inventory::AccountName, label::Label, text::shown, tunnel::Tunnel};

/// What HELP and TYPE say of a family. `name` is without prefix, and without the suffix that the unit or a counter's `_total` adds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Descriptor {
    name: &'static str,
    help: &'static str,
    unit: Option<&'static Unit>,
    metric_type: MetricType,
}

static SECONDS: Unit = Unit::Seconds;
static BYTES: Unit = Unit::Bytes;

impl Descriptor {
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, unit: None, metric_type: MetricType::Gauge }
    }

    pub(super) const fn seconds(name: &'static str, help: &'static str) -> Self {
        Self { unit: Some(&SECONDS), ..Self::gauge(name, help) }
    }

    pub(super) const fn bytes(name: &'static str, help: &'static str) -> Self {
        Self { unit: Some(&BYTES), ..Self::gauge(name, help) }
    }

    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { metric_type: MetricType::Counter, ..Self::gauge(name, help) }
    }

    /// A counter of seconds.
    pub(super) const fn seconds_counter(name: &'static str, help: &'static str) -> Self {
        Self { unit: Some(&SECONDS), ..Self::counter(name, help) }
    }

    /// A histogram of seconds.
    pub(super) const fn seconds_histogram(name: &'static str, help: &'static str) -> Self {
        Self { unit: Some(&SECONDS), metric_type: MetricType::Histogram, ..Self::gauge(name, help) }
    }

    /// Writes HELP and TYPE; the samples go through what is returned.
    pub(super) fn open<'e>(&'e self, encoder: &'e mut DescriptorEncoder<'_>) -> Result<Samples<'e>, fmt::Error> {
        let metric = encoder.encode_descriptor(self.name, self.help, self.unit, self.metric_type)?;
        Ok(Samples { metric, is_counter: matches!(self.metric_type, MetricType::Counter) })
    }
}

/// The samples of an opened family.
#[derive(Debug)]
pub(super) struct Samples<'e> {
    metric: MetricEncoder<'e>,
    is_counter: bool,
}

impl Samples<'_> {
    /// One sample with the labels of `row` and `more`.
    pub(super) fn push(&mut self, row: &RowLabels<'_>, more: &[(&str, &str)], value: impl Into<Value>) -> fmt::Result {
        let value = value.into();
        let labels = Labels { row, more };
        if labels.are_none() {
            return encode_value(&mut self.metric, self.is_counter, value);
        }
        encode_value(&mut self.metric.encode_family(&labels)?, self.is_counter, value)
    }

    /// Sum, count and buckets of a histogram with the labels of `row` and `more`.
    pub(super) fn histogram(
        &mut self,
        row: &RowLabels<'_>,
        more: &[(&str, &str)],
        histogram: &Histogram,
    ) -> fmt::Result {
        let bounds = histogram.buckets().bounds().iter().map(std::time::Duration::as_secs_f64);
        let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(histogram.counts().iter().copied()).collect();
        let (sum, count) = (histogram.sum().as_secs_f64(), histogram.count());
        let labels = Labels { row, more };
        if labels.are_none() {
            return self.metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None);
        }
        self.metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    /// One sample per member of a closed list: 1 for `current`, else 0.
    pub(super) fn states<T: Label>(&mut self, row: &RowLabels<'_>, name: &str, current: T) -> fmt::Result {
        T::ALL.iter().try_for_each(|&state| self.push(row, &[(name, state.as_str())], state == current))
    }
}

fn encode_value(sample: &mut MetricEncoder<'_>, is_counter: bool, value: Value) -> fmt::Result {
    if is_counter { sample.encode_counter::<NoLabelSet, _, f64>(&value, None) } else { sample.encode_gauge(&value) }
}

/// A sample's value; whole numbers are written without a fraction.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Whole(u64),
    Float(f64),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Whole(value.into())
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

/// Unix seconds.
impl From<jiff::Timestamp> for Value {
    fn from(time: jiff::Timestamp) -> Self {
        Self::Float(time.as_second() as f64 + f64::from(time.subsec_nanosecond()) / 1e9)
    }
}

impl From<std::time::Duration> for Value {
    fn from(duration: std::time::Duration) -> Self {
        Self::Float(duration.as_secs_f64())
    }
}

impl EncodeGaugeValue for Value {
    fn encode(&self, encoder: &mut GaugeValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => EncodeGaugeValue::encode(value, encoder),
            Self::Float(value) => EncodeGaugeValue::encode(value, encoder),
        }
    }
}

impl EncodeCounterValue for Value {
    fn encode(&self, encoder: &mut CounterValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => EncodeCounterValue::encode(value, encoder),
            Self::Float(value) => EncodeCounterValue::encode(value, encoder),
        }
    }
}

/// Labels that many samples share, rendered and escaped once: `a="x",b="y",c` and `z` stand for `a="x",b="y",c="z"`.
///
/// The encoder writes a label's name as it is and its value escaped; so all but the last value can pass as one name.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowLabels<'a> {
    rendered: &'a str,
    last_value: &'a str,
}

impl<'a> RowLabels<'a> {
    pub(super) const NONE: RowLabels<'static> = RowLabels { rendered: "", last_value: "" };

    /// What [`render`](Self::render) has written, with the value of its last label.
    pub(super) fn new(rendered: &'a str, last_value: &'static str) -> Self {
        Self { rendered, last_value }
    }

    /// Appends to `buffer` the labels that every series of a tunnel has, up to the name of the last one, `tunnel_type`. Returns where
    /// they stand.
    pub(super) fn render(buffer: &mut String, account: &AccountName, tunnel: &Tunnel) -> Range<usize> {
        let start = buffer.len();
        let first = [("account", account.as_str()), ("tunnel_id", tunnel.id.as_str()), ("tunnel_name", &tunnel.name)];
        for (name, value) in first {
            buffer.push_str(name);
            buffer.push_str("=\"");
            escape(buffer, &shown(value));
            buffer.push_str("\",");
        }
        buffer.push_str("tunnel_type");
        start..buffer.len()
    }
}

/// Escapes a label value as both text formats ask (OpenMetrics 1.0, "ABNF", `escaped-string`).
fn escape(buffer: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => buffer.push_str("\\\\"),
            '"' => buffer.push_str("\\\""),
            '\n' => buffer.push_str("\\n"),
            _ => buffer.push(c),
        }
    }
}

struct Labels<'a> {
    row: &'a RowLabels<'a>,
    more: &'a [(&'a str, &'a str)],
}

impl Labels<'_> {
    fn are_none(&self) -> bool {
        self.row.rendered.is_empty() && self.more.is_empty()
    }
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        if !self.row.rendered.is_empty() {
            encode_label(encoder, self.row.rendered, self.row.last_value)?;
        }
        self.more.iter().try_for_each(|(name, value)| encode_label(encoder, name, &shown(value)))
    }
}

fn encode_label(encoder: &mut LabelSetEncoder<'_>, name: &str, value: &str) -> fmt::Result {
    let mut label = encoder.encode_label();
    let mut key = label.encode_label_key()?;
    key.write_str(name)?;
    let mut text = key.encode_label_value()?;
    text.write_str(value)?;
    text.finish()
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
        fn any_text_comes_back_from_its_escaped_form_on_one_line(text in any::<String>()) {
            let mut escaped = String::new();
            escape(&mut escaped, &text);
            prop_assert!(!escaped.contains('\n'));
            prop_assert_eq!(unescape(&escaped), text);
        }
    }
}
