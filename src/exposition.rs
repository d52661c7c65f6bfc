//! The page of metrics as Prometheus text.
//!
//! At each scrape a [`Capture`] copies the newest values, so a tunnel that is gone is gone from the page. A [`Page`]
//! writes it piece by piece while the client reads. Nothing here does I/O or waits. Values that are stale are left out
//! here and nowhere else. To add a family, add a line to `FAMILIES` in one of the files below.

mod capture;
mod edge;
mod exporter;
mod family;
mod findings;
mod page;
mod process;
mod routes;
mod text;
mod tunnels;

use std::time::Duration;

use prometheus_client::{encoding::text::encode_registry, registry::Registry};
use tokio::sync::watch;
use web_toolkit::clock::Moment;

pub use self::{
    capture::Capture,
    family::{Group, Groups, View},
    page::Page,
    text::Format,
};
use crate::snapshot::Sources;

/// Captures the values of pages: our own metrics, the tunnels, the process.
#[derive(Debug)]
pub struct Exposition {
    own: Registry,
    sources: Sources,
    poll_interval: watch::Receiver<Duration>,
}

impl Exposition {
    /// `own` is made by [`registry`] and holds the metrics that the parts of the program registered.
    pub fn new(own: Registry, sources: Sources, poll_interval: watch::Receiver<Duration>) -> Self {
        Self { own, sources, poll_interval }
    }

    /// Captures the values at `now`. Takes milliseconds for ten thousand tunnels: not for an async thread.
    pub fn capture(&self, now: Moment) -> Capture {
        let mut own = String::new();
        // Writing to a string does not fail, and none of our metrics returns an error.
        let _ = encode_registry(&mut own, &self.own);
        let process = process::ProcessStats::read();
        Capture::new(self.sources.snapshot(now), process, own, *self.poll_interval.borrow())
    }
}

/// An empty registry with the prefix that all metrics but `process_*` have.
pub fn registry() -> Registry {
    Registry::with_prefix(family::PREFIX)
}

#[cfg(test)]
mod tests;
