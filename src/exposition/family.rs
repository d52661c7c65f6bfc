//! One metric family: its name, its group, and the function that writes its samples.

use super::{
    capture::{Capture, TunnelCapture},
    text::{Format, SampleValue, Samples},
};
use crate::domain::label::{Label, label_enum};

/// Prefix of every family but `process_*`.
pub(super) const PREFIX: &str = "cloudflare_magic";

/// A family of the page. The lists of families in the files beside this one define the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    pub(super) group: Group,
    descriptor: Descriptor,
    pub(super) writer: Writer,
}

/// Writes the samples of a family.
#[derive(Debug, Clone, Copy)]
pub(super) enum Writer {
    /// One sample per tunnel without further labels; none if the value is not known.
    TunnelValue(fn(&TunnelCapture) -> Option<SampleValue>),
    /// Any samples of one tunnel.
    PerTunnel(fn(&TunnelCapture, &mut Samples<'_>)),
    /// All samples: a few lines, however many tunnels there are.
    Whole(fn(&Capture, &mut Samples<'_>)),
}

impl Writer {
    /// Writes the samples of one tunnel.
    pub(super) fn write_tunnel(self, tunnel: &TunnelCapture, out: &mut Samples<'_>) {
        match self {
            Self::TunnelValue(value) => out.push_known(&tunnel.labels, &[], value(tunnel)),
            Self::PerTunnel(write) => write(tunnel, out),
            Self::Whole(_) => {}
        }
    }
}

impl Family {
    /// Writes HELP and TYPE, and UNIT in OpenMetrics.
    pub(super) fn write_metadata(&self, format: Format, text: &mut String) {
        let Descriptor { help, unit, kind, .. } = self.descriptor;
        let mut name = self.descriptor.full_name();
        let kind = match kind {
            MetricKind::Gauge => "gauge",
            MetricKind::Counter => "counter",
            MetricKind::Histogram => "histogram",
            MetricKind::Summary => "summary",
        };
        // The classic format names the samples, OpenMetrics the family.
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
enum MetricKind {
    Gauge,
    Counter,
    Histogram,
    /// Sum and count only.
    Summary,
}

/// Name, type and HELP text of a family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Descriptor {
    prefixed: bool,
    /// Without prefix, unit and `_total`.
    name: &'static str,
    help: &'static str,
    unit: Option<&'static str>,
    kind: MetricKind,
}

pub(super) const fn gauge(name: &'static str, help: &'static str) -> Descriptor {
    Descriptor { prefixed: true, name, help, unit: None, kind: MetricKind::Gauge }
}

pub(super) const fn counter(name: &'static str, help: &'static str) -> Descriptor {
    Descriptor { kind: MetricKind::Counter, ..gauge(name, help) }
}

pub(super) const fn histogram(name: &'static str, help: &'static str) -> Descriptor {
    Descriptor { kind: MetricKind::Histogram, ..gauge(name, help) }
}

pub(super) const fn summary(name: &'static str, help: &'static str) -> Descriptor {
    Descriptor { kind: MetricKind::Summary, ..gauge(name, help) }
}

impl Descriptor {
    /// Appends the unit to the name.
    pub(super) const fn in_seconds(self) -> Self {
        Self { unit: Some("seconds"), ..self }
    }

    pub(super) const fn in_bytes(self) -> Self {
        Self { unit: Some("bytes"), ..self }
    }

    /// Omits the prefix, for names that every Prometheus client uses, such as `process_cpu`.
    pub(super) const fn without_prefix(self) -> Self {
        Self { prefixed: false, ..self }
    }

    pub(super) const fn value(self, group: Group, value: fn(&TunnelCapture) -> Option<SampleValue>) -> Family {
        Family { group, descriptor: self, writer: Writer::TunnelValue(value) }
    }

    pub(super) const fn per_tunnel(self, group: Group, write: fn(&TunnelCapture, &mut Samples<'_>)) -> Family {
        Family { group, descriptor: self, writer: Writer::PerTunnel(write) }
    }

    pub(super) const fn whole(self, group: Group, write: fn(&Capture, &mut Samples<'_>)) -> Family {
        Family { group, descriptor: self, writer: Writer::Whole(write) }
    }

    fn full_name(&self) -> String {
        let prefix = self.prefixed.then_some(PREFIX);
        let parts = [prefix, Some(self.name), self.unit];
        parts.into_iter().flatten().collect::<Vec<_>>().join("_")
    }

    const fn suffix(&self) -> &'static str {
        match self.kind {
            MetricKind::Counter => "_total",
            MetricKind::Gauge | MetricKind::Histogram | MetricKind::Summary => "",
        }
    }
}

label_enum! {
    /// Families that a scrape selects or excludes together.
    pub enum Group {
        /// Reported values of each tunnel that are in no other group.
        Tunnels => "tunnels",
        /// Addresses and other texts.
        Info => "info",
        /// Configuration and state of BGP.
        Bgp => "bgp",
        /// Configuration of Cloudflare's own health checks.
        HealthCheck => "health_check",
        /// Results of the probes, except round-trip times.
        Probes => "probes",
        /// Round-trip times.
        Rtt => "rtt",
        /// The buckets of the round-trip times. A page with `rtt` but without these has sums and counts.
        RttBuckets => "rtt_buckets",
        Verdict => "verdict",
        /// Static routes, and the state of their prefixes.
        Routes => "routes",
        /// What Cloudflare's edge measures.
        Edge => "edge",
        /// The exporter itself: polls, API, prober, process.
        Exporter => "exporter",
    }
}

label_enum! {
    /// What families are about. In a fleet, hub and agents show different views of a tunnel, so that each family of a
    /// tunnel has one source.
    pub enum View {
        /// What the tunnel lists of Cloudflare state.
        Reported => "reported",
        /// What Cloudflare's edge measures.
        Edge => "edge",
        /// What the probes observe, and the verdict.
        Observed => "observed",
        /// The exporter itself.
        Exporter => "exporter",
    }
}

impl Group {
    pub const fn view(self) -> View {
        match self {
            Self::Tunnels | Self::Info | Self::Bgp | Self::HealthCheck | Self::Routes => View::Reported,
            Self::Probes | Self::Rtt | Self::RttBuckets | Self::Verdict => View::Observed,
            Self::Edge => View::Edge,
            Self::Exporter => View::Exporter,
        }
    }
}

/// The groups of one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups([bool; Group::ALL.len()]);

impl Groups {
    pub const ALL: Self = Self([true; Group::ALL.len()]);

    pub fn only(groups: &[Group]) -> Self {
        let mut chosen = Self([false; Group::ALL.len()]);
        for &group in groups {
            chosen.0[group as usize] = true;
        }
        // Only `without` separates the buckets from their sums and counts.
        if chosen.contains(Group::Rtt) || chosen.contains(Group::RttBuckets) {
            chosen.0[Group::Rtt as usize] = true;
            chosen.0[Group::RttBuckets as usize] = true;
        }
        chosen
    }

    pub fn without(groups: &[Group]) -> Self {
        let mut chosen = Self::ALL;
        for &group in groups {
            chosen.0[group as usize] = false;
        }
        chosen
    }

    /// The groups of these views.
    pub fn of_views(views: &[View]) -> Self {
        let groups = Group::ALL.iter().copied().filter(|group| views.contains(&group.view()));
        Self::only(&groups.collect::<Vec<_>>())
    }

    /// The groups that both have.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|group| self.0[group] && other.0[group]))
    }

    pub const fn contains(self, group: Group) -> bool {
        self.0[group as usize]
    }

    /// Returns whether a page with these groups has the families of `group`. Round-trip times are either histograms
    /// ([`Group::RttBuckets`]) or sums and counts ([`Group::Rtt`]).
    pub(super) const fn shows(self, group: Group) -> bool {
        match group {
            Group::Rtt => self.contains(Group::Rtt) && !self.contains(Group::RttBuckets),
            Group::RttBuckets => self.contains(Group::Rtt) && self.contains(Group::RttBuckets),
            _ => self.contains(group),
        }
    }
}
