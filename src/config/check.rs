//! Checks of single values, and what a wrong one is told.

use std::{fmt, path::Path, str::FromStr, time::Duration};

use secrecy::SecretString;

use crate::{domain::label::Label, file};

/// A token has 40 characters; this leaves room for whatever comes.
const MOST_SECRET_BYTES: u64 = 4096;

/// A key with a value that breaks a rule. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    key: &'static str,
    value: Option<String>,
    rule: String,
}

impl ConfigError {
    pub fn new(key: &'static str, value: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { key, value: Some(value.into()), rule: rule.into() }
    }

    /// A key that has no value, or none that may be shown.
    pub fn without_value(key: &'static str, rule: impl Into<String>) -> Self {
        Self { key, value: None, rule: rule.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "`{}` is `{value}`: {}", self.key, self.rule),
            None => write!(f, "`{}` {}", self.key, self.rule),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Reads an environment variable; tests bring their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

pub(super) fn parse<T: FromStr<Err: fmt::Display>>(key: &'static str, text: &str) -> Result<T, ConfigError> {
    text.trim().parse().map_err(|error: T::Err| ConfigError::new(key, text, error.to_string()))
}

pub(super) fn duration(
    key: &'static str,
    text: Option<&str>,
    default: &str,
    least: Duration,
) -> Result<Duration, ConfigError> {
    const MOST: Duration = Duration::from_hours(24);
    let text = text.unwrap_or(default);
    let wrong = |rule: String| ConfigError::new(key, text, rule);
    let duration =
        humantime::parse_duration(text.trim()).map_err(|_| wrong("must be a duration such as 30s, 5m or 1h".into()))?;
    if duration < least || duration > MOST {
        let least = humantime::format_duration(least);
        return Err(wrong(format!("must be between {least} and 24h")));
    }
    Ok(duration)
}

pub(super) fn member<T: Label>(key: &'static str, text: Option<&str>, default: T) -> Result<T, ConfigError> {
    let Some(text) = text else { return Ok(default) };
    let known = T::ALL.iter().copied().find(|member| member.as_str() == text.trim());
    known.ok_or_else(|| {
        let names: Vec<&str> = T::ALL.iter().map(|member| member.as_str()).collect();
        ConfigError::new(key, text, format!("must be one of {}", names.join(", ")))
    })
}

/// On or off; an empty value, as of a variable that is set to nothing, says neither.
pub(super) fn switch(key: &'static str, text: Option<&str>, default: bool) -> Result<bool, ConfigError> {
    match text.map(str::trim) {
        None | Some("") => Ok(default),
        Some("true" | "1" | "yes" | "on") => Ok(true),
        Some("false" | "0" | "no" | "off") => Ok(false),
        Some(other) => Err(ConfigError::new(key, other, "must be true or false")),
    }
}

/// The content of a file that holds one secret, without the line break at its end.
pub(super) fn secret_file(key: &'static str, path: &str) -> Result<SecretString, ConfigError> {
    let text = file::read_text(Path::new(path), MOST_SECRET_BYTES)
        .map_err(|error| ConfigError::new(key, path, error.to_string()))?;
    match text.trim() {
        "" => Err(ConfigError::new(key, path, "must hold a secret: the file is empty")),
        secret => Ok(secret.into()),
    }
}
