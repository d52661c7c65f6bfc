//! The exporter on the real API.

use std::{fmt, sync::Arc};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use web_toolkit::server;

use super::{exporter::start, reload::Load, tasks::run_to_end};
use crate::config::{Config, ConfigError, Inputs, Log, flags::Flags};

/// The command `serve`, its configuration checked.
pub struct Serve {
    config: Config,
    load: Load,
}

impl Serve {
    /// Reads the configuration. Blocks.
    ///
    /// # Errors
    /// The first key whose value breaks a rule.
    pub fn new(flags: Flags, inputs: Inputs) -> Result<Self, ConfigError> {
        let config = Config::for_serve(&flags, &inputs)?;
        Ok(Self { config, load: Arc::new(move || Config::for_serve(&flags, &inputs)) })
    }

    pub fn log(&self) -> Log {
        self.config.log
    }

    /// Polls and serves until `stop`.
    ///
    /// # Errors
    /// An address is taken, TLS cannot be set up, or a task ended by itself.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let bound = server::bind(&self.config.web.listen)?;
        let mut tasks = JoinSet::new();
        start(self.config, self.load, bound, &stop, &mut tasks).await?;
        run_to_end(tasks, stop).await
    }
}

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("config", &self.config).finish_non_exhaustive()
    }
}
