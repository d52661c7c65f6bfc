//! Prometheus exporter and health prober for Cloudflare Magic WAN and Magic Transit tunnels.

pub mod app;
pub mod cli;
pub mod clock;
pub mod cloudflare;
pub mod config;
pub mod correlate;
pub mod domain;
pub mod exposition;
pub mod file;
pub mod history;
pub mod http;
pub mod overview;
pub mod poller;
pub mod privileges;
pub mod prober;
pub mod sandbox;
pub mod secret;
pub mod series;
pub mod server;
pub mod telemetry;
pub mod yaml;
