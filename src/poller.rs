//! Keeps the newest tunnel lists of every account.
//!
//! Each account has one task per list, so that a list that fails or is slow does not delay the others. A [`TunnelSource`]
//! delivers the answers. A [`TrackedList`] decides what is kept, what is logged and when to poll again. The result is
//! published on the `watch` that carries the [`Fleet`]; only pollers write to it.

mod api;
mod report;
pub mod tracked_list;

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use web_toolkit::{
    bucket::{RateLimit, TokenBucket},
    clock,
};

pub use self::api::{ApiAccount, ApiSource, CredentialSource};
use self::tracked_list::TrackedList;
use crate::{
    cloudflare::{ApiFailure, Listing},
    domain::{
        dataset::{FailureReason, PollState},
        inventory::{AccountName, Fleet},
        label::Label as _,
        pulse::{Pulse, Pulses},
        rules::TunnelRules,
        tunnel::TunnelType,
    },
    secret::Look,
};

/// The channel on which pollers publish.
pub type FleetSender = tokio::sync::watch::Sender<Arc<Fleet>>;

/// How often a refused secret is compared with its file, so that a corrected secret is used soon.
const SECRET_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The request budget that all pollers of the process share. Clones share it.
#[derive(Clone)]
pub struct Limiter(Arc<Mutex<TokenBucket>>);

impl Limiter {
    /// Uses a third of Cloudflare's limit of 1,200 requests per user in five minutes, because dashboards and other tools
    /// share that limit.
    pub fn for_cloudflare() -> Self {
        Self::new(RateLimit { interval: Duration::from_mins(5) / 400, burst: 50 })
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

/// Delivers the tunnel lists of one account.
pub trait TunnelSource: Send + Sync + 'static {
    /// Maximum duration of one [`list`](Self::list).
    fn timeout(&self) -> Duration;

    /// Fetches one list. Also returns the version of the secret that was used.
    fn list(
        &self,
        tunnel_type: TunnelType,
        look: Look,
    ) -> impl Future<Output = (Result<Listing, ApiFailure>, u64)> + Send;

    /// The version of the newest secret.
    fn secret_version(&self, look: Look) -> impl Future<Output = u64> + Send;
}

/// Polls one account until it is stopped.
#[derive(Debug)]
pub struct Poller<S> {
    pub account: AccountName,
    pub source: S,
    pub limiter: Limiter,
    /// Time from the start of one poll to the start of the next while polls succeed.
    pub interval: Duration,
    pub rules: Arc<TunnelRules>,
    pub fleet: Arc<FleetSender>,
    /// Each list reports here that it is being polled.
    pub pulses: Pulses,
}

impl<S: TunnelSource> Poller<S> {
    /// Runs until `stop`; requests in progress are dropped. Continues from what the fleet already knows about the account.
    pub async fn run(self, stop: CancellationToken) {
        let poller = Arc::new(self);
        let mut lists = JoinSet::new();
        for &tunnel_type in TunnelType::ALL {
            lists.spawn(Arc::clone(&poller).poll_list(tunnel_type));
        }
        // Cancel safety: a dropped poll publishes nothing. `poll_list` only ends by a panic.
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
        let pulse = self.pulses.part(format!("the poller of {dataset} of {}", self.account));
        loop {
            self.limiter.take(&pulse).await;
            let started = clock::now();
            pulse.beat(started.instant, self.source.timeout());
            let (result, version) = self.source.list(tunnel_type, look).await;
            let absorbed = list.absorb(result, started, clock::now(), self.interval);
            absorbed.events.iter().for_each(|event| report::log(&self.account, dataset, event));
            self.publish(tunnel_type, &list);
            if absorbed.rate_limited {
                self.limiter.pause(absorbed.wait);
            }
            pulse.beat(clock::now().instant, absorbed.wait);
            look = if list.current().status.state == PollState::Failed(FailureReason::Auth) {
                self.wait_for_secret(version, absorbed.wait).await;
                Look::Again
            } else {
                tokio::time::sleep(absorbed.wait).await;
                Look::IfChanged
            };
        }
    }

    /// Applies the current rules to what is already known about the list.
    fn resume(&self, tunnel_type: TunnelType) -> TrackedList {
        let known = self.fleet.borrow().accounts.get(&self.account).map(|a| a.list(tunnel_type).as_ref().clone());
        let list = TrackedList::resume(self.account.clone(), Arc::clone(&self.rules), known.unwrap_or_default());
        self.publish(tunnel_type, &list);
        list
    }

    /// Waits for `wait`, or until the secret is newer than the refused `version`.
    async fn wait_for_secret(&self, version: u64, wait: Duration) {
        let until = clock::now().after(wait);
        let mut look = Look::Again;
        loop {
            let newest = self.source.secret_version(look).await;
            let left = until.since(clock::now());
            if newest != version || left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(SECRET_CHECK_INTERVAL)).await;
            look = Look::IfChanged;
        }
    }

    fn publish(&self, tunnel_type: TunnelType, list: &TrackedList) {
        self.fleet.send_if_modified(|fleet| {
            let mut next = Fleet::clone(fleet);
            // An account that was removed from the configuration must not come back.
            let Some(account) = next.accounts.get_mut(&self.account) else { return false };
            Arc::make_mut(account).set_list(tunnel_type, list.current().clone());
            *fleet = Arc::new(next);
            true
        });
    }
}

#[cfg(test)]
mod tests;
