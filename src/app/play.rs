//! The sandbox as a program: alone, or with an exporter on it as the demo.

use std::io::{self, Write as _};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{exporter::start, tasks::run_to_end};
use crate::{
    clock,
    cloudflare::Credentials,
    config::{
        Config, ConfigError, Defaults,
        flags::{ExporterFlags, SandboxFlags},
        sandbox_listen,
    },
    domain::{inventory::AccountName, probe::Silence},
    poller::Account,
    prober::{self, settings::TunnelSettings},
    sandbox::{Sandbox, Settings},
    server::{self, Bound, ListenAddress},
};

/// Accepted by the demo's sandbox, which listens on loopback and knows no other.
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
    Defaults { poll_interval: "2s", probe }
}

/// The exporter on a sandbox of its own.
#[derive(Debug)]
pub struct Demo {
    /// Checked once already; the API's address is not known before the sandbox is bound.
    flags: ExporterFlags,
    sandbox: ListenAddress,
}

impl Demo {
    /// # Errors
    /// A flag with a wrong value.
    pub fn new(flags: ExporterFlags, sandbox: &SandboxFlags) -> Result<Self, ConfigError> {
        let demo = Self { flags, sandbox: sandbox_listen(sandbox, "127.0.0.1:0")? };
        demo.config("http://127.0.0.1/", Vec::new())?;
        Ok(demo)
    }

    fn config(&self, url: &str, accounts: Vec<Account>) -> Result<Config, ConfigError> {
        let url = url.parse().map_err(|error| ConfigError::new("--sandbox.listen-address", url, format!("{error}")))?;
        Config::with_accounts(&self.flags, url, accounts, &defaults())
    }

    /// Runs sandbox and exporter until `stop`.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let stage = server::bind(std::slice::from_ref(&self.sandbox))?;
        let token = DEMO_TOKEN.into();
        let sandbox = Sandbox::new(Settings { token: Some(token), ..Settings::default() }, clock::now());
        let accounts = sandbox.account_ids().into_iter().map(|id| Account {
            name: AccountName::new("demo"),
            id,
            credentials: Credentials::Token(DEMO_TOKEN.into()),
        });
        let config = self.config(&api_url(&stage), accounts.collect())?;
        let bound = server::bind(&config.web.listen)?;
        say_where_to_look(&config, &bound, &stage);
        let mut tasks = JoinSet::new();
        tasks.spawn(sandbox.run(stage, stop.clone()));
        start(&config, bound, &stop, &mut tasks)?;
        run_to_end(tasks, stop).await
    }
}

/// Runs a sandbox alone until `stop`.
///
/// # Errors
/// The address is taken, or the sandbox ended by itself.
pub async fn sandbox(listen: ListenAddress, stop: CancellationToken) -> anyhow::Result<()> {
    let bound = server::bind(&[listen])?;
    let sandbox = Sandbox::new(Settings::default(), clock::now());
    for account in sandbox.account_ids() {
        info!(account, "the sandbox plays account {account} at {}, any token is accepted", api_url(&bound));
    }
    let mut tasks = JoinSet::new();
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
    let path = &config.web.telemetry_path;
    let api = api_url(stage);
    // A reader that went away is no failure of ours.
    let _ = writeln!(
        io::stdout(),
        "The demo runs on a built-in sandbox: no account is needed, and nothing leaves this machine.\n  \
         page      http://{host}/\n  \
         metrics   http://{host}{path}\n  \
         API       {api} (the sandbox; any HTTP client can change it)\n\
         Its story takes three minutes and starts again; each turn of it is a line below. Ctrl-C ends it.\n"
    );
}
