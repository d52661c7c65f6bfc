//! Checked configuration: a value that exists is a value that can be used.
//!
//! Flags and environment come in as text ([`flags`]); every text is checked here, once, and a wrong one is refused with a sentence that
//! names the key, the value and the rule.

pub mod flags;

mod check;
mod probe;
mod sandbox;

use std::time::Duration;

pub use self::{
    check::{ConfigError, Environment},
    sandbox::SandboxConfig,
};
use self::{
    check::{duration, member, parse, secret_file},
    flags::{CloudflareFlags, ExporterFlags, Flags, HealthcheckFlags, LogFlags},
};
use crate::{
    cloudflare::{self, ApiUrl, ApiUrlError, Credentials},
    domain::inventory::AccountName,
    poller::Account,
    prober,
    server::ListenAddress,
    telemetry,
};

/// What `serve` runs with.
#[derive(Debug, Clone)]
pub struct Config {
    pub web: Web,
    pub api: cloudflare::Settings,
    pub accounts: Vec<Account>,
    pub poll: Poll,
    pub probe: prober::settings::Settings,
}

#[derive(Debug, Clone)]
pub struct Web {
    pub listen: Vec<ListenAddress>,
    /// Path of the metrics; begins with `/`.
    pub telemetry_path: String,
}

#[derive(Debug, Clone, Copy)]
pub struct Poll {
    pub interval: Duration,
    pub stale_after: Duration,
}

#[derive(Debug, Clone, Copy)]
pub struct Log {
    pub level: telemetry::Level,
    pub format: telemetry::Format,
}

/// Defaults that differ between `serve` and `demo`.
#[derive(Debug, Clone)]
pub struct Defaults {
    pub poll_interval: &'static str,
    pub probe: prober::settings::Settings,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { poll_interval: "60s", probe: prober::settings::Settings::default() }
    }
}

impl Config {
    /// What `serve` runs with: flags first, then the environment (which clap has put in the place of missing flags).
    ///
    /// # Errors
    /// The first key whose value breaks a rule.
    pub fn for_serve(flags: &Flags, environment: Environment<'_>) -> Result<Self, ConfigError> {
        let ids = account_ids(&flags.cloudflare)?;
        let credentials = credentials(&flags.cloudflare, environment)?;
        let accounts = ids
            .into_iter()
            .map(|id| Account { name: AccountName::new(id.clone()), id, credentials: credentials.clone() })
            .collect();
        let url = api_url(flags.cloudflare.api_url.as_deref().unwrap_or(ApiUrl::DEFAULT))?;
        Self::with_accounts(&flags.exporter, url, accounts, &Defaults::default())
    }

    /// The same for accounts and an API that are known already.
    pub fn with_accounts(
        flags: &ExporterFlags,
        url: ApiUrl,
        accounts: Vec<Account>,
        defaults: &Defaults,
    ) -> Result<Self, ConfigError> {
        let timeout = duration("--poll.timeout", flags.poll_timeout.as_deref(), "10s", Duration::from_millis(100))?;
        Ok(Self {
            web: web(flags)?,
            api: cloudflare::Settings { url, timeout },
            accounts,
            poll: poll(flags, defaults)?,
            probe: probe::settings(&flags.probe, &defaults.probe)?,
        })
    }
}

impl Log {
    pub fn from_flags(flags: &LogFlags) -> Result<Self, ConfigError> {
        Ok(Self {
            level: member("--log.level", flags.level.as_deref(), telemetry::Level::Info)?,
            format: member("--log.format", flags.format.as_deref(), telemetry::Format::Logfmt)?,
        })
    }
}

fn web(flags: &ExporterFlags) -> Result<Web, ConfigError> {
    let texts = if flags.listen_addresses.is_empty() { &[":9847".to_owned()][..] } else { &flags.listen_addresses };
    let listen = texts.iter().map(|text| parse("--web.listen-address", text)).collect::<Result<_, _>>()?;
    let telemetry_path = flags.telemetry_path.clone().unwrap_or_else(|| "/metrics".to_owned());
    let is_path = telemetry_path.starts_with('/')
        && telemetry_path.bytes().all(|b| b.is_ascii_graphic() && !b"?#\"<>".contains(&b));
    if !is_path || telemetry_path == "/" || telemetry_path.starts_with("/-/") {
        let rule = "must be a path such as /metrics: it begins with `/`, and is neither `/` nor below `/-/`";
        return Err(ConfigError::new("--web.telemetry-path", telemetry_path, rule));
    }
    Ok(Web { listen, telemetry_path })
}

/// The address to ask whether an exporter serves: the first of those it listens on.
pub fn first_listen_address(flags: &HealthcheckFlags) -> Result<ListenAddress, ConfigError> {
    parse("--web.listen-address", flags.listen_addresses.first().map_or("", String::as_str))
}

fn poll(flags: &ExporterFlags, defaults: &Defaults) -> Result<Poll, ConfigError> {
    const LEAST: Duration = Duration::from_millis(200);
    let interval = duration("--poll.interval", flags.poll_interval.as_deref(), defaults.poll_interval, LEAST)?;
    let stale_after = duration("--poll.stale-after", flags.poll_stale_after.as_deref(), "5m", LEAST)?;
    if stale_after <= interval {
        let value = humantime::format_duration(stale_after).to_string();
        let rule = format!("must be longer than `--poll.interval` ({})", humantime::format_duration(interval));
        return Err(ConfigError::new("--poll.stale-after", value, rule));
    }
    Ok(Poll { interval, stale_after })
}

const NO_ACCOUNT: &str = "is missing: give `--cloudflare.account-id` or set CLOUDFLARE_ACCOUNT_ID \
    (to see the exporter at work without an account, run `magic-tunnel-exporter demo`)";
const NO_TOKEN: &str = "is missing: give a file with `--cloudflare.api-token-file`, or set CLOUDFLARE_API_TOKEN \
    (to see the exporter at work without a token, run `magic-tunnel-exporter demo`)";

fn account_ids(flags: &CloudflareFlags) -> Result<Vec<String>, ConfigError> {
    let mut ids: Vec<String> = Vec::new();
    for id in flags.account_ids.iter().map(|id| id.trim()).filter(|id| !id.is_empty()) {
        if id.len() > 32 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let rule = "must be an account id: at most 32 letters and digits, as the dashboard's address shows it";
            return Err(ConfigError::new("--cloudflare.account-id", id, rule));
        }
        if !ids.iter().any(|known| known == id) {
            ids.push(id.to_owned());
        }
    }
    if ids.is_empty() { Err(ConfigError::without_value("--cloudflare.account-id", NO_ACCOUNT)) } else { Ok(ids) }
}

/// The token's file, the token, the key's file with the e-mail address, or the key: the first that is given.
fn credentials(flags: &CloudflareFlags, environment: Environment<'_>) -> Result<Credentials, ConfigError> {
    let set = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
    let (key, credentials) = if let Some(path) = &flags.api_token_file {
        ("--cloudflare.api-token-file", Credentials::Token(secret_file("--cloudflare.api-token-file", path)?))
    } else if let Some(token) = set("CLOUDFLARE_API_TOKEN") {
        ("CLOUDFLARE_API_TOKEN", Credentials::Token(token.trim().into()))
    } else {
        let key = match (&flags.api_key_file, set("CLOUDFLARE_API_KEY")) {
            (Some(path), _) => Some(secret_file("--cloudflare.api-key-file", path)?),
            (None, Some(key)) => Some(key.trim().into()),
            (None, None) => None,
        };
        let Some(key) = key else { return Err(ConfigError::without_value("--cloudflare.api-token-file", NO_TOKEN)) };
        let Some(email) = set("CLOUDFLARE_EMAIL") else {
            return Err(ConfigError::without_value(
                "CLOUDFLARE_EMAIL",
                "is missing: an API key needs the e-mail address of its user",
            ));
        };
        ("CLOUDFLARE_API_KEY", Credentials::Key { email: email.trim().to_owned(), key })
    };
    match credentials.check() {
        Ok(()) => Ok(credentials),
        Err(error) => Err(ConfigError::without_value(key, format!("cannot be used: {error}"))),
    }
}

/// The URL is not shown where it may hold a password.
fn api_url(text: &str) -> Result<ApiUrl, ConfigError> {
    text.trim().parse().map_err(|error: ApiUrlError| match error {
        ApiUrlError::Extras => ConfigError::without_value("--cloudflare.api-url", error.to_string()),
        ApiUrlError::NoUrl | ApiUrlError::NotHttps => ConfigError::new("--cloudflare.api-url", text, error.to_string()),
    })
}

#[cfg(test)]
mod tests;
