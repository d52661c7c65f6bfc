//! Keeps the newest lists of every account, and what Cloudflare's edge measures.
//!
//! Each account has one task per list of tunnels and one for its routes, so that a slow or failing list does not delay
//! the others. A [`TunnelSource`] fetches the lists. A [`TrackedList`] decides what is kept, what is logged and when to
//! poll again. The pollers publish the [`Fleet`] on a `watch` channel; no other task writes to it. On an agent, the
//! [`HubFeed`] publishes the inventory of a hub instead.

pub mod edge;
mod hub_feed;
mod hub_ledger;
pub mod hub_session;
pub mod routes;
pub mod rule_usage;
mod source;
mod token;
pub mod tracked_list;

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use web_toolkit::{
    bucket::{RateLimit, TokenBucket},
    clock,
};

pub use self::{
    hub_feed::{HubFeed, InventoryStore},
    source::{ApiAccount, ApiSource, CredentialSource, TunnelSource},
};
use self::{rule_usage::RuleUsage, tracked_list::TrackedList};
use crate::{
    domain::{
        dataset::PollState,
        inventory::{AccountInventory, AccountName, Fleet, TunnelList},
        label::Label as _,
        pulse::{Pulse, Pulses},
        rules::TunnelRules,
        tunnel::{Tunnel, TunnelType},
    },
    secret::Look,
};

/// Sender of the channel on which the pollers publish.
pub type FleetSender = tokio::sync::watch::Sender<Arc<Fleet>>;

/// Time between checks for a new secret after the API has rejected the current one.
const SECRET_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The request budget that all pollers of the process share. Clones share it.
#[derive(Clone)]
pub struct Limiter(Arc<Mutex<TokenBucket>>);

impl Limiter {
    /// Uses a third of Cloudflare's limit of 1,200 requests per user in five minutes, because dashboards and other
    /// tools share that limit.
    pub fn for_cloudflare() -> Self {
        Self::new(RateLimit { interval: Duration::from_mins(5) / 400, burst: 50 })
    }

    /// The budget of queries of the GraphQL API: 100 datasets in any five minutes, a third of Cloudflare's limit.
    pub fn for_graphql() -> Self {
        Self::new(RateLimit { interval: Duration::from_mins(5) / 80, burst: 20 })
    }

    /// For an API without a limit, such as the sandbox.
    pub fn unlimited() -> Self {
        Self::new(RateLimit::UNLIMITED)
    }

    fn new(limit: RateLimit) -> Self {
        Self(Arc::new(Mutex::new(TokenBucket::new(limit))))
    }

    /// Waits until a request may be sent.
    async fn take(&self, pulse: &Pulse) {
        loop {
            let taken = self.0.lock().take(clock::now().instant);
            match taken {
                Ok(()) => return,
                Err(wait) => {
                    pulse.beat(clock::now().instant, wait);
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    fn pause(&self, wait: Duration) {
        self.0.lock().pause(clock::now().instant, wait);
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").finish_non_exhaustive()
    }
}

/// Polls the tunnel lists of one account.
#[derive(Debug)]
pub struct Poller<S> {
    pub account: AccountName,
    pub source: S,
    pub limiter: Limiter,
    /// Time between the starts of two successful polls.
    pub interval: Duration,
    pub rules: Arc<TunnelRules>,
    pub rule_usage: RuleUsage,
    /// Whether the static routes are polled.
    pub routes: bool,
    /// Whether the interconnects are polled.
    pub interconnects: bool,
    pub fleet: Arc<FleetSender>,
    /// Heartbeats of the poll loops.
    pub pulses: Pulses,
    /// Changes at each reload of the configuration: a poller that is refused then tries again.
    pub reloads: watch::Receiver<()>,
}

impl<S: TunnelSource> Poller<S> {
    /// Polls until `stop` is cancelled, which drops requests in progress. Continues from the lists that the fleet
    /// already contains.
    pub async fn run(self, stop: CancellationToken) {
        let poller = Arc::new(self);
        let mut lists = JoinSet::new();
        let is_polled = |of: &&TunnelType| poller.interconnects || **of != TunnelType::Interconnect;
        for &tunnel_type in TunnelType::ALL.iter().filter(is_polled) {
            lists.spawn(Arc::clone(&poller).poll_list(tunnel_type));
        }
        if poller.routes {
            lists.spawn(Arc::clone(&poller).poll_routes());
        }
        if poller.source.has_token() {
            lists.spawn(Arc::clone(&poller).verify_daily());
        }
        // Cancel safety: a dropped poll publishes nothing. The loops end only if they panic.
        tokio::select! {
            () = stop.cancelled() => {}
            _ = lists.join_next() => {}
        }
        lists.shutdown().await;
    }

    /// Polls one list forever.
    async fn poll_list(self: Arc<Self>, tunnel_type: TunnelType) {
        let dataset = tunnel_type.dataset();
        let mut list = self.resume(tunnel_type);
        let mut look = Look::IfChanged;
        let pulse = self.pulses.register(format!("the poller of {dataset} of {}", self.account));
        let mut reloads = self.reloads.clone();
        loop {
            self.limiter.take(&pulse).await;
            reloads.mark_unchanged();
            let started = clock::now();
            pulse.beat(started.instant, self.source.timeout());
            let (result, version) =
                self.source.fetch_list(tunnel_type, Arc::clone(&list.current().entries), look).await;
            if let Ok(listing) = &result {
                self.log_useless_rules(tunnel_type, &listing.tunnels);
            }
            let update = list.update(result, started, clock::now(), self.interval);
            update.events.iter().for_each(|event| event.log(&self.account, tunnel_type));
            self.publish(tunnel_type, &list);
            if update.rate_limited {
                self.limiter.pause(update.wait);
            }
            pulse.beat(clock::now().instant, update.wait);
            let state = list.current().status.state;
            look = self.wait_for_poll(state, version, update.wait, &mut reloads).await;
        }
    }

    /// Waits until the next poll; after a lasting failure, also for a reload and for a newer secret than `version`.
    async fn wait_for_poll(
        &self,
        state: PollState,
        version: u64,
        wait: Duration,
        reloads: &mut watch::Receiver<()>,
    ) -> Look {
        match state {
            PollState::Failed(reason) if reason.is_lasting() => {
                self.wait_for_change(version, wait, SECRET_CHECK_INTERVAL, reloads).await;
                Look::Again
            }
            _ => {
                tokio::time::sleep(wait).await;
                Look::IfChanged
            }
        }
    }

    fn log_useless_rules(&self, tunnel_type: TunnelType, tunnels: &[Arc<Tunnel>]) {
        for rule in self.rule_usage.record(&self.account, tunnel_type, tunnels) {
            warn!("configuration, {rule}; {}", rule.remedy());
        }
    }

    /// Continues from the published list and applies the current rules to it.
    fn resume(&self, tunnel_type: TunnelType) -> TrackedList {
        let known = self.fleet.borrow().accounts.get(&self.account).map(|a| TunnelList::clone(a.list(tunnel_type)));
        let list = TrackedList::resume(self.account.clone(), Arc::clone(&self.rules), known.unwrap_or_default());
        self.publish(tunnel_type, &list);
        list
    }

    /// Waits for `wait`, or until the configuration is reloaded, or until there is a newer secret than `version`, for
    /// which it looks every `interval`.
    async fn wait_for_change(
        &self,
        version: u64,
        wait: Duration,
        interval: Duration,
        reloads: &mut watch::Receiver<()>,
    ) {
        let until = clock::now().after(wait);
        let mut look = Look::Again;
        loop {
            let newest = self.source.secret_version(look).await;
            let left = until.since(clock::now());
            if newest != version || left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left.min(interval)) => {}
                Ok(()) = reloads.changed() => return,
            }
            look = Look::IfChanged;
        }
    }

    fn publish(&self, tunnel_type: TunnelType, list: &TrackedList) {
        update_account(&self.fleet, &self.account, |account| account.set_list(tunnel_type, list.current().clone()));
    }
}

/// Drops the interconnects of an account unless they are polled.
pub fn prepare_interconnects(fleet: &FleetSender, account: &AccountName, enabled: bool) {
    update_account(fleet, account, |known| {
        if known.list(TunnelType::Interconnect).is_off == enabled {
            known.set_list(TunnelType::Interconnect, TunnelList { is_off: !enabled, ..TunnelList::default() });
        }
    });
}

/// Publishes a change of one account.
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

#[cfg(test)]
mod tests;
