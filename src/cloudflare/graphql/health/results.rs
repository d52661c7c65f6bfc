//! The results of the health checks of one tunnel, which several rows state.

use std::{cmp::Reverse, sync::Arc};

use crate::domain::edge::{EdgeChecks, EdgeResult};

/// The results of one tunnel.
#[derive(Debug, Default)]
pub(super) struct TunnelResults {
    /// The page that they are from.
    pub(super) page: u32,
    cells: Vec<Cell>,
    /// Whether a number is missing, so that sums would be wrong.
    is_broken: bool,
}

/// The number of checks with one result. The status and the site identify it.
#[derive(Debug)]
struct Cell {
    status: Status,
    site: Arc<str>,
    count: u64,
}

/// The result of health checks. The known ones need no memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    Timeout,
    Other(Box<str>),
}

impl Status {
    pub(super) fn new(text: &str) -> Self {
        match text {
            "ok" => Self::Ok,
            "timeout" => Self::Timeout,
            _ => Self::Other(text.into()),
        }
    }

    const fn result(&self) -> EdgeResult {
        match self {
            Self::Ok => EdgeResult::Ok,
            Self::Timeout => EdgeResult::Timeout,
            Self::Other(_) => EdgeResult::Other,
        }
    }
}

impl TunnelResults {
    pub(super) fn on_page(page: u32) -> Self {
        Self { page, ..Self::default() }
    }

    /// The sums by result; `None` if a number is missing.
    pub(super) fn checks(&self) -> Option<EdgeChecks> {
        if self.is_broken {
            return None;
        }
        self.cells.iter().try_fold(EdgeChecks::default(), |sum, cell| sum.plus(cell.status.result(), cell.count))
    }

    /// The site with the most checks.
    pub(super) fn site(&self) -> Option<&Arc<str>> {
        let named = self.cells.iter().filter(|cell| !cell.site.is_empty());
        named.min_by_key(|cell| (Reverse(cell.count), &cell.site)).map(|cell| &cell.site)
    }

    /// Adds a row; returns whether it fits the others.
    pub(super) fn add(&mut self, status: Status, site: Arc<str>, count: Option<u64>) -> bool {
        let twin = self.cells.iter().find(|cell| cell.status == status && cell.site == site);
        match (count, twin) {
            (Some(count), None) => {
                // Most tunnels have one or two results.
                self.cells.reserve_exact(1);
                self.cells.push(Cell { status, site, count });
            }
            // The same row twice is one row.
            (Some(count), Some(twin)) if twin.count == count => {}
            (Some(_), Some(_)) | (None, _) => self.is_broken = true,
        }
        !self.is_broken
    }
}
