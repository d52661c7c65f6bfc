//! Checks of single values, and what a wrong one is told.

use std::{fmt, str::FromStr, time::Duration};

use super::given::{ConfigError, Given};
use crate::{
    domain::label::Label,
    file::FileError,
    secret::{Secret, SecretError, Secrets},
};

pub(super) fn parse<T: FromStr<Err: fmt::Display>>(given: &Given) -> Result<T, ConfigError> {
    given.trimmed().parse().map_err(|error: T::Err| given.wrong(error.to_string()))
}

pub(super) fn duration(given: Option<&Given>, default: Duration, least: Duration) -> Result<Duration, ConfigError> {
    const MOST: Duration = Duration::from_hours(24);
    let Some(given) = given else { return Ok(default) };
    let parsed = humantime::parse_duration(given.trimmed());
    let duration = parsed.map_err(|_| given.wrong("must be a duration such as 30s, 5m or 1h"))?;
    if duration < least || duration > MOST {
        return Err(given.wrong(format!("must be between {} and 24h", humantime::format_duration(least))));
    }
    Ok(duration)
}

pub(super) fn member<T: Label>(given: Option<&Given>, default: T) -> Result<T, ConfigError> {
    given.map_or(Ok(default), |given| member_of(given, T::ALL.iter().copied()))
}

pub(super) fn member_of<T: Label>(given: &Given, members: impl Iterator<Item = T> + Clone) -> Result<T, ConfigError> {
    let known = members.clone().find(|member| member.as_str() == given.trimmed());
    known.ok_or_else(|| {
        let names: Vec<&str> = members.map(Label::as_str).collect();
        given.wrong(format!("must be one of {}", names.join(", ")))
    })
}

/// On or off; an empty value, as of a variable that is set to nothing, says neither.
pub(super) fn switch(given: Option<&Given>, default: bool) -> Result<bool, ConfigError> {
    match given.map(|given| (given, given.trimmed())) {
        None | Some((_, "")) => Ok(default),
        Some((_, "true" | "1" | "yes" | "on")) => Ok(true),
        Some((_, "false" | "0" | "no" | "off")) => Ok(false),
        Some((given, _)) => Err(given.wrong("must be true or false")),
    }
}

/// The secret in the file that was named.
pub(super) fn secret_file(given: &Given, secrets: &Secrets) -> Result<Secret, ConfigError> {
    secrets.file(&given.path()).map_err(|error| match error {
        // Somebody may have given the secret in the place of the file that holds it.
        SecretError::File(FileError::Unreadable(_)) if !is_like_a_path(given.trimmed()) => given.secretly_wrong(
            "names no readable file, and what it holds looks like the secret itself: write the secret to a file and give \
             the path of that file",
        ),
        error => given.wrong(error.to_string()),
    })
}

fn is_like_a_path(text: &str) -> bool {
    const LEAST_SECRET: usize = 24;
    text.contains(['/', '.']) || text.len() < LEAST_SECRET
}
