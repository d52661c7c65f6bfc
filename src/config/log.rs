//! How the program logs.

use web_toolkit::{document::Section, given::ConfigError};

use super::{check::member, flags::LogFlags};
use crate::telemetry;

/// Checked settings of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    pub level: telemetry::LogLevel,
    pub format: telemetry::LogFormat,
}

impl Log {
    /// The flags over the section `log`.
    pub(super) fn read(flags: &LogFlags, mut file: Section) -> Result<Self, ConfigError> {
        let log = Self {
            level: member(file.one("level", flags.level.as_deref())?.as_ref(), telemetry::LogLevel::Info)?,
            format: member(file.one("format", flags.format.as_deref())?.as_ref(), telemetry::LogFormat::Logfmt)?,
        };
        file.finish()?;
        Ok(log)
    }
}
