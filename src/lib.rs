//! Prometheus exporter and health prober for Cloudflare Magic WAN and Magic Transit tunnels.

pub mod clock;
pub mod correlate;
pub mod domain;
pub mod prober;
