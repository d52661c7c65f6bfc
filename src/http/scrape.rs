//! The answer to a scrape: the page in the format and the coding that the client reads best.
//!
//! Pages are rendered on the blocking pool, a few at once, so that a crowd of scrapers cannot take the memory or the threads of
//! everything else.

use std::{io::Write as _, sync::Arc};

use flate2::{Compression, write::GzEncoder};
use hyper::{
    HeaderMap, Response, StatusCode,
    body::Bytes,
    header::{CONTENT_ENCODING, HeaderValue, VARY},
};
use tokio::sync::Semaphore;

use super::{
    answer::{answer, failed},
    negotiate,
};
use crate::{
    exposition::{Exposition, Format},
    server::Body,
};

/// Pages rendered at one time; further scrapes wait their turn.
const RENDERS: usize = 2;

/// Answers scrapes.
#[derive(Debug)]
pub(super) struct Scrape {
    exposition: Arc<Exposition>,
    renders: Semaphore,
}

impl Scrape {
    pub(super) fn new(exposition: Exposition) -> Self {
        Self { exposition: Arc::new(exposition), renders: Semaphore::new(RENDERS) }
    }

    pub(super) async fn respond(&self, headers: &HeaderMap) -> Response<Body> {
        let format = negotiate::format(headers);
        let gzip = negotiate::gzip(headers);
        let Ok(_slot) = self.renders.acquire().await else { return failed() };
        let exposition = Arc::clone(&self.exposition);
        let rendered = tokio::task::spawn_blocking(move || render(&exposition, format, gzip)).await;
        let Ok(page) = rendered else { return failed() };
        let mut response = answer(StatusCode::OK, format.content_type(), page);
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

fn render(exposition: &Exposition, format: Format, gzip: bool) -> Bytes {
    let page = exposition.render(format);
    if !gzip {
        return page.into();
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 16), Compression::fast());
    // Writing to a vector does not fail.
    let _ = encoder.write_all(page.as_bytes());
    encoder.finish().unwrap_or_default().into()
}
