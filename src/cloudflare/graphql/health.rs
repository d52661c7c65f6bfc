//! The answers to the query of health checks, page by page.

mod results;
mod rows;

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

use jiff::Timestamp;

use self::{
    results::{Status, TunnelResults},
    rows::{MinuteRow, ResultDimensions, ResultRow, StateRow, newest_complete},
};
use super::{
    body::{Missing, RowReader, read_whole},
    colos::ColoScores,
    paging::Paging,
    row::{self, Unreadable, score_of, text_of},
    wire::Account,
};
use crate::{
    cloudflare::{
        ApiFailure,
        fields::KnownField,
        wire::{Field, Integer},
    },
    domain::{dataset::FailureReason, edge::TunnelHealth},
};

/// Maximum memory of all pages in bytes: 50,000 tunnels fit.
const MAX_MEMORY: usize = 16 << 20;

/// Memory of one row in bytes without its texts, with its share of collections.
const ROW_MEMORY: usize = 96;

/// Maximum number of newest minutes. The query asks for 30.
const MAX_MINUTES: usize = 30;

/// The pages read so far.
#[derive(Debug, Default)]
pub struct HealthPages {
    paging: Paging,
    results: HashMap<Arc<str>, TunnelResults>,
    states: HashMap<Arc<str>, TunnelState>,
    /// Each site once.
    sites: HashSet<Arc<str>>,
    minutes: Vec<(Timestamp, u64)>,
    memory: usize,
    /// Of the newest page.
    unreadable: Unreadable,
}

/// What the last page of a poll leads to.
#[derive(Debug, Default)]
pub struct HealthListing {
    /// By name.
    pub tunnels: HashMap<Arc<str>, Arc<TunnelHealth>>,
    /// The site of each tunnel that has one, by the name of the tunnel.
    pub sites: HashMap<Arc<str>, Arc<str>>,
    /// The newest minute with complete data.
    pub newest: Option<Timestamp>,
    pub truncated: bool,
}

impl HealthListing {
    /// Adds the scores of single data centers.
    pub fn add_colos(&mut self, scores: ColoScores) {
        for (name, scores) in scores {
            Arc::make_mut(self.tunnels.entry(name.into()).or_default()).colos = scores;
        }
    }
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
        self.paging.after()
    }

    /// Whether another page is needed.
    pub fn is_unfinished(&self) -> bool {
        self.paging.is_unfinished()
    }

    /// What cannot be used of the newest page.
    pub fn unreadable(&self) -> &Unreadable {
        &self.unreadable
    }

    /// Adds the page in the body of a good response.
    ///
    /// # Errors
    /// The body is not an answer to the query of health checks.
    pub fn read(self, limit: u64, body: &[u8]) -> Result<Self, ApiFailure> {
        read_whole(self.reader(limit), body)
    }

    pub(super) fn reader(self, limit: u64) -> HealthReader {
        let pages = Self { paging: self.paging.next_page(), unreadable: Unreadable::default(), ..self };
        HealthReader { pages, limit, counts: [0; 3], last: [None, None] }
    }

    fn share_site(&mut self, site: &str) -> Arc<str> {
        if let Some(known) = self.sites.get(site) {
            return Arc::clone(known);
        }
        let shared: Arc<str> = site.into();
        self.memory += ROW_MEMORY + site.len();
        self.sites.insert(Arc::clone(&shared));
        shared
    }

    /// Ends the poll. A tunnel needs `min_checks` checks to have a state.
    pub fn finish(self, min_checks: u64, now: Timestamp) -> HealthListing {
        let mut listing = HealthListing {
            newest: newest_complete(self.minutes, now),
            truncated: self.paging.is_truncated(),
            ..HealthListing::default()
        };
        let mut states = self.states;
        for (name, results) in self.results {
            if let Some(site) = results.site() {
                listing.sites.insert(Arc::clone(&name), Arc::clone(site));
            }
            let checks = results.checks();
            let state = checks.and_then(|checks| checks.state(min_checks));
            let routing_score = states.remove(&name).and_then(|known| known.score);
            if checks.is_some() || routing_score.is_some() {
                let health = TunnelHealth { checks, state, routing_score, ..TunnelHealth::default() };
                listing.tunnels.insert(name, Arc::new(health));
            }
        }
        for (name, TunnelState { score, .. }) in states {
            if score.is_some() {
                let health = TunnelHealth { routing_score: score, ..TunnelHealth::default() };
                listing.tunnels.insert(name, Arc::new(health));
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
        results.add(Status::Ok, site.into(), Some(100));
        Self { paging: Paging::complete(), results: [(name.into(), results)].into(), ..Self::default() }
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
        self.pages.paging.end_page(cut.into_iter().flatten().min());
        Ok(self.pages)
    }
}

impl HealthReader {
    /// Drops the last name of a list that is full, and returns the name. A name of an earlier page is complete.
    fn drop_last(&mut self, list: usize) -> Option<Box<str>> {
        let dropped = self.last[list].take().filter(|_| self.counts[list] >= self.limit)?;
        let page = self.pages.paging.page();
        if list == RESULTS {
            self.pages.results.retain(|name, results| **name != *dropped || results.page != page);
        } else {
            self.pages.states.retain(|name, state| **name != *dropped || state.page != page);
        }
        Some(dropped)
    }

    fn add_result(&mut self, row: &ResultRow<'_>) -> bool {
        let ResultDimensions { tunnel_name, site_name, result_status } = &row.dimensions;
        let (name, status) = (text_of(tunnel_name), Status::new(text_of(result_status)));
        if name.is_empty() {
            return false;
        }
        if let Status::Other(text) = &status {
            self.pages.memory += text.len();
            self.pages.unreadable.note(KnownField::ResultStatus);
        }
        let count = match row.count {
            Field::Value(Integer(count)) => Some(count),
            Field::Absent | Field::Wrong => None,
        };
        let (page, site) = (self.pages.paging.page(), self.pages.share_site(text_of(site_name)));
        self.pages.memory += ROW_MEMORY;
        self.keep_last(RESULTS, name);
        if !self.pages.results.contains_key(name) {
            self.pages.memory += name.len();
            self.pages.results.insert(name.into(), TunnelResults::on_page(page));
        }
        // A name of an earlier page is complete.
        let results = self.pages.results.get_mut(name);
        results.is_some_and(|results| results.page != page || results.add(status, site, count))
    }

    fn keep_last(&mut self, list: usize, name: &str) {
        if self.last[list].as_deref() != Some(name) {
            self.last[list] = Some(name.into());
        }
    }

    fn add_state(&mut self, row: &StateRow<'_>) -> bool {
        let name = text_of(&row.dimensions.tunnel_name);
        if name.is_empty() {
            return false;
        }
        let score = score_of(&row.avg);
        let page = self.pages.paging.page();
        self.keep_last(STATES, name);
        let known = self.pages.results.get_key_value(name).map(|(name, _)| Arc::clone(name));
        match self.pages.states.entry(known.unwrap_or_else(|| name.into())) {
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
        if self.pages.paging.page() == 1 && self.counts[MINUTES] <= MAX_MINUTES as u64 {
            self.pages.minutes.push((minute, *count));
        }
        true
    }
}

#[cfg(test)]
mod tests;
