//! The page: draws what is known as Prometheus text.
//!
//! A [`Picture`] is taken of the newest [`Fleet`] at each scrape, so a tunnel that is gone is gone from the page; a [`Page`] writes it
//! piece by piece, while the client reads. Nothing here does I/O or waits, and what is too old to be shown is left out here and
//! nowhere else. A new family is a line in the `FAMILIES` of one of the files below.

mod accounts;
mod classic;
mod family;
mod format;
mod group;
mod labels;
mod observed;
mod page;
mod picture;
mod probes;
mod process;
mod samples;
mod tunnels;
mod value;

use std::{sync::Arc, time::Duration};

use prometheus_client::{encoding::text, registry::Registry};
use tokio::sync::watch;
use web_toolkit::clock::Moment;

use self::picture::Scene;
pub use self::{
    format::Format,
    group::{Group, Groups},
    page::Page,
    picture::Picture,
};
use crate::domain::{board::ProbeBoard, inventory::Fleet, verdict::Verdicts};

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

/// Takes the pictures that pages are written from: our own metrics, the tunnels, the process.
#[derive(Debug)]
pub struct Exposition {
    own: Registry,
    sources: Sources,
}

impl Exposition {
    /// Takes the registry into which the parts have put their own metrics, made by [`registry`].
    pub fn new(own: Registry, sources: Sources) -> Self {
        Self { own, sources }
    }

    /// What is known at `now`. Takes milliseconds for ten thousand tunnels: not for an async thread.
    pub fn picture(&self, now: Moment) -> Picture {
        let mut own = String::new();
        // Writing to a string does not fail, and no metric of ours returns an error of its own.
        let _ = text::encode_registry(&mut own, &self.own);
        let scene = Scene {
            fleet: Arc::clone(&self.sources.fleet.borrow()),
            board: Arc::clone(&self.sources.board.borrow()),
            verdicts: Arc::clone(&self.sources.verdicts.borrow()),
            process: process::Reading::take(),
            own,
            poll_interval: *self.sources.poll_interval.borrow(),
            stale_after: *self.sources.stale_after.borrow(),
        };
        Picture::take(scene, now)
    }
}

/// A registry for the metrics of the parts, with the prefix that all but `process_*` have.
pub fn registry() -> Registry {
    Registry::with_prefix(family::PREFIX)
}

#[cfg(test)]
mod tests;
