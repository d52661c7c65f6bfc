//! The answers to the query of single data centers, page by page.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use serde::Deserialize;

use super::{
    body::{Missing, RowReader, read_whole},
    paging::Paging,
    row::{self, Average, Unreadable, score_of, text_of},
    wire::Account,
};
use crate::{
    cloudflare::{
        ApiFailure,
        fields::KnownField,
        wire::{Field, Object, Text},
    },
    domain::{dataset::FailureReason, edge::ColoScore},
};

/// Maximum memory of all pages in bytes: 100,000 scores fit.
const MAX_MEMORY: usize = 16 << 20;

/// Memory of one score in bytes with its share of collections.
const SCORE_MEMORY: usize = 64;

/// The scores of each tunnel by name.
pub type ColoScores = HashMap<Box<str>, Arc<[ColoScore]>>;

/// The pages read so far.
#[derive(Debug, Default)]
pub struct ColoPages {
    paging: Paging,
    /// The data centers that are asked for. Others in an answer are not read, so that the number of labels is bounded.
    colos: Arc<[Arc<str>]>,
    tunnels: HashMap<Box<str>, TunnelColos>,
    memory: usize,
    /// Of the newest page.
    unreadable: Unreadable,
}

/// The scores of one tunnel; `None` if one cannot be read.
#[derive(Debug, Default)]
struct TunnelColos {
    /// The page that they are from.
    page: u32,
    scores: Vec<(Arc<str>, Option<f64>)>,
}

#[derive(Deserialize)]
struct ColoRow<'a> {
    #[serde(default)]
    avg: Field<Object<Average>>,
    #[serde(borrow)]
    dimensions: ColoDimensions<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ColoDimensions<'a> {
    #[serde(default, borrow)]
    tunnel_name: Field<Text<'a>>,
    #[serde(default, borrow)]
    edge_colo_name: Field<Text<'a>>,
}

impl ColoPages {
    pub fn new(colos: Arc<[Arc<str>]>) -> Self {
        Self { colos, ..Self::default() }
    }

    pub(super) fn colos(&self) -> Vec<&str> {
        self.colos.iter().map(|colo| &**colo).collect()
    }

    /// The name with which the next page begins.
    pub(super) fn after(&self) -> &str {
        self.paging.after()
    }

    /// Whether another page is needed.
    pub fn is_unfinished(&self) -> bool {
        self.paging.is_unfinished()
    }

    /// Whether there is more data than was read.
    pub fn is_truncated(&self) -> bool {
        self.paging.is_truncated()
    }

    pub(super) fn unreadable(&self) -> &Unreadable {
        &self.unreadable
    }

    /// Adds the page in the body of a good response.
    ///
    /// # Errors
    /// The body is not an answer to the query of single data centers.
    pub fn read(self, limit: u64, body: &[u8]) -> Result<Self, ApiFailure> {
        read_whole(self.reader(limit), body)
    }

    pub(super) fn reader(self, limit: u64) -> ColoReader {
        let pages = Self { paging: self.paging.next_page(), unreadable: Unreadable::default(), ..self };
        ColoReader { pages, limit, rows: 0, last: None }
    }

    /// Ends the poll.
    pub fn finish(self) -> ColoScores {
        let tunnels = self.tunnels.into_iter().map(|(name, TunnelColos { scores, .. })| {
            let scores = scores.into_iter().filter_map(|(colo, score)| Some(ColoScore { colo, score: score? }));
            (name, scores.collect())
        });
        tunnels.filter(|(_, scores): &(_, Arc<[_]>)| !scores.is_empty()).collect()
    }
}

/// Reads one page.
#[derive(Debug)]
pub(super) struct ColoReader {
    pages: ColoPages,
    limit: u64,
    rows: u64,
    last: Option<Box<str>>,
}

impl RowReader for ColoReader {
    const LISTS: &'static [&'static str] = &["colos"];

    type Output = ColoPages;

    fn add(&mut self, _: usize, row: Option<&[u8]>) -> Result<(), FailureReason> {
        self.rows += 1;
        if !row::decode(row)?.is_some_and(|row| self.add_row(&row)) {
            self.pages.unreadable.note(KnownField::EdgeRow);
        }
        if self.pages.memory > MAX_MEMORY { Err(FailureReason::TooLarge) } else { Ok(()) }
    }

    fn finish(mut self, _: &Account<'_>, missing: Missing) -> Result<ColoPages, FailureReason> {
        if let [(_, reason), ..] = missing[..] {
            return Err(reason);
        }
        let cut = self.last.take().filter(|_| self.rows >= self.limit);
        if let Some(name) = &cut
            && self.pages.tunnels.get(name).is_some_and(|known| known.page == self.pages.paging.page())
        {
            self.pages.tunnels.remove(name);
        }
        self.pages.paging.end_page(cut);
        Ok(self.pages)
    }
}

impl ColoReader {
    fn add_row(&mut self, row: &ColoRow<'_>) -> bool {
        let (name, colo) = (text_of(&row.dimensions.tunnel_name), text_of(&row.dimensions.edge_colo_name));
        if name.is_empty() {
            return false;
        }
        let page = self.pages.paging.page();
        self.last = Some(name.into());
        let Some(colo) = self.pages.colos.iter().find(|known| &***known == colo) else { return false };
        let tunnel = match self.pages.tunnels.entry(name.into()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(entry) => {
                self.pages.memory += SCORE_MEMORY + name.len();
                entry.insert(TunnelColos { page, ..TunnelColos::default() })
            }
        };
        if tunnel.page != page {
            // A name of an earlier page is complete.
            return true;
        }
        let score = score_of(&row.avg);
        match tunnel.scores.iter_mut().find(|(known, _)| known == colo) {
            Some((_, known)) if *known == score => {}
            Some((_, known)) => {
                *known = None;
                return false;
            }
            None => {
                self.pages.memory += SCORE_MEMORY;
                tunnel.scores.push((Arc::clone(colo), score));
            }
        }
        score.is_some()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn row(name: &str, colo: &str, state: impl Into<Value>) -> Value {
        let dimensions = json!({ "tunnelName": name, "edgeColoName": colo });
        json!({ "count": 7, "avg": { "tunnelState": state.into() }, "dimensions": dimensions })
    }

    fn pages() -> ColoPages {
        ColoPages::new(["ams01", "fra01"].map(Arc::from).into())
    }

    fn read(pages: ColoPages, limit: u64, rows: &Value) -> Result<ColoPages, FailureReason> {
        let body = json!({ "data": { "viewer": { "accounts": [{ "colos": rows }] } }, "errors": null }).to_string();
        pages.read(limit, body.as_bytes()).map_err(|failure| failure.reason)
    }

    /// The scores as `TUNNEL COLO SCORE`.
    fn cells(pages: ColoPages) -> Vec<String> {
        let scores = pages.finish();
        let cells = scores.iter().flat_map(|(name, scores)| {
            scores.iter().map(move |ColoScore { colo, score }| format!("{name} {colo} {score}"))
        });
        let mut cells: Vec<_> = cells.collect();
        cells.sort_unstable();
        cells
    }

    #[test]
    fn only_good_rows_of_the_configured_data_centers_are_read() {
        let rows = json!([
            row("a", "ams01", 1),
            row("a", "fra01", 0.25),
            row("a", "fra01", 0.25),
            row("b", "ams01", 0.5),
            row("b", "ams01", 0),
            row("b", "fra01", 2),
            row("c", "lhr01", 1),
            row("c", "fra01", json!(null)),
            row("", "fra01", 1),
            null,
            5,
        ]);
        let pages = read(pages(), 100, &rows).unwrap();
        assert_eq!(pages.unreadable().values, [(KnownField::EdgeRow, 7)].into());
        assert!(!pages.is_unfinished() && !pages.is_truncated());
        assert_eq!(cells(pages), ["a ams01 1", "a fra01 0.25"]);
    }

    #[test]
    fn pages_of_any_size_lead_to_the_same_scores() {
        let all: Vec<_> =
            ["a", "b", "c", "d"].into_iter().flat_map(|name| [row(name, "ams01", 1), row(name, "fra01", 0)]).collect();
        for limit in [3, 4, 5, 8, 9] {
            let mut pages = pages();
            while pages.is_unfinished() {
                let rest = all.iter().filter(|row| row["dimensions"]["tunnelName"].as_str() >= Some(pages.after()));
                let rows = json!(rest.take(limit).collect::<Vec<_>>());
                pages = read(pages, limit as u64, &rows).unwrap();
            }
            assert!(!pages.is_truncated());
            assert_eq!(cells(pages).len(), 8, "{limit} rows a page");
        }
        let pages = read(pages(), 2, &json!(all[..2])).unwrap();
        let pages = read(pages, 2, &json!(all[..2])).unwrap();
        assert!(pages.is_truncated(), "a page does not hold one tunnel");
    }

    #[test]
    fn the_list_is_required() {
        assert_eq!(read(pages(), 9, &json!(null)).unwrap_err(), FailureReason::Decode);
        assert!(read(pages(), 9, &json!([])).unwrap().finish().is_empty());
    }
}
