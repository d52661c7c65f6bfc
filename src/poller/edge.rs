//! Polls what Cloudflare's edge measures for one account: health checks, and traffic if it is enabled.
//!
//! One task per account asks for one dataset after the other, so that few queries run at a time. Each dataset fails
//! alone. The limits of the datasets are read at the start, at a reload and once a day. A dataset that is refused is
//! asked for again at a reload, or when there is a new secret.

mod colos;
mod next_poll;
mod settings;
mod source;
mod view;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use web_toolkit::clock::{self, Moment};

pub use self::{
    settings::{BUCKET, EdgePollSettings, MAX_COLOS},
    view::prepare_view,
};

use self::{
    colos::ColoPolls,
    next_poll::{Failed, MissingLists, NextPoll, log_failure},
    source::EdgeSource,
    view::{keep_sites, states},
};
use super::{FleetSender, Limiter, SECRET_CHECK_INTERVAL, update_account};
use crate::{
    cloudflare::{
        ApiFailure,
        error::retry_delay,
        graphql::{
            COLOS_NODES, HEALTH_NODES, SETTINGS_NODES, TRAFFIC_NODES,
            colos::ColoPages,
            health::{HealthListing, HealthPages},
            settings::EdgeSettings,
        },
    },
    domain::{
        dataset::{Dataset, FailureReason, PollState},
        edge::{EdgeTraffic, EdgeView, EdgeWindow},
        inventory::AccountName,
        pulse::{Pulse, Pulses},
    },
    secret::Look,
};

/// Time between two requests for the limits of the datasets.
const SETTINGS_INTERVAL: Duration = Duration::from_hours(24);

/// Maximum time between two attempts to read the limits.
const SETTINGS_RETRY: Duration = Duration::from_hours(1);

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
            let refused = states(&self.view).iter().any(|state| state.is_refused());
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

    /// Reads the limits again, and asks for what was refused.
    fn retry_refused(&mut self) {
        let (now, [health, traffic]) = (clock::now(), states(&self.view));
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
                poll.log_refusal(&self.poller.account);
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

    /// Adds the scores of the configured data centers, or the reason why they are missing.
    async fn add_colos(&mut self, listing: &mut HealthListing, window: EdgeWindow, missing: &mut MissingLists) {
        let settings = &self.poller.settings;
        if settings.colos.is_empty() {
            return;
        }
        if is_due(self.colos.due, clock::now()) {
            let polled = self.read_colos(window).await;
            if let Some((failure, wait)) = self.colos.add(polled, listing, settings.interval, clock::now()) {
                self.pause_if_limited(&failure, wait);
            }
        }
        missing.extend(self.colos.missing());
    }

    async fn read_colos(&self, window: EdgeWindow) -> Result<ColoPages, ApiFailure> {
        let mut pages = ColoPages::new(Arc::clone(&self.poller.settings.colos));
        while pages.is_unfinished() {
            self.take(COLOS_NODES).await;
            pages = self.poller.source.colos(window, self.limits.health.limit(), pages).await?;
        }
        Ok(pages)
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
        keep_sites(&self.poller.fleet, &self.poller.account, &self.view, &mut sites);
        let health = &mut self.view.health;
        health.window = Some(window);
        health.newest = newest;
        health.truncated = truncated;
        health.tunnels = Arc::new(tunnels);
        health.sites = Arc::new(sites);
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
                self.traffic.due = ended.after(settings.time_to_next_bucket(bucket, ended));
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
            log_failure(&self.poller.account, dataset, failure);
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
