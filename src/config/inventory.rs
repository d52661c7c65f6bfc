//! The section `inventory`: the hub of an agent, and how the agent proves its identity.

use std::{path::Path, sync::Arc, time::Duration};

use web_toolkit::{
    keys,
    settings::{Mistake, Setting, SettingsReader},
    yaml::Node,
};

use super::{flags::InventoryFlags, inputs::Inputs, tunnels};
use crate::{
    agents::ScrapeAddress,
    domain::probe::Vantage,
    https::{ApiUrl, ApiUrlError},
    inventory::{HubCredentials, InventorySettings, TlsFiles, client},
    secret::Secret,
};

keys! {
    pub(super) struct InventoryKeys {
        url, site, interval, timeout, prober, advertise, basic_auth: BasicAuthKeys, bearer_token_file, tls: HubTlsKeys,
    }
}

keys! { pub(super) struct BasicAuthKeys { username, password_file } }

keys! { pub(super) struct HubTlsKeys { ca_file, cert_file, key_file, server_name } }

const LEAST_INTERVAL: Duration = Duration::from_secs(1);
const LEAST_TIMEOUT: Duration = Duration::from_millis(100);
const MOST_INTERVAL: Duration = Duration::from_hours(1);

/// Whether a hub is set, so that the program is an agent.
pub(super) fn is_set(flags: &InventoryFlags, node: &Node<InventoryKeys>) -> bool {
    flags.urls.iter().any(|url| !url.trim().is_empty()) || node.line() > 0
}

/// Reads the section; `None` without a URL. `vantage` is that of the prober.
pub(super) fn read(
    flags: &InventoryFlags,
    reader: &mut SettingsReader,
    node: Node<InventoryKeys>,
    inputs: &Inputs,
    vantage: Vantage,
) -> Option<InventorySettings> {
    let (before, line) = (reader.mistakes(), node.line());
    let keys = reader.section("inventory", node);
    let urls = reader.many("inventory.url", &flags.urls, keys.url);
    let urls: Vec<Setting> = urls.into_iter().filter(|url| !url.trimmed().is_empty()).collect();
    let is_agent = !urls.is_empty();
    let is_incomplete = line > 0 || !flags.sites.is_empty() || flags.username.is_some() || flags.prober.is_some();
    if !is_agent && is_incomplete && reader.mistakes() == before {
        let rule = "is missing: set the URL of a hub, for example https://hub.example:9847";
        reader.report(Mistake::unquoted("inventory.url", rule));
    }
    let urls = urls.iter().filter_map(|url| reader.check(hub_url(url))).collect();
    let sites = reader.many("inventory.site", &flags.sites, keys.site);
    let sites = sites.iter().filter_map(|site| reader.check(tunnels::name(site))).collect();
    let interval = reader.one(("inventory.interval", flags.inventory_interval.as_deref(), keys.interval));
    let interval = interval.and_then(|setting| {
        let interval = reader.duration(&setting, LEAST_INTERVAL)?;
        let rule = if interval <= MOST_INTERVAL { Ok(interval) } else { Err("must be at most 1h") };
        reader.accept(&setting, rule)
    });
    let timeout = reader.one(("inventory.timeout", flags.inventory_timeout.as_deref(), keys.timeout));
    let timeout = timeout.and_then(|setting| reader.duration(&setting, LEAST_TIMEOUT));
    let prober = reader.one(("inventory.prober", flags.prober.as_deref(), keys.prober));
    let prober = prober.and_then(|setting| reader.check(ascii_name(&setting)));
    let advertise = reader.one(("inventory.advertise", flags.advertise.as_deref(), keys.advertise));
    let advertise = advertise.and_then(|setting| reader.check(scrape_url(&setting)));
    let bearer =
        reader.one(("inventory.bearer_token_file", flags.bearer_token_file.as_deref(), keys.bearer_token_file));
    let credentials = credentials(flags, reader, keys.basic_auth, bearer, inputs);
    let tls = tls_files(flags, reader, keys.tls);
    is_agent.then(|| InventorySettings {
        urls,
        sites,
        interval: interval.unwrap_or(Duration::from_secs(30)),
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
        prober: prober.unwrap_or_else(host_name),
        advertise,
        credentials,
        tls,
        vantage,
    })
}

fn host_name() -> Arc<str> {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into()
}

/// The URL is not quoted if it may contain a password.
fn hub_url(setting: &Setting) -> Result<ApiUrl, Mistake> {
    setting.trimmed().parse().map_err(|error: ApiUrlError| match error {
        ApiUrlError::Extras => setting.unquoted_mistake(error),
        ApiUrlError::NotAUrl => setting.mistake("must be a URL, for example https://hub.example:9847"),
        ApiUrlError::NotHttps => {
            setting.mistake("must use https; http would expose the password and is allowed on loopback addresses only")
        }
    })
}

/// A name that an HTTP header can contain.
fn ascii_name(setting: &Setting) -> Result<Arc<str>, Mistake> {
    let name = tunnels::name(setting)?;
    if name.is_ascii() { Ok(name) } else { Err(setting.mistake("must have ASCII characters only")) }
}

fn scrape_url(setting: &Setting) -> Result<Arc<str>, Mistake> {
    let text = setting.trimmed();
    let rule = "must be a URL with a port and without a query, for example http://agent.example:9847/metrics";
    ScrapeAddress::parse(text).map(|_| text.into()).ok_or_else(|| setting.unquoted_mistake(rule))
}

fn credentials(
    flags: &InventoryFlags,
    reader: &mut SettingsReader,
    node: Node<BasicAuthKeys>,
    bearer: Option<Setting>,
    inputs: &Inputs,
) -> Option<HubCredentials> {
    let keys = reader.section("inventory.basic_auth", node);
    let username = reader.one(("inventory.basic_auth.username", flags.username.as_deref(), keys.username));
    let password =
        reader.one(("inventory.basic_auth.password_file", flags.password_file.as_deref(), keys.password_file));
    match (username, password, bearer) {
        (None, None, None) => None,
        (Some(username), Some(password), None) => {
            let password = secret(reader, inputs, &password)?;
            Some(HubCredentials::Basic { username: username.trimmed().to_owned(), password })
        }
        (None, None, Some(bearer)) => secret(reader, inputs, &bearer).map(HubCredentials::Bearer),
        (username, password, _) => {
            let rule = "needs `username` and `password_file`, and cannot be combined with a bearer token";
            let setting = username.or(password).map(|setting| setting.with_name("inventory.basic_auth"));
            if let Some(setting) = setting {
                reader.report(setting.unquoted_mistake(rule));
            }
            None
        }
    }
}

fn secret(reader: &mut SettingsReader, inputs: &Inputs, path: &Setting) -> Option<Secret> {
    reader.check(inputs.secrets.named_by(path))
}

fn tls_files(flags: &InventoryFlags, reader: &mut SettingsReader, node: Node<HubTlsKeys>) -> TlsFiles {
    let keys = reader.section("inventory.tls", node);
    let ca = reader.one(("inventory.tls.ca_file", flags.ca_file.as_deref(), keys.ca_file));
    let certificate = reader.one(("inventory.tls.cert_file", flags.cert_file.as_deref(), keys.cert_file));
    let key = reader.one(("inventory.tls.key_file", flags.key_file.as_deref(), keys.key_file));
    let name = reader.one(("inventory.tls.server_name", flags.server_name.as_deref(), keys.server_name));
    let name = name.and_then(|setting| {
        let is_host = format!("https://{}", setting.trimmed()).parse::<ApiUrl>().is_ok();
        let rule = if is_host { Ok(setting.trimmed().into()) } else { Err("must be the name of a host") };
        reader.accept(&setting, rule)
    });
    let ca = ca.and_then(|setting| usable(reader, &setting, |path| client::read_roots(path).map(|_| path.to_owned())));
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => usable(reader, &key, client::read_pem).and_then(|_| {
            usable(reader, &certificate, |path| {
                client::read_identity(path, &key.path()).map(|_| (path.to_owned(), key.path()))
            })
        }),
        (None, None) => None,
        (Some(alone), None) | (None, Some(alone)) => {
            reader.report(alone.unquoted_mistake("needs both `cert_file` and `key_file`"));
            None
        }
    };
    TlsFiles { ca, identity, server_name: name }
}

fn usable<T>(reader: &mut SettingsReader, setting: &Setting, read: impl Fn(&Path) -> Result<T, String>) -> Option<T> {
    reader.check(read(&setting.path()).map_err(|rule| setting.mistake(rule)))
}
