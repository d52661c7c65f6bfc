//! The pollers that run, one task for each account, and the fleet they publish.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{apis::Apis, difference::Difference};
use crate::{
    config::{AccountConfig, Config},
    domain::{
        inventory::{AccountName, Fleet},
        pulse::Pulses,
    },
    poller::{ApiSource, FleetSender, Poller},
};

/// Owns every poller. Dropping it drops them.
#[derive(Debug)]
pub(super) struct Pollers {
    fleet: Arc<FleetSender>,
    tasks: JoinSet<AccountName>,
    running: BTreeMap<AccountName, CancellationToken>,
    pulses: Pulses,
    /// Ends them all.
    stop: CancellationToken,
}

/// A poller ended although nobody had asked it to.
#[derive(Debug, thiserror::Error)]
#[error("a poller ended by itself")]
pub(super) struct Fallen;

impl Pollers {
    /// None yet; the fleet knows nothing of the accounts of `config`.
    pub(super) fn new(config: &Config, pulses: &Pulses, stop: &CancellationToken) -> Self {
        let names = config.accounts.iter().map(|account| account.account.name.clone());
        let fleet = Arc::new(watch::Sender::new(Arc::new(Fleet::waiting(names))));
        Self {
            fleet,
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            pulses: pulses.clone(),
            stop: stop.child_token(),
        }
    }

    pub(super) fn fleet(&self) -> &FleetSender {
        &self.fleet
    }

    /// Starts what is new, restarts what is different, ends and forgets what is gone. `apis` serve `config`.
    ///
    /// # Errors
    /// One that should have gone on has ended.
    pub(super) async fn apply(&mut self, difference: &Difference, config: &Config, apis: &Apis) -> Result<(), Fallen> {
        self.end(difference.stopping()).await?;
        self.fleet.send_modify(|fleet| {
            let mut next = Fleet::clone(fleet);
            next.accounts.retain(|name, _| !difference.forgotten.contains(name));
            for account in &difference.added {
                next.accounts.insert(account.account.name.clone(), Arc::default());
            }
            *fleet = Arc::new(next);
        });
        self.start(difference.added.iter().chain(&difference.changed), config, apis);
        Ok(())
    }

    /// Polls these accounts from now on.
    pub(super) fn start<'a>(
        &mut self,
        accounts: impl IntoIterator<Item = &'a AccountConfig>,
        config: &Config,
        apis: &Apis,
    ) {
        for account in accounts {
            let Some((client, limiter)) = apis.client_for(account, config) else { continue };
            let poller = Poller {
                account: account.account.name.clone(),
                source: ApiSource { account: account.account.clone(), client },
                limiter,
                interval: config.poll.interval,
                rules: Arc::clone(&config.rules),
                fleet: Arc::clone(&self.fleet),
                pulses: self.pulses.clone(),
            };
            let (name, stop) = (account.account.name.clone(), self.stop.child_token());
            self.running.insert(name.clone(), stop.clone());
            self.tasks.spawn(async move {
                poller.run(stop).await;
                name
            });
        }
    }

    /// Ends these and waits for it, so that none of them publishes any more.
    async fn end(&mut self, mut names: BTreeSet<AccountName>) -> Result<(), Fallen> {
        for stop in names.iter().filter_map(|name| self.running.remove(name)) {
            stop.cancel();
        }
        while !names.is_empty() {
            match self.tasks.join_next().await {
                Some(Ok(ended)) if names.remove(&ended) => {}
                Some(_) => return Err(Fallen),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Waits for one to end by itself; for ever where all go on. Cancel safe.
    pub(super) async fn fallen(&mut self) -> Fallen {
        match self.tasks.join_next().await {
            Some(_) => Fallen,
            None => std::future::pending().await,
        }
    }

    /// Keeps all of them until `stop`, or until one ends by itself.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            Fallen = self.fallen() => {}
        }
        self.stop().await;
    }

    /// Ends all and waits for it.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}
