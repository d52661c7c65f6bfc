//! `http_server_config`, `basic_auth_users` and `rate_limit`.

use std::{collections::BTreeMap, time::Duration};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use crate::{
    bucket::RateLimit,
    guard::{PasswordHash, RequestRules, Users},
    settings::{Mistake, Setting, SettingsReader},
    yaml::Node,
};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct HttpKeys {
    http2: Node,
    headers: Node<BTreeMap<String, Node>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RateKeys {
    interval: Node,
    burst: Node,
}

/// Reads the three sections.
pub(super) fn read(
    reader: &mut SettingsReader,
    http: Node<HttpKeys>,
    users: Node<BTreeMap<String, Node>>,
    rate: Node<RateKeys>,
) -> RequestRules {
    let headers = headers(reader, http);
    let users = read_users(reader, users);
    let rate = read_rate(reader, rate);
    RequestRules::new(Users::new(users), rate, headers)
}

/// The value of `http2` has no effect: only HTTP/1.1 is served, which every client supports.
fn headers(reader: &mut SettingsReader, node: Node<HttpKeys>) -> HeaderMap {
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

/// `None`: there is no limit.
fn read_rate(reader: &mut SettingsReader, node: Node<RateKeys>) -> Option<RateLimit> {
    let RateKeys { interval, burst } = reader.section("rate_limit", node);
    let interval = reader.value("rate_limit.interval", interval);
    let burst = reader.value("rate_limit.burst", burst);
    let interval = interval.filter(|setting| setting.trimmed() != "0")?;
    let duration = duration(reader, &interval);
    let Some(burst) = burst else {
        reader.report(interval.unquoted_mistake("needs `rate_limit.burst`: how many requests are answered at once"));
        return None;
    };
    let burst = reader.number(&burst, 1..=1_000_000)?;
    Some(RateLimit { interval: duration?, burst })
}

fn duration(reader: &mut SettingsReader, setting: &Setting) -> Option<Duration> {
    const MOST: Duration = Duration::from_hours(1);
    let duration = humantime::parse_duration(setting.trimmed()).ok();
    let duration = duration.filter(|duration| !duration.is_zero() && *duration <= MOST);
    reader.accept(setting, duration.ok_or("must be a duration up to 1h such as 1s or 100ms, or 0 for no limit"))
}
