//! A reload: everything that can be read anew is read and checked first, and only when all of it is good, all of it is applied.

use std::{fmt, sync::Arc};

use tokio::sync::watch;
use web_toolkit::access::{Access, Replacement};

use super::{
    apis::Apis,
    difference::Difference,
    pollers::{Fallen, Pollers},
};
use crate::{
    config::{Config, ConfigError},
    prober,
};

/// Reads the configuration as at the start. Blocks.
pub(super) type Load = Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// What a reload reads, and nothing else.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) load: Load,
    pub(super) access: Arc<Access>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("access", &self.access).finish_non_exhaustive()
    }
}

/// Where the settings go that change while their readers run.
#[derive(Debug)]
pub(super) struct Controls {
    pub(super) probe: watch::Sender<Arc<prober::settings::Settings>>,
    pub(super) stale_after: watch::Sender<std::time::Duration>,
    pub(super) poll_interval: watch::Sender<std::time::Duration>,
}

/// A configuration that was checked and can be applied without failing.
pub(super) struct Prepared {
    config: Config,
    apis: Apis,
    access: Replacement,
}

impl Sources {
    /// Reads and checks everything. Blocks.
    ///
    /// # Errors
    /// The sentence for the operator; nothing has changed then.
    pub(super) fn prepare(&self, mut apis: Apis) -> Result<Prepared, String> {
        let config = (self.load)().map_err(|error| error.to_string())?;
        let access = self.access.prepare(config.web.access.clone())?;
        apis.serve(&config).map_err(|error| error.to_string())?;
        Ok(Prepared { config, apis, access })
    }
}

/// What is in force.
#[derive(Debug)]
pub(super) struct InForce {
    pub(super) config: Config,
    pub(super) apis: Apis,
    pub(super) pollers: Pollers,
    pub(super) controls: Controls,
    pub(super) access: Arc<Access>,
}

impl InForce {
    /// Puts a new configuration in the place of the present one, and says what that changed.
    ///
    /// # Errors
    /// A poller that should have gone on has ended.
    pub(super) async fn take(&mut self, prepared: Prepared) -> Result<Difference, Fallen> {
        let Prepared { config, apis, access } = prepared;
        let difference = Difference::between(&self.config, &config);
        self.pollers.apply(&difference, &config, &apis).await?;
        self.access.apply(access);
        self.controls.apply(&config);
        self.apis = apis;
        // What waits for the next start is still as it was, so that the next reload says so again.
        self.config = Config { web: self.config.web.clone(), log: self.config.log, ..config };
        Ok(difference)
    }
}

impl Controls {
    /// Whoever reads an unchanged setting does not notice.
    fn apply(&self, config: &Config) {
        self.probe.send_if_modified(|probe| {
            let changed = **probe != config.probe;
            if changed {
                *probe = Arc::new(config.probe.clone());
            }
            changed
        });
        for (sender, value) in
            [(&self.stale_after, config.poll.stale_after), (&self.poll_interval, config.poll.interval)]
        {
            sender.send_if_modified(|old| std::mem::replace(old, value) != value);
        }
    }
}
