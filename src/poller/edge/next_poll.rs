//! When a dataset of the edge is polled next, and what is logged about it.

use std::{collections::BTreeMap, time::Duration};

use tracing::{info, warn};
use web_toolkit::clock::Moment;

use crate::{
    cloudflare::{ApiFailure, error::retry_delay},
    domain::{
        dataset::{Dataset, FailureReason, PollState, PollStatus},
        inventory::AccountName,
        label::Label as _,
    },
};

/// A dataset between two polls. Reads no clock.
#[derive(Debug)]
pub(super) struct NextPoll {
    pub(super) dataset: Dataset,
    pub(super) due: Moment,
    /// Consecutive failures.
    failures: u32,
    /// Lists that were missing in the last answer.
    missing: BTreeMap<&'static str, FailureReason>,
}

/// What follows from a failed poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) wait: Duration,
    /// Whether the reason differs from that of the poll before.
    pub(super) is_new: bool,
}

impl NextPoll {
    /// A dataset that is never polled again unless [`apply_refusal`](Self::apply_refusal) allows it.
    const NEVER: Duration = Duration::from_hours(10 * 365 * 24);

    pub(super) fn new(dataset: Dataset, due: Moment) -> Self {
        Self { dataset, due, failures: 0, missing: BTreeMap::new() }
    }

    /// Ends the polls of a dataset that is refused, and resumes them if it was refused before.
    pub(super) fn apply_refusal(&mut self, (before, refused): (bool, bool), now: Moment) {
        if refused {
            self.due = now.after(Self::NEVER);
        } else if before {
            self.due = now;
        }
    }

    /// Polls now if the last poll failed for a reason that only a change of settings ends.
    pub(super) fn retry_if_lasting(&mut self, state: PollState, now: Moment) {
        if matches!(state, PollState::Failed(reason) if reason.is_lasting()) {
            self.due = now;
        }
    }

    /// Notes a successful poll that ended at `now`, and logs the first one and the first one after failures.
    pub(super) fn succeed(&mut self, account: &AccountName, status: &mut PollStatus, now: Moment, tunnels: usize) {
        let (account, collection) = (account.as_str(), self.dataset.as_str());
        match status.state {
            PollState::Failed(reason) => {
                info!(
                    account,
                    collection, tunnels, "polls succeed again after `{reason}`: the edge reports {tunnels} tunnels"
                );
            }
            PollState::Waiting => info!(account, collection, tunnels, "the edge reports {tunnels} tunnels"),
            PollState::Succeeded => {}
        }
        self.failures = 0;
        status.state = PollState::Succeeded;
        status.last_success = Some(now);
    }

    /// Notes a poll that failed at `now`.
    pub(super) fn fail(
        &mut self,
        status: &mut PollStatus,
        failure: &ApiFailure,
        now: Moment,
        interval: Duration,
    ) -> Failed {
        self.failures = self.failures.saturating_add(1);
        let wait = retry_delay(failure, self.failures, interval);
        self.due = now.after(wait);
        let is_new = status.state != PollState::Failed(failure.reason);
        status.state = PollState::Failed(failure.reason);
        Failed { wait, is_new }
    }

    /// Logs the lists that are missing in a good answer, if they differ from those before.
    pub(super) fn log_missing(&mut self, account: &AccountName, missing: BTreeMap<&'static str, FailureReason>) {
        let (account, collection) = (account.as_str(), self.dataset.as_str());
        for (list, reason) in missing.iter().filter(|(list, reason)| self.missing.get(*list) != Some(reason)) {
            let remedy = self.dataset.remedy(*reason);
            warn!(account, collection, %reason, "the answer does not contain `{list}`: {reason}; {remedy}");
        }
        self.missing = missing;
    }
}
