//! The rows of the three lists of health checks.

use std::{cmp::Reverse, time::Duration};

use jiff::Timestamp;
use serde::Deserialize;

use crate::cloudflare::{
    graphql::row::Average,
    wire::{Field, Integer, Object, Text},
};

/// Minutes that are later than this after the clock of this machine are ignored.
const MAX_AHEAD: Duration = Duration::from_mins(1);

#[derive(Deserialize)]
pub(super) struct ResultRow<'a> {
    #[serde(default)]
    pub(super) count: Field<Integer>,
    #[serde(borrow)]
    pub(super) dimensions: ResultDimensions<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResultDimensions<'a> {
    #[serde(default, borrow)]
    pub(super) tunnel_name: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) site_name: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) result_status: Field<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct StateRow<'a> {
    #[serde(default)]
    pub(super) avg: Field<Object<Average>>,
    #[serde(borrow)]
    pub(super) dimensions: StateDimensions<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StateDimensions<'a> {
    #[serde(default, borrow)]
    pub(super) tunnel_name: Field<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct MinuteRow<'a> {
    #[serde(default)]
    pub(super) count: Field<Integer>,
    #[serde(borrow)]
    pub(super) dimensions: MinuteDimensions<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MinuteDimensions<'a> {
    #[serde(default, borrow)]
    pub(super) datetime_minute: Field<Text<'a>>,
}

/// The newest minute that has at least half the median count of the others. The counts of newer minutes still grow.
pub(super) fn newest_complete(mut minutes: Vec<(Timestamp, u64)>, now: Timestamp) -> Option<Timestamp> {
    minutes.retain(|(minute, _)| Duration::try_from(minute.duration_since(now)).unwrap_or_default() <= MAX_AHEAD);
    minutes.sort_unstable_by_key(|(minute, _)| Reverse(*minute));
    let is_complete = |index: usize| {
        let mut others: Vec<u64> = minutes.iter().map(|(_, count)| *count).collect();
        let count = others.remove(index);
        others.sort_unstable();
        count > 0 && others.get(others.len() / 2).is_none_or(|median| count >= median / 2)
    };
    (0..minutes.len()).find(|&index| is_complete(index)).map(|index| minutes[index].0)
}
