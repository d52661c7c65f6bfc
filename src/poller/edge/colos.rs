//! The scores of single data centers, which are asked for after each poll of health checks if some are configured.
//!
//! They fail without the health checks: a failure is logged as a list that the answer lacks, and the tunnels have no
//! scores until the next success.

use std::{collections::BTreeMap, sync::Arc};

use web_toolkit::clock::{self, Moment};

use super::{EdgeLoop, EdgeSource};
use crate::{
    cloudflare::{
        ApiFailure,
        error::retry_delay,
        graphql::{COLOS_NODES, colos::ColoPages, health::HealthListing},
    },
    domain::{dataset::FailureReason, edge::EdgeWindow},
};

/// When the scores are asked for again after a failure.
#[derive(Debug)]
pub(super) struct ColoPolls {
    due: Moment,
    /// Consecutive failures, and the reason of the last one.
    failed: Option<(u32, FailureReason)>,
}

impl ColoPolls {
    pub(super) fn new(due: Moment) -> Self {
        Self { due, failed: None }
    }
}

impl<S: EdgeSource> EdgeLoop<S> {
    /// Adds the scores of the configured data centers, or the reason why they are missing.
    pub(super) async fn add_colos(
        &mut self,
        listing: &mut HealthListing,
        window: EdgeWindow,
        missing: &mut BTreeMap<&'static str, FailureReason>,
    ) {
        if self.poller.settings.colos.is_empty() {
            return;
        }
        if self.colos.due.since(clock::now()).is_zero() {
            match self.read_colos(window).await {
                Ok(pages) => {
                    self.colos.failed = None;
                    listing.truncated |= pages.is_truncated();
                    listing.add_colos(pages.finish());
                }
                Err(failure) => self.note_failure(&failure),
            }
        }
        missing.extend(self.colos.failed.map(|(_, reason)| ("colos", reason)));
    }

    fn note_failure(&mut self, failure: &ApiFailure) {
        let failures = self.colos.failed.map_or(1, |(failures, _)| failures.saturating_add(1));
        let wait = retry_delay(failure, failures, self.poller.settings.interval);
        self.pause_if_limited(failure, wait);
        self.colos = ColoPolls { due: clock::now().after(wait), failed: Some((failures, failure.reason)) };
    }

    async fn read_colos(&self, window: EdgeWindow) -> Result<ColoPages, ApiFailure> {
        let mut pages = ColoPages::new(Arc::clone(&self.poller.settings.colos));
        loop {
            self.take(COLOS_NODES).await;
            pages = self.poller.source.colos(window, self.limits.health.limit(), pages).await?;
            if !pages.is_unfinished() {
                return Ok(pages);
            }
        }
    }
}
