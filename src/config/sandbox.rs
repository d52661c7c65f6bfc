//! The checked settings of a sandbox.

use std::{fmt::Display, path::Path};

use secrecy::SecretString;

use super::{
    check::{ConfigError, Environment, parse, secret_file, switch},
    flags::SandboxFlags,
};
use crate::{
    cloudflare::Credentials,
    file,
    sandbox::{Faults, Settings, Story},
    server::ListenAddress,
};

/// A story is a page or two.
const MOST_BYTES: u64 = 4 << 20;

/// The most tunnels that are made; the list of so many is larger than any client takes.
const MOST_TUNNELS: usize = 100_000;

/// What `sandbox` runs with, and `demo` beside its exporter.
#[derive(Debug)]
pub struct SandboxConfig {
    pub listen: ListenAddress,
    pub settings: Settings,
}

impl SandboxConfig {
    /// `listen` is where it listens when nobody says.
    ///
    /// # Errors
    /// The first key whose value breaks a rule.
    pub fn from_flags(flags: &SandboxFlags, listen: &str, environment: Environment<'_>) -> Result<Self, ConfigError> {
        let listen = parse("--sandbox.listen-address", flags.listen_address.as_deref().unwrap_or(listen))?;
        let story = from_file("--sandbox.story", flags.story.as_deref(), Story::parse)?;
        let settings = Settings {
            token: token(flags, environment)?,
            strict: switch("--sandbox.strict", flags.strict.as_deref(), false)?,
            tunnels: tunnels(flags.tunnels.as_deref())?,
            story: story.unwrap_or_else(Story::demo),
            faults: from_file("--sandbox.faults", flags.faults.as_deref(), Faults::parse)?.unwrap_or_default(),
        };
        Ok(Self { listen, settings })
    }
}

/// The file, or else the environment. A secret that no client could send is refused here.
fn token(flags: &SandboxFlags, environment: Environment<'_>) -> Result<Option<SecretString>, ConfigError> {
    const KEY: &str = "--sandbox.token-file";
    const VARIABLE: &str = "MTE_SANDBOX_TOKEN";
    let set = environment(VARIABLE).filter(|value| !value.trim().is_empty());
    let (key, token) = match (&flags.token_file, set) {
        (Some(path), _) => (KEY, secret_file(KEY, path)?),
        (None, Some(token)) => (VARIABLE, token.trim().into()),
        (None, None) => return Ok(None),
    };
    match Credentials::Token(token.clone()).check() {
        Ok(()) => Ok(Some(token)),
        Err(error) => Err(ConfigError::without_value(key, format!("cannot be used: {error}"))),
    }
}

fn tunnels(text: Option<&str>) -> Result<usize, ConfigError> {
    let Some(text) = text else { return Ok(0) };
    let count = text.trim().parse().ok().filter(|count| *count <= MOST_TUNNELS);
    let rule = || format!("must be a whole number from 0 to {MOST_TUNNELS}");
    count.ok_or_else(|| ConfigError::new("--sandbox.tunnels", text, rule()))
}

/// What stands in a file, read by `parse`, whose errors name the file and the line.
fn from_file<T, E: Display>(
    key: &'static str,
    path: Option<&str>,
    parse: impl FnOnce(&str, &str) -> Result<T, E>,
) -> Result<Option<T>, ConfigError> {
    let Some(path) = path else { return Ok(None) };
    let text =
        file::read_text(Path::new(path), MOST_BYTES).map_err(|error| ConfigError::new(key, path, error.to_string()))?;
    let read = parse(path, &text);
    read.map(Some).map_err(|error| ConfigError::without_value(key, format!("cannot be used: {error}")))
}
