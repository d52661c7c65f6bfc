//! Polls what Cloudflare's edge measures for one account: health checks, and traffic if it is enabled.
//!
//! One task per account asks for one dataset after the other, so that few queries run at a time. Each dataset fails
//! alone. The limits of the datasets are read at the start, at a reload and once a day. A dataset that is refused is asked
//! for again at a reload, or when there is a new secret.

mod colos;
mod next_poll;
mod settings;
mod source;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use web_toolkit::clock::{self, Moment};

pub use self::settings::{BUCKET, EdgePollSettings, MAX_COLOS};

use self::{
    colos::ColoPolls,
    next_poll::{Failed, NextPoll},
    source::EdgeSource,
};
use super::{FleetSender, Limiter, SECRET_CHECK_INTERVAL};
use crate::{
    cloudflare::{
        ApiFailure,
        error::retry_delay,
        graphql::{
            HEALTH_NODES, SETTINGS_NODES, TRAFFIC_NODES,
            health::{HealthListing, HealthPages},
            settings::EdgeSettings,
        },
    },
    domain::{
        dataset::{Dataset, FailureReason, PollState},
        edge::{EdgeTraffic, EdgeView, EdgeWindow},
        inventory::{AccountInventory, AccountName, Fleet},
        label::Label as _,
        pulse::{Pulse, Pulses},
    },
    secret::Look,
};

/// Time between two requests for the limits of the datasets.
const SETTINGS_INTERVAL: Duration = Duration::from_hours(24);

/// Maximum time between two attempts to read the limits.
const SETTINGS_RETRY: Duration = Duration::from_hours(1);

/// Publishes an empty view, or the known data with the new settings; `None` if the edge is not polled.
pub fn prepare_view(fleet: &FleetSender, account: &AccountName, settings: Option<&EdgePollSettings>) {
    let view = |known: &AccountInventory| settings.map(|settings| settings.resume(known.edge().map(Arc::as_ref)));
    update_account(fleet, account, |known| known.set_edge(view(known)));
}

fn update_account(fleet: &FleetSender, account: &AccountName, update: impl Fn(&mut AccountInventory)) {
    fleet.send_if_modified(|fleet| {
        let mut next = Fleet::clone(fleet);
        // The account may have been removed from the configuration in the meantime.
        let Some(account) = next.accounts.get_mut(account) else { return false };
        update(Arc::make_mut(account));
        *fleet = Arc::new(next);
        true
    });
}

/// Polls the edge for one account.
#[derive(Debug)]
pub struct EdgePoller<S> {
    pub account: AccountName,
    pub source: S,
    pub limiter: Limiter,
    pub settings: EdgePollSettings,
    pub fleet: Arc<FleetSender>,
    pub pulses: Pulses,
    /// Changes when the configuration was reloaded.
    pub reloads: watch::Receiver<()>,
}

impl<S: EdgeSource> EdgePoller<S> {
    /// Polls until `stop` is cancelled, which drops requests in progress. Continues from the published view.
    pub async fn run(self, stop: CancellationToken) {
        let known = self.fleet.borrow().accounts.get(&self.account).and_then(|known| known.edge().cloned());
        let view = self.settings.resume(known.as_deref());
        let pulse = self.pulses.register(format!("the edge poller of {}", self.account));
        let now = clock::now();
        let loops = EdgeLoop {
            poller: self,
            pulse,
            view,
            secret: 0,
            limits: EdgeSettings::default(),
            settings_due: now,
            settings_failures: 0,
            health: NextPoll::new(Dataset::EdgeHealth, now),
            traffic: NextPoll::new(Dataset::EdgeTraffic, now),
            colos: ColoPolls::new(now),
        };
        // Cancel safety: a dropped poll publishes nothing.
        tokio::select! {
            () = stop.cancelled() => {}
            () = loops.run() => {}
        }
    }
}

/// A poller with what it knows.
struct EdgeLoop<S> {
    poller: EdgePoller<S>,
    pulse: Pulse,
    view: EdgeView,
    /// The version of the secret before the latest requests.
    secret: u64,
    limits: EdgeSettings,
    settings_due: Moment,
    settings_failures: u32,
    health: NextPoll,
    traffic: NextPoll,
    colos: ColoPolls,
}

impl<S: EdgeSource> EdgeLoop<S> {
    async fn run(mut self) {
        loop {
            self.secret = self.poller.source.secret_version(Look::IfChanged).await;
            if is_due(self.settings_due, clock::now()) {
                self.poll_settings().await;
            }
            if is_due(self.health.due, clock::now()) {
                self.poll_health().await;
            }
            if self.view.traffic.is_some() && is_due(self.traffic.due, clock::now()) {
                self.poll_traffic().await;
            }
            self.wait().await;
        }
    }

    /// Waits until a dataset is due, or a reload, or a new secret after a refusal.
    async fn wait(&mut self) {
        let mut look = Look::Again;
        loop {
            let (now, left) = (clock::now(), self.time_left());
            if left.is_zero() {
                return;
            }
            let refused = self.is_refused();
            if refused && self.poller.source.secret_version(look).await != self.secret {
                return self.retry_refused();
            }
            look = Look::IfChanged;
            let wait = if refused { left.min(SECRET_CHECK_INTERVAL) } else { left };
            self.pulse.beat(now.instant, wait);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                Ok(()) = self.poller.reloads.changed() => return self.retry_refused(),
            }
        }
    }

    /// Time until something is due.
    fn time_left(&self) -> Duration {
        let now = clock::now();
        let traffic = self.view.traffic.is_some().then_some(self.traffic.due);
        let due = [self.settings_due, self.health.due].into_iter().chain(traffic);
        due.map(|due| due.since(now)).min().unwrap_or_default()
    }

    /// The state of both datasets, as far as they are polled.
    fn states(&self) -> [PollState; 2] {
        let traffic = self.view.traffic.as_ref().map(|traffic| traffic.status.state);
        [self.view.health.status.state, traffic.unwrap_or_default()]
    }

    /// Whether a dataset cannot be read until the operator changes something.
    fn is_refused(&self) -> bool {
        self.states().iter().any(|state| matches!(state, PollState::Failed(reason) if reason.is_lasting()))
    }

    /// Reads the limits again, and asks for what was refused.
    fn retry_refused(&mut self) {
        let (now, [health, traffic]) = (clock::now(), self.states());
        self.settings_due = now;
        self.health.retry_if_lasting(health, now);
        self.traffic.retry_if_lasting(traffic, now);
        self.colos = ColoPolls::new(now);
    }

    /// Waits until the budget allows a query of this many datasets.
    async fn take(&self, nodes: u32) {
        for _ in 0..nodes {
            self.poller.limiter.take(&self.pulse).await;
        }
        self.pulse.beat(clock::now().instant, self.poller.source.timeout());
    }

    async fn poll_settings(&mut self) {
        self.take(SETTINGS_NODES).await;
        match self.poller.source.settings().await {
            Ok(limits) => {
                self.settings_failures = 0;
                self.settings_due = clock::now().after(SETTINGS_INTERVAL);
                self.apply_limits(limits);
            }
            Err(failure) => {
                self.settings_failures = self.settings_failures.saturating_add(1);
                let wait = retry_delay(&failure, self.settings_failures, SETTINGS_RETRY);
                self.settings_due = clock::now().after(wait);
                self.pause_if_limited(&failure, wait);
                let account = self.poller.account.as_str();
                debug!(account, "the limits of the edge's datasets cannot be read: {failure}");
            }
        }
    }

    /// Stops asking for a dataset that the account or the token may not read, and resumes if it may again.
    fn apply_limits(&mut self, limits: EdgeSettings) {
        let (before, now) = (self.limits, clock::now());
        self.limits = limits;
        let health = (before.health.is_refused, limits.health.is_refused);
        let traffic = (before.traffic.is_refused, limits.traffic.is_refused);
        self.health.apply_refusal(health, now);
        self.traffic.apply_refusal(traffic, now);
        for (refused, poll) in [(health.1, &self.health), (traffic.1 && self.view.traffic.is_some(), &self.traffic)] {
            if refused {
                let (account, collection) = (self.poller.account.as_str(), poll.dataset.as_str());
                let remedy = poll.dataset.remedy(FailureReason::NotEntitled);
                warn!(account, collection, reason = "not_entitled", "the dataset is not available; {remedy}");
            }
        }
        let refused = PollState::Failed(FailureReason::NotEntitled);
        if health.1 {
            self.view.health.status.state = refused;
        }
        if let Some(view) = self.view.traffic.as_mut().filter(|_| traffic.1) {
            view.status.state = refused;
        }
        if health.1 || traffic.1 {
            self.publish();
        }
    }

    async fn poll_health(&mut self) {
        self.take(HEALTH_NODES).await;
        let settings = self.poller.settings.clone();
        let started = clock::now();
        let window = settings.window_at(started, self.limits.health.window(settings.window));
        let result = self.read_pages(window).await;
        let ended = clock::now();
        self.view.health.status.duration = Some(ended.since(started));
        match result {
            Ok(pages) => {
                let mut missing = pages.unreadable().lists.clone();
                let mut listing = pages.finish(settings.min_checks, ended.wall);
                self.add_colos(&mut listing, window, &mut missing).await;
                self.health.log_missing(&self.poller.account, missing);
                let tunnels = listing.tunnels.len();
                self.health.succeed(&self.poller.account, &mut self.view.health.status, ended, tunnels);
                self.keep_health(listing, window);
                self.health.due = started.after(settings.interval);
            }
            Err(failure) => {
                let failed = self.health.fail(&mut self.view.health.status, &failure, ended, settings.interval);
                self.after_failure(Dataset::EdgeHealth, &failure, failed);
            }
        }
        self.publish();
    }

    async fn read_pages(&self, window: EdgeWindow) -> Result<HealthPages, ApiFailure> {
        let mut pages = HealthPages::default();
        loop {
            pages = self.poller.source.health(window, self.limits.health.limit(), pages).await?;
            if !pages.is_unfinished() {
                return Ok(pages);
            }
            self.take(HEALTH_NODES).await;
        }
    }

    fn keep_health(&mut self, listing: HealthListing, window: EdgeWindow) {
        let HealthListing { tunnels, mut sites, newest, truncated } = listing;
        self.keep_sites(&mut sites);
        let health = &mut self.view.health;
        health.window = Some(window);
        health.newest = newest;
        health.truncated = truncated;
        health.tunnels = Arc::new(tunnels);
        health.sites = Arc::new(sites);
    }

    /// Adds the known sites of tunnels that have no data now, so that their labels do not come and go.
    fn keep_sites(&self, sites: &mut HashMap<Arc<str>, Arc<str>>) {
        let fleet = self.poller.fleet.borrow();
        let Some(account) = fleet.accounts.get(&self.poller.account) else { return };
        for entry in account.entries() {
            let name = &*entry.tunnel.name;
            if let Some((name, known)) = self.view.health.sites.get_key_value(name)
                && !sites.contains_key(name)
            {
                sites.insert(Arc::clone(name), Arc::clone(known));
            }
        }
    }

    async fn poll_traffic(&mut self) {
        self.take(TRAFFIC_NODES).await;
        let settings = self.poller.settings.clone();
        let started = clock::now();
        let bucket = settings.bucket_at(started);
        let result = self.poller.source.traffic(bucket, self.limits.traffic.limit()).await;
        let ended = clock::now();
        let Some(view) = &mut self.view.traffic else { return };
        view.status.duration = Some(ended.since(started));
        match result {
            Ok(listing) => {
                let missing = listing.unreadable.lists.clone();
                *view = EdgeTraffic {
                    status: view.status,
                    window: Some(bucket),
                    truncated: listing.truncated,
                    rows: listing.rows.into(),
                };
                let tunnels = view.tunnels();
                self.traffic.succeed(&self.poller.account, &mut view.status, ended, tunnels);
                self.traffic.log_missing(&self.poller.account, missing);
                // The next bucket is complete `delay` after its end.
                let age = Duration::try_from(ended.wall.duration_since(bucket.to.wall)).unwrap_or_default();
                self.traffic.due =
                    ended.after((BUCKET + settings.delay).saturating_sub(age).max(settings.interval / 2));
            }
            Err(failure) => {
                let failed = self.traffic.fail(&mut view.status, &failure, ended, settings.interval);
                self.after_failure(Dataset::EdgeTraffic, &failure, failed);
            }
        }
        self.publish();
    }

    fn after_failure(&self, dataset: Dataset, failure: &ApiFailure, failed: Failed) {
        self.pause_if_limited(failure, failed.wait);
        if failed.is_new {
            let (account, collection) = (self.poller.account.as_str(), dataset.as_str());
            let remedy = dataset.remedy(failure.reason);
            warn!(account, collection, reason = %failure.reason, "poll failed: {failure}; {remedy}");
        }
    }

    fn pause_if_limited(&self, failure: &ApiFailure, wait: Duration) {
        if failure.reason == FailureReason::RateLimited {
            self.poller.limiter.pause(wait);
        }
    }

    fn publish(&self) {
        update_account(&self.poller.fleet, &self.poller.account, |known| known.set_edge(Some(self.view.clone())));
    }
}

fn is_due(due: Moment, now: Moment) -> bool {
    due.since(now).is_zero()
}

#[cfg(test)]
mod tests;
