//! Rows of an answer. A row that cannot be read is counted and left out.

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};

use super::wire::Decimal;
use crate::{
    cloudflare::{
        decode::is_object,
        fields::{KnownField, UnknownValues},
        wire::{Field, Object, Text},
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

/// A text of a row; `""` if it is absent or of another type.
pub(super) fn text_of<'t>(field: &'t Field<Text<'_>>) -> &'t str {
    match field {
        Field::Value(Text(text)) => text,
        Field::Absent | Field::Wrong => "",
    }
}

/// Averages of a row.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Average {
    #[serde(default)]
    tunnel_state: Field<Decimal>,
}

/// The average state from 0 to 1; `None` if it is absent or has another value.
pub(super) fn score_of(average: &Field<Object<Average>>) -> Option<f64> {
    match average {
        Field::Value(Object(Average { tunnel_state: Field::Value(Decimal(state)) })) => {
            Some(*state).filter(|state| *state <= 1.0)
        }
        _ => None,
    }
}
