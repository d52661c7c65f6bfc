//! `http_server_config`, `basic_auth_users` and `rate_limit`.

use std::{collections::BTreeMap, time::Duration};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::{
    super::check::{ConfigError, switch},
    section::{Section, printable},
};
use crate::http::guard::{Hash, Rate, Rules, Users};

/// Reads the sections from the top of the file.
pub(super) fn read(document: &mut Section, remarks: &mut Vec<String>) -> Result<Rules, String> {
    let headers = match document.section("http_server_config")? {
        Some(section) => http_server(section, remarks)?,
        None => HeaderMap::new(),
    };
    let users = document.section("basic_auth_users")?.map(users).transpose()?.flatten();
    let rate = document.section("rate_limit")?.map(rate).transpose()?.flatten();
    Ok(Rules::new(users, rate, headers))
}

fn http_server(mut section: Section, remarks: &mut Vec<String>) -> Result<HeaderMap, String> {
    let http2 = section.read("http_server_config.http2", |key, text| switch(key, Some(text), false))?;
    if http2 == Some(true) {
        remarks
            .push("`http_server_config.http2` changes nothing: HTTP/1.1 is served, which every client speaks".into());
    }
    let headers = section.section("http_server_config.headers")?.map(headers).transpose()?;
    section.finish()?;
    Ok(headers.unwrap_or_default())
}

/// The headers that may be set, with the values they may have; any where there are none.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

fn headers(section: Section) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in section.words()? {
        let known = HEADERS.iter().find(|(known, _)| *known == name).ok_or_else(unknown_header)?;
        if !known.1.is_empty() && !known.1.contains(&value.as_str()) {
            return Err(format!("`http_server_config.headers` has `{name}`, which must be {}", known.1.join(" or ")));
        }
        if value.is_empty() {
            continue;
        }
        let value = HeaderValue::from_str(&value).map_err(|_| {
            format!("`http_server_config.headers` has `{name}`, which must be one line of printable text")
        })?;
        let name: HeaderName = known.0.parse().map_err(|_| unknown_header())?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn unknown_header() -> String {
    let names = HEADERS.map(|(name, _)| name).join(", ");
    format!("`http_server_config.headers` may have only {names}, written like this")
}

fn users(section: Section) -> Result<Option<Users>, String> {
    let mut hashes = BTreeMap::new();
    for (user, hash) in section.words()? {
        if user.is_empty() || user.contains(':') {
            return Err(
                "`basic_auth_users` must have names of users before the colons, not empty and without a colon".into()
            );
        }
        let hash: Hash = hash.parse().map_err(|error| match printable(&user) {
            Some(user) => format!("`basic_auth_users` has a value for `{user}` that {error}"),
            None => format!("`basic_auth_users` has a value that {error}"),
        })?;
        hashes.insert(user, hash);
    }
    Ok(Users::new(hashes))
}

fn rate(mut section: Section) -> Result<Option<Rate>, String> {
    let interval = section.read("rate_limit.interval", interval)?.unwrap_or_default();
    let burst = section.read("rate_limit.burst", burst)?;
    section.finish()?;
    if interval.is_zero() {
        return Ok(None);
    }
    let burst = burst.filter(|burst| *burst > 0);
    let burst = burst.ok_or("`rate_limit.burst` must be at least 1, or no request would ever be answered")?;
    Ok(Some(Rate { interval, burst }))
}

fn interval(key: &'static str, text: &str) -> Result<Duration, ConfigError> {
    const MOST: Duration = Duration::from_hours(1);
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let interval = humantime::parse_duration(text).ok().filter(|interval| *interval <= MOST);
    interval.ok_or_else(|| {
        ConfigError::new(key, text, "must be a duration up to 1h such as 1s or 100ms, or 0 for no limit")
    })
}

fn burst(key: &'static str, text: &str) -> Result<u32, ConfigError> {
    let burst = text.parse().ok().filter(|burst| *burst <= 1_000_000);
    burst.ok_or_else(|| ConfigError::new(key, text, "must be a whole number up to 1000000"))
}
