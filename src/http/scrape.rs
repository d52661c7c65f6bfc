//! `/metrics`: the page in the format and the coding that the client prefers.

mod captures;

use std::{io, mem, sync::Arc};

use hyper::{HeaderMap, Response, StatusCode};
use web_toolkit::{
    server::{Body, internal_error, plain_text},
    text::shown,
};

use self::captures::{CapturePool, PinnedCapture};
use super::{
    body::{EncodedBody, PIECE, PageThreads, Producer},
    headers::{accepted_format, accepts_gzip, answer_metrics},
};
use crate::{
    domain::label::Label as _,
    exposition::{Exposition, Format, Group, Groups, Page},
};

/// Answers scrapes.
#[derive(Debug)]
pub(super) struct Scrape {
    captures: CapturePool,
    threads: Arc<PageThreads>,
}

impl Scrape {
    pub(super) fn new(exposition: Exposition, threads: Arc<PageThreads>) -> Self {
        Self { captures: CapturePool::new(exposition, Arc::clone(&threads)), threads }
    }

    /// Answers with the groups that `query` names.
    pub(super) async fn respond(&self, headers: &HeaderMap, query: &str) -> Response<Body> {
        let groups = match parse_groups(query) {
            Ok(groups) => groups,
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
/// all. Other parameters are ignored.
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

#[cfg(test)]
mod tests;
