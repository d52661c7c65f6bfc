//! The accounts to watch, from flags or else from the file, each with its credentials and its API.

use std::path::Path;

use web_toolkit::{
    keys,
    settings::{Mistake, Setting, SettingsReader},
    yaml::Node,
};

use super::{flags::CloudflareFlags, inputs::Inputs, tunnels};
use crate::{
    cloudflare::{ApiUrl, ApiUrlError},
    domain::inventory::AccountName,
    poller::{ApiAccount, CredentialSource},
    secret::Secret,
};

/// An account, and the API that serves it.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountConfig {
    pub account: ApiAccount,
    pub url: ApiUrl,
    /// Whether the edge is polled for this account, if it is polled at all.
    pub edge: bool,
}

keys! { pub(super) struct CloudflareKeys { api_token_file, api_key_file, email, api_url } }

keys! { pub(super) struct AccountKeys { id, name, api_token_file, api_key_file, email, api_url, edge } }

const NO_ACCOUNT: &str = "is missing: set `--cloudflare.account-id` or CLOUDFLARE_ACCOUNT_ID, or list `accounts` in a file \
    for `--config.file` (to try the exporter without an account, run `magic-tunnel-exporter demo`)";
const NO_TOKEN: &str = "is missing: name a file with `--cloudflare.api-token-file`, or set CLOUDFLARE_API_TOKEN \
    (to try the exporter without a token, run `magic-tunnel-exporter demo`)";

/// The name of the token in systemd's `LoadCredential=`.
const CREDENTIAL: &str = "cloudflare-api-token";

/// Reads the sections `cloudflare` and `accounts`. Accounts of flags or the environment replace all accounts of the
/// file. A missing value is reported only if there is no other mistake, because that can be the reason. Returns as well
/// whether the accounts are those of the file.
pub(super) fn read(
    flags: &CloudflareFlags,
    reader: &mut SettingsReader,
    cloudflare: Node<CloudflareKeys>,
    accounts: Node<AccountKeys>,
    inputs: &Inputs,
) -> (Vec<AccountConfig>, bool) {
    let shared = Shared::read(flags, reader, cloudflare, inputs);
    let sections = reader.sections("accounts", accounts);
    let by_flag = flags.account_ids.iter().filter(|id| !id.trim().is_empty());
    let by_flag: Vec<_> = by_flag.map(|id| Setting::from_flag("--cloudflare.account-id", id)).collect();
    let accounts = if by_flag.is_empty() {
        let mut accounts = Vec::new();
        for (line, keys) in sections {
            accounts.extend(shared.account(reader, line, keys, inputs, &accounts));
        }
        accounts
    } else {
        shared.accounts_of_flags(reader, &by_flag)
    };
    if accounts.is_empty() && reader.mistakes() == 0 {
        reader.report(Mistake::unquoted("--cloudflare.account-id", NO_ACCOUNT));
    }
    (accounts, by_flag.is_empty())
}

/// Reports accounts or credentials of an agent, which needs neither.
pub(super) fn refuse(
    flags: &CloudflareFlags,
    reader: &mut SettingsReader,
    cloudflare: &Node<CloudflareKeys>,
    accounts: &Node<AccountKeys>,
    inputs: &Inputs,
) {
    let CloudflareFlags { account_ids, api_token_file, api_key_file, api_url } = flags;
    let in_environment = |name| inputs.variable(name).is_some();
    let given = [
        ("--cloudflare.account-id", account_ids.iter().any(|id| !id.trim().is_empty())),
        ("--cloudflare.api-token-file", api_token_file.is_some()),
        ("--cloudflare.api-key-file", api_key_file.is_some()),
        ("--cloudflare.api-url", api_url.is_some()),
        ("CLOUDFLARE_API_TOKEN", in_environment("CLOUDFLARE_API_TOKEN")),
        ("CLOUDFLARE_API_KEY", in_environment("CLOUDFLARE_API_KEY")),
        ("accounts", accounts.line() > 0),
        ("cloudflare", cloudflare.line() > 0),
    ];
    if let Some((name, _)) = given.into_iter().find(|(_, given)| *given) {
        let rule = "cannot be combined with `--inventory.url`: an agent gets its tunnels from the hub, and has no account \
            and no token; remove one of them";
        reader.report(Mistake::unquoted(name, rule));
    }
}

/// The defaults of every account.
struct Shared {
    credentials: Option<CredentialSource>,
    email: Option<String>,
    url: Option<ApiUrl>,
}

impl Shared {
    fn read(flags: &CloudflareFlags, reader: &mut SettingsReader, node: Node<CloudflareKeys>, inputs: &Inputs) -> Self {
        let keys = reader.section("cloudflare", node);
        let email = reader.value("cloudflare.email", keys.email);
        let email = inputs.variable("CLOUDFLARE_EMAIL").or(email).map(|setting| setting.trimmed().to_owned());
        let files = SecretFiles {
            token: reader.value("cloudflare.api_token_file", keys.api_token_file),
            key: reader.value("cloudflare.api_key_file", keys.api_key_file),
        };
        let credentials = reader.check(shared_credentials(flags, &files, inputs, email.as_deref())).flatten();
        let url = reader.one(("cloudflare.api_url", flags.api_url.as_deref(), keys.api_url));
        let url = url.unwrap_or_else(|| Setting::from_flag("--cloudflare.api-url", ApiUrl::DEFAULT));
        Self { credentials, email, url: reader.check(api_url(&url)) }
    }

    /// The accounts that flags name, without repetitions.
    fn accounts_of_flags(&self, reader: &mut SettingsReader, ids: &[Setting]) -> Vec<AccountConfig> {
        let mut accounts = Vec::new();
        let ids: Vec<String> = ids.iter().filter_map(|id| reader.check(account_id(id))).collect();
        if self.credentials.is_none() && reader.mistakes() == 0 {
            reader.report(Mistake::unquoted("--cloudflare.api-token-file", NO_TOKEN));
        }
        for id in ids {
            let account = self.complete(id, None, None, None);
            accounts.extend(account.filter(|account| !accounts.contains(account)));
        }
        accounts
    }

    fn account(
        &self,
        reader: &mut SettingsReader,
        line: u64,
        keys: AccountKeys,
        inputs: &Inputs,
        others: &[AccountConfig],
    ) -> Option<AccountConfig> {
        let missing = "set the id of the account, as the URL of the dashboard shows it";
        let id = reader.required(line, "accounts.id", keys.id, missing);
        let name = reader.value("accounts.name", keys.name);
        let email = reader.value("accounts.email", keys.email).map(|setting| setting.trimmed().to_owned());
        let files = SecretFiles {
            token: reader.value("accounts.api_token_file", keys.api_token_file),
            key: reader.value("accounts.api_key_file", keys.api_key_file),
        };
        let url = reader.value("accounts.api_url", keys.api_url);
        let edge = reader.value("accounts.edge", keys.edge);
        let edge = reader.switch(edge, true);
        let checked_name = name.as_ref().and_then(|name| reader.check(tunnels::name(name))).map(AccountName::new);
        let credentials = reader.check(files.credentials(inputs, email.as_deref().or(self.email.as_deref()))).flatten();
        if credentials.as_ref().or(self.credentials.as_ref()).is_none() && reader.mistakes() == 0 {
            reader.report_at(line, "--cloudflare.api-token-file", NO_TOKEN);
        }
        let url = url.and_then(|url| reader.check(api_url(&url)));
        let id = id?;
        let account = self.complete(reader.check(account_id(&id))?, checked_name, credentials, url)?;
        let account = AccountConfig { edge, ..account };
        let is_twin = |other: &AccountConfig| other.account.id == account.account.id && other.url == account.url;
        if others.iter().any(is_twin) {
            reader.report(id.measured_mistake("must be listed once: its tunnels would be counted twice"));
        } else if others.iter().any(|other| other.account.name == account.account.name) {
            reader.report(name.unwrap_or(id).mistake("must be the name of one account only"));
        }
        Some(account)
    }

    /// `None`: a value is missing because of a mistake that was reported.
    fn complete(
        &self,
        id: String,
        name: Option<AccountName>,
        credentials: Option<CredentialSource>,
        url: Option<ApiUrl>,
    ) -> Option<AccountConfig> {
        let credentials = credentials.or_else(|| self.credentials.clone())?;
        let name = name.unwrap_or_else(|| AccountName::new(id.clone()));
        let url = url.or_else(|| self.url.clone())?;
        Some(AccountConfig { account: ApiAccount { name, id, credentials }, url, edge: true })
    }
}

/// The files with a secret that a section of the file names.
struct SecretFiles {
    token: Option<Setting>,
    key: Option<Setting>,
}

impl SecretFiles {
    fn credentials(&self, inputs: &Inputs, email: Option<&str>) -> Result<Option<CredentialSource>, Mistake> {
        match (&self.token, &self.key) {
            (Some(_), Some(key)) => {
                Err(key.unquoted_mistake("must not be set together with `api_token_file`: remove one of them"))
            }
            (Some(path), None) => usable(path, CredentialSource::Token(inputs.secrets.named_by(path)?)).map(Some),
            (None, Some(path)) => pair(path, inputs.secrets.named_by(path)?, email).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// The first that is set: flag, environment, file, systemd; a token before a key.
fn shared_credentials(
    flags: &CloudflareFlags,
    files: &SecretFiles,
    inputs: &Inputs,
    email: Option<&str>,
) -> Result<Option<CredentialSource>, Mistake> {
    let flag = |name: &'static str, path: &Option<String>| Some(Setting::from_flag(name, path.as_ref()?));
    let credentials = if let Some(path) = flag("--cloudflare.api-token-file", &flags.api_token_file) {
        usable(&path, CredentialSource::Token(inputs.secrets.named_by(&path)?))
    } else if let Some(setting) = inputs.variable("CLOUDFLARE_API_TOKEN") {
        usable(&setting, CredentialSource::Token(secret_in(&setting)?))
    } else if let Some(path) = flag("--cloudflare.api-key-file", &flags.api_key_file) {
        pair(&path, inputs.secrets.named_by(&path)?, email)
    } else if let Some(setting) = inputs.variable("CLOUDFLARE_API_KEY") {
        pair(&setting, secret_in(&setting)?, email)
    } else if let Some(credentials) = files.credentials(inputs, email)? {
        return Ok(Some(credentials));
    } else {
        return from_systemd(inputs);
    };
    credentials.map(Some)
}

fn secret_in(setting: &Setting) -> Result<Secret, Mistake> {
    Secret::given(&setting.text).map_err(|error| setting.unquoted_mistake(error))
}

fn pair(setting: &Setting, key: Secret, email: Option<&str>) -> Result<CredentialSource, Mistake> {
    let Some(email) = email else {
        let (name, way) = if setting.is_in_file() {
            ("email", "set it next to `api_key_file`, or set CLOUDFLARE_EMAIL")
        } else {
            ("CLOUDFLARE_EMAIL", "set it, or `cloudflare.email` in the file")
        };
        let rule = format!("is missing: an API key needs the e-mail address of its user; {way}");
        return Err(setting.with_name(name).unquoted_mistake(rule));
    };
    usable(setting, CredentialSource::Key { email: email.to_owned(), key })
}

fn usable(setting: &Setting, credentials: CredentialSource) -> Result<CredentialSource, Mistake> {
    let unusable = |error| setting.unquoted_mistake(format!("cannot be used: {error}"));
    credentials.check().map(|()| credentials).map_err(unusable)
}

/// With `LoadCredential=cloudflare-api-token:…` no flag is needed.
fn from_systemd(inputs: &Inputs) -> Result<Option<CredentialSource>, Mistake> {
    let Some(folder) = inputs.variable("CREDENTIALS_DIRECTORY") else { return Ok(None) };
    let path = Path::new(&folder.text).join(CREDENTIAL);
    if !path.is_file() {
        return Ok(None);
    }
    let setting = folder.with_text(path.to_string_lossy());
    usable(&setting, CredentialSource::Token(inputs.secrets.named_by(&setting)?)).map(Some)
}

/// The id is not quoted, because it may be a token that was set by mistake.
fn account_id(setting: &Setting) -> Result<String, Mistake> {
    let id = setting.trimmed();
    if id.is_empty() || id.len() > 32 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let rule = "must be an account id: at most 32 letters and digits, as the URL of the dashboard shows it";
        return Err(setting.measured_mistake(rule));
    }
    Ok(id.to_owned())
}

/// The URL is not quoted if it may contain a password.
fn api_url(setting: &Setting) -> Result<ApiUrl, Mistake> {
    setting.trimmed().parse().map_err(|error: ApiUrlError| match error {
        ApiUrlError::Extras => setting.unquoted_mistake(error),
        ApiUrlError::NotAUrl | ApiUrlError::NotHttps => setting.mistake(error),
    })
}
