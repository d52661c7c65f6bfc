//! Checks of single values, and what a wrong one is told.

use std::{fmt, str::FromStr, time::Duration};

use crate::domain::label::Label;

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
