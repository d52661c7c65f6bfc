//! Every tunnel in one view: what is reported, what is observed, the verdict, the last minutes; the most broken first.
//!
//! Joined from the newest snapshots when somebody looks, and formatted by others: the pages for people and the JSON. Knows no HTTP.

pub mod concern;
pub mod filter;
pub mod order;
pub mod row;
pub mod summary;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use web_toolkit::clock::Moment;

use self::{filter::Filter, row::Row, summary::Summary};
use crate::domain::{
    board::{ProbeBoard, TunnelKey},
    inventory::{AccountName, Collection, CollectionSnapshot, Fleet},
    verdict::Verdicts,
};

/// Where the snapshots come from.
#[derive(Debug, Clone)]
pub struct Sources {
    pub fleet: watch::Receiver<Arc<Fleet>>,
    pub board: watch::Receiver<Arc<ProbeBoard>>,
    pub verdicts: watch::Receiver<Arc<Verdicts>>,
    /// After this long without a successful poll, what the API said is stale.
    pub stale_after: watch::Receiver<Duration>,
}

impl Sources {
    /// What is known `now`. Copies nothing but pointers.
    pub fn look(&self, now: Moment) -> Picture {
        Picture {
            fleet: Arc::clone(&self.fleet.borrow()),
            board: Arc::clone(&self.board.borrow()),
            verdicts: Arc::clone(&self.verdicts.borrow()),
            stale_after: *self.stale_after.borrow(),
            now,
        }
    }
}

/// A place in the inventory of one picture, to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    collection: usize,
    entry: usize,
}

/// Everything that was known at one moment.
#[derive(Debug, Clone)]
pub struct Picture {
    pub fleet: Arc<Fleet>,
    pub board: Arc<ProbeBoard>,
    pub verdicts: Arc<Verdicts>,
    pub stale_after: Duration,
    pub now: Moment,
}

impl Picture {
    /// The tunnels that pass the filter, in the order of the inventory.
    pub fn rows<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = Row<'a>> {
        self.all_rows().filter(|row| filter.admits(row))
    }

    /// Every tunnel, in the order of the inventory.
    pub fn all_rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows_from(Place::default()).map(|(_, row)| row)
    }

    /// Every tunnel from a place on, each with the place behind it.
    pub fn rows_from(&self, start: Place) -> impl Iterator<Item = (Place, Row<'_>)> {
        let collections = self.collections().enumerate().skip(start.collection);
        collections.flat_map(move |(n, (account, _, collection))| {
            let fresh = self.is_fresh(collection);
            let skipped = if n == start.collection { start.entry } else { 0 };
            collection.entries.iter().enumerate().skip(skipped).map(move |(at, entry)| {
                let key = TunnelKey::of(account, &entry.tunnel);
                let verdict = self.verdicts.tunnels.get(&key).map(Arc::as_ref);
                let probes = self.board.tunnels.get(&key).map(Arc::as_ref);
                let next = Place { collection: n, entry: at + 1 };
                (
                    next,
                    Row {
                        account,
                        entry,
                        fresh,
                        confirmed: collection.last_success,
                        verdict,
                        probes,
                        silence: self.board.silence,
                    },
                )
            })
        })
    }

    /// One tunnel; `None` where the inventory has none of this key.
    pub fn row(&self, key: &TunnelKey) -> Option<Row<'_>> {
        self.all_rows().find(|row| {
            row.tunnel().id == key.id && row.tunnel().tunnel_type() == key.tunnel_type && *row.account == key.account
        })
    }

    /// How many there are of which kind.
    pub fn summary(&self) -> Summary {
        Summary::of(self.all_rows())
    }

    /// Every collection of every account.
    pub fn collections(&self) -> impl Iterator<Item = (&AccountName, Collection, &CollectionSnapshot)> {
        let accounts = self.fleet.accounts.iter();
        accounts.flat_map(|(account, snapshot)| snapshot.collections().map(move |(name, c)| (account, name, c)))
    }

    pub fn is_fresh(&self, collection: &CollectionSnapshot) -> bool {
        collection.is_fresh(self.now, self.stale_after)
    }
}

#[cfg(test)]
mod tests;
