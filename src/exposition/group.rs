//! Groups of families, of which a scrape may choose some.

use crate::domain::label::{Label, label_enum};

label_enum! {
    /// Families that are asked for, or left out, together.
    pub enum Group {
        /// What the API says of each tunnel and is in no group of its own.
        Tunnels => "tunnels",
        /// Addresses and other texts.
        Info => "info",
        /// Configuration and state of BGP.
        Bgp => "bgp",
        /// Configuration of Cloudflare's own health checks.
        HealthCheck => "health_check",
        /// What the probes observed, but for the round-trip times.
        Probes => "probes",
        /// Histograms of round-trip times: four lines in ten of a page with probes.
        Rtt => "rtt",
        Verdict => "verdict",
        /// The exporter itself: polls, API, prober, process.
        Exporter => "exporter",
    }
}

/// The groups that are on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups([bool; Group::ALL.len()]);

impl Groups {
    pub const ALL: Self = Self([true; Group::ALL.len()]);

    pub fn only(groups: &[Group]) -> Self {
        let mut chosen = Self([false; Group::ALL.len()]);
        for &group in groups {
            chosen.0[group as usize] = true;
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

    pub const fn contains(self, group: Group) -> bool {
        self.0[group as usize]
    }
}
