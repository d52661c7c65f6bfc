//! The answer to the query of traffic.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;

use super::{
    body::{Missing, RowReader, read_whole},
    row::{self, Unreadable},
    wire::{Account, Decimal},
};
use crate::{
    cloudflare::{
        ApiFailure,
        fields::KnownField,
        wire::{Field, Object, Text},
    },
    domain::{
        dataset::FailureReason,
        edge::{TrafficDirection, TrafficRate, TrafficRow},
    },
};

/// Maximum memory of the rows in bytes.
const MAX_MEMORY: usize = 16 << 20;

/// Memory of one row in bytes without its texts.
const ROW_MEMORY: usize = 128;

/// The traffic of one account.
#[derive(Debug, Default)]
pub struct TrafficListing {
    pub rows: Vec<TrafficRow>,
    pub truncated: bool,
    /// What cannot be used of the answer.
    pub unreadable: Unreadable,
}

impl TrafficListing {
    /// Decodes the body of a good response about a time span of the length `bucket`.
    ///
    /// # Errors
    /// The body is not an answer to the query of traffic.
    pub fn read(limit: u64, bucket: Duration, body: &[u8]) -> Result<Self, ApiFailure> {
        read_whole(TrafficReader::new(limit, bucket), body)
    }
}

#[derive(Deserialize)]
struct WireRow<'a> {
    #[serde(default)]
    sum: Field<Object<Sum>>,
    #[serde(borrow)]
    dimensions: Dimensions<'a>,
}

#[derive(Deserialize, Default)]
struct Sum {
    #[serde(default)]
    bits: Field<Decimal>,
    #[serde(default)]
    packets: Field<Decimal>,
}

#[derive(Deserialize)]
struct Dimensions<'a> {
    #[serde(default, borrow, alias = "ingressTunnelID", alias = "egressTunnelID")]
    id: Field<Text<'a>>,
    #[serde(default, borrow, alias = "ingressTunnelName", alias = "egressTunnelName")]
    name: Field<Text<'a>>,
}

/// Name, id and direction.
type TunnelOfRow = (Box<str>, Box<str>, TrafficDirection);

/// Reads the rows of both directions.
#[derive(Debug)]
pub(super) struct TrafficReader {
    limit: u64,
    /// Length of the time span in seconds.
    seconds: f64,
    counts: [u64; 2],
    last: [Option<Box<str>>; 2],
    /// The rates; `None` if it cannot be read.
    rows: BTreeMap<TunnelOfRow, Option<TrafficRate>>,
    memory: usize,
    unreadable: Unreadable,
}

/// In the order of [`RowReader::LISTS`].
const DIRECTIONS: [TrafficDirection; 2] = [TrafficDirection::FromSite, TrafficDirection::ToSite];

impl TrafficReader {
    pub(super) fn new(limit: u64, bucket: Duration) -> Self {
        Self {
            limit,
            seconds: bucket.as_secs_f64(),
            counts: [0; 2],
            last: [None, None],
            rows: BTreeMap::new(),
            memory: 0,
            unreadable: Unreadable::default(),
        }
    }

    fn add_row(&mut self, list: usize, row: &WireRow<'_>) -> bool {
        let Field::Value(Text(name)) = &row.dimensions.name else { return false };
        self.last[list] = Some(name.as_ref().into());
        // The query leaves these out; they are not tunnels.
        if name.is_empty() || name == "device_id" {
            return true;
        }
        let id = match &row.dimensions.id {
            Field::Value(Text(id)) => id.as_ref(),
            Field::Absent | Field::Wrong => "",
        };
        let rate = self.rate(&row.sum);
        self.memory += ROW_MEMORY + name.len() + id.len();
        match self.rows.entry((name.as_ref().into(), id.into(), DIRECTIONS[list])) {
            Entry::Vacant(entry) => entry.insert(rate).is_some(),
            Entry::Occupied(known) if *known.get() == rate => rate.is_some(),
            Entry::Occupied(mut known) => {
                known.insert(None);
                false
            }
        }
    }

    fn rate(&self, sum: &Field<Object<Sum>>) -> Option<TrafficRate> {
        match sum {
            Field::Value(Object(Sum {
                bits: Field::Value(Decimal(bits)),
                packets: Field::Value(Decimal(packets)),
            })) => Some(TrafficRate {
                bytes_per_second: bits / 8.0 / self.seconds,
                packets_per_second: packets / self.seconds,
            }),
            _ => None,
        }
    }

    /// Drops the last name of a list that is full, because it may be incomplete.
    fn drop_last(&mut self, list: usize) -> bool {
        let is_full = self.counts[list] >= self.limit;
        if let Some(last) = self.last[list].take().filter(|_| is_full) {
            self.rows.retain(|(name, _, direction), _| *direction != DIRECTIONS[list] || *name != last);
        }
        is_full
    }
}

impl RowReader for TrafficReader {
    const LISTS: &'static [&'static str] = &["from_site", "to_site"];

    type Output = TrafficListing;

    fn add(&mut self, list: usize, row: Option<&[u8]>) -> Result<(), FailureReason> {
        self.counts[list] += 1;
        if !row::decode(row)?.is_some_and(|row| self.add_row(list, &row)) {
            self.unreadable.note(KnownField::EdgeRow);
        }
        if self.memory > MAX_MEMORY { Err(FailureReason::TooLarge) } else { Ok(()) }
    }

    fn finish(mut self, _: &Account<'_>, missing: Missing) -> Result<TrafficListing, FailureReason> {
        if let [(_, reason), _] = missing[..] {
            return Err(reason);
        }
        for (list, reason) in missing {
            self.rows.retain(|(.., direction), _| *direction != DIRECTIONS[list]);
            self.unreadable.lists.insert(Self::LISTS[list], reason);
        }
        let truncated = [self.drop_last(0), self.drop_last(1)].contains(&true);
        Ok(TrafficListing { rows: share_texts(self.rows), truncated, unreadable: self.unreadable })
    }
}

/// The rows that can be read. Both directions of a tunnel share its name and id.
fn share_texts(known: BTreeMap<TunnelOfRow, Option<TrafficRate>>) -> Vec<TrafficRow> {
    let mut rows: Vec<TrafficRow> = Vec::with_capacity(known.len());
    for ((name, id, direction), rate) in known {
        let Some(rate) = rate else { continue };
        let twin = rows.last().filter(|row| *row.name == *name && *row.id == *id);
        let (name, id) =
            twin.map_or_else(|| (name.into(), id.into()), |row| (Arc::clone(&row.name), Arc::clone(&row.id)));
        rows.push(TrafficRow { id, name, direction, rate });
    }
    rows
}

#[cfg(test)]
mod tests;
