//! Rows of an answer. A row that cannot be read is counted and left out.

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};

use crate::{
    cloudflare::{
        decode::is_object,
        fields::{KnownField, UnknownValues},
    },
    domain::dataset::FailureReason,
};

/// Parts of the answers to one poll that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unreadable {
    pub values: UnknownValues,
    /// Missing lists by name.
    pub lists: BTreeMap<&'static str, FailureReason>,
}

impl Unreadable {
    pub(super) fn note(&mut self, field: KnownField) {
        *self.values.entry(field).or_default() += 1;
    }
}

/// Decodes a row. `None` means that the row cannot be read.
///
/// # Errors
/// The body is damaged.
pub(super) fn decode<'a, T: Deserialize<'a>>(row: Option<&'a [u8]>) -> Result<Option<T>, FailureReason> {
    let Some(row) = row else { return Ok(None) };
    let text = str::from_utf8(row).map_err(|_| FailureReason::Decode)?;
    if is_object(row)
        && let Ok(decoded) = serde_json::from_str(text)
    {
        return Ok(Some(decoded));
    }
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| FailureReason::Decode)?;
    Ok(None)
}
