//! What an agent needs to read its inventory from a hub.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{domain::probe::Vantage, https::ApiUrl, secret::Secret};

/// Checked settings of the section `inventory`.
#[derive(Debug, Clone, PartialEq)]
pub struct InventorySettings {
    /// Hubs in the order in which they are tried; at least one.
    pub urls: Vec<ApiUrl>,
    /// Sites of the tunnels that this agent probes; empty for all tunnels.
    pub sites: Vec<Arc<str>>,
    /// Time between two requests.
    pub interval: Duration,
    /// Maximum duration of one request.
    pub timeout: Duration,
    /// Name of this agent.
    pub prober: Arc<str>,
    /// Where Prometheus can scrape this agent.
    pub advertise: Option<Arc<str>>,
    pub credentials: Option<HubCredentials>,
    pub tls: TlsFiles,
    /// Vantage point of tunnels without an override.
    pub vantage: Vantage,
}

impl InventorySettings {
    /// The query of the requests, which also identifies what a stored inventory contains.
    pub fn query(&self) -> String {
        if self.sites.is_empty() {
            return "all=true".to_owned();
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.sites.iter().map(|site| ("site", site)));
        query.finish()
    }
}

/// What an agent sends to prove its identity, besides a client certificate.
#[derive(Debug, Clone, PartialEq)]
pub enum HubCredentials {
    Basic { username: String, password: Secret },
    Bearer(Secret),
}

impl HubCredentials {
    pub fn secret(&self) -> &Secret {
        match self {
            Self::Basic { password: secret, .. } | Self::Bearer(secret) => secret,
        }
    }
}

/// Files with certificates, in PEM. They are read again when they change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The only CA that is trusted; without it, the roots of the system are.
    pub ca: Option<PathBuf>,
    /// Client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Name in the certificate of the hub, if it is not the host of the URL.
    pub server_name: Option<Box<str>>,
}

impl TlsFiles {
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let identity = self.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca.iter().chain(identity)
    }
}
