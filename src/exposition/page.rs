//! Writes a page piece by piece, so that a page of hundreds of megabytes is never in memory as a whole.

use std::{mem, sync::Arc};

use memchr::memmem;

use super::{
    capture::Capture,
    edge, exporter,
    family::{Family, Group, Groups, Writer},
    findings, routes,
    text::Format,
    tunnels,
};

/// Every family, in the order of the page.
const FAMILIES: [&[Family]; 6] =
    [tunnels::REPORTED, findings::FAMILIES, tunnels::OBSERVED, routes::FAMILIES, edge::FAMILIES, exporter::FAMILIES];

/// A page that is being written.
#[derive(Debug)]
pub struct Page {
    capture: Arc<Capture>,
    format: Format,
    /// Text before the families.
    head: String,
    families: Vec<&'static Family>,
    /// Index of the family that is being written.
    family: usize,
    /// Index of the next tunnel of this family.
    tunnel: usize,
}

impl Page {
    pub fn new(capture: Arc<Capture>, format: Format, groups: Groups) -> Self {
        Self::with_families(&FAMILIES, capture, format, groups)
    }

    /// A page of the given families.
    pub(super) fn with_families(
        lists: &[&'static [Family]],
        capture: Arc<Capture>,
        format: Format,
        groups: Groups,
    ) -> Self {
        let head = match format {
            _ if !groups.contains(Group::Exporter) => String::new(),
            Format::OpenMetrics => capture.own.clone(),
            Format::Classic => classic_from_open_metrics(&capture.own),
        };
        let families = lists.iter().copied().flatten().filter(|family| groups.shows(family.group)).collect();
        Self { capture, format, head, families, family: 0, tunnel: 0 }
    }

    /// Appends whole lines to `text` until it has at least `enough` bytes or the page ends. Returns whether the page
    /// ended.
    pub fn fill(&mut self, text: &mut String, enough: usize) -> bool {
        text.push_str(&mem::take(&mut self.head));
        while text.len() < enough {
            let Some(&family) = self.families.get(self.family) else {
                if self.format == Format::OpenMetrics {
                    text.push_str("# EOF\n");
                }
                return true;
            };
            if self.tunnel == 0 {
                family.write_metadata(self.format, text);
            }
            self.write_samples(family, text, enough);
        }
        false
    }

    fn write_samples(&mut self, family: &Family, text: &mut String, enough: usize) {
        let mut samples = family.samples(text);
        let tunnels = match family.writer {
            Writer::Whole(write) => {
                write(&self.capture, &mut samples);
                &[]
            }
            Writer::TunnelValue(_) | Writer::PerTunnel(_) => &self.capture.tunnels[..],
        };
        // At least one tunnel, so that metadata is written once.
        for tunnel in &tunnels[self.tunnel..] {
            family.writer.write_tunnel(tunnel, &mut samples);
            self.tunnel += 1;
            if samples.written() >= enough {
                break;
            }
        }
        if self.tunnel == tunnels.len() {
            (self.family, self.tunnel) = (self.family + 1, 0);
        }
    }
}

/// Rewrites the metadata: HELP and TYPE of a counter name its samples (`_total`), UNIT and EOF are dropped.
fn classic_from_open_metrics(page: &str) -> String {
    let mut classic = String::with_capacity(page.len() + page.len() / 64);
    let mut pending_help = "";
    let mut rest = page;
    while !rest.is_empty() {
        if rest.starts_with('#') {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = after;
            match line.split_once(' ').and_then(|(_, line)| line.split_once(' ')) {
                Some(("HELP", help)) => pending_help = help,
                Some(("TYPE", family)) => push_metadata(&mut classic, pending_help, family),
                _ => {}
            }
        } else {
            let end = memmem::find(rest.as_bytes(), b"\n#").map_or(rest.len(), |at| at + 1);
            classic.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    classic
}

/// Writes HELP and TYPE of a family; OpenMetrics puts HELP first, when the type is not known yet.
fn push_metadata(classic: &mut String, help: &str, family: &str) {
    let (name, metric_type) = family.split_once(' ').unwrap_or((family, "untyped"));
    let (suffix, metric_type) = match metric_type {
        "counter" => ("_total", "counter"),
        "unknown" => ("", "untyped"),
        "info" => ("_info", "gauge"),
        "stateset" => ("", "gauge"),
        other => ("", other),
    };
    let text = help.split_once(' ').map_or("", |(_, text)| text);
    for part in ["# HELP ", name, suffix, " ", text, "\n# TYPE ", name, suffix, " ", metric_type, "\n"] {
        classic.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_metadata_differs_between_the_formats() {
        let open_metrics = "# HELP polls Polls.\n# TYPE polls counter\npolls_total{a=\"# TYPE\"} 3\n\
            # HELP age_seconds Age.\n# TYPE age_seconds gauge\n# UNIT age_seconds seconds\nage_seconds 1.5\nage_seconds{b=\"\\n#\"} 2\n\
            # HELP empty Nothing.\n# TYPE empty gauge\n# EOF\n";
        let classic = "# HELP polls_total Polls.\n# TYPE polls_total counter\npolls_total{a=\"# TYPE\"} 3\n\
            # HELP age_seconds Age.\n# TYPE age_seconds gauge\nage_seconds 1.5\nage_seconds{b=\"\\n#\"} 2\n\
            # HELP empty Nothing.\n# TYPE empty gauge\n";
        assert_eq!(classic_from_open_metrics(open_metrics), classic);
        assert_eq!(classic_from_open_metrics("# EOF\n"), "");
    }
}
