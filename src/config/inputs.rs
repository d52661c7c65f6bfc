//! What every command is configured from, in addition to its own flags: the file, the environment and the log settings.

use std::{fmt, path::Path, sync::Arc};

use serde::Deserialize;
use web_toolkit::{
    file, keys,
    settings::{ConfigError, Input, Layout, Setting, SettingsReader},
    yaml::Node,
};

use super::flags::{FileFlags, LogFlags};
use crate::{domain::label::Label, secret::Secrets, telemetry};

/// Ten thousand overrides fit.
const MOST_BYTES: u64 = 1 << 20;

/// Reads an environment variable. Tests have an environment of their own.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The flags of every command, the environment, and the secrets that are in use. Clones share the secrets.
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

    /// Reads the configuration file. Without a file, all sections of `M` are empty. Blocks.
    pub(super) fn open<M>(&self, layout: Layout) -> Result<(SettingsReader, M), ConfigError>
    where
        M: Default + for<'de> Deserialize<'de>,
    {
        let Some(path) = self.file.path.as_deref().filter(|path| !path.is_empty()) else {
            return Ok(Default::default());
        };
        let text = file::read_text(Path::new(path), MOST_BYTES);
        let text = text.map_err(|error| Setting::from_flag("--config.file", path).mistake(error))?;
        SettingsReader::open(path, text, layout)
    }

    /// An environment variable that is set and not empty.
    pub(super) fn variable(&self, name: &'static str) -> Option<Setting> {
        let value = (self.environment)(name).filter(|value| !value.trim().is_empty())?;
        Some(Setting::from_flag(name, &value))
    }
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").field("file", &self.file).field("log", &self.log).finish_non_exhaustive()
    }
}

/// Checked settings of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    pub level: telemetry::LogLevel,
    pub format: telemetry::LogFormat,
}

keys! { pub(super) struct LogKeys { level, format } }

impl Log {
    pub(super) fn read(flags: &LogFlags, reader: &mut SettingsReader, node: Node<LogKeys>) -> Self {
        let LogKeys { level, format } = reader.section("log", node);
        Self {
            level: label(reader, ("log.level", flags.level.as_deref(), level)).unwrap_or(telemetry::LogLevel::Info),
            format: label(reader, ("log.format", flags.format.as_deref(), format))
                .unwrap_or(telemetry::LogFormat::Logfmt),
        }
    }
}

/// The label with the name that is set, if one is set.
pub(super) fn label<T: Label>(reader: &mut SettingsReader, input: Input<'_>) -> Option<T> {
    let setting = reader.one(input)?;
    reader.choice(&setting, T::ALL.iter().map(|label| (label.as_str(), *label)))
}
