//! `/metrics`: the page in the format and the coding that the client prefers.
//!
//! Scrapes that arrive at the same moment share one capture of the values. A capture exists while clients read it.
//! While all slots are taken, further scrapes wait; no client can keep a slot for longer than a stream may take.

use std::{
    io, mem,
    sync::{Arc, Weak},
    time::Duration,
};

use hyper::{HeaderMap, Response, StatusCode};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use web_toolkit::{
    clock,
    server::{Body, internal_error, plain_text},
    text::shown,
};

use super::{
    body::{EncodedBody, PIECE, PageThreads, Producer},
    headers::{accepted_format, accepts_gzip, answer_metrics},
};
use crate::{
    domain::label::Label as _,
    exposition::{Capture, Exposition, Format, Group, Groups, Page},
};

/// Answers scrapes.
#[derive(Debug)]
pub(super) struct Scrape {
    captures: CapturePool,
    threads: Arc<PageThreads>,
    /// The groups that a page may have.
    exposed: Groups,
}

impl Scrape {
    pub(super) fn new(exposition: Exposition, exposed: Groups, threads: Arc<PageThreads>) -> Self {
        Self { captures: CapturePool::new(exposition, Arc::clone(&threads)), threads, exposed }
    }

    /// Answers with the groups that `query` names.
    pub(super) async fn respond(&self, headers: &HeaderMap, query: &str) -> Response<Body> {
        let groups = match parse_groups(query) {
            Ok(groups) => groups.and(self.exposed),
            Err(sentence) => return plain_text(StatusCode::BAD_REQUEST, format!("{sentence}\n")),
        };
        let format = accepted_format(headers);
        match self.encode(format, groups, accepts_gzip(headers)).await {
            Ok(body) => answer_metrics(format, body),
            Err(_) => internal_error(),
        }
    }

    async fn encode(&self, format: Format, groups: Groups, gzip: bool) -> io::Result<EncodedBody> {
        let pinned = self.captures.newest().await?;
        let open = move || (StatusCode::OK, PinnedPage::new(pinned, format, groups));
        EncodedBody::open(&self.threads, gzip, open).await.map(|(_, body)| body)
    }
}

/// A page that keeps the slot of its capture until it is written.
struct PinnedPage {
    page: Page,
    _pinned: Arc<PinnedCapture>,
}

impl PinnedPage {
    fn new(pinned: Arc<PinnedCapture>, format: Format, groups: Groups) -> Self {
        Self { page: Page::new(Arc::clone(&pinned.capture), format, groups), _pinned: pinned }
    }
}

impl Producer for PinnedPage {
    fn write_piece(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        // Reuses the allocation; the text is empty, so it is valid UTF-8.
        let mut page = String::from_utf8(mem::take(text)).unwrap_or_default();
        let is_last = self.page.fill(&mut page, PIECE);
        *text = page.into_bytes();
        Ok(is_last)
    }
}

const COLLECT: &str = "collect[]";
const EXCLUDE: &str = "exclude[]";

/// Parses the groups that a scrape asks for: those that `collect[]` names, all but those that `exclude[]` names, or
/// all.
///
/// # Errors
/// One sentence: an unknown group, or both parameters at once.
fn parse_groups(query: &str) -> Result<Groups, String> {
    let [collect, exclude] = [parse_parameter(query, COLLECT)?, parse_parameter(query, EXCLUDE)?];
    match (&collect[..], &exclude[..]) {
        (collect, []) if !collect.is_empty() => Ok(Groups::only(collect)),
        ([], exclude) => Ok(Groups::without(exclude)),
        _ => Err(format!("{COLLECT} and {EXCLUDE} cannot be combined; use only one of them")),
    }
}

fn parse_parameter(query: &str, parameter: &str) -> Result<Vec<Group>, String> {
    let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == parameter);
    pairs.map(|(_, value)| find_group(parameter, &value)).collect()
}

fn find_group(parameter: &str, name: &str) -> Result<Group, String> {
    Group::ALL.iter().copied().find(|group| group.as_str() == name).ok_or_else(|| {
        let known: Vec<&str> = Group::ALL.iter().map(|group| group.as_str()).collect();
        format!("unknown group `{}` in {parameter}; expected one of {}", shown(name), known.join(", "))
    })
}

/// Maximum number of captures in memory.
const MAX_CAPTURES: usize = 4;

/// Maximum age of a capture that another scrape may share.
const SHARED_FOR: Duration = Duration::from_millis(250);

/// Captures the metrics, once for all scrapes of the same moment.
#[derive(Debug)]
struct CapturePool {
    exposition: Arc<Exposition>,
    newest: Mutex<Weak<PinnedCapture>>,
    slots: Arc<Semaphore>,
    threads: Arc<PageThreads>,
}

/// A capture and its slot, which is released with it.
#[derive(Debug)]
struct PinnedCapture {
    capture: Arc<Capture>,
    _slot: OwnedSemaphorePermit,
}

impl CapturePool {
    fn new(exposition: Exposition, threads: Arc<PageThreads>) -> Self {
        let slots = Arc::new(Semaphore::new(MAX_CAPTURES));
        Self { exposition: Arc::new(exposition), newest: Mutex::default(), slots, threads }
    }

    /// The newest values. Callers that wait for the same capture share it.
    ///
    /// # Errors
    /// Capturing panicked.
    async fn newest(&self) -> io::Result<Arc<PinnedCapture>> {
        let mut newest = self.newest.lock().await;
        if let Some(pinned) = newest.upgrade()
            && clock::now().since(pinned.capture.taken()) <= SHARED_FOR
        {
            return Ok(pinned);
        }
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
        let (exposition, now) = (Arc::clone(&self.exposition), clock::now());
        let capture = self.threads.run(move || exposition.capture(now)).await?;
        let pinned = Arc::new(PinnedCapture { capture: Arc::new(capture), _slot: slot });
        *newest = Arc::downgrade(&pinned);
        Ok(pinned)
    }
}

#[cfg(test)]
mod tests;
