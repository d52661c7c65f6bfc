//! Keeps the newest picture of every account.
//!
//! One task per account; in it each collection is polled by a loop of its own, so that one which fails or is slow does not hold up the
//! other. What came is absorbed by [`watch::Watch`], which decides what is kept, what is said and when to ask again; the result is
//! published on the `watch` that carries the [`Fleet`]. Nobody else writes that channel while pollers run.

mod budget;
mod report;
pub mod watch;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use self::budget::Budget;
use crate::{
    clock,
    cloudflare::{Client, Credentials},
    domain::{
        inventory::{AccountName, Collection, Fleet},
        label::Label,
        pulse::{Pulse, Pulses},
    },
};

/// The channel on which pollers publish.
pub type FleetSender = tokio::sync::watch::Sender<Arc<Fleet>>;

/// An account to poll.
#[derive(Debug, Clone)]
pub struct Account {
    pub name: AccountName,
    /// The id in the API's paths.
    pub id: String,
    pub credentials: Credentials,
}

/// Spends the request budget that all pollers of a process share. Clones share it.
#[derive(Clone)]
pub struct Limiter(Arc<Mutex<Budget>>);

impl Limiter {
    /// A third of Cloudflare's budget for a user, which dashboards and other tools draw on as well.
    pub fn for_cloudflare() -> Self {
        Self(Arc::new(Mutex::new(Budget::new(50, 400, Duration::from_mins(5), clock::now()))))
    }

    /// For an API of one's own, such as the sandbox.
    pub fn unlimited() -> Self {
        Self(Arc::new(Mutex::new(Budget::new(u32::MAX, u32::MAX, Duration::from_secs(1), clock::now()))))
    }

    /// Waits until a request may be sent.
    async fn take(&self, pulse: &Pulse) {
        loop {
            let taken = self.with(|budget| budget.take(clock::now()));
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
        self.with(|budget| budget.pause(clock::now(), wait));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Budget) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
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
    pub fleet: Arc<FleetSender>,
    /// Where each collection shows that it is being polled.
    pub pulses: Pulses,
}

impl Poller {
    /// Runs until `stop`; a request under way is dropped.
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
        let mut watch = watch::Watch::default();
        let pulse =
            self.pulses.part(format!("the poller of {} of {}", collection.as_str(), self.account.name.as_str()));
        loop {
            self.limiter.take(&pulse).await;
            let started = clock::now();
            pulse.beat(started.instant, self.client.timeout());
            let result = self.client.list(&self.account.credentials, &self.account.id, collection).await;
            let absorbed = watch.absorb(result, started, clock::now(), self.interval);
            for event in &absorbed.events {
                report::log(&self.account.name, collection, event);
            }
            self.publish(collection, &watch);
            if absorbed.rate_limited {
                self.limiter.pause(absorbed.wait);
            }
            pulse.beat(clock::now().instant, absorbed.wait);
            tokio::time::sleep(absorbed.wait).await;
        }
    }

    fn publish(&self, collection: Collection, watch: &watch::Watch) {
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
