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

/// Lists that an answer lacks, with the reasons.
pub(super) type MissingLists = BTreeMap<&'static str, FailureReason>;

/// A dataset between two polls. Reads no clock.
#[derive(Debug)]
pub(super) struct NextPoll {
    pub(super) dataset: Dataset,
    pub(super) due: Moment,
    /// Consecutive failures.
    failures: u32,
    /// Lists that were missing in the last answer.
    missing: MissingLists,
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
        Self { dataset, due, failures: 0, missing: MissingLists::new() }
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
        if state.is_refused() {
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

    /// Logs that the limits refuse the dataset.
    pub(super) fn log_refusal(&self, account: &AccountName) {
        let (account, collection) = (account.as_str(), self.dataset.as_str());
        let remedy = self.dataset.remedy(FailureReason::NotEntitled);
        warn!(account, collection, reason = "not_entitled", "the dataset is not available; {remedy}");
    }

    /// Logs the lists that are missing in a good answer, if they differ from those before.
    pub(super) fn log_missing(&mut self, account: &AccountName, missing: MissingLists) {
        let (account, collection) = (account.as_str(), self.dataset.as_str());
        for (list, reason) in missing.iter().filter(|(list, reason)| self.missing.get(*list) != Some(reason)) {
            let remedy = self.dataset.remedy(*reason);
            warn!(account, collection, %reason, "the answer does not contain `{list}`: {reason}; {remedy}");
        }
        self.missing = missing;
    }
}

/// Logs a failed poll with a remedy.
pub(super) fn log_failure(account: &AccountName, dataset: Dataset, failure: &ApiFailure) {
    let (account, collection) = (account.as_str(), dataset.as_str());
    let remedy = dataset.remedy(failure.reason);
    warn!(account, collection, reason = %failure.reason, "poll failed: {failure}; {remedy}");
}
