//! What was given for a key, and where: on the command line, in the environment, or in the configuration file.

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::text::shown;

/// A line of the configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<str>,
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: line {}", self.file, self.line)
    }
}

/// A key with a value that breaks a rule. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    place: Option<Place>,
    key: Option<Cow<'static, str>>,
    value: Option<String>,
    rule: String,
}

impl ConfigError {
    pub fn new(key: impl Into<Cow<'static, str>>, value: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { value: Some(value.into()), ..Self::without_value(key, rule) }
    }

    /// A key that has no value, or none that may be shown.
    pub fn without_value(key: impl Into<Cow<'static, str>>, rule: impl Into<String>) -> Self {
        Self { place: None, key: Some(key.into()), value: None, rule: rule.into() }
    }

    /// A line of the file that can be no value of any key.
    pub fn of_line(place: Place, rule: impl Into<String>) -> Self {
        Self { place: Some(place), key: None, value: None, rule: rule.into() }
    }

    pub fn at(self, place: Option<Place>) -> Self {
        Self { place, ..self }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        match (&self.key, &self.value) {
            (Some(key), Some(value)) => write!(f, "`{key}` is `{}`: {}", shown(value), self.rule),
            (Some(key), None) => write!(f, "`{key}` {}", self.rule),
            (None, _) => f.write_str(&self.rule),
        }
    }
}

impl std::error::Error for ConfigError {}

/// The text that was given for a key.
#[derive(Debug, Clone)]
pub struct Given {
    /// As the operator wrote it: `--poll.interval`, or `poll.interval` in the file.
    pub key: Cow<'static, str>,
    pub text: String,
    /// In the file, where it stands there.
    pub place: Option<Place>,
}

impl Given {
    /// On the command line, or in the environment in its place.
    pub fn by_flag(flag: impl Into<Cow<'static, str>>, text: &str) -> Self {
        Self { key: flag.into(), text: text.to_owned(), place: None }
    }

    pub fn trimmed(&self) -> &str {
        self.text.trim()
    }

    pub fn wrong(&self, rule: impl Into<String>) -> ConfigError {
        ConfigError::new(self.key.clone(), &self.text, rule).at(self.place.clone())
    }

    /// The same without the value, which may not be shown.
    pub fn secretly_wrong(&self, rule: impl Into<String>) -> ConfigError {
        ConfigError::without_value(self.key.clone(), rule).at(self.place.clone())
    }

    /// Another key, written as this one is.
    pub fn spelled(&self, key: &str) -> String {
        if self.place.is_some() { key.to_owned() } else { flag_of(key) }
    }

    /// As the path of a file: in the configuration file it counts from there.
    pub fn path(&self) -> PathBuf {
        let path = Path::new(self.trimmed());
        match self.place.as_ref().and_then(|place| Path::new(&*place.file).parent()) {
            Some(folder) => folder.join(path),
            None => path.to_owned(),
        }
    }
}

/// `--poll.stale-after` for `poll.stale_after`.
pub fn flag_of(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}
