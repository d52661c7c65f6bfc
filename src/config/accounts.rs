//! Whose tunnels are watched: the accounts of the flags, or else those of the file, each with its credentials and its API.

use std::path::Path;

use web_toolkit::{
    document::Section,
    given::{ConfigError, Given},
    text,
};

use super::{check::secret_file, flags::CloudflareFlags, inputs::Inputs};
use crate::{
    cloudflare::{ApiUrl, ApiUrlError},
    domain::inventory::AccountName,
    poller::{ApiAccount, CredentialSource},
    secret::Secret,
};

/// An account, and the API that knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountConfig {
    pub account: ApiAccount,
    pub url: ApiUrl,
}

const NO_ACCOUNT: &str = "is missing: give `--cloudflare.account-id` or set CLOUDFLARE_ACCOUNT_ID, or list `accounts` in a file \
    for `--config.file` (to see the exporter at work without an account, run `magic-tunnel-exporter demo`)";
const NO_TOKEN: &str = "is missing: give a file with `--cloudflare.api-token-file`, or set CLOUDFLARE_API_TOKEN \
    (to see the exporter at work without a token, run `magic-tunnel-exporter demo`)";
const NOT_HERE: &str = "must not stand in this file: write the secret to a file of its own and name that one with";

/// What systemd's `LoadCredential=` is told to call the token.
const CREDENTIAL: &str = "cloudflare-api-token";

/// Reads the sections `cloudflare` and `accounts`. Accounts that were given by flag or environment stand in for all of the file's.
pub(super) fn read(
    flags: &CloudflareFlags,
    root: &mut Section,
    inputs: &Inputs,
) -> Result<Vec<AccountConfig>, ConfigError> {
    let shared = Shared::read(flags, root.section("cloudflare")?, inputs)?;
    let sections = root.sections("accounts")?;
    sections.iter().try_for_each(refuse_secrets)?;
    let given: Vec<Given> = flags.account_ids.iter().map(|id| Given::by_flag("--cloudflare.account-id", id)).collect();
    let given: Vec<Given> = given.into_iter().filter(|given| !given.trimmed().is_empty()).collect();
    let mut accounts: Vec<AccountConfig> = Vec::new();
    if given.is_empty() {
        for section in sections {
            let place = section.place().cloned();
            let account = shared.account(section, inputs)?;
            refuse_twins(&account, &accounts).map_err(|error| error.at(place))?;
            accounts.push(account);
        }
    } else {
        for id in given {
            let account = shared.with(account_id(&id)?, None, None, None)?;
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
    }
    if accounts.is_empty() {
        return Err(ConfigError::without_value("--cloudflare.account-id", NO_ACCOUNT));
    }
    Ok(accounts)
}

/// What holds for every account that does not say otherwise.
struct Shared {
    credentials: Option<CredentialSource>,
    email: Option<String>,
    url: ApiUrl,
}

impl Shared {
    fn read(flags: &CloudflareFlags, mut file: Section, inputs: &Inputs) -> Result<Self, ConfigError> {
        refuse_secrets(&file)?;
        let email = file.text("email")?;
        let email = variable(inputs, "CLOUDFLARE_EMAIL").or(email).map(|given| given.trimmed().to_owned());
        let credentials = Self::credentials(flags, &mut file, inputs, email.as_deref())?;
        let url = match file.one("api_url", flags.api_url.as_deref())? {
            Some(given) => api_url(&given)?,
            None => api_url(&Given::by_flag("--cloudflare.api-url", ApiUrl::DEFAULT))?,
        };
        file.finish()?;
        Ok(Self { credentials, email, url })
    }

    /// The first that is given: by flag, in the environment, in the file, by systemd; a token before a key.
    fn credentials(
        flags: &CloudflareFlags,
        file: &mut Section,
        inputs: &Inputs,
        email: Option<&str>,
    ) -> Result<Option<CredentialSource>, ConfigError> {
        let written = Written::take(file)?;
        let given = |flag: &'static str, path: &Option<String>| path.as_ref().map(|path| Given::by_flag(flag, path));
        if let Some(path) = given("--cloudflare.api-token-file", &flags.api_token_file) {
            return token(&path, secret_file(&path, &inputs.secrets)?).map(Some);
        }
        if let Some(given) = variable(inputs, "CLOUDFLARE_API_TOKEN") {
            return token(&given, in_environment(&given)?).map(Some);
        }
        if let Some(path) = given("--cloudflare.api-key-file", &flags.api_key_file) {
            return pair(&path, secret_file(&path, &inputs.secrets)?, email).map(Some);
        }
        if let Some(given) = variable(inputs, "CLOUDFLARE_API_KEY") {
            return pair(&given, in_environment(&given)?, email).map(Some);
        }
        match written.credentials(inputs, email)? {
            Some(credentials) => Ok(Some(credentials)),
            None => from_systemd(inputs),
        }
    }

    fn account(&self, mut section: Section, inputs: &Inputs) -> Result<AccountConfig, ConfigError> {
        let Some(id) = section.text("id")? else {
            let rule = "is missing: it is the id of the account, as the dashboard's address shows it";
            return Err(ConfigError::without_value(section.name("id"), rule).at(section.place().cloned()));
        };
        let name = section.text("name")?.map(|name| account_name(&name)).transpose()?;
        let email = section.text("email")?.map(|given| given.trimmed().to_owned());
        let own = Written::take(&mut section)?;
        let own = own.credentials(inputs, email.as_deref().or(self.email.as_deref()))?;
        let url = section.text("api_url")?.map(|given| api_url(&given)).transpose()?;
        let id = account_id(&id)?;
        let place = section.place().cloned();
        section.finish()?;
        self.with(id, name, own, url).map_err(|error| error.at(place))
    }

    fn with(
        &self,
        id: String,
        name: Option<AccountName>,
        credentials: Option<CredentialSource>,
        url: Option<ApiUrl>,
    ) -> Result<AccountConfig, ConfigError> {
        let missing = || ConfigError::without_value("--cloudflare.api-token-file", NO_TOKEN);
        let credentials = credentials.or_else(|| self.credentials.clone()).ok_or_else(missing)?;
        let name = name.unwrap_or_else(|| AccountName::new(id.clone()));
        Ok(AccountConfig {
            account: ApiAccount { name, id, credentials },
            url: url.unwrap_or_else(|| self.url.clone()),
        })
    }
}

/// The files with a secret that a section of the file names.
struct Written {
    token: Option<Given>,
    key: Option<Given>,
}

impl Written {
    fn take(section: &mut Section) -> Result<Self, ConfigError> {
        let (token, key) = (section.text("api_token_file")?, section.text("api_key_file")?);
        match (token, key) {
            (Some(_), Some(key)) => {
                Err(key.secretly_wrong("must not be given beside `api_token_file`: take one of them away"))
            }
            (token, key) => Ok(Self { token, key }),
        }
    }

    fn credentials(self, inputs: &Inputs, email: Option<&str>) -> Result<Option<CredentialSource>, ConfigError> {
        if let Some(path) = self.token {
            return token(&path, secret_file(&path, &inputs.secrets)?).map(Some);
        }
        let Some(path) = self.key else { return Ok(None) };
        pair(&path, secret_file(&path, &inputs.secrets)?, email).map(Some)
    }
}

/// An operator who is about to put a secret where it would be copied and shown learns where it belongs.
fn refuse_secrets(section: &Section) -> Result<(), ConfigError> {
    for (key, instead) in [("api_token", "api_token_file"), ("token", "api_token_file"), ("api_key", "api_key_file")] {
        section.refuse(key, &format!("{NOT_HERE} `{instead}`"))?;
    }
    Ok(())
}

fn variable(inputs: &Inputs, name: &'static str) -> Option<Given> {
    inputs.variable(name).map(|text| Given::by_flag(name, &text))
}

fn in_environment(given: &Given) -> Result<Secret, ConfigError> {
    Secret::given(&given.text).map_err(|error| given.secretly_wrong(error.to_string()))
}

fn token(given: &Given, secret: Secret) -> Result<CredentialSource, ConfigError> {
    usable(given, CredentialSource::Token(secret))
}

fn pair(given: &Given, key: Secret, email: Option<&str>) -> Result<CredentialSource, ConfigError> {
    let Some(email) = email else {
        let (name, way) = match given.place {
            Some(_) => ("email", "set it beside `api_key_file`, or CLOUDFLARE_EMAIL"),
            None => ("CLOUDFLARE_EMAIL", "set it, or `cloudflare.email` in the file"),
        };
        let rule = format!("is missing: an API key needs the e-mail address of its user; {way}");
        return Err(ConfigError::without_value(name, rule).at(given.place.clone()));
    };
    usable(given, CredentialSource::Key { email: email.to_owned(), key })
}

fn usable(given: &Given, credentials: CredentialSource) -> Result<CredentialSource, ConfigError> {
    match credentials.check() {
        Ok(()) => Ok(credentials),
        Err(error) => Err(given.secretly_wrong(format!("cannot be used: {error}"))),
    }
}

/// `LoadCredential=cloudflare-api-token:…` is enough: the file is there, nobody has to name it.
fn from_systemd(inputs: &Inputs) -> Result<Option<CredentialSource>, ConfigError> {
    let Some(folder) = inputs.variable("CREDENTIALS_DIRECTORY") else { return Ok(None) };
    let path = Path::new(&folder).join(CREDENTIAL);
    if !path.is_file() {
        return Ok(None);
    }
    let given = Given::by_flag("CREDENTIALS_DIRECTORY", &path.to_string_lossy());
    token(&given, secret_file(&given, &inputs.secrets)?).map(Some)
}

fn account_id(given: &Given) -> Result<String, ConfigError> {
    let id = given.trimmed();
    if id.is_empty() || id.len() > 32 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let rule = "must be an account id: at most 32 letters and digits, as the dashboard's address shows it";
        return Err(given.wrong(rule));
    }
    Ok(id.to_owned())
}

fn account_name(given: &Given) -> Result<AccountName, ConfigError> {
    match given.trimmed() {
        name if !name.is_empty() && text::shown(name) == name => Ok(AccountName::new(name)),
        _ => Err(given.wrong(format!("must be 1 to {} printable characters", text::LONGEST))),
    }
}

fn refuse_twins(account: &AccountConfig, others: &[AccountConfig]) -> Result<(), ConfigError> {
    let AccountConfig { account: ApiAccount { name, id, .. }, url } = account;
    if others.iter().any(|other| other.account.name == *name) {
        return Err(ConfigError::new("accounts.name", name.as_str(), "must be the name of one account only"));
    }
    if others.iter().any(|other| other.account.id == *id && other.url == *url) {
        return Err(ConfigError::new("accounts.id", id, "must be listed once: its tunnels would be counted twice"));
    }
    Ok(())
}

/// The URL is not shown where it may hold a password.
fn api_url(given: &Given) -> Result<ApiUrl, ConfigError> {
    given.trimmed().parse().map_err(|error: ApiUrlError| match error {
        ApiUrlError::Extras => given.secretly_wrong(error.to_string()),
        ApiUrlError::NotAUrl | ApiUrlError::NotHttps => given.wrong(error.to_string()),
    })
}
