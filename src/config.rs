//! Checked configuration: a value that exists is valid.
//!
//! Flags and environment variables are text ([`flags`]), as is the configuration file. Each value is checked here once,
//! and all mistakes are reported together, each with its name, its value and the rule, and its line if it is in a file.
//! A reload reads everything again.

pub mod flags;

mod accounts;
mod edge;
mod fleet;
mod inputs;
mod inventory;
mod mtu;
mod probe;
mod routes;
mod sandbox;
mod state;
mod tunnels;
mod web;

use std::{mem, path::Path, sync::Arc, time::Duration};

pub use web_toolkit::settings::ConfigError;
use web_toolkit::{
    file, keys,
    server::ListenAddress,
    settings::{Layout, Setting, SettingsReader},
    yaml::{Node, keys_of},
};

pub use self::{
    accounts::AccountConfig,
    inputs::{Environment, Inputs, Log},
    sandbox::SandboxConfig,
    state::StateLocation,
    web::Web,
};
use self::{
    accounts::{AccountKeys, CloudflareKeys},
    edge::EdgeKeys,
    flags::{ExporterFlags, Flags, HealthcheckFlags, InventoryFlags, PollFlags, SandboxFlags},
    fleet::{FleetKeys, FleetUserKeys},
    inputs::LogKeys,
    inventory::{BasicAuthKeys, HubTlsKeys, InventoryKeys},
    mtu::MtuKeys,
    probe::ProbeKeys,
    routes::{InterconnectKeys, RouteKeys},
    sandbox::SandboxKeys,
    state::StateKeys,
    tunnels::{OverrideKeys, SiteKeys, TunnelConfig, TunnelKeys},
    web::WebKeys,
};
use crate::{
    domain::{
        grants::Grants,
        inventory::AccountName,
        rules::{FileRule, TunnelRules},
        sites::SiteRule,
    },
    inventory::InventorySettings,
    poller::{edge::EdgePollSettings, routes::RoutePollSettings},
    prober::settings::ProbeSettings,
};

/// What `serve` runs with.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The configuration file, if there is one.
    pub file: Option<Arc<str>>,
    pub web: Web,
    pub accounts: Vec<AccountConfig>,
    /// The hub of an agent, which has no accounts.
    pub inventory: Option<InventorySettings>,
    pub poll: Poll,
    /// `None` if the edge is not polled.
    pub edge: Option<EdgePollSettings>,
    /// Whether the interconnects are polled.
    pub interconnects: bool,
    /// `None` if the static routes are not polled.
    pub routes: Option<RoutePollSettings>,
    pub probe: ProbeSettings,
    /// Where the state is kept over a restart; `None` if it is not kept.
    pub state: Option<StateLocation>,
    /// Which tunnels are watched, and their sites.
    pub rules: Arc<TunnelRules>,
    /// The rules of the file that select tunnels, to report those that match none.
    pub file_rules: Arc<[FileRule]>,
    /// Which clients may read the inventory of which sites; `None` if every client may read everything.
    pub grants: Arc<Option<Grants>>,
    pub log: Log,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    pub interval: Duration,
    /// Of one request.
    pub timeout: Duration,
    pub stale_after: Duration,
}

/// Defaults that differ between `serve` and `demo`.
#[derive(Debug, Clone)]
pub struct Defaults {
    pub poll_interval: Duration,
    pub probe: ProbeSettings,
    /// Whether the edge is polled.
    pub edge_enabled: bool,
    pub edge: EdgePollSettings,
    /// Sites of tunnels for which the file does not set another one.
    pub site_rules: Vec<SiteRule>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_mins(1),
            probe: ProbeSettings::default(),
            edge_enabled: false,
            edge: EdgePollSettings::default(),
            site_rules: Vec::new(),
        }
    }
}

/// What `healthcheck` runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthcheckConfig {
    /// The addresses of the exporter.
    pub listen: Vec<ListenAddress>,
    pub log: Log,
}

keys! {
    /// The sections of the configuration file.
    struct ConfigKeys {
        accounts: AccountKeys, cloudflare: CloudflareKeys, edge: EdgeKeys, fleet: FleetKeys,
        interconnects: InterconnectKeys, inventory: InventoryKeys,
        log: LogKeys, poll: PollKeys, probe: ProbeKeys, routes: RouteKeys,
        sandbox: SandboxKeys, sites: SiteKeys, state: StateKeys, tunnels: TunnelKeys, web: WebKeys,
    }
}

/// Every section and its keys.
fn layout() -> Layout {
    let sections = vec![
        ("accounts", keys_of::<AccountKeys>()),
        ("cloudflare", keys_of::<CloudflareKeys>()),
        ("edge", keys_of::<EdgeKeys>()),
        ("fleet", keys_of::<FleetKeys>()),
        ("fleet.users", keys_of::<FleetUserKeys>()),
        ("inventory", keys_of::<InventoryKeys>()),
        ("inventory.basic_auth", keys_of::<BasicAuthKeys>()),
        ("inventory.tls", keys_of::<HubTlsKeys>()),
        ("interconnects", keys_of::<InterconnectKeys>()),
        ("log", keys_of::<LogKeys>()),
        ("poll", keys_of::<PollKeys>()),
        ("probe", keys_of::<ProbeKeys>()),
        ("probe.mtu", keys_of::<MtuKeys>()),
        ("routes", keys_of::<RouteKeys>()),
        ("sandbox", keys_of::<SandboxKeys>()),
        ("sites", keys_of::<SiteKeys>()),
        ("state", keys_of::<StateKeys>()),
        ("tunnels", keys_of::<TunnelKeys>()),
        ("tunnels.overrides", keys_of::<OverrideKeys>()),
        ("web", keys_of::<WebKeys>()),
    ];
    let secrets = &[("api_token", "api_token_file"), ("token", "api_token_file"), ("api_key", "api_key_file")];
    Layout { sections, secrets }
}

keys! { struct PollKeys { interval, timeout, stale_after } }

/// Reads the configuration file. Without a file, all sections are empty. Blocks.
fn open(inputs: &Inputs) -> Result<(SettingsReader, ConfigKeys), ConfigError> {
    // Ten thousand overrides fit.
    const MOST_BYTES: u64 = 1 << 20;
    let path = inputs.file.path.as_deref().filter(|path| !path.is_empty());
    let Some(path) = path else { return Ok(Default::default()) };
    let text = file::read_text(Path::new(path), MOST_BYTES);
    let text = text.map_err(|error| Setting::from_flag("--config.file", path).mistake(error))?;
    SettingsReader::open(path, text, layout())
}

impl HealthcheckConfig {
    /// The same addresses as `serve` has with the same flags, environment and file. Blocks.
    ///
    /// # Errors
    /// Every mistake in these settings; other sections are not checked.
    pub fn load(flags: &HealthcheckFlags, inputs: &Inputs) -> Result<Self, ConfigError> {
        let (mut reader, root) = open(inputs)?;
        let log = Log::read(&inputs.log, &mut reader, root.log);
        let listen = web::read_addresses(&mut reader, &flags.listen_addresses, root.web);
        reader.finish().map(|()| Self { listen, log })
    }
}

impl SandboxConfig {
    /// The flags over the section `sandbox` of the file; `listen` is the default address. Blocks.
    ///
    /// # Errors
    /// Every mistake in these settings; other sections are not checked.
    pub fn load(flags: &SandboxFlags, listen: &str, inputs: &Inputs) -> Result<Self, ConfigError> {
        let (mut reader, root) = open(inputs)?;
        let log = Log::read(&inputs.log, &mut reader, root.log);
        let config = Self::read(flags, &mut reader, root.sandbox, listen, log, inputs);
        reader.finish_with(config)
    }
}

impl Config {
    /// What `serve` runs with: flags, then the environment (which clap substitutes for missing flags), then the file.
    /// Blocks.
    ///
    /// # Errors
    /// Every mistake.
    pub fn for_serve(flags: &Flags, inputs: &Inputs) -> Result<Self, ConfigError> {
        let (mut reader, mut root) = open(inputs)?;
        let before = reader.mistakes();
        let (cloudflare, accounts) = (mem::take(&mut root.cloudflare), mem::take(&mut root.accounts));
        let is_agent = inventory::is_set(&flags.inventory, &root.inventory);
        if is_agent {
            accounts::refuse(&flags.cloudflare, &mut reader, &cloudflare, &accounts, inputs);
            return Self::read(
                &flags.exporter,
                inputs,
                (reader, root),
                (Vec::new(), false),
                (&Defaults::default(), &flags.inventory),
            );
        }
        let (accounts, in_file) = accounts::read(&flags.cloudflare, &mut reader, cloudflare, accounts, inputs);
        // Overrides can name accounts of the file only. With a mistake in these, the names are not known.
        let by_name = in_file && reader.mistakes() == before;
        let defaults = (&Defaults::default(), &flags.inventory);
        Self::read(&flags.exporter, inputs, (reader, root), (accounts, by_name), defaults)
    }

    /// The same with accounts that are known already.
    pub fn with_accounts(
        flags: &ExporterFlags,
        inputs: &Inputs,
        accounts: Vec<AccountConfig>,
        defaults: &Defaults,
    ) -> Result<Self, ConfigError> {
        let (reader, mut root) = open(inputs)?;
        root.inventory = Node::default();
        let defaults = (defaults, &InventoryFlags::default());
        Self::read(flags, inputs, (reader, root), (accounts, false), defaults)
    }

    /// What is polled of the edge for this account; `None` if nothing is.
    pub fn edge_of(&self, account: &AccountConfig) -> Option<EdgePollSettings> {
        self.edge.clone().filter(|_| account.edge)
    }

    fn read(
        flags: &ExporterFlags,
        inputs: &Inputs,
        (mut reader, root): (SettingsReader, ConfigKeys),
        (accounts, by_name): (Vec<AccountConfig>, bool),
        (defaults, inventory): (&Defaults, &InventoryFlags),
    ) -> Result<Self, ConfigError> {
        let names: Vec<&AccountName> = accounts.iter().map(|account| &account.account.name).collect();
        let TunnelConfig { mut rules, overrides, file_rules } =
            tunnels::read(&mut reader, root.tunnels, root.sites, by_name.then_some(&names[..]));
        rules.site_rules.extend_from_slice(&defaults.site_rules);
        let is_local = accounts.iter().all(|account| account.url.is_loopback());
        let is_agent = inventory::is_set(inventory, &root.inventory);
        let web = web::read(&mut reader, &flags.web, root.web, is_agent);
        let probe = probe::settings(&flags.probe, &mut reader, root.probe, overrides, &defaults.probe);
        let config = Self {
            file: reader.file(),
            inventory: inventory::read(inventory, &mut reader, root.inventory, inputs, probe.tunnels.vantage),
            grants: Arc::new(fleet::grants(&mut reader, root.fleet, web.access.as_ref())),
            web,
            poll: read_poll(&mut reader, &flags.poll, root.poll, defaults),
            edge: edge::read(
                &flags.edge,
                &mut reader,
                root.edge,
                (is_local, is_agent),
                (defaults.edge_enabled, defaults.edge.clone()),
            ),
            interconnects: routes::read_interconnects(&flags.interconnects, &mut reader, root.interconnects),
            routes: routes::read(&flags.routes, &mut reader, root.routes),
            probe,
            state: StateLocation::read(&flags.state, &mut reader, root.state, inputs),
            log: Log::read(&inputs.log, &mut reader, root.log),
            rules: Arc::new(rules),
            file_rules: file_rules.into(),
            accounts,
        };
        reader.finish().map(|()| config)
    }
}

fn read_poll(reader: &mut SettingsReader, flags: &PollFlags, node: Node<PollKeys>, defaults: &Defaults) -> Poll {
    const LEAST: Duration = Duration::from_millis(200);
    const LEAST_TIMEOUT: Duration = Duration::from_millis(100);
    let keys = reader.section("poll", node);
    let before = reader.mistakes();
    let interval = reader.one(("poll.interval", flags.poll_interval.as_deref(), keys.interval));
    let interval = interval.and_then(|setting| reader.duration(&setting, LEAST)).unwrap_or(defaults.poll_interval);
    let setting = reader.one(("poll.stale_after", flags.poll_stale_after.as_deref(), keys.stale_after));
    let stale_after = setting.as_ref().and_then(|setting| reader.duration(setting, LEAST));
    let stale_after = stale_after.unwrap_or(Duration::from_mins(5));
    if stale_after <= interval && reader.mistakes() == before {
        let shown = humantime::format_duration(stale_after).to_string();
        let setting = setting.unwrap_or_else(|| Setting::from_flag("--poll.stale-after", &shown));
        let interval = humantime::format_duration(interval);
        let rule = format!("must be longer than `{}` ({interval})", setting.name_like_this("poll.interval"));
        reader.report(setting.mistake(rule));
    }
    let timeout = reader.one(("poll.timeout", flags.poll_timeout.as_deref(), keys.timeout));
    let timeout = timeout.and_then(|setting| reader.duration(&setting, LEAST_TIMEOUT));
    Poll { interval, timeout: timeout.unwrap_or(Duration::from_secs(10)), stale_after }
}

#[cfg(test)]
mod tests;
