//! The checked settings of a sandbox.

use std::{fmt::Display, path::Path};

use magic_sandbox::{Faults, SandboxSettings, Story};
use secrecy::SecretString;
use web_toolkit::{
    check::{parse, switch},
    document::Section,
    file,
    given::{ConfigError, Given},
    server::ListenAddress,
};

use super::{check::secret_file, flags::SandboxFlags, inputs::Inputs, log::Log};
use crate::secret::Secret;

/// A story is a page or two.
const MOST_BYTES: u64 = 4 << 20;

/// The most tunnels that are made; the list of so many is larger than any client takes.
const MOST_TUNNELS: usize = 100_000;

/// What `sandbox` runs with, and `demo` beside its exporter.
#[derive(Debug)]
pub struct SandboxConfig {
    pub listen: ListenAddress,
    pub settings: SandboxSettings,
    pub log: Log,
}

impl SandboxConfig {
    /// The flags over the section `sandbox` of the file; `listen` is where it listens when nobody says. Blocks.
    ///
    /// # Errors
    /// The first key whose value breaks a rule.
    pub fn load(flags: &SandboxFlags, listen: &str, inputs: &Inputs) -> Result<Self, ConfigError> {
        let mut root = inputs.document()?;
        let log = Log::read(&inputs.log, root.section("log")?)?;
        let mut file = root.section("sandbox")?;
        let given = file.one("listen_address", flags.listen_address.as_deref())?;
        let given = given.unwrap_or_else(|| Given::by_flag("--sandbox.listen-address", listen));
        let story = from_file(file.one("story", flags.story.as_deref())?, Story::parse)?;
        let faults = from_file(file.one("faults", flags.faults.as_deref())?, Faults::parse)?;
        let settings = SandboxSettings {
            token: token(flags, &mut file, inputs)?,
            strict: switch(file.one("strict", flags.strict.as_deref())?.as_ref(), false)?,
            tunnels: tunnels(file.one("tunnels", flags.tunnels.as_deref())?)?,
            story: story.unwrap_or_else(Story::demo),
            faults: faults.unwrap_or_default(),
        };
        file.finish()?;
        Ok(Self { listen: parse(&given)?, settings, log })
    }
}

/// The file that the flag names, or else the environment, or else the file that the configuration names. A secret that no client could
/// send is refused here.
fn token(flags: &SandboxFlags, file: &mut Section, inputs: &Inputs) -> Result<Option<SecretString>, ConfigError> {
    const VARIABLE: &str = "MTE_SANDBOX_TOKEN";
    let path = file.one("token_file", flags.token_file.as_deref())?;
    let set = inputs.variable(VARIABLE).map(|text| Given::by_flag(VARIABLE, &text));
    let secret = match (path, set) {
        (Some(path), Some(_)) if path.place.is_none() => Some(secret_file(&path, &inputs.secrets)?),
        (_, Some(given)) => {
            Some(Secret::given(&given.text).map_err(|error| given.secretly_wrong(format!("cannot be used: {error}")))?)
        }
        (Some(path), None) => Some(secret_file(&path, &inputs.secrets)?),
        (None, None) => None,
    };
    Ok(secret.map(|secret| secret.current().0))
}

fn tunnels(given: Option<Given>) -> Result<usize, ConfigError> {
    let Some(given) = given else { return Ok(0) };
    let count = given.trimmed().parse().ok().filter(|count| *count <= MOST_TUNNELS);
    count.ok_or_else(|| given.wrong(format!("must be a whole number from 0 to {MOST_TUNNELS}")))
}

/// What stands in a file, read by `parse`, whose errors name the file and the line.
fn from_file<T, E: Display>(
    given: Option<Given>,
    parse: impl FnOnce(&str, &str) -> Result<T, E>,
) -> Result<Option<T>, ConfigError> {
    let Some(given) = given else { return Ok(None) };
    let path = given.path();
    let text = file::read_text(Path::new(&path), MOST_BYTES).map_err(|error| given.wrong(error.to_string()))?;
    let read = parse(&path.to_string_lossy(), &text);
    read.map(Some).map_err(|error| given.secretly_wrong(format!("cannot be used: {error}")))
}
