//! Keeps the newest picture of every account.
//!
//! One task per account; in it each collection is polled by a loop of its own, so that one which fails or is slow does not hold up the
//! other. What came is absorbed by [`watch::Watch`], which decides what is kept, what is said and when to ask again; the result is
//! published on the `watch` that carries the [`Fleet`]. Nobody else writes that channel while pollers run.

mod credentials;
mod report;
pub mod watch;

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use web_toolkit::{
    bucket::{RateLimit, TokenBucket},
    clock,
};

pub use self::credentials::CredentialSource;
use self::watch::Watch;
use crate::{
    cloudflare::Client,
    domain::{
        inventory::{AccountName, Collection, FailureReason, Fleet, PollState},
        label::Label,
        pulse::{Pulse, Pulses},
        rules::Rules,
    },
    secret::Look,
};

/// The channel on which pollers publish.
pub type FleetSender = tokio::sync::watch::Sender<Arc<Fleet>>;

/// An account to poll.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    pub name: AccountName,
    /// The id in the API's paths.
    pub id: String,
    pub credentials: CredentialSource,
}

/// A refused secret is compared with its file this often: whoever mends it does not want to wait for the next poll.
const LOOK_FOR_A_NEW_SECRET: Duration = Duration::from_secs(5);

/// Spends the request budget that all pollers of a process share. Clones share it.
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

/// Polls one account until it is stopped.
#[derive(Debug, Clone)]
pub struct Poller {
    pub account: Account,
    pub client: Client,
    pub limiter: Limiter,
    /// From the start of one poll to the start of the next, while all goes well.
    pub interval: Duration,
    pub rules: Arc<Rules>,
    pub fleet: Arc<FleetSender>,
    /// Where each collection shows that it is being polled.
    pub pulses: Pulses,
}

impl Poller {
    /// Runs until `stop`; a request under way is dropped. What the fleet knows of the account already is where it goes on from.
    pub async fn run(self, stop: CancellationToken) {
        let [gre, ipsec] = [Collection::GreTunnels, Collection::IpsecTunnels].map(|collection| self.keep(collection));
        // Cancel safety: a dropped poll publishes nothing, and nothing else is shared.
        tokio::select! {
            () = stop.cancelled() => {}
            ((), ()) = async { tokio::join!(gre, ipsec) } => {}
        }
    }

    /// Polls one collection for ever.
    async fn keep(&self, collection: Collection) {
        const { assert!(Collection::ALL.len() == 2, "`run` polls every collection") };
        let mut watch = self.resume(collection);
        let mut look = Look::IfChanged;
        let pulse =
            self.pulses.part(format!("the poller of {} of {}", collection.as_str(), self.account.name.as_str()));
        loop {
            self.limiter.take(&pulse).await;
            let (credentials, version) = self.account.credentials.newest(look).await;
            let started = clock::now();
            pulse.beat(started.instant, self.client.timeout());
            let result = self.client.list(&credentials, &self.account.id, collection).await;
            let absorbed = watch.absorb(result, started, clock::now(), self.interval);
            for event in &absorbed.events {
                report::log(&self.account.name, collection, event);
            }
            self.publish(collection, &watch);
            if absorbed.rate_limited {
                self.limiter.pause(absorbed.wait);
            }
            pulse.beat(clock::now().instant, absorbed.wait);
            look = if watch.snapshot().state == PollState::Failed(FailureReason::Auth) {
                self.rest_refused(version, absorbed.wait).await;
                Look::Again
            } else {
                tokio::time::sleep(absorbed.wait).await;
                Look::IfChanged
            };
        }
    }

    /// What is known of the collection already, under the rules in force.
    fn resume(&self, collection: Collection) -> Watch {
        let known =
            self.fleet.borrow().accounts.get(&self.account.name).map(|a| a.collection(collection).as_ref().clone());
        let watch = Watch::resume(self.account.name.clone(), Arc::clone(&self.rules), known.unwrap_or_default());
        self.publish(collection, &watch);
        watch
    }

    /// Waits after the API has refused this version of the secret; no longer once there is another one.
    async fn rest_refused(&self, version: u64, wait: Duration) {
        let until = clock::now().after(wait);
        let mut look = Look::Again;
        loop {
            let (_, newest) = self.account.credentials.newest(look).await;
            let left = until.since(clock::now());
            if newest != version || left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK_FOR_A_NEW_SECRET)).await;
            look = Look::IfChanged;
        }
    }

    fn publish(&self, collection: Collection, watch: &Watch) {
        self.fleet.send_if_modified(|fleet| {
            let mut next = Fleet::clone(fleet);
            // An account that was taken out of the configuration stays out.
            let Some(account) = next.accounts.get_mut(&self.account.name) else { return false };
            Arc::make_mut(account).set_collection(collection, watch.snapshot().clone());
            *fleet = Arc::new(next);
            true
        });
    }
}

#[cfg(test)]
mod tests;
