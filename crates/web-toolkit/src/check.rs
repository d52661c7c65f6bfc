//! Checks of single values.

use std::{fmt, str::FromStr, time::Duration};

use crate::given::{ConfigError, Given};

pub fn parse<T: FromStr<Err: fmt::Display>>(given: &Given) -> Result<T, ConfigError> {
    given.trimmed().parse().map_err(|error: T::Err| given.wrong(error.to_string()))
}

pub fn duration(given: Option<&Given>, default: Duration, least: Duration) -> Result<Duration, ConfigError> {
    const MOST: Duration = Duration::from_hours(24);
    let Some(given) = given else { return Ok(default) };
    let parsed = humantime::parse_duration(given.trimmed());
    let duration = parsed.map_err(|_| given.wrong("must be a duration such as 30s, 5m or 1h"))?;
    if duration < least || duration > MOST {
        return Err(given.wrong(format!("must be between {} and 24h", humantime::format_duration(least))));
    }
    Ok(duration)
}

/// On or off; an empty value, as of a variable that is set to nothing, says neither.
pub fn switch(given: Option<&Given>, default: bool) -> Result<bool, ConfigError> {
    match given.map(|given| (given, given.trimmed())) {
        None | Some((_, "")) => Ok(default),
        Some((_, "true" | "1" | "yes" | "on")) => Ok(true),
        Some((_, "false" | "0" | "no" | "off")) => Ok(false),
        Some((given, _)) => Err(given.wrong("must be true or false")),
    }
}
