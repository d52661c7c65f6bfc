//! The web configuration file (`--web.config.file`): TLS, passwords, headers and a rate limit, in the format that
//! Prometheus and its exporters share.
//!
//! [`WebFile`] reads the file and all files that it names. A `WebFile` is completely checked, so it can be used as it
//! is.

mod tls;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::{Timestamp, Unit};

use self::tls::{TlsKeys, TlsReader};
use crate::{
    bucket::RateLimit,
    file::{self, FileError, Fingerprint, Fingerprints},
    guard::RequestRules,
    keys,
    passwords::{HIGHEST_USUAL_COST, PasswordHash, Users},
    server::tls::{Clients, TlsConfig},
    settings::{ConfigError, Layout, Mistake, Setting, SettingsReader},
    text::shown,
    yaml::{Node, keys_of},
};

/// With certificates and keys in the text itself it is still a small file.
const MOST_BYTES: u64 = 1 << 20;

keys! {
    struct WebFileKeys {
        tls_server_config: TlsKeys, http_server_config: HttpKeys, basic_auth_users: BTreeMap<String, Node>,
        rate_limit: RateKeys,
    }
}

keys! { struct HttpKeys { http2, headers: BTreeMap<String, Node> } }

keys! { struct RateKeys { interval, burst } }

/// A web configuration file that was read and is valid.
#[derive(Debug, Clone)]
pub struct WebFile {
    /// The flag or the key with the path of the file.
    pub(crate) setting: Setting,
    /// `None`: HTTP is served without TLS.
    pub tls: Option<Arc<TlsConfig>>,
    pub rules: Arc<RequestRules>,
    /// The file and those it names, as they were before they were read.
    pub files: Fingerprints,
    /// Warnings about the file: valid, but insecure or without effect.
    remarks: Vec<String>,
}

impl WebFile {
    /// Reads the file that `setting` names. Blocks.
    ///
    /// # Errors
    /// Every mistake of the file.
    pub fn load(setting: Setting) -> Result<Self, ConfigError> {
        let path = setting.path();
        let seen = Fingerprint::read(&path);
        let content = file::read(&path, MOST_BYTES).map_err(|error| setting.mistake(error))?;
        let text = String::from_utf8(content.bytes).map_err(|_| setting.mistake(FileError::NotText))?;
        let sections = vec![
            ("tls_server_config", keys_of::<TlsKeys>()),
            ("http_server_config", keys_of::<HttpKeys>()),
            ("rate_limit", keys_of::<RateKeys>()),
        ];
        let layout = Layout { sections, secrets: &[] };
        let (mut reader, keys) = SettingsReader::open::<WebFileKeys>(&path.to_string_lossy(), text, layout)?;
        let mut tls_reader = TlsReader {
            reader: &mut reader,
            world_readable: content.world_readable,
            files: [(path, seen)].into(),
            remarks: Vec::new(),
        };
        let tls = tls_reader.read(keys.tls_server_config).map(Arc::new);
        let TlsReader { files, mut remarks, .. } = tls_reader;
        let headers = read_headers(&mut reader, keys.http_server_config);
        let hashes = read_users(&mut reader, keys.basic_auth_users);
        remarks.extend(hashes.iter().filter_map(|(user, hash)| remark_on_cost(user, hash)));
        let users = Users::new(hashes);
        let rules = RequestRules::new(users, read_rate(&mut reader, keys.rate_limit), headers);
        reader.finish()?;
        if tls.is_none() {
            remarks.push(match rules.users() {
                Some(_) => "passwords are required, but TLS is not: they cross the network in clear text".to_owned(),
                None => {
                    "neither TLS nor a password is required: everything that reaches the port can read it".to_owned()
                }
            });
        }
        Ok(Self { setting, tls, rules: Arc::new(rules), files, remarks })
    }

    pub fn path(&self) -> PathBuf {
        self.setting.path()
    }

    /// Warnings about the file at the time `now`: valid, but insecure, without effect or expired.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let expiry = self.tls.as_ref().and_then(|tls| remark_on_validity(tls, now));
        expiry.into_iter().chain(self.remarks.iter().cloned()).collect()
    }

    /// The warnings that do not depend on the time.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// What `next` no longer requires of clients, if anything. A file that is being written can look like a weaker one.
    pub fn weakened_by(&self, next: &Self) -> Option<&'static str> {
        match (&self.tls, &next.tls) {
            (Some(_), None) => return Some("it no longer has tls_server_config"),
            (Some(old), Some(new)) if strictness(old.clients()) > strictness(new.clients()) => {
                return Some("it requires less of client certificates");
            }
            _ => {}
        }
        let passwords_end = self.rules.users().is_some() && next.rules.users().is_none();
        passwords_end.then_some("it no longer has basic_auth_users")
    }
}

/// Equal if the same files were read in the same state.
impl PartialEq for WebFile {
    fn eq(&self, other: &Self) -> bool {
        self.path() == other.path() && self.files == other.files
    }
}

impl Eq for WebFile {}

fn remark_on_cost(user: &str, hash: &PasswordHash) -> Option<String> {
    let (user, cost) = (shown(user), hash.cost());
    (cost > HIGHEST_USUAL_COST).then(|| {
        format!(
            "`basic_auth_users.{user}` has a bcrypt cost of {cost}: checking its password takes longer than a scrape \
             timeout; use at most {HIGHEST_USUAL_COST}"
        )
    })
}

/// Orders policies by what clients have to prove.
fn strictness(clients: &Clients) -> u8 {
    match clients {
        Clients::All => 0,
        Clients::VerifiedIfGiven { .. } => 1,
        Clients::Unverified { .. } => 2,
        Clients::Verified { names, .. } if names.is_empty() => 3,
        Clients::Verified { .. } => 4,
    }
}

/// An expired certificate is served all the same, as other exporters do, because clients report the reason themselves.
fn remark_on_validity(tls: &TlsConfig, now: Timestamp) -> Option<String> {
    let validity = tls.validity();
    let at = |time: Timestamp| time.round(Unit::Second).unwrap_or(time);
    let what = if now > validity.not_after {
        format!("expired at {}", at(validity.not_after))
    } else if now < validity.not_before {
        format!("is not valid before {}", at(validity.not_before))
    } else {
        return None;
    };
    Some(format!("the certificate {what}: clients that verify it refuse to connect"))
}

/// The value of `http2` has no effect: only HTTP/1.1 is served, which every client supports.
fn read_headers(reader: &mut SettingsReader, node: Node<HttpKeys>) -> HeaderMap {
    let HttpKeys { http2, headers } = reader.section("http_server_config", node);
    let http2 = reader.value("http_server_config.http2", http2);
    reader.switch(http2, false);
    let headers = reader.pairs("http_server_config.headers", headers).into_iter();
    let headers = headers.filter(|(_, setting)| !setting.text.is_empty());
    headers.filter_map(|(name, setting)| reader.check(header(&name, &setting))).collect()
}

/// The headers that can be set, each with its valid values; an empty list allows any value.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

fn header(name: &str, setting: &Setting) -> Result<(HeaderName, HeaderValue), Mistake> {
    let names = HEADERS.map(|(name, _)| name).join(", ");
    let unknown = || setting.unquoted_mistake(format!("cannot be set; expected one of {names}"));
    let (known, values) = HEADERS.iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
    let setting = setting.with_name(format!("http_server_config.headers.{known}"));
    if !values.is_empty() && !values.contains(&setting.text.as_str()) {
        return Err(setting.mistake(format!("must be {}", values.join(" or "))));
    }
    let value =
        HeaderValue::from_str(&setting.text).map_err(|_| setting.mistake("must be one line of printable text"))?;
    Ok((known.parse().map_err(|_| unknown())?, value))
}

fn read_users(reader: &mut SettingsReader, node: Node<BTreeMap<String, Node>>) -> BTreeMap<String, PasswordHash> {
    let mut users = BTreeMap::new();
    for (user, setting) in reader.pairs("basic_auth_users", node) {
        if user.is_empty() || user.contains([':', '$']) {
            let rule = "must have user names as keys and hashes as values; a user name is not empty and contains neither `:` nor `$`";
            reader.report(setting.with_name("basic_auth_users").unquoted_mistake(rule));
            continue;
        }
        match setting.trimmed().parse::<PasswordHash>() {
            Ok(hash) => _ = users.insert(user, hash),
            Err(error) => reader.report(setting.unquoted_mistake(error)),
        }
    }
    users
}

/// `None`: unlimited.
fn read_rate(reader: &mut SettingsReader, node: Node<RateKeys>) -> Option<RateLimit> {
    const MOST: Duration = Duration::from_hours(1);
    let RateKeys { interval, burst } = reader.section("rate_limit", node);
    let interval = reader.value("rate_limit.interval", interval);
    let burst = reader.value("rate_limit.burst", burst);
    let interval = interval.filter(|setting| setting.trimmed() != "0")?;
    let duration = humantime::parse_duration(interval.trimmed()).ok();
    let duration = duration.filter(|duration| !duration.is_zero() && *duration <= MOST);
    let rule = "must be a duration up to 1h such as 1s or 100ms, or 0 for no limit";
    let duration = reader.accept(&interval, duration.ok_or(rule));
    let Some(burst) = burst else {
        reader.report(interval.unquoted_mistake("needs `rate_limit.burst`: how many requests are answered at once"));
        return None;
    };
    let burst = reader.number(&burst, 1..=1_000_000)?;
    Some(RateLimit { interval: duration?, burst })
}

#[cfg(test)]
mod tests;
