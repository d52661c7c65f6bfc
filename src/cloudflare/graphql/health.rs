//! The answers to the query of health checks, page by page.
//!
//! A page is full if one of its lists has as many rows as were asked for. The last name of such a list may be
//! incomplete, so it is dropped and the next page begins with it.

mod rows;

use std::{
    cmp::Reverse,
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use jiff::Timestamp;

use self::rows::{Average, MinuteRow, ResultDimensions, ResultRow, StateRow, newest_complete, text_of};
use super::{
    body::{Missing, RowReader},
    row::{self, Unreadable},
    wire::{Account, Decimal},
};
use crate::{
    cloudflare::{
        fields::KnownField,
        wire::{Field, Integer, Object},
    },
    domain::{
        dataset::FailureReason,
        edge::{EdgeChecks, EdgeResult, TunnelHealth},
    },
};

/// Maximum number of pages of one poll.
const MAX_PAGES: u32 = 10;

/// Maximum memory of all pages in bytes: 50,000 tunnels fit.
const MAX_MEMORY: usize = 16 << 20;

/// Memory of one row in bytes without its texts, with its share of collections.
const ROW_MEMORY: usize = 96;

/// Maximum number of newest minutes. The query asks for 30.
const MAX_MINUTES: usize = 30;

/// Whether more pages are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Progress {
    #[default]
    Unfinished,
    Complete,
    /// There is more data than is read.
    Truncated,
}

/// The pages read so far.
#[derive(Debug, Default)]
pub struct HealthPages {
    pages: u32,
    after: Box<str>,
    progress: Progress,
    results: HashMap<Box<str>, TunnelResults>,
    states: HashMap<Box<str>, TunnelState>,
    minutes: Vec<(Timestamp, u64)>,
    memory: usize,
    /// Of the newest page.
    unreadable: Unreadable,
}

/// What the last page of a poll leads to.
#[derive(Debug, Default)]
pub struct HealthListing {
    /// By name.
    pub tunnels: HashMap<Box<str>, TunnelHealth>,
    /// The site of each tunnel that has one, by the name of the tunnel.
    pub sites: HashMap<Box<str>, Arc<str>>,
    /// The newest minute with complete data.
    pub newest: Option<Timestamp>,
    pub truncated: bool,
}

/// The results of one tunnel.
#[derive(Debug, Default)]
struct TunnelResults {
    /// The page that they are from.
    page: u32,
    cells: Vec<Cell>,
    /// Whether a number is missing, so that sums would be wrong.
    is_broken: bool,
}

/// The number of checks with one result. The status and the site identify it.
#[derive(Debug)]
struct Cell {
    status: Box<str>,
    site: Box<str>,
    count: u64,
}

/// The average state of one tunnel; `None` if it cannot be read.
#[derive(Debug)]
struct TunnelState {
    page: u32,
    score: Option<f64>,
}

impl HealthPages {
    /// The name with which the next page begins.
    pub(super) fn after(&self) -> &str {
        &self.after
    }

    /// Whether another page is needed.
    pub fn is_unfinished(&self) -> bool {
        self.progress == Progress::Unfinished
    }

    /// What cannot be used of the newest page.
    pub fn unreadable(&self) -> &Unreadable {
        &self.unreadable
    }

    pub(super) fn reader(self, limit: u64) -> HealthReader {
        let pages = Self { pages: self.pages + 1, unreadable: Unreadable::default(), ..self };
        HealthReader { pages, limit, counts: [0; 3], last: [None, None] }
    }

    /// Ends the poll. A tunnel needs `min_checks` checks to have a state.
    pub fn finish(self, min_checks: u64, now: Timestamp) -> HealthListing {
        let mut listing = HealthListing {
            newest: newest_complete(self.minutes, now),
            truncated: self.progress != Progress::Complete,
            ..HealthListing::default()
        };
        let mut states = self.states;
        for (name, results) in self.results {
            if let Some(site) = results.site() {
                listing.sites.insert(name.clone(), site.into());
            }
            let checks = results.checks();
            let state = checks.and_then(|checks| checks.state(min_checks));
            let routing_score = states.remove(&name).and_then(|known| known.score);
            if checks.is_some() || routing_score.is_some() {
                listing.tunnels.insert(name, TunnelHealth { checks, state, routing_score });
            }
        }
        for (name, TunnelState { score, .. }) in states {
            if score.is_some() {
                listing.tunnels.insert(name, TunnelHealth { routing_score: score, ..TunnelHealth::default() });
            }
        }
        listing
    }
}

#[cfg(test)]
impl HealthPages {
    /// One complete page with a hundred good checks of one tunnel.
    pub(crate) fn of_test(name: &str, site: &str) -> Self {
        let mut results = TunnelResults::default();
        results.add("ok", site, Some(100));
        Self { progress: Progress::Complete, results: [(name.into(), results)].into(), ..Self::default() }
    }
}

impl TunnelResults {
    /// The sums by result; `None` if a number is missing.
    fn checks(&self) -> Option<EdgeChecks> {
        if self.is_broken {
            return None;
        }
        self.cells.iter().try_fold(EdgeChecks::default(), |sum, cell| sum.plus(result_of(&cell.status), cell.count))
    }

    /// The site with the most checks.
    fn site(&self) -> Option<&str> {
        let named = self.cells.iter().filter(|cell| !cell.site.is_empty());
        named.min_by_key(|cell| (Reverse(cell.count), &cell.site)).map(|cell| &*cell.site)
    }

    /// Adds a row; returns whether it fits the others.
    fn add(&mut self, status: &str, site: &str, count: Option<u64>) -> bool {
        let twin = self.cells.iter().find(|cell| &*cell.status == status && &*cell.site == site);
        match (count, twin) {
            (Some(count), None) => {
                // Most tunnels have one or two results.
                self.cells.reserve_exact(1);
                self.cells.push(Cell { status: status.into(), site: site.into(), count });
            }
            // The same row twice is one row.
            (Some(count), Some(twin)) if twin.count == count => {}
            (Some(_), Some(_)) | (None, _) => self.is_broken = true,
        }
        !self.is_broken
    }
}

fn result_of(status: &str) -> EdgeResult {
    match status {
        "ok" => EdgeResult::Ok,
        "timeout" => EdgeResult::Timeout,
        _ => EdgeResult::Other,
    }
}

/// Reads one page.
#[derive(Debug)]
pub(super) struct HealthReader {
    pages: HealthPages,
    limit: u64,
    /// Number of rows of each list.
    counts: [u64; 3],
    /// The last name of the results and of the states.
    last: [Option<Box<str>>; 2],
}

const RESULTS: usize = 0;
const STATES: usize = 1;
const MINUTES: usize = 2;

impl RowReader for HealthReader {
    const LISTS: &'static [&'static str] = &["results", "states", "minutes"];

    type Output = HealthPages;

    fn add(&mut self, list: usize, row: Option<&[u8]>) -> Result<(), FailureReason> {
        self.counts[list] += 1;
        let is_readable = match list {
            RESULTS => row::decode(row)?.is_some_and(|row| self.add_result(&row)),
            STATES => row::decode(row)?.is_some_and(|row| self.add_state(&row)),
            _ => row::decode(row)?.is_some_and(|row| self.add_minute(&row)),
        };
        if !is_readable {
            self.pages.unreadable.note(KnownField::EdgeRow);
        }
        if self.pages.memory > MAX_MEMORY { Err(FailureReason::TooLarge) } else { Ok(()) }
    }

    fn finish(mut self, _: &Account<'_>, missing: Missing) -> Result<HealthPages, FailureReason> {
        for (list, reason) in missing {
            if list == RESULTS {
                return Err(reason);
            }
            self.pages.unreadable.lists.insert(Self::LISTS[list], reason);
        }
        let cut = [RESULTS, STATES].map(|list| self.drop_last(list));
        self.pages.progress = match cut.into_iter().flatten().min() {
            None => Progress::Complete,
            Some(next) if self.pages.pages >= MAX_PAGES || next == self.pages.after => Progress::Truncated,
            Some(next) => {
                self.pages.after = next;
                Progress::Unfinished
            }
        };
        Ok(self.pages)
    }
}

impl HealthReader {
    /// Drops the last name of a list that is full, and returns the name. A name of an earlier page is complete.
    fn drop_last(&mut self, list: usize) -> Option<Box<str>> {
        let dropped = self.last[list].take().filter(|_| self.counts[list] >= self.limit)?;
        let page = self.pages.pages;
        if list == RESULTS {
            self.pages.results.retain(|name, results| *name != dropped || results.page != page);
        } else {
            self.pages.states.retain(|name, state| *name != dropped || state.page != page);
        }
        Some(dropped)
    }

    fn add_result(&mut self, row: &ResultRow<'_>) -> bool {
        let ResultDimensions { tunnel_name, site_name, result_status } = &row.dimensions;
        let (name, site, status) = (text_of(tunnel_name), text_of(site_name), text_of(result_status));
        if name.is_empty() {
            return false;
        }
        if result_of(status) == EdgeResult::Other {
            self.pages.unreadable.note(KnownField::ResultStatus);
        }
        let count = match row.count {
            Field::Value(Integer(count)) => Some(count),
            Field::Absent | Field::Wrong => None,
        };
        let page = self.pages.pages;
        self.last[RESULTS] = Some(name.into());
        self.pages.memory += ROW_MEMORY + status.len() + site.len() + name.len();
        let results =
            self.pages.results.entry(name.into()).or_insert_with(|| TunnelResults { page, ..Default::default() });
        // A name of an earlier page is complete.
        results.page != page || results.add(status, site, count)
    }

    fn add_state(&mut self, row: &StateRow<'_>) -> bool {
        let name = text_of(&row.dimensions.tunnel_name);
        if name.is_empty() {
            return false;
        }
        let score = match &row.avg {
            Field::Value(Object(Average { tunnel_state: Field::Value(Decimal(state)) })) if *state <= 1.0 => {
                Some(*state)
            }
            _ => None,
        };
        let page = self.pages.pages;
        self.last[STATES] = Some(name.into());
        match self.pages.states.entry(name.into()) {
            Entry::Vacant(entry) => {
                self.pages.memory += ROW_MEMORY + name.len();
                entry.insert(TunnelState { page, score });
                score.is_some()
            }
            Entry::Occupied(known) if known.get().page != page || known.get().score == score => true,
            Entry::Occupied(mut known) => {
                known.get_mut().score = None;
                false
            }
        }
    }

    fn add_minute(&mut self, row: &MinuteRow<'_>) -> bool {
        let (Field::Value(Integer(count)), Ok(minute)) = (&row.count, text_of(&row.dimensions.datetime_minute).parse())
        else {
            return false;
        };
        if self.pages.pages == 1 && self.counts[MINUTES] <= MAX_MINUTES as u64 {
            self.pages.minutes.push((minute, *count));
        }
        true
    }
}

#[cfg(test)]
mod tests;
