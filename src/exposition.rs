//! The page: draws what is known as Prometheus text.
//!
//! One [`Collector`] reads the newest [`Fleet`] at each scrape, so a tunnel that is gone is
//! gone from the page. Nothing here does I/O or waits, and what is too old to be shown is left out here and nowhere else.

mod accounts;
mod classic;
mod family;
mod observed;
mod probes;
mod process;
mod tunnels;
mod view;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    registry::Registry,
};
use tokio::sync::watch;

use self::view::View;
use crate::{
    clock,
    domain::{board::ProbeBoard, inventory::Fleet, verdict::Verdicts},
};

/// Prefix of every family but `process_*`.
pub const PREFIX: &str = "cloudflare_magic";

/// The two text formats.
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

/// What the page is drawn from.
#[derive(Debug, Clone)]
pub struct Sources {
    pub fleet: watch::Receiver<Arc<Fleet>>,
    pub board: watch::Receiver<Arc<ProbeBoard>>,
    pub verdicts: watch::Receiver<Arc<Verdicts>>,
    /// What the API said is shown for this long after the last successful poll.
    pub stale_after: watch::Receiver<Duration>,
    pub poll_interval: watch::Receiver<Duration>,
}

/// Renders the page: our own metrics, the tunnels, the process.
#[derive(Debug)]
pub struct Exposition {
    own: Registry,
    process: Registry,
    /// Bytes of the last page: the next one is about as long.
    last_size: AtomicUsize,
}

impl Exposition {
    /// Takes the registry into which the parts have put their own metrics, made by [`registry`].
    pub fn new(mut own: Registry, sources: Sources) -> Self {
        own.register_collector(Box::new(Page(sources)));
        let mut process = Registry::default();
        process.register_collector(Box::new(process::Process));
        Self { own, process, last_size: AtomicUsize::new(0) }
    }

    /// The page in `format`. Takes tens of milliseconds for ten thousand tunnels: not for an async thread.
    pub fn render(&self, format: Format) -> String {
        let mut page = String::with_capacity(self.last_size.load(Ordering::Relaxed) / 16 * 17);
        // Writing to a string does not fail, and no collector returns an error of its own.
        let _ = text::encode_registry(&mut page, &self.own);
        let _ = text::encode(&mut page, &self.process);
        self.last_size.store(page.len(), Ordering::Relaxed);
        match format {
            Format::OpenMetrics => page,
            Format::Classic => classic::from_open_metrics(&page),
        }
    }
}

/// A registry for the metrics of the parts, with our [`PREFIX`].
pub fn registry() -> Registry {
    Registry::with_prefix(PREFIX)
}

/// The collector over the snapshots.
#[derive(Debug)]
struct Page(Sources);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let fleet = Arc::clone(&self.0.fleet.borrow());
        let view = View { fleet: &fleet, now: clock::now(), stale_after: *self.0.stale_after.borrow() };
        let board = Arc::clone(&self.0.board.borrow());
        let verdicts = Arc::clone(&self.0.verdicts.borrow());
        tunnels::encode(&view, &mut encoder)?;
        observed::encode(&fleet, &board, &verdicts, &mut encoder)?;
        accounts::encode(&view, *self.0.poll_interval.borrow(), &mut encoder)?;
        probes::encode(&board, &mut encoder)
    }
}

#[cfg(test)]
mod tests;
