//! The APIs that are polled: one client for each, and who pays for the requests.

use crate::{
    cloudflare::{self, Client, Settings, SetupError},
    poller::Limiter,
};

/// Clients by what they were made from. Accounts of the same API share its connections.
#[derive(Debug)]
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

    /// The client for an API, made if there is none yet, and its budget.
    pub(super) fn of(&mut self, settings: &Settings) -> Result<(Client, Limiter), SetupError> {
        let limiter = if settings.url.is_loopback() { &self.loopback } else { &self.cloudflare };
        if let Some((_, client)) = self.clients.iter().find(|(known, _)| known == settings) {
            return Ok((client.clone(), limiter.clone()));
        }
        let client = Client::new(settings, self.metrics.clone())?;
        self.clients.push((settings.clone(), client.clone()));
        Ok((client, limiter.clone()))
    }
}
