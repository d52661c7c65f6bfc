//! What every command is configured from, beside flags of its own.

use std::{fmt, sync::Arc};

use web_toolkit::{
    document::{self, Section},
    given::ConfigError,
};

use super::flags::{FileFlags, LogFlags};
use crate::secret::Secrets;

/// Reads an environment variable; tests bring their own.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The flags that every command has, the environment, and the secrets that are in use already. Clones share those.
#[derive(Clone)]
pub struct Inputs {
    pub file: FileFlags,
    pub log: LogFlags,
    pub environment: Environment,
    pub secrets: Arc<Secrets>,
}

impl Inputs {
    /// With the environment of this process.
    pub fn of_this_process(file: FileFlags, log: LogFlags) -> Self {
        Self { file, log, environment: Arc::new(|name| std::env::var(name).ok()), secrets: Arc::default() }
    }

    /// The configuration file; every section is empty where none was named. A command leaves the sections of others alone. Blocks.
    pub(super) fn document(&self) -> Result<Section, ConfigError> {
        let root = document::open(self.file.path.as_deref().filter(|path| !path.is_empty()))?;
        root.only(&["accounts", "cloudflare", "log", "poll", "probe", "sandbox", "tunnels", "web"])?;
        Ok(root)
    }

    /// A variable that is set, and not to nothing.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.trim().is_empty())
    }
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").field("file", &self.file).field("log", &self.log).finish_non_exhaustive()
    }
}
