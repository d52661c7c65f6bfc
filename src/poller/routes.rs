//! Polls the static routes of one account. They fail alone: the tunnels do not depend on them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tracing::{info, warn};
use web_toolkit::clock::{self, Moment};

use super::{FleetSender, Poller, TunnelSource, update_account};
use crate::{
    cloudflare::{ApiFailure, RouteListing, error::retry_delay, fields::KnownField},
    domain::{
        dataset::{Dataset, FailureReason, PollState},
        inventory::AccountName,
        label::Label as _,
        routes::RouteTable,
    },
    secret::Look,
};

/// How the static routes are polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoutePollSettings {
    /// Whether each prefix has metrics of its own.
    pub per_prefix: bool,
}

/// Publishes an empty table, or the known routes with the new settings; `None` if the routes are not polled.
pub fn prepare_routes(fleet: &FleetSender, account: &AccountName, settings: Option<RoutePollSettings>) {
    update_account(fleet, account, |known| {
        let table = known.routes().map(|table| RouteTable::clone(table)).unwrap_or_default();
        known.set_routes(settings.map(|settings| RouteTable { per_prefix: settings.per_prefix, ..table }));
    });
}

impl<S: TunnelSource> Poller<S> {
    /// Polls the routes forever. Continues from the published ones.
    pub(super) async fn poll_routes(self: Arc<Self>) {
        let pulse = self.pulses.register(format!("the poller of {} of {}", Dataset::Routes, self.account));
        let mut reloads = self.reloads.clone();
        let mut tracked = TrackedRoutes::resume(self.known_routes());
        let mut look = Look::IfChanged;
        loop {
            self.limiter.take(&pulse).await;
            reloads.mark_unchanged();
            let started = clock::now();
            pulse.beat(started.instant, self.source.timeout());
            let (result, version) = self.source.fetch_routes(!tracked.table.routes.is_empty(), look).await;
            let ended = clock::now();
            tracked.table.status.duration = Some(ended.since(started));
            let wait = match result {
                Ok(listing) => {
                    tracked.succeed(&self.account, listing, ended);
                    self.interval.saturating_sub(ended.since(started))
                }
                Err(failure) => {
                    let wait = tracked.fail(&self.account, &failure, self.interval);
                    if failure.reason == FailureReason::RateLimited {
                        self.limiter.pause(wait);
                    }
                    wait
                }
            };
            update_account(&self.fleet, &self.account, |account| account.set_routes(Some(tracked.table.clone())));
            pulse.beat(clock::now().instant, wait);
            look = self.wait_for_poll(tracked.table.status.state, version, wait, &mut reloads).await;
        }
    }

    fn known_routes(&self) -> RouteTable {
        let fleet = self.fleet.borrow();
        let known = fleet.accounts.get(&self.account).and_then(|account| account.routes());
        known.map(|table| RouteTable::clone(table)).unwrap_or_default()
    }
}

/// The routes between polls. Reads no clock.
#[derive(Debug)]
struct TrackedRoutes {
    table: RouteTable,
    /// Consecutive failures.
    failures: u32,
    unknown: BTreeSet<KnownField>,
}

impl TrackedRoutes {
    fn resume(table: RouteTable) -> Self {
        Self { table, failures: 0, unknown: BTreeSet::new() }
    }

    /// Replaces the routes, which were read at `now`. Equal routes keep their memory, so that they are not joined
    /// again.
    fn succeed(&mut self, account: &AccountName, listing: RouteListing, now: Moment) {
        self.log_success(account, &listing);
        let RouteListing { routes, rejected, .. } = listing;
        if routes[..] != self.table.routes[..] {
            self.table.routes = routes.into();
        }
        self.table.rejected = rejected;
        self.table.status.state = PollState::Succeeded;
        self.table.status.last_success = Some(now);
        self.failures = 0;
    }

    /// Returns the time until the next poll.
    fn fail(&mut self, account: &AccountName, failure: &ApiFailure, interval: Duration) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let state = PollState::Failed(failure.reason);
        if self.table.status.state != state {
            let (account, collection) = (account.as_str(), Dataset::Routes.as_str());
            let remedy = Dataset::Routes.remedy(failure.reason);
            warn!(account, collection, reason = %failure.reason, "poll failed: {failure}; {remedy}");
        }
        self.table.status.state = state;
        retry_delay(failure, self.failures, interval)
    }

    /// Logs the first success, the first one after failures, and unknown values that are new.
    fn log_success(&mut self, account: &AccountName, listing: &RouteListing) {
        let (account, collection, routes) = (account.as_str(), Dataset::Routes.as_str(), listing.routes.len());
        match self.table.status.state {
            PollState::Failed(reason) => {
                info!(
                    account,
                    collection, routes, "polls succeed again after `{reason}`: the API lists {routes} routes"
                );
            }
            PollState::Waiting => info!(account, collection, routes, "the API lists {routes} routes"),
            PollState::Succeeded => {}
        }
        if listing.rejected > self.table.rejected {
            let rejected = listing.rejected;
            warn!(account, collection, rejected, "{rejected} members of the list have no valid prefix");
        }
        for &field in listing.unknown.keys() {
            if self.unknown.insert(field) {
                let advice = "see the metric `cloudflare_magic_unknown_values_total`";
                warn!(account, collection, %field, "unknown or invalid values of `{field}`; {advice}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
