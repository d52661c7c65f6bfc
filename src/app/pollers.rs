//! The running pollers, one task per account, the API clients they share, and the fleet they publish.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::difference::Difference;
use crate::{
    cloudflare::{self, Client, ClientSettings, SetupError},
    config::{AccountConfig, Config},
    domain::{
        dataset::Dataset,
        inventory::{AccountName, Fleet},
        label::Label as _,
        pulse::Pulses,
    },
    inventory::InventoryMetrics,
    poller::{
        ApiSource, FleetSender, HubFeed, InventoryStore, Limiter, Poller,
        edge::{EdgePoller, prepare_view},
        prepare_interconnects,
        routes::prepare_routes,
        rule_usage::RuleUsage,
    },
};

/// API clients by their settings: accounts with the same API share its connections. Clones share clients and request
/// budgets.
#[derive(Debug, Clone)]
pub(super) struct ApiClients {
    metrics: cloudflare::Metrics,
    clients: Vec<(ClientSettings, Client)>,
    /// Shared by all pollers of the real API.
    cloudflare: Limiter,
    /// The same for queries of the GraphQL API.
    graphql: Limiter,
    loopback: Limiter,
}

impl ApiClients {
    pub(super) fn new(metrics: cloudflare::Metrics) -> Self {
        Self {
            metrics,
            clients: Vec::new(),
            cloudflare: Limiter::for_cloudflare(),
            graphql: Limiter::for_graphql(),
            loopback: Limiter::unlimited(),
        }
    }

    /// Creates the missing clients for `config` and drops the unused ones. Blocks, because it reads CA certificates.
    ///
    /// # Errors
    /// TLS for a new client cannot be set up.
    pub(super) fn update(&mut self, config: &Config) -> Result<(), SetupError> {
        let mut clients: Vec<(ClientSettings, Client)> = Vec::new();
        for settings in config.accounts.iter().map(|account| settings(account, config)) {
            if find(&clients, &settings).is_none() {
                let client = match find(&self.clients, &settings) {
                    Some(known) => known.clone(),
                    None => Client::new(&settings, self.metrics.clone())?,
                };
                clients.push((settings, client));
            }
        }
        self.clients = clients;
        Ok(())
    }

    /// The client and the budgets of requests and of GraphQL queries for an account. Creates its metrics. `None`
    /// if the last [`update`](Self::update) did not include it.
    fn client_for(&self, account: &AccountConfig, config: &Config) -> Option<(Client, [Limiter; 2])> {
        let edge = config.edge_of(account);
        let is_polled = |dataset: &Dataset| match dataset {
            Dataset::EdgeHealth => edge.is_some(),
            Dataset::EdgeTraffic => edge.as_ref().is_some_and(|edge| edge.traffic),
            Dataset::Routes => config.routes.is_some(),
            Dataset::Interconnects => config.interconnects,
            Dataset::GreTunnels | Dataset::IpsecTunnels => true,
        };
        self.metrics.add_account(&account.account.name, Dataset::ALL.iter().copied().filter(is_polled));
        let limiters = if account.url.is_loopback() {
            [&self.loopback, &self.loopback]
        } else {
            [&self.cloudflare, &self.graphql]
        };
        find(&self.clients, &settings(account, config)).map(|client| (client.clone(), limiters.map(Limiter::clone)))
    }
}

fn settings(account: &AccountConfig, config: &Config) -> ClientSettings {
    ClientSettings { url: account.url.clone(), timeout: config.poll.timeout }
}

fn find<'a>(clients: &'a [(ClientSettings, Client)], settings: &ClientSettings) -> Option<&'a Client> {
    clients.iter().find(|(known, _)| known == settings).map(|(_, client)| client)
}

/// The rules of a configuration, before any list is read.
pub(super) fn rule_usage(config: &Config) -> RuleUsage {
    let accounts = config.accounts.iter().map(|account| &account.account.name);
    RuleUsage::new(Arc::clone(&config.rules), &config.file_rules, accounts, config.interconnects)
}

/// What an agent needs besides its settings.
#[derive(Debug, Clone)]
pub(super) struct AgentParts {
    pub(super) metrics: InventoryMetrics,
    /// The newest inventory, at first that of an earlier run.
    pub(super) store: Arc<InventoryStore>,
}

/// What a task polls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Polled {
    Account(AccountName),
    /// The inventory of an agent.
    Hub,
}

/// Owns every poller. Dropping it aborts them.
#[derive(Debug)]
pub(super) struct Pollers {
    fleet: Arc<FleetSender>,
    tasks: JoinSet<Polled>,
    running: BTreeMap<Polled, CancellationToken>,
    agent: Option<AgentParts>,
    rule_usage: RuleUsage,
    pulses: Pulses,
    /// Changes at each reload, and wakes pollers that are refused.
    reloads: watch::Sender<()>,
    /// Parent of the tokens in `running`.
    stop: CancellationToken,
}

/// A poller ended although it was not stopped.
#[derive(Debug, thiserror::Error)]
#[error("a poller ended unexpectedly")]
pub(super) struct PollerEnded;

impl Pollers {
    /// Starts a poller for each account, or the reader of an agent's inventory. `clients` were updated for `config`.
    pub(super) fn start(
        config: &Config,
        clients: &ApiClients,
        pulses: Pulses,
        agent: Option<AgentParts>,
        stop: &CancellationToken,
    ) -> Self {
        let names = config.accounts.iter().map(|account| account.account.name.clone());
        let fleet = if agent.is_some() { Fleet::awaiting_hub() } else { Fleet::unpolled(names) };
        let fleet = Arc::new(watch::Sender::new(Arc::new(fleet)));
        let stop = stop.child_token();
        let rule_usage = rule_usage(config);
        let (tasks, running, reloads) = (JoinSet::new(), BTreeMap::new(), watch::Sender::new(()));
        let mut pollers = Self { fleet, tasks, running, agent, rule_usage, pulses, reloads, stop };
        pollers.spawn(&config.accounts, config, clients);
        pollers.spawn_feed(config);
        pollers
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Fleet>> {
        self.fleet.subscribe()
    }

    /// Starts added accounts, restarts changed ones, stops and forgets removed ones; refused pollers try again.
    /// `clients` were updated for `config`.
    ///
    /// # Errors
    /// A poller ended that was not stopped.
    pub(super) async fn apply(
        &mut self,
        difference: &Difference,
        config: &Config,
        clients: &ApiClients,
    ) -> Result<(), PollerEnded> {
        let accounts = difference.stopping().into_iter().map(Polled::Account);
        self.stop_tasks(accounts.chain(difference.inventory_changed.then_some(Polled::Hub)).collect()).await?;
        self.rule_usage.replace(rule_usage(config));
        difference.forgotten.iter().for_each(|account| clients.metrics.remove_account(account));
        self.fleet.send_modify(|fleet| {
            let mut next = Fleet::clone(fleet);
            next.accounts.retain(|name, _| !difference.forgotten.contains(name));
            for account in &difference.added {
                next.accounts.insert(account.account.name.clone(), Arc::default());
            }
            *fleet = Arc::new(next);
        });
        self.reloads.send_replace(());
        self.spawn(difference.added.iter().chain(&difference.changed), config, clients);
        if difference.inventory_changed {
            self.spawn_feed(config);
        }
        Ok(())
    }

    fn spawn_feed(&mut self, config: &Config) {
        let (Some(settings), Some(agent)) = (&config.inventory, &self.agent) else { return };
        let feed = HubFeed {
            settings: Arc::new(settings.clone()),
            rules: Arc::clone(&config.rules),
            fleet: Arc::clone(&self.fleet),
            pulses: self.pulses.clone(),
            metrics: agent.metrics.clone(),
            store: Arc::clone(&agent.store),
        };
        let stop = self.stop.child_token();
        self.running.insert(Polled::Hub, stop.clone());
        self.tasks.spawn(async move {
            feed.run(stop).await;
            Polled::Hub
        });
    }

    fn spawn<'a>(
        &mut self,
        accounts: impl IntoIterator<Item = &'a AccountConfig>,
        config: &Config,
        clients: &ApiClients,
    ) {
        for account in accounts {
            let Some((client, [limiter, graphql])) = clients.client_for(account, config) else { continue };
            let source = ApiSource { account: account.account.clone(), client };
            let edge = self.edge_poller(account, config, source.clone(), graphql);
            prepare_routes(&self.fleet, &account.account.name, config.routes);
            prepare_interconnects(&self.fleet, &account.account.name, config.interconnects);
            let poller = Poller {
                account: account.account.name.clone(),
                source,
                limiter,
                interval: config.poll.interval,
                rules: Arc::clone(&config.rules),
                rule_usage: self.rule_usage.clone(),
                routes: config.routes.is_some(),
                interconnects: config.interconnects,
                fleet: Arc::clone(&self.fleet),
                pulses: self.pulses.clone(),
                reloads: self.reloads.subscribe(),
            };
            let (name, stop) = (Polled::Account(account.account.name.clone()), self.stop.child_token());
            self.running.insert(name.clone(), stop.clone());
            self.tasks.spawn(async move {
                let edge = async {
                    if let Some(edge) = edge {
                        edge.run(stop.clone()).await;
                    }
                };
                tokio::join!(poller.run(stop.clone()), edge);
                name
            });
        }
    }

    /// The poller of the edge. Publishes its view. `None` if the edge is not polled.
    fn edge_poller(
        &self,
        account: &AccountConfig,
        config: &Config,
        source: ApiSource,
        limiter: Limiter,
    ) -> Option<EdgePoller<ApiSource>> {
        let name = account.account.name.clone();
        let settings = config.edge_of(account);
        prepare_view(&self.fleet, &name, settings.as_ref());
        let (fleet, pulses) = (Arc::clone(&self.fleet), self.pulses.clone());
        let reloads = self.reloads.subscribe();
        Some(EdgePoller { account: name, source, limiter, settings: settings?, fleet, pulses, reloads })
    }

    /// Stops these tasks and waits for their end, so that none of them publishes afterwards.
    async fn stop_tasks(&mut self, mut names: BTreeSet<Polled>) -> Result<(), PollerEnded> {
        for stop in names.iter().filter_map(|name| self.running.remove(name)) {
            stop.cancel();
        }
        while !names.is_empty() {
            match self.tasks.join_next().await {
                Some(Ok(ended)) if names.remove(&ended) => {}
                Some(_) => return Err(PollerEnded),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Waits until a poller ends unexpectedly; forever if none does. Cancel safe.
    pub(super) async fn wait_for_failure(&mut self) -> PollerEnded {
        match self.tasks.join_next().await {
            Some(_) => PollerEnded,
            None => std::future::pending().await,
        }
    }

    /// Keeps the pollers running until `stop`, or until one ends unexpectedly.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            PollerEnded = self.wait_for_failure() => {}
        }
        self.stop().await;
    }

    /// Stops all pollers and waits for their end.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}
