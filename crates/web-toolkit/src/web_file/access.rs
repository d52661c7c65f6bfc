//! `http_server_config`, `basic_auth_users` and `rate_limit`.

use std::{collections::BTreeMap, time::Duration};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::super::{
    check::{parse, switch},
    document::Section,
    given::{ConfigError, Given},
};
use crate::{
    bucket::RateLimit,
    guard::{PasswordHash, RequestRules, Users},
};

/// Reads the three sections below the top of the file.
pub(super) fn read(root: &mut Section) -> Result<RequestRules, ConfigError> {
    let headers = http_server(root.section("http_server_config")?)?;
    let users = users(root.section("basic_auth_users")?)?;
    let rate = rate(root.section("rate_limit")?)?;
    Ok(RequestRules::new(users, rate, headers))
}

/// Whether HTTP/2 is wished for changes nothing: HTTP/1.1 is served, which every client speaks.
fn http_server(mut section: Section) -> Result<HeaderMap, ConfigError> {
    switch(section.text("http2")?.as_ref(), false)?;
    let headers = section.section("headers")?.all()?;
    section.finish()?;
    headers.iter().filter(|(_, value)| !value.text.is_empty()).map(|(name, value)| header(name, value)).collect()
}

/// The headers that may be set, with the values they may have; any where there are none.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

fn header(name: &str, given: &Given) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let names = HEADERS.map(|(name, _)| name).join(", ");
    let unknown = || given.secretly_wrong(format!("is no header that can be set here; there are {names}"));
    let (known, values) = HEADERS.iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
    if !values.is_empty() && !values.contains(&given.text.as_str()) {
        return Err(given.wrong(format!("must be {}", values.join(" or "))));
    }
    let value = HeaderValue::from_str(&given.text).map_err(|_| given.wrong("must be one line of printable text"))?;
    Ok((known.parse().map_err(|_| unknown())?, value))
}

fn users(section: Section) -> Result<Option<Users>, ConfigError> {
    let hashes = section.all()?.into_iter().map(|(user, given)| {
        if user.is_empty() || user.contains([':', '$']) {
            let rule = "must name users, each with a hash behind the colon; a name is not empty, and has neither `:` nor `$` in it";
            return Err(ConfigError::without_value("basic_auth_users", rule).at(given.place));
        }
        let hash: PasswordHash = given.trimmed().parse().map_err(|error| given.secretly_wrong(format!("{error}")))?;
        Ok((user, hash))
    });
    Ok(Users::new(hashes.collect::<Result<BTreeMap<_, _>, _>>()?))
}

/// `None` where there is no limit.
fn rate(mut section: Section) -> Result<Option<RateLimit>, ConfigError> {
    let interval = section.text("interval")?;
    let burst = section.text("burst")?;
    section.finish()?;
    let Some(interval) = interval.filter(|given| given.trimmed() != "0") else { return Ok(None) };
    let Some(burst) = burst else {
        let rule = "needs `rate_limit.burst` beside it: how many requests are answered at once";
        return Err(interval.secretly_wrong(rule));
    };
    Ok(Some(RateLimit { interval: duration(&interval)?, burst: count(&burst)? }))
}

fn duration(given: &Given) -> Result<Duration, ConfigError> {
    const MOST: Duration = Duration::from_hours(1);
    let duration = humantime::parse_duration(given.trimmed()).ok().filter(|duration| *duration <= MOST);
    let duration = duration.filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| given.wrong("must be a duration up to 1h such as 1s or 100ms, or 0 for no limit"))
}

fn count(given: &Given) -> Result<u32, ConfigError> {
    let count = parse(given).ok().filter(|count| (1..=1_000_000).contains(count));
    count.ok_or_else(|| given.wrong("must be a whole number from 1 to 1000000"))
}
