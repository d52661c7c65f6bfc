//! A reload: everything that can be read anew is read and checked first, and only when all of it is good, all of it is applied.

use std::{fmt, sync::Arc};

use tokio::sync::watch;

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

/// Something beside the configuration that a reload reads anew, such as the certificates of the web server.
pub(super) trait Part: Send + Sync {
    /// Checks what is new, which the new configuration may hold already, and gives the step that applies it. Nothing may have changed when that step is dropped instead. Blocks.
    ///
    /// # Errors
    /// The sentence for the operator.
    fn prepare(&self, config: &Config) -> Result<Box<dyn FnOnce() + Send>, String>;
}

/// What a reload reads, and nothing else.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) load: Load,
    pub(super) parts: Arc<[Box<dyn Part>]>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("parts", &self.parts.len()).finish_non_exhaustive()
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
    steps: Vec<Box<dyn FnOnce() + Send>>,
}

impl Sources {
    /// Reads and checks everything. Blocks.
    ///
    /// # Errors
    /// The sentence for the operator; nothing has changed then.
    pub(super) fn prepare(&self, mut apis: Apis) -> Result<Prepared, String> {
        let config = (self.load)().map_err(|error| error.to_string())?;
        let steps = self.parts.iter().map(|part| part.prepare(&config)).collect::<Result<_, _>>()?;
        apis.serve(&config).map_err(|error| error.to_string())?;
        Ok(Prepared { config, apis, steps })
    }
}

/// What is in force.
#[derive(Debug)]
pub(super) struct InForce {
    pub(super) config: Config,
    pub(super) apis: Apis,
    pub(super) pollers: Pollers,
    pub(super) controls: Controls,
}

impl InForce {
    /// Puts a new configuration in the place of the present one, and says what that changed.
    ///
    /// # Errors
    /// A poller that should have gone on has ended.
    pub(super) async fn take(&mut self, prepared: Prepared) -> Result<Difference, Fallen> {
        let Prepared { config, apis, steps } = prepared;
        let difference = Difference::between(&self.config, &config);
        self.pollers.apply(&difference, &config, &apis).await?;
        for step in steps {
            step();
        }
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
