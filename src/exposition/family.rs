//! One metric family: its name, the group it belongs to, and who writes its samples.

use super::{
    capture::{Capture, TunnelCapture},
    format::Format,
    group::Group,
    samples::Samples,
};

/// Prefix of every family but `process_*`.
pub(super) const PREFIX: &str = "cloudflare_magic";

/// A family of the page. The lists of them in the files beside this one are what the page is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    pub(super) group: Group,
    descriptor: Descriptor,
    pub(super) writer: Writer,
}

/// Writes the samples of a family.
#[derive(Debug, Clone, Copy)]
pub(super) enum Writer {
    /// What one tunnel has of it: nothing where nothing is known.
    EachTunnel(fn(&TunnelCapture, &mut Samples<'_>)),
    /// All of it: a few lines, however many tunnels there are.
    Whole(fn(&Capture, &mut Samples<'_>)),
}

impl Family {
    pub(super) const fn of_tunnels(
        group: Group,
        descriptor: Descriptor,
        write: fn(&TunnelCapture, &mut Samples<'_>),
    ) -> Self {
        Self { group, descriptor, writer: Writer::EachTunnel(write) }
    }

    pub(super) const fn whole(group: Group, descriptor: Descriptor, write: fn(&Capture, &mut Samples<'_>)) -> Self {
        Self { group, descriptor, writer: Writer::Whole(write) }
    }

    /// Writes HELP and TYPE.
    pub(super) fn write_metadata(&self, format: Format, text: &mut String) {
        let Descriptor { help, unit, kind, .. } = self.descriptor;
        let mut name = self.descriptor.full_name();
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        // The older format names the samples, OpenMetrics the family.
        if format == Format::Classic {
            name.push_str(self.descriptor.suffix());
        }
        text.extend(["# HELP ", &name, " ", help, "\n# TYPE ", &name, " ", kind, "\n"]);
        if let (Format::OpenMetrics, Some(unit)) = (format, unit) {
            text.extend(["# UNIT ", &name, " ", unit, "\n"]);
        }
    }

    /// Appends samples to `text`.
    pub(super) fn samples<'t>(&self, text: &'t mut String) -> Samples<'t> {
        Samples::new(self.descriptor.full_name() + self.descriptor.suffix(), text)
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
    Histogram,
}

/// What HELP and TYPE say of a family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Descriptor {
    prefixed: bool,
    /// Without prefix, unit and `_total`.
    name: &'static str,
    help: &'static str,
    unit: Option<&'static str>,
    kind: Kind,
}

impl Descriptor {
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { prefixed: true, name, help, unit: None, kind: Kind::Gauge }
    }

    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { kind: Kind::Counter, ..Self::gauge(name, help) }
    }

    pub(super) const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { kind: Kind::Histogram, ..Self::gauge(name, help) }
    }

    /// The unit is a part of the name.
    pub(super) const fn in_seconds(self) -> Self {
        Self { unit: Some("seconds"), ..self }
    }

    pub(super) const fn in_bytes(self) -> Self {
        Self { unit: Some("bytes"), ..self }
    }

    /// A name that every Prometheus client has, such as `process_cpu`.
    pub(super) const fn without_prefix(self) -> Self {
        Self { prefixed: false, ..self }
    }

    fn full_name(&self) -> String {
        let prefix = self.prefixed.then_some(PREFIX);
        let parts = [prefix, Some(self.name), self.unit];
        parts.into_iter().flatten().collect::<Vec<_>>().join("_")
    }

    const fn suffix(&self) -> &'static str {
        match self.kind {
            Kind::Counter => "_total",
            Kind::Gauge | Kind::Histogram => "",
        }
    }
}
