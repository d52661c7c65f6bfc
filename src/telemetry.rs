//! The log: logfmt or JSON lines on standard error.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::domain::label::label_enum;

label_enum! {
    /// Least severe events that are written (`--log.level`).
    pub enum Level {
        Trace => "trace",
        Debug => "debug",
        Info => "info",
        Warn => "warn",
        Error => "error",
    }
}

label_enum! {
    /// How a line is written (`--log.format`).
    pub enum Format {
        Logfmt => "logfmt",
        Json => "json",
    }
}

/// Crates of this program: only their events follow `--log.level`.
const OWN_CRATES: [&str; 3] = ["magic_tunnel_exporter", "web_toolkit", "magic_sandbox"];

/// Sends every event of this program to standard error from now on. Called once.
pub fn init(level: Level, format: Format) {
    let own = match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    let registry = tracing_subscriber::registry().with(filter(own));
    match format {
        Format::Logfmt => {
            let layer = tracing_logfmt::builder().with_target(false).layer();
            registry.with(layer.with_writer(io::stderr)).init();
        }
        Format::Json => {
            let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false);
            registry.with(layer.with_writer(io::stderr)).init();
        }
    }
}

/// Other crates log warnings and errors only, because at finer levels they log whole packets, credentials included.
fn filter(own: LevelFilter) -> Targets {
    let others = own.min(LevelFilter::WARN);
    Targets::new().with_default(others).with_targets(OWN_CRATES.map(|name| (name, own)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_crates_never_log_below_warnings() {
        use tracing::Level;
        let trace = filter(LevelFilter::TRACE);
        for own in ["magic_tunnel_exporter", "magic_tunnel_exporter::poller::report", "web_toolkit::tls"] {
            assert!(trace.would_enable(own, &Level::TRACE), "{own}");
        }
        for other in ["hyper_util::client", "rustls", "reqwest::connect", "surge_ping"] {
            assert!(!trace.would_enable(other, &Level::INFO) && trace.would_enable(other, &Level::WARN), "{other}");
        }
        let error = filter(LevelFilter::ERROR);
        for crate_name in ["magic_tunnel_exporter", "hyper"] {
            assert!(!error.would_enable(crate_name, &Level::WARN), "{crate_name}");
            assert!(error.would_enable(crate_name, &Level::ERROR), "{crate_name}");
        }
    }
}
