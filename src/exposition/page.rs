//! Writes a page piece by piece, so that a page of hundreds of megabytes never has to be in memory as a whole.

use std::{mem, sync::Arc};

use super::{
    accounts,
    capture::Capture,
    classic,
    family::{Family, Writer},
    format::Format,
    group::{Group, Groups},
    observed, probes, process, tunnels,
};

/// Every family, in the order of the page.
const FAMILIES: [&[Family]; 5] =
    [tunnels::FAMILIES, observed::FAMILIES, accounts::FAMILIES, probes::FAMILIES, process::FAMILIES];

/// A page under way: a place in a capture.
#[derive(Debug)]
pub struct Page {
    capture: Arc<Capture>,
    format: Format,
    /// What is written before the families.
    head: String,
    families: Vec<&'static Family>,
    /// Index of the family that is being written.
    family: usize,
    /// Index of the row that its next sample is of.
    row: usize,
}

impl Page {
    pub fn new(capture: Arc<Capture>, format: Format, groups: Groups) -> Self {
        Self::of(&FAMILIES, capture, format, groups)
    }

    /// A page of these lists of families.
    pub(super) fn of(lists: &[&'static [Family]], capture: Arc<Capture>, format: Format, groups: Groups) -> Self {
        let head = match format {
            _ if !groups.contains(Group::Exporter) => String::new(),
            Format::OpenMetrics => capture.own.clone(),
            Format::Classic => classic::from_open_metrics(&capture.own),
        };
        let families = lists.iter().copied().flatten().filter(|family| groups.contains(family.group)).collect();
        Self { capture, format, head, families, family: 0, row: 0 }
    }

    /// Appends whole lines to `text` until it has at least `enough` bytes, or the page ends. Says whether it does.
    pub fn fill(&mut self, text: &mut String, enough: usize) -> bool {
        text.push_str(&mem::take(&mut self.head));
        while text.len() < enough {
            let Some(&family) = self.families.get(self.family) else {
                if self.format == Format::OpenMetrics {
                    text.push_str("# EOF\n");
                }
                return true;
            };
            if self.row == 0 {
                family.write_metadata(self.format, text);
            }
            self.write_samples(family, text, enough);
        }
        false
    }

    fn write_samples(&mut self, family: &Family, text: &mut String, enough: usize) {
        let mut samples = family.samples(text);
        let rows = match family.writer {
            Writer::Whole(write) => {
                write(&self.capture, &mut samples);
                &[]
            }
            Writer::EachTunnel(write) => {
                let rows = &self.capture.tunnels[..];
                // At least one row, so that metadata are written once.
                for row in &rows[self.row..] {
                    write(row, &mut samples);
                    self.row += 1;
                    if samples.written() >= enough {
                        break;
                    }
                }
                rows
            }
        };
        if self.row == rows.len() {
            (self.family, self.row) = (self.family + 1, 0);
        }
    }
}
