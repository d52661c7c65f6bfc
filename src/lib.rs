//! Prometheus exporter and health prober for Cloudflare Magic WAN and Magic Transit tunnels.

pub mod agents;
pub mod app;
pub mod cli;
pub mod cloudflare;
pub mod config;
pub mod correlate;
pub mod domain;
pub mod exposition;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod http;
pub mod https;
pub mod inventory;
pub mod poller;
pub mod privileges;
pub mod prober;
pub mod secret;
pub mod series;
pub mod snapshot;
pub mod state;
pub mod telemetry;
