//! The scores of single data centers, which are asked for after each poll of health checks if some are configured.
//!
//! They fail without the health checks: a failure is logged as a list that the answer lacks, and the tunnels have no
//! scores until the next success.

use std::time::Duration;

use web_toolkit::clock::Moment;

use crate::{
    cloudflare::{
        ApiFailure,
        error::retry_delay,
        graphql::{colos::ColoPages, health::HealthListing},
    },
    domain::dataset::FailureReason,
};

/// When the scores are asked for again after a failure. Reads no clock.
#[derive(Debug)]
pub(super) struct ColoPolls {
    pub(super) due: Moment,
    /// Consecutive failures, and the reason of the last one.
    failed: Option<(u32, FailureReason)>,
}

impl ColoPolls {
    pub(super) fn new(due: Moment) -> Self {
        Self { due, failed: None }
    }

    /// Adds the scores of a poll that ended at `now`. Returns the time to the next one after a failure.
    pub(super) fn add(
        &mut self,
        polled: Result<ColoPages, ApiFailure>,
        listing: &mut HealthListing,
        interval: Duration,
        now: Moment,
    ) -> Option<(ApiFailure, Duration)> {
        match polled {
            Ok(pages) => {
                self.failed = None;
                listing.truncated |= pages.is_truncated();
                listing.add_colos(pages.finish());
                None
            }
            Err(failure) => {
                let failures = self.failed.map_or(1, |(failures, _)| failures.saturating_add(1));
                let wait = retry_delay(&failure, failures, interval);
                *self = Self { due: now.after(wait), failed: Some((failures, failure.reason)) };
                Some((failure, wait))
            }
        }
    }

    /// The list that is missing, and the reason.
    pub(super) fn missing(&self) -> Option<(&'static str, FailureReason)> {
        self.failed.map(|(_, reason)| ("colos", reason))
    }
}
