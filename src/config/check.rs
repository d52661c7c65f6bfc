//! Checks of single values, and what a wrong one is told.

use web_toolkit::{
    file::FileError,
    given::{ConfigError, Given},
};

use crate::{
    domain::label::Label,
    secret::{Secret, SecretError, Secrets},
};

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
