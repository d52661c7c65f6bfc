//! The APIs that are polled: one client for each, and who pays for the requests.

use crate::{
    cloudflare::{self, Client, Settings, SetupError},
    config::{AccountConfig, Config},
    poller::Limiter,
};

/// Clients by what they were made from. Accounts of the same API share its connections; clones share clients and budgets.
#[derive(Debug, Clone)]
pub(super) struct Apis {
    metrics: cloudflare::Metrics,
    clients: Vec<(Settings, Client)>,
    /// Shared by all pollers of the real API.
    cloudflare: Limiter,
    loopback: Limiter,
}

impl Apis {
    pub(super) fn new(metrics: cloudflare::Metrics) -> Self {
        Self { metrics, clients: Vec::new(), cloudflare: Limiter::for_cloudflare(), loopback: Limiter::unlimited() }
    }

    /// A client for each account, in their order; those of before are used again, and those that nobody needs are let go. Blocks: it reads
    /// certificates.
    pub(super) fn serve(&mut self, config: &Config) -> Result<(), SetupError> {
        let mut clients: Vec<(Settings, Client)> = Vec::new();
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

    /// The client for an account of the configuration that is [served](Self::serve), and its budget.
    pub(super) fn client_for(&self, account: &AccountConfig, config: &Config) -> Option<(Client, Limiter)> {
        let limiter = if account.url.is_loopback() { &self.loopback } else { &self.cloudflare };
        find(&self.clients, &settings(account, config)).map(|client| (client.clone(), limiter.clone()))
    }
}

fn settings(account: &AccountConfig, config: &Config) -> Settings {
    Settings { url: account.url.clone(), timeout: config.poll.timeout }
}

fn find<'a>(clients: &'a [(Settings, Client)], settings: &Settings) -> Option<&'a Client> {
    clients.iter().find(|(known, _)| known == settings).map(|(_, client)| client)
}
