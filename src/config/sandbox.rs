//! The settings of a sandbox.

use magic_sandbox::{Faults, SandboxSettings, Story};
use secrecy::SecretString;
use web_toolkit::{
    file, keys,
    server::ListenAddress,
    settings::{ConfigError, Mistake, Setting, SettingsReader},
    yaml::Node,
};

use super::{
    flags::SandboxFlags,
    inputs::{Inputs, Log},
};
use crate::secret::Secret;

/// A story has a page or two.
const MOST_BYTES: u64 = 4 << 20;

/// The list of more tunnels would be larger than any client accepts.
const MOST_TUNNELS: usize = 100_000;

/// What `sandbox` runs with, and `demo` in addition to its exporter.
#[derive(Debug)]
pub struct SandboxConfig {
    pub listen: ListenAddress,
    pub settings: SandboxSettings,
    pub log: Log,
}

keys! { pub(super) struct SandboxKeys { listen_address, token_file, token_expires, strict, tunnels, story, faults } }

impl SandboxConfig {
    /// The flags over the section `sandbox`; `listen` is the default address. `None`: there is a mistake.
    pub(super) fn read(
        flags: &SandboxFlags,
        reader: &mut SettingsReader,
        node: Node<SandboxKeys>,
        listen: &str,
        log: Log,
        inputs: &Inputs,
    ) -> Option<Self> {
        let keys = reader.section("sandbox", node);
        let address = reader.one(("sandbox.listen_address", flags.listen_address.as_deref(), keys.listen_address));
        let address = address.unwrap_or_else(|| Setting::from_flag("--sandbox.listen-address", listen));
        let strict = reader.one(("sandbox.strict", flags.strict.as_deref(), keys.strict));
        let tunnels = reader.one(("sandbox.tunnels", flags.tunnels.as_deref(), keys.tunnels));
        let story = reader.one(("sandbox.story", flags.story.as_deref(), keys.story));
        let faults = reader.one(("sandbox.faults", flags.faults.as_deref(), keys.faults));
        let expires = reader.one(("sandbox.token_expires", flags.token_expires.as_deref(), keys.token_expires));
        let token_file = reader.one(("sandbox.token_file", flags.token_file.as_deref(), keys.token_file));
        let is_open = token_file.is_none() && inputs.variable("MTE_SANDBOX_TOKEN").is_none();
        let listen = reader.parse(&address);
        if is_open && listen.as_ref().is_some_and(|listen: &ListenAddress| !listen.is_loopback()) {
            reader.report(address.mistake(format_args!(
                "needs a token, because other machines can connect: set `{}` or MTE_SANDBOX_TOKEN, or listen on 127.0.0.1",
                address.name_like_this("sandbox.token_file")
            )));
        }
        let settings = SandboxSettings {
            token: token(reader, inputs, token_file),
            strict: reader.switch(strict, false),
            tunnels: tunnels.and_then(|setting| reader.number(&setting, 0..=MOST_TUNNELS)).unwrap_or(0),
            story: from_file(reader, story, Story::parse).unwrap_or_else(Story::demo),
            faults: from_file(reader, faults, Faults::parse).unwrap_or_default(),
            token_expiry: expires.and_then(|setting| reader.parse(&setting)),
        };
        Some(Self { listen: listen?, settings, log })
    }
}

/// The secret from the file of the flag, the environment, or the file that the configuration file names, in this order.
fn token(reader: &mut SettingsReader, inputs: &Inputs, path: Option<Setting>) -> Option<SecretString> {
    let secret = match (path, inputs.variable("MTE_SANDBOX_TOKEN")) {
        (Some(path), None) => inputs.secrets.named_by(&path),
        (Some(path), Some(_)) if !path.is_in_file() => inputs.secrets.named_by(&path),
        (_, Some(setting)) => {
            Secret::given(&setting.text).map_err(|error| setting.unquoted_mistake(format!("cannot be used: {error}")))
        }
        (None, None) => return None,
    };
    reader.check(secret).map(|secret| secret.current().0)
}

/// What `parse` reads from the file. Mistakes name the file and the line.
fn from_file<T>(
    reader: &mut SettingsReader,
    setting: Option<Setting>,
    parse: fn(&str, &str) -> Result<T, ConfigError>,
) -> Option<T> {
    let setting = setting?;
    let path = setting.path();
    let text = file::read_text(&path, MOST_BYTES).map_err(|error| setting.mistake(error));
    let parsed = parse(&path.to_string_lossy(), &reader.check(text)?);
    let report = |mistake: &Mistake| reader.report(setting.unquoted_mistake(format!("cannot be used: {mistake}")));
    parsed.map_err(|error| error.mistakes().iter().for_each(report)).ok()
}
