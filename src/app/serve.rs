//! The exporter on the real API.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{exporter::start, tasks::run_to_end};
use crate::{
    config::{Config, ConfigError, Inputs, Log, flags::Flags},
    server,
};

/// The command `serve`, its configuration checked.
#[derive(Debug)]
pub struct Serve {
    config: Config,
}

impl Serve {
    /// Reads the configuration. Blocks.
    ///
    /// # Errors
    /// The first key whose value breaks a rule.
    pub fn new(flags: &Flags, inputs: &Inputs) -> Result<Self, ConfigError> {
        Ok(Self { config: Config::for_serve(flags, inputs)? })
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
        start(&self.config, bound, &stop, &mut tasks)?;
        run_to_end(tasks, stop).await
    }
}
