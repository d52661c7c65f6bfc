//! Verifies the token of an account once a day.

use std::{sync::Arc, time::Duration};

use tracing::{debug, info, warn};
use web_toolkit::clock;

use super::{Poller, SECRET_CHECK_INTERVAL, TunnelSource};
use crate::{
    cloudflare::ApiFailure,
    domain::{dataset::FailureReason, inventory::Fleet, token::TokenReport},
    secret::Look,
};

/// Time between two verifications. A new secret is verified at the next look for one.
const VERIFICATION_INTERVAL: Duration = Duration::from_hours(24);

/// Time to the next verification after a failed one, or of a token that the API rejects.
const RETRY_INTERVAL: Duration = Duration::from_mins(5);

impl<S: TunnelSource> Poller<S> {
    /// Verifies the token forever and publishes the result.
    pub(super) async fn verify_daily(self: Arc<Self>) {
        let pulse = self.pulses.register(format!("the verification of the token of {}", self.account));
        let mut reloads = self.reloads.clone();
        let mut look = Look::IfChanged;
        loop {
            self.limiter.take(&pulse).await;
            reloads.mark_unchanged();
            pulse.beat(clock::now().instant, self.source.timeout() * 2);
            let (verified, version) = self.source.verify_token(look).await;
            let report = to_report(&verified);
            if let Some(report) = report {
                self.publish_token(report);
            }
            let is_refused = verified.as_ref().map_or(true, |report| !report.active);
            let (wait, interval) = if is_refused {
                (RETRY_INTERVAL, SECRET_CHECK_INTERVAL)
            } else {
                (VERIFICATION_INTERVAL, self.interval)
            };
            pulse.beat(clock::now().instant, wait);
            self.wait_for_change(version, wait, interval, &mut reloads).await;
            look = Look::Again;
        }
    }

    /// Publishes and logs a report that differs from the previous one.
    fn publish_token(&self, report: TokenReport) {
        let mut previous = None;
        let changed = self.fleet.send_if_modified(|fleet| {
            let mut next = Fleet::clone(fleet);
            // The account may have been removed from the configuration in the meantime.
            let Some(account) = next.accounts.get_mut(&self.account) else { return false };
            previous = account.token;
            if previous == Some(report) {
                return false;
            }
            Arc::make_mut(account).token = Some(report);
            *fleet = Arc::new(next);
            true
        });
        if changed {
            self.log_token(previous, report);
        }
    }

    fn log_token(&self, previous: Option<TokenReport>, report: TokenReport) {
        let account = self.account.as_str();
        if !report.active {
            return warn!(account, "the API token is not active; create a new one, or enable it");
        }
        if previous.is_some_and(|previous| !previous.active) {
            return info!(account, "the API token is active again");
        }
        debug!(account, "the API token is active");
    }
}

/// A token that the API rejects with status 401 is not active. Other failures say nothing about the token.
fn to_report(verified: &Result<TokenReport, ApiFailure>) -> Option<TokenReport> {
    match verified {
        Ok(report) => Some(*report),
        Err(failure) if failure.reason == FailureReason::Auth && failure.status == Some(401) => {
            Some(TokenReport { active: false, expires_on: None })
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
