//! What every command is configured from, in addition to its own flags: the file, the environment and the log settings.

use std::{fmt, sync::Arc};

use web_toolkit::{
    keys,
    settings::{Input, Setting, SettingsReader},
    yaml::Node,
};

use super::flags::{FileFlags, LogFlags};
use crate::{domain::label::Label, secret::Secrets, telemetry};

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
        let keys = reader.section("log", node);
        let level = label(reader, ("log.level", flags.level.as_deref(), keys.level));
        let format = label(reader, ("log.format", flags.format.as_deref(), keys.format));
        Self {
            level: level.unwrap_or(telemetry::LogLevel::Info),
            format: format.unwrap_or(telemetry::LogFormat::Logfmt),
        }
    }
}

/// The label with the name that is set, if one is set.
pub(super) fn label<T: Label>(reader: &mut SettingsReader, input: Input<'_>) -> Option<T> {
    let setting = reader.one(input)?;
    reader.choice(&setting, T::ALL.iter().map(|label| (label.as_str(), *label)))
}
