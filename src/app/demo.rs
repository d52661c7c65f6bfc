//! The commands `sandbox` and `demo`: the sandbox alone, or with an exporter that polls it.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use anyhow::Context as _;
use magic_sandbox::Sandbox;
use secrecy::ExposeSecret as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;
use web_toolkit::{
    clock,
    server::{self, Bound},
};

use super::{
    exporter::{inherit_sockets, start},
    reload::ConfigLoader,
    service_manager,
    shutdown::join_all,
};
use crate::{
    cloudflare::ApiUrl,
    config::{AccountConfig, Config, ConfigError, Defaults, Inputs, Log, SandboxConfig, flags::ExporterFlags},
    domain::{
        inventory::AccountName,
        pulse::Pulses,
        sites::{SitePattern, SiteRule, SiteSource},
    },
    poller::{ApiAccount, CredentialSource, edge::EdgePollSettings},
    prober::settings::{ProbeSettings, TunnelSettings},
    secret::Secret,
};

/// The token of the demo's sandbox, which listens on loopback, if no other is configured.
const DEMO_TOKEN: &str = "demo-token";

/// The defaults of `demo`. The poll interval is short because the story changes every few seconds.
///
/// Probing is on and bound to `lo`: addresses in 127.0.0.0/8 answer unless the story mutes them, all others are silent,
/// and no probe leaves the machine.
fn defaults() -> Defaults {
    let tunnels = TunnelSettings { interface: Some("lo".into()), ..TunnelSettings::default() };
    let probe = ProbeSettings { enabled: true, tunnels, ..ProbeSettings::default() };
    // The descriptions of the story begin with a city.
    let city =
        SitePattern::new("^(?<site>[A-Z][a-z]+),").map(|pattern| SiteRule { from: SiteSource::Description, pattern });
    // The data of the sandbox is five seconds old.
    let edge = EdgePollSettings {
        interval: Duration::from_secs(2),
        window: Duration::from_mins(1),
        delay: Duration::from_secs(6),
        ..EdgePollSettings::default()
    };
    Defaults {
        poll_interval: Duration::from_secs(2),
        probe,
        edge_enabled: true,
        edge,
        site_rules: city.into_iter().collect(),
    }
}

/// The command `demo` with its validated configuration.
#[derive(Debug)]
pub struct DemoCommand {
    /// Without accounts, because the URL of the API is unknown before the sandbox is bound.
    config: Config,
    flags: ExporterFlags,
    inputs: Inputs,
    sandbox: SandboxConfig,
    /// The sockets that systemd passed, if they are used.
    inherited: Option<Vec<Bound>>,
}

impl DemoCommand {
    /// Reads and validates the configuration. Blocks.
    ///
    /// # Errors
    /// The configuration is invalid.
    pub fn new(flags: ExporterFlags, sandbox: SandboxConfig, inputs: Inputs) -> Result<Self, ConfigError> {
        let config = Config::with_accounts(&flags, &inputs, Vec::new(), &defaults())?;
        let inherited = inherit_sockets(&config.web)?;
        Ok(Self { config, flags, inputs, sandbox, inherited })
    }

    pub fn log(&self) -> Log {
        self.sandbox.log
    }

    /// Runs the sandbox and the exporter until `stop`.
    ///
    /// # Errors
    /// An address is in use, TLS cannot be set up, or a task ended unexpectedly.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let SandboxConfig { listen, mut settings, .. } = self.sandbox;
        let sandbox_bound = server::bind(&[listen])?;
        let token = settings.token.get_or_insert_with(|| DEMO_TOKEN.into()).clone();
        let names = settings.story.accounts().map(|(name, id)| (name.to_owned(), id.to_owned()));
        let accounts = sandbox_accounts(&api_url(&sandbox_bound), names, token.expose_secret())?;
        let config = Config { accounts: accounts.clone(), ..self.config };
        let load = move || Config::with_accounts(&self.flags, &self.inputs, accounts.clone(), &defaults());
        let sandbox = Sandbox::new(settings, clock::now());
        let bound = self.inherited.map_or_else(|| server::bind(&config.web.listen), Ok)?;
        print_banner(&config, &bound, &sandbox_bound);
        let mut tasks = JoinSet::new();
        let muted = sandbox.muted();
        tasks.spawn(sandbox.run(sandbox_bound, stop.clone()));
        start(config, ConfigLoader::new(load), Some(muted), bound, &stop, &mut tasks).await?;
        join_all(tasks, stop).await
    }
}

fn sandbox_accounts(
    url: &str,
    names: impl Iterator<Item = (String, String)>,
    token: &str,
) -> anyhow::Result<Vec<AccountConfig>> {
    let url: ApiUrl = url.parse().context("the exporter cannot use the address of the sandbox")?;
    let credentials = CredentialSource::Token(Secret::given(token)?);
    let account = |(name, id)| ApiAccount { name: AccountName::new(name), id, credentials: credentials.clone() };
    Ok(names.map(|names| AccountConfig { account: account(names), url: url.clone(), edge: true }).collect())
}

/// Runs a sandbox alone until `stop`.
///
/// # Errors
/// The address is in use, or the sandbox ended unexpectedly.
pub async fn run_sandbox(config: SandboxConfig, stop: CancellationToken) -> anyhow::Result<()> {
    let SandboxConfig { listen, settings, .. } = config;
    let bound = server::bind(&[listen])?;
    let url = api_url(&bound);
    let accepted = if settings.token.is_some() { "the configured token" } else { "any token" };
    for (name, account) in settings.story.accounts() {
        info!(account, "the sandbox serves account {account} (`{name}`) at {url} and accepts {accepted}");
    }
    let sandbox = Sandbox::new(settings, clock::now());
    let mut tasks = JoinSet::new();
    let status = format!("Serving the sandbox API at {url}");
    tasks.spawn(service_manager::run(status, Pulses::default(), stop.clone()));
    tasks.spawn(sandbox.run(bound, stop.clone()));
    join_all(tasks, stop).await
}

fn api_url(bound: &[Bound]) -> String {
    let address = bound.first().map(|bound| bound.local_addr().to_string()).unwrap_or_default();
    format!("http://{address}/client/v4")
}

/// Prints the URLs of the demo to standard output.
fn print_banner(config: &Config, bound: &[Bound], sandbox: &[Bound]) {
    let Some(address) = bound.first().map(Bound::local_addr) else { return };
    let host =
        if address.ip().is_unspecified() { format!("localhost:{}", address.port()) } else { address.to_string() };
    let (scheme, path) = (config.web.scheme(), &config.web.telemetry_path);
    let api = api_url(sandbox);
    // A closed standard output does not stop the demo.
    let _ = writeln!(
        io::stdout(),
        "The demo runs on a built-in sandbox. It needs no account, and no traffic leaves this machine.\n  \
         page      {scheme}://{host}/\n  \
         metrics   {scheme}://{host}{path}\n  \
         API       {api} (the sandbox; change it with any HTTP client)\n\
         Each step of the demo story is logged below. Press Ctrl-C to stop.\n"
    );
}
