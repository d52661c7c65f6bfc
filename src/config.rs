//! Checked configuration: a value that exists is a value that can be used.
//!
//! Flags and environment come in as text ([`flags`]), and so does the configuration file; every text is checked here, once, and a wrong
//! one is refused with a sentence that names the key, the value and the rule, and in the file the line. Reading it again gives the
//! configuration of a reload.

pub mod flags;

mod accounts;
mod check;
mod inputs;
mod log;
mod probe;
mod sandbox;
mod tunnels;

use std::{sync::Arc, time::Duration};

use web_toolkit::{
    check::{duration, parse, switch},
    document::Section,
    given::Given,
    server::ListenAddress,
};
pub use web_toolkit::{given::ConfigError, web_file::WebFile};

pub use self::{
    accounts::AccountConfig,
    inputs::{Environment, Inputs},
    log::Log,
    sandbox::SandboxConfig,
};
use self::{
    flags::{ExporterFlags, Flags, HealthcheckFlags},
    tunnels::TunnelConfig,
};
use crate::{
    domain::{
        inventory::AccountName,
        rules::{Selector, TunnelRules},
    },
    http, prober,
};

/// What `serve` runs with.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The configuration file, where there is one.
    pub file: Option<Arc<str>>,
    pub web: Web,
    pub accounts: Vec<AccountConfig>,
    pub poll: Poll,
    pub probe: prober::settings::ProbeSettings,
    /// Which tunnels are watched, and where they belong.
    pub rules: Arc<TunnelRules>,
    pub log: Log,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    pub listen: Vec<ListenAddress>,
    /// Path of the metrics; begins with `/`.
    pub telemetry_path: String,
    /// Whether `POST /-/reload` does something.
    pub enable_lifecycle: bool,
    /// Whether `/-/healthy` and `/-/ready` are answered without a password.
    pub open_health: bool,
    /// TLS and passwords; `None` where no file asks for them.
    pub access: Option<WebFile>,
}

impl Web {
    /// What the pages' URLs begin with.
    pub fn scheme(&self) -> &'static str {
        if self.access.as_ref().is_some_and(|file| file.tls.is_some()) { "https" } else { "http" }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    pub interval: Duration,
    /// For one request.
    pub timeout: Duration,
    pub stale_after: Duration,
}

/// Defaults that differ between `serve` and `demo`.
#[derive(Debug, Clone)]
pub struct Defaults {
    pub poll_interval: Duration,
    pub probe: prober::settings::ProbeSettings,
    /// Sites of tunnels that the file does not place elsewhere.
    pub sites: Vec<(Selector, Arc<str>)>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_mins(1),
            probe: prober::settings::ProbeSettings::default(),
            sites: Vec::new(),
        }
    }
}

/// What `healthcheck` asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthcheckConfig {
    /// Where the exporter listens.
    pub listen: Vec<ListenAddress>,
    pub log: Log,
}

impl HealthcheckConfig {
    /// The same addresses as `serve` finds with the same flags, environment and file. Blocks.
    ///
    /// # Errors
    /// The first key whose value breaks a rule; most keys are not looked at.
    pub fn load(flags: &HealthcheckFlags, inputs: &Inputs) -> Result<Self, ConfigError> {
        let mut root = inputs.document()?;
        let log = Log::read(&inputs.log, root.section("log")?)?;
        Ok(Self { listen: listen(&flags.listen_addresses, &mut root.section("web")?)?, log })
    }
}

impl Config {
    /// What `serve` runs with: flags first, then the environment (which clap has put in the place of missing flags), then the file.
    /// Blocks.
    ///
    /// # Errors
    /// The first key whose value breaks a rule.
    pub fn for_serve(flags: &Flags, inputs: &Inputs) -> Result<Self, ConfigError> {
        let mut root = inputs.document()?;
        let accounts = accounts::read(&flags.cloudflare, &mut root, inputs)?;
        let by_flag = flags.cloudflare.account_ids.iter().any(|id| !id.trim().is_empty());
        let names: Vec<&AccountName> = accounts.iter().map(|account| &account.account.name).collect();
        let tunnels = tunnels::read(root.section("tunnels")?, (!by_flag).then_some(&names))?;
        Self::read(&flags.exporter, root, inputs, accounts, tunnels, &Defaults::default())
    }

    /// The same for accounts that are known already.
    pub fn with_accounts(
        flags: &ExporterFlags,
        inputs: &Inputs,
        accounts: Vec<AccountConfig>,
        defaults: &Defaults,
    ) -> Result<Self, ConfigError> {
        let mut root = inputs.document()?;
        let tunnels = tunnels::read(root.section("tunnels")?, None)?;
        Self::read(flags, root, inputs, accounts, tunnels, defaults)
    }

    fn read(
        flags: &ExporterFlags,
        mut root: Section,
        inputs: &Inputs,
        accounts: Vec<AccountConfig>,
        tunnels: TunnelConfig,
        defaults: &Defaults,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            file: root.place().map(|place| Arc::clone(&place.file)),
            web: web(flags, root.section("web")?)?,
            poll: poll(flags, root.section("poll")?, defaults)?,
            probe: probe::settings(&flags.probe, root.section("probe")?, tunnels.overrides, &defaults.probe)?,
            log: Log::read(&inputs.log, root.section("log")?)?,
            rules: Arc::new(TunnelRules {
                sites: [defaults.sites.clone(), tunnels.rules.sites].concat(),
                ..tunnels.rules
            }),
            accounts,
        })
    }
}

fn web(flags: &ExporterFlags, mut file: Section) -> Result<Web, ConfigError> {
    let listen = listen(&flags.listen_addresses, &mut file)?;
    let path = file.one("telemetry_path", flags.telemetry_path.as_deref())?;
    let written = file.text("config_file")?;
    let named = flags.web_config_file.as_ref().map(|path| Given::by_flag("--web.config.file", path)).or(written);
    let web = Web {
        listen,
        telemetry_path: path.map_or(Ok("/metrics".to_owned()), |given| telemetry_path(&given))?,
        enable_lifecycle: switch(file.one("enable_lifecycle", flags.enable_lifecycle.as_deref())?.as_ref(), false)?,
        open_health: switch(file.one("open_health", flags.open_health.as_deref())?.as_ref(), false)?,
        access: named.filter(|given| !given.trimmed().is_empty()).map(WebFile::load).transpose()?,
    };
    file.finish()?;
    Ok(web)
}

fn listen(flags: &[String], file: &mut Section) -> Result<Vec<ListenAddress>, ConfigError> {
    let mut listen = file.many("listen_address", flags)?;
    if listen.is_empty() {
        listen.push(Given::by_flag("--web.listen-address", ":9847"));
    }
    listen.iter().map(parse).collect()
}

fn telemetry_path(given: &Given) -> Result<String, ConfigError> {
    let path = given.text.as_str();
    let is_path = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && !b"?#\"<>".contains(&b));
    if !is_path || http::is_taken(path) {
        let rule = "must be a path such as /metrics: it begins with `/`, and is no page that the exporter has already";
        return Err(given.wrong(rule));
    }
    Ok(path.to_owned())
}

fn poll(flags: &ExporterFlags, mut file: Section, defaults: &Defaults) -> Result<Poll, ConfigError> {
    const LEAST: Duration = Duration::from_millis(200);
    const LEAST_TIMEOUT: Duration = Duration::from_millis(100);
    let interval = file.one("interval", flags.poll_interval.as_deref())?;
    let interval = duration(interval.as_ref(), defaults.poll_interval, LEAST)?;
    let timeout = file.one("timeout", flags.poll_timeout.as_deref())?;
    let timeout = duration(timeout.as_ref(), Duration::from_secs(10), LEAST_TIMEOUT)?;
    let given = file.one("stale_after", flags.poll_stale_after.as_deref())?;
    let stale_after = duration(given.as_ref(), Duration::from_mins(5), LEAST)?;
    file.finish()?;
    if stale_after <= interval {
        let shown = humantime::format_duration(stale_after).to_string();
        let given = given.unwrap_or_else(|| Given::by_flag("--poll.stale-after", &shown));
        let interval = humantime::format_duration(interval);
        return Err(given.wrong(format!("must be longer than `{}` ({interval})", given.spelled("poll.interval"))));
    }
    Ok(Poll { interval, timeout, stale_after })
}

#[cfg(test)]
mod tests;
