//! The sandbox as a program: alone, or with an exporter on it as the demo.

use std::{
    io::{self, Write as _},
    sync::Arc,
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

use super::{exporter::start, lifecycle, tasks::run_to_end};
use crate::{
    cloudflare::ApiUrl,
    config::{AccountConfig, Config, ConfigError, Defaults, Inputs, SandboxConfig, flags::ExporterFlags},
    domain::{inventory::AccountName, probe::Silence, pulse::Pulses, selector::Selector},
    poller::{ApiAccount, CredentialSource},
    prober::{self, settings::TunnelSettings},
    secret::Secret,
};

/// Accepted by the demo's sandbox, which listens on loopback, unless it is told another.
const DEMO_TOKEN: &str = "demo-token";

/// The story moves every few seconds, so the demo looks more often than anybody should at the real API.
///
/// Probing is on, and bound to `lo`: addresses in 127.0.0.0/8 answer, all others are silent, and nothing leaves the machine. An address
/// that is silent from its first echo on counts as silent, for the story moves tunnels to such addresses.
fn defaults() -> Defaults {
    let tunnels = TunnelSettings { interface: Some("lo".into()), ..TunnelSettings::default() };
    let probe = prober::settings::Settings {
        enabled: true,
        silence: Silence::Always,
        tunnels,
        ..prober::settings::Settings::default()
    };
    let sites = [("fra-*", "frankfurt"), ("ams-*", "amsterdam"), ("lon-*", "london"), ("waw-*", "warsaw")];
    let sites = sites.map(|(name, site)| (Selector::name(name), site.into())).into();
    Defaults { poll_interval: Duration::from_secs(2), probe, sites }
}

/// The exporter on a sandbox of its own.
#[derive(Debug)]
pub struct Demo {
    /// Without its accounts: the API's address is not known before the sandbox is bound.
    config: Config,
    flags: ExporterFlags,
    inputs: Inputs,
    sandbox: SandboxConfig,
}

impl Demo {
    /// Reads the configuration. Blocks.
    ///
    /// # Errors
    /// A flag with a wrong value.
    pub fn new(flags: ExporterFlags, sandbox: SandboxConfig, inputs: Inputs) -> Result<Self, ConfigError> {
        let config = Config::with_accounts(&flags, &inputs, Vec::new(), &defaults())?;
        Ok(Self { config, flags, inputs, sandbox })
    }

    /// Runs sandbox and exporter until `stop`.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let SandboxConfig { listen, mut settings, .. } = self.sandbox;
        let stage = server::bind(&[listen])?;
        let token = settings.token.get_or_insert_with(|| DEMO_TOKEN.into()).clone();
        let accounts = settings.story.accounts().map(|(name, id)| (name.to_owned(), id.to_owned()));
        let accounts = accounts_on(&api_url(&stage), accounts, token.expose_secret())?;
        let config = Config { accounts: accounts.clone(), ..self.config };
        let load = move || Config::with_accounts(&self.flags, &self.inputs, accounts.clone(), &defaults());
        let sandbox = Sandbox::new(settings, clock::now());
        let bound = server::bind(&config.web.listen)?;
        say_where_to_look(&config, &bound, &stage);
        let mut tasks = JoinSet::new();
        tasks.spawn(sandbox.run(stage, stop.clone()));
        start(config, Arc::new(load), bound, &stop, &mut tasks).await?;
        run_to_end(tasks, stop).await
    }
}

fn accounts_on(
    url: &str,
    accounts: impl Iterator<Item = (String, String)>,
    token: &str,
) -> anyhow::Result<Vec<AccountConfig>> {
    let url: ApiUrl = url.parse().context("the sandbox listens where it cannot be asked")?;
    let credentials = CredentialSource::Token(Secret::given(token)?);
    let account = |(name, id)| ApiAccount { name: AccountName::new(name), id, credentials: credentials.clone() };
    Ok(accounts.map(|names| AccountConfig { account: account(names), url: url.clone() }).collect())
}

/// Runs a sandbox alone until `stop`.
///
/// # Errors
/// The address is taken, or the sandbox ended by itself.
pub async fn sandbox(config: SandboxConfig, stop: CancellationToken) -> anyhow::Result<()> {
    let SandboxConfig { listen, settings, .. } = config;
    let bound = server::bind(&[listen])?;
    let accepted = if settings.token.is_some() { "one token" } else { "any token" };
    for (name, account) in settings.story.accounts() {
        let url = api_url(&bound);
        info!(account, "the sandbox plays account {account} (`{name}`) at {url}, {accepted} is accepted");
    }
    let sandbox = Sandbox::new(settings, clock::now());
    let mut tasks = JoinSet::new();
    tasks.spawn(lifecycle::run(format!("Playing the API at {}", api_url(&bound)), Pulses::default(), stop.clone()));
    tasks.spawn(sandbox.run(bound, stop.clone()));
    run_to_end(tasks, stop).await
}

fn api_url(bound: &[Bound]) -> String {
    let address = bound.first().map(|bound| bound.local_addr().to_string()).unwrap_or_default();
    format!("http://{address}/client/v4")
}

/// For the person who has just typed the command.
fn say_where_to_look(config: &Config, bound: &[Bound], stage: &[Bound]) {
    let Some(address) = bound.first().map(Bound::local_addr) else { return };
    let host =
        if address.ip().is_unspecified() { format!("localhost:{}", address.port()) } else { address.to_string() };
    let (scheme, path) = (config.web.scheme(), &config.web.telemetry_path);
    let api = api_url(stage);
    // A reader that went away is no failure of ours.
    let _ = writeln!(
        io::stdout(),
        "The demo runs on a built-in sandbox: no account is needed, and nothing leaves this machine.\n  \
         page      {scheme}://{host}/\n  \
         metrics   {scheme}://{host}{path}\n  \
         API       {api} (the sandbox; any HTTP client can change it)\n\
         Each turn of its story is a line below. Ctrl-C ends it.\n"
    );
}
