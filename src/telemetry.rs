//! The log: logfmt or JSON lines on standard error.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

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

/// Sends every event of this program to standard error from now on. Called once.
///
/// The libraries below say warnings and errors only: at their finer levels they write whole packets, with the credentials in them.
pub fn init(level: Level, format: Format) {
    let own = match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    let others = own.min(LevelFilter::WARN);
    let filter = EnvFilter::new(format!("{others},magic_tunnel_exporter={own},web_toolkit={own},magic_sandbox={own}"));
    let registry = tracing_subscriber::registry().with(filter);
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
