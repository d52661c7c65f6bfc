//! The preflight: everything that `serve` would need, tried once, each with what would mend it.
//!
//! Nothing is changed, and nothing is left open. What the configuration itself says is checked before: a [`Check`] that exists has one that
//! `serve` would start with.

mod api;
mod finding;
mod machine;
mod web;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use web_toolkit::clock;

use self::finding::Subject;
pub use self::finding::{Finding, Level};
use crate::{
    cloudflare::{self, Client, ClientSettings},
    config::{Config, ConfigError, Inputs, Log, flags::Flags},
    exposition,
};

/// A preflight, its configuration checked.
#[derive(Debug)]
pub struct Check {
    config: Config,
}

impl Check {
    /// Reads the configuration. Blocks.
    ///
    /// # Errors
    /// The first key whose value breaks a rule.
    pub fn new(flags: &Flags, inputs: &Inputs) -> Result<Self, ConfigError> {
        Ok(Self { config: Config::for_serve(flags, inputs)? })
    }

    pub fn log(&self) -> Log {
        self.config.log
    }

    /// What was found, in the order in which things are needed. Takes as long as the slowest account.
    ///
    /// # Errors
    /// `stop` was cancelled first, or TLS for the API cannot be set up.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<Vec<Finding>> {
        let mut found = vec![configuration(&self.config)];
        found.extend(machine::secrets(&self.config));
        found.extend(tokio::select! {
            () = stop.cancelled() => anyhow::bail!("stopped before everything was checked"),
            accounts = accounts(&self.config) => accounts?,
        });
        found.extend(machine::sockets(&self.config.probe));
        found.extend(machine::addresses(&self.config.web.listen));
        found.extend(web::findings(self.config.web.access.as_ref(), clock::now().wall));
        Ok(found)
    }
}

fn configuration(config: &Config) -> Finding {
    let source = config.file.as_deref().map_or("flags and environment".to_owned(), |file| format!("`{file}`"));
    let accounts = config.accounts.len();
    let count = if accounts == 1 { "1 account".to_owned() } else { format!("{accounts} accounts") };
    Finding::ok(Subject::Configuration, None, format!("{source}, {count}"))
}

/// All accounts at once; what is found keeps their order.
async fn accounts(config: &Config) -> anyhow::Result<Vec<Finding>> {
    // Nobody scrapes them.
    let metrics = cloudflare::Metrics::register(&mut exposition::registry());
    let mut asking = JoinSet::new();
    for (at, account) in config.accounts.iter().enumerate() {
        let settings = ClientSettings { url: account.url.clone(), timeout: config.poll.timeout };
        let client = Client::new(&settings, metrics.clone())?;
        let account = account.account.clone();
        asking.spawn(async move { (at, api::findings(&client, &account).await) });
    }
    let mut answers = Vec::new();
    while let Some(answer) = asking.join_next().await {
        answers.push(answer.context("a check failed")?);
    }
    answers.sort_by_key(|(at, _)| *at);
    Ok(answers.into_iter().flat_map(|(_, findings)| findings).collect())
}
